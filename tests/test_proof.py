"""The page of the proof says what the campaigns came to, and names what falls short."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import pytest

from tests import proof

ONE = proof.Campaign(
    "one",
    "Nothing is lost.",
    "It is tried.",
    ("tests.one",),
    (proof.Goal("tries", "tries", least=1_000), proof.Goal("lost", "lost", exactly=0)),
    "tests/test_proof.py::test_page_is_current",
)


def told(figures, problems=()):
    """What a run of it left."""
    return {
        "date": "2026-01-01",
        "python": "3.11",
        "seconds": 7,
        "figures": figures,
        "problems": list(problems),
    }


def test_page_is_current():
    """`python -m tests.proof` would write what is there, from figures of its campaigns alone."""
    results = json.loads(proof.RESULTS.read_text())
    reasons = tomllib.loads(proof.REASONS.read_text())

    assert results.keys() <= {campaign.name for campaign in proof.CAMPAIGNS}
    assert proof.PAGE.read_text() == proof.page(results, reasons)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (told({"tries": 1_000, "lost": 0}), []),
        (None, ["The campaign has not been run."]),
        (told({"tries": 999, "lost": 0}), ["tries: 999 instead of at least 1,000."]),
        (told({"tries": 1_000, "lost": 2}), ["lost: 2 instead of 0."]),
        (told({"tries": 1_000}), ["lost: not counted instead of 0."]),
        (told({"tries": 1_000, "lost": 0}, ["x was torn"]), ["x was torn."]),
    ],
)
def test_what_falls_short_is_said(result, said):
    """A figure that is too low, a loss, a figure nobody counted and a run that was not made are named."""
    results = {"one": result} if result else {}
    bare, reasoned = (proof.page(results, why, [ONE]) for why in ({}, {"one": "It is\nold.\n"}))
    tops = [
        page.partition("## What falls short\n\n")[2].partition("\n\n## ")[0]
        for page in (bare, reasoned)
    ]

    assert tops == (
        [f"- Nothing is lost. {' '.join(said)}", f"- Nothing is lost. {' '.join(said)} It is old."]
        if said
        else ["Nothing: every figure is at or beyond its goal."] * 2
    )


def test_figures_of_modules_are_a_table():
    """What a campaign counts for each module of the program stands below its figures."""
    modules = {"drift_audit.seal": {"faults": 1_451, "noticed": 431}}
    page = proof.page({"one": {**told({"tries": 1_000, "lost": 0}), "modules": modules}}, {}, [ONE])

    assert page.endswith(
        "\n| module | faults | noticed |\n| --- | --- | --- |\n| `seal` | 1,451 | 431 |\n"
    )


@pytest.mark.parametrize("campaign", proof.CAMPAIGNS, ids=lambda one: one.name)
def test_every_campaign_has_a_control(campaign):
    """The test that is named as the control exists, in a file of the tests of every commit."""
    path, _, name = campaign.control.partition("::")

    assert f"\ndef {name}(" in (proof.ROOT / path).read_text()


def test_tests_are_counted(tmp_path, capfd):
    """A campaign of ordinary tests takes over what they counted, and names those that did not pass."""
    (tmp_path / "test_made_up.py").write_text(
        "import pytest\nfrom tests import watch\n\n"
        "def test_one():\n    watch.seen['tries'] += 3\n\n"
        "def test_two():\n    pytest.skip('no such program')\n"
    )
    command = ("pytest", "-q", "-p", "tests.conftest", str(tmp_path))
    found = proof.run(replace(ONE, command=command))

    assert (found["figures"]["tries"], found["figures"]["tests"]) == (3, 2)
    assert [one.rpartition(".")[2] for one in found["problems"]] == ["test_two: skipped"]


def test_control_campaign_that_does_not_run():
    """A command that fails leaves no figures, and what it is to show falls short."""
    assert proof.run(replace(ONE, command=("tests.no_such_module",)))["figures"] == {}
    assert proof.run(replace(ONE, command=("pytest", "no-such-file")))["figures"] == {}
