"""The few lines of a report: what they hold however little room there is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.finding import Skip
from drift_audit.renderer import message
from drift_audit.snapshot import Unseen
from tests.reports import WAIVED, change, finding, report, service

TEXTS = st.text(st.characters(blacklist_categories=()), max_size=500)


@st.composite
def reports(draw):
    """Reports whose names and reasons are whatever somebody wrote."""
    keys = draw(st.lists(st.text(min_size=1, max_size=80), max_size=15, unique=True))
    findings = [finding(key=key).but(says=draw(TEXTS)) for key in keys]
    unseen = [Unseen(where=draw(TEXTS), reason=draw(TEXTS)) for _ in range(draw(st.integers(0, 5)))]
    return report(service(findings=findings), unseen=unseen)


@given(reports(), st.integers(100, 5_000))
def test_what_is_never_left_out(told, budget):
    """In any room the verdict comes first, then what was not seen, then what was asked to be last."""
    text = message.render(told, budget=budget, last="the end")
    first, second, *_, last = text.splitlines()

    assert len(text.encode()) <= budget
    assert first.startswith(f"{told.verdict.upper()}: ")
    assert second.startswith(f"not seen: {len(told.unseen) or 'nothing'} ")
    assert last == "the end"


@given(reports(), st.integers(1_200, 20_000))
def test_every_finding_is_told_or_counted(told, budget):
    """No finding goes without a word."""
    lines = message.render(told, budget=budget).splitlines()
    shown = sum(line.startswith("- ") for line in lines)
    counted = [re.fullmatch(r"(\d+) more findings? in the report", line) for line in lines]

    assert shown + sum(int(found[1]) for found in counted if found) == len(told.all_findings)


@given(TEXTS)
def test_foreign_text_is_inert(text):
    """Nothing is left that a chat, a wiki or a mail program obeys."""
    line = message.inert(text)

    assert line.isascii()
    assert line.isprintable() or not line
    assert len(line) <= message.LINE
    for live in ("://", "<", ">", "[", "]", "`", "*", "|", "&", "{noformat}"):
        assert live not in line
    assert all(after.isdigit() for after in (part[:1] for part in line.split("@")[1:]))


def test_control_foreign_text():
    """The law above would find a mention in text that nobody made inert."""
    text = "@everyone"

    assert not all(part[:1].isdigit() for part in text.split("@")[1:])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bound to jwt@7", "bound to jwt@7"),
        ("by raj@example.com", "by raj\\u{40}example.com"),
        ("redis://cache:6379", "redis:\\u{2f}/cache:6379"),
    ],
)
def test_names_stay_legible(text, told):
    """What is no mention and no address stays as it is, and nothing is dropped."""
    assert message.inert(text) == told


def test_waived_findings_are_not_told():
    """What somebody accepted is counted, and not told one by one."""
    accepted = finding(key="OK", waived=WAIVED)
    text = message.render(report(service(findings=[accepted], changes=[change("OK")])))

    assert "1 waived" in text
    assert "- " not in text


def test_judgements_that_were_not_made():
    """A report that is incomplete for a judgement says which, beside what was not seen."""
    skips = [
        Skip(what="rules about versions", reason="the secret may not be read", blocking=True),
        Skip(what="something else", reason="nobody asked", blocking=False),
    ]
    _, counted, named, *rest = message.render(report(service(), skipped=skips)).splitlines()

    assert counted == "not seen: nothing in scope; 1 judgement in scope not made"
    assert named == "not judged: rules about versions: the secret may not be read"
    assert "something else" not in "".join(rest)
