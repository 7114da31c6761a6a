"""The ground that a clean verdict stands on: whatever was not looked at ends with 3, on every page."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from typing import Any

import pytest

from drift_audit.finding import Severity, Skip
from drift_audit.inventory import Scope, Service, TrafficTarget
from drift_audit.renderer import FORMATS
from drift_audit.report import Coverage, Report, Tool, assemble
from drift_audit.snapshot import Unseen
from tests import watch
from tests.builders import NOW
from tests.command import run
from tests.reports import change, finding, rendered, service
from tests.worlds import playing_document, reached

WHOLE = {
    "locations": 3, "locations_listed": 3, "named": 7, "named_read": 7, "looked_up": 5,
    "looked_up_found": 5, "expected": 2, "expected_found": 2, "limits": 6, "limits_read": 6,
    "judged": 4, "compared": 3, "baselines": 1,
}  # fmt: skip
SHORT = ("locations_listed", "named_read", "looked_up_found", "expected_found", "limits_read")
"""What must be as many as there are; that nothing was compared is told, and may be meant."""


def report(*, services=None, unseen=(), skipped=(), findings=(), fail_on=Severity.HIGH, **coverage):
    return assemble(
        tool=Tool(version="0"),
        now=NOW,
        scope=Scope(source="test"),
        fail_on=fail_on,
        services=[service()] if services is None else services,
        findings=findings,
        skipped=skipped,
        unseen=unseen,
        revisions=2,
        secrets=1,
        coverage=Coverage(**{**WHOLE, **coverage}),
    )


def missing(shortfalls):
    """Facts in which what is named falls short."""
    facts: dict[str, Any] = {name: WHOLE[name] - 1 for name in SHORT if name in shortfalls}
    if "services" in shortfalls:
        facts["services"] = []
    if "unseen" in shortfalls:
        facts["unseen"] = [Unseen(where="x", reason="y")]
    if "blocking" in shortfalls:
        facts["skipped"] = [Skip(what="x", reason="y", blocking=True)]
    return facts


EVERY = (*SHORT, "services", "unseen", "blocking")
TABLE = list(itertools.chain.from_iterable(itertools.combinations(EVERY, n) for n in range(len(EVERY) + 1)))  # fmt: skip


@pytest.mark.parametrize("fail_on", [Severity.HIGH, None], ids=["high", "never"])
def test_truth_table(fail_on):
    """Clean and 0 come of everything seen alone: any shortfall, with or without others, gives 3."""
    found = {gone: report(**missing(gone), fail_on=fail_on) for gone in TABLE}
    watch.seen[watch.COMBINATIONS] += len(found)

    assert len(TABLE) == 256
    assert {
        gone for gone, one in found.items() if (one.verdict, one.exit_code) == ("clean", 0)
    } == {()}
    assert {(one.verdict, one.exit_code) for gone, one in found.items() if gone} == {
        ("incomplete", 3)
    }


@pytest.mark.parametrize("gone", [t for t in TABLE if len(t) == 1], ids="".join)
@pytest.mark.parametrize(
    "said", [{"verdict": "clean", "exit_code": 0}, {"verdict": "drift", "exit_code": 10}, {"exit_code": 0}, {"verdict": "clean"}]
)  # fmt: skip
def test_report_that_was_edited_to_say_clean(gone, said):
    """A stored report whose facts fall short and that says anything but incomplete is refused."""
    stored = json.loads(report(**missing(gone)).model_dump_json())
    Report.model_validate_json(json.dumps(stored))

    with pytest.raises(ValueError):
        Report.model_validate_json(json.dumps({**stored, **said}))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"findings": [finding("service-missing")]}, {"verdict": "clean", "exit_code": 0}),
        ({"findings": [finding("service-missing")]}, {"exit_code": 0}),
        ({"services": [service(changes=[change()])]}, {"verdict": "clean"}),
        ({}, {"verdict": "drift"}),
        ({}, {"exit_code": 10}),
        ({}, {"exit_code": 4}),
        ({"findings": [finding()]}, {"fail_on": "never"}),
    ],
)
def test_report_that_was_edited_otherwise(facts, said):
    """Verdict and exit code follow from the findings too, whatever somebody wrote over them."""
    stored = json.loads(report(**facts).model_dump_json())
    Report.model_validate_json(json.dumps(stored))

    with pytest.raises(ValueError):
        Report.model_validate_json(json.dumps({**stored, **said}))


def test_baseline_that_was_demanded_reads_back():
    """A report that ended with 4 for want of a reference is one of its kind, and reads back."""
    stored = json.loads(report(services=[service(reference=None)]).model_dump_json())

    assert Report.model_validate_json(json.dumps({**stored, "exit_code": 4})).exit_code == 4


@pytest.mark.parametrize("format_", sorted(FORMATS))
def test_every_page_counts_what_was_seen(format_):
    """Each rendering tells of every share how much of it was seen."""
    page = rendered(
        format_,
        report(
            locations_listed=2, named_read=6, looked_up_found=4, expected_found=1, limits_read=5
        ),
    )
    words = " ".join(page.replace("<code>", "").replace("</code>", "").split())
    told = [
        "2 of 3 locations listed", "6 of 7 revisions in use read",
        "4 of 5 secret versions looked up", "1 of 2 expected services found", "5 of 6 limits read",
        "1 of 4 held against a baseline",
    ]  # fmt: skip
    if format_ == "json":
        assert json.loads(page)["coverage"] == {
            **WHOLE, "locations_listed": 2, "named_read": 6, "looked_up_found": 4, "expected_found": 1,
            "limits_read": 5,
        }  # fmt: skip
    else:
        assert [part for part in told if part not in words] == []


def test_tags_without_traffic_are_named():
    """A revision that a tag alone points at is one that the service names, like those that serve."""
    targets = [("api-1", 100, "", False), ("api-2", 0, "old", False), ("", 0, "new", True)]
    one = Service(
        project="shop", region="r1", service="api", latest_created="api-4", latest_ready="api-3",
        traffic=tuple(TrafficTarget(revision=r, percent=p, tag=t, latest=at) for r, p, t, at in targets),
    )  # fmt: skip

    assert one.named == {"api-1", "api-2", "api-3", "api-4"}
    assert one.serving == ("api-1",)


# With the real command

AT = "2026-01-0{}T08:00:00Z"


def world(**more):
    revisions: list[Any] = [
        {"name": f"api-{n}", "at": AT.format(n), "image": "i"} for n in (1, 2, 3)
    ]
    revisions[0]["env"] = {"JWT": {"secret": "jwt", "version": "1"}}
    traffic = [{"to": "api-2", "percent": 100}, {"to": "api-1", "tag": "old"}]
    one = {"project": "shop", "region": "r1", "service": "api", "traffic": traffic, "revisions": revisions}  # fmt: skip
    secrets = [{"project": "shop", "name": "jwt", "versions": {"1": "enabled"}}]
    return {"services": [one], "secrets": secrets, **more}


def audited(folder, played, *arguments, command="audit"):
    with playing_document(played) as emulator:
        scope = ["--project=shop", "--region=r1", "--kind=service", "-o", "r.json"]
        ran = run(*command.split(), *scope, *arguments, cwd=folder, env=reached(emulator))
    return ran.code, json.loads((folder / "r.json").read_text()), ran


def test_everything_was_seen(tmp_path):
    """The control: where everything answers, every share is whole, and the run ends with 0."""
    code, told, _ = audited(tmp_path, world())

    assert code == 0
    assert told["coverage"] == {
        "locations": 1, "locations_listed": 1, "named": 3, "named_read": 3, "looked_up": 1,
        "looked_up_found": 1, "expected": 0, "expected_found": 0, "limits": 0, "limits_read": 0,
        "judged": 2, "compared": 1, "baselines": 0,
    }  # fmt: skip


PARENT = "projects/shop/locations/r1/services"


@pytest.mark.parametrize(
    ("more", "share"),
    [
        ({"faults": ["Services/ListServices:1:unreachable"]}, "locations_listed"),
        ({"faults": ["Services/ListServices:1+:unreachable"]}, "locations_listed"),
        ({"denied": ["projects/shop/locations/r1"]}, "locations_listed"),
        ({"denied": [f"{PARENT}/-", f"{PARENT}/api/revisions/api-1"]}, "named_read"),
        ({"denied": [f"{PARENT}/-", f"{PARENT}/api/revisions/api-2"]}, "named_read"),
        ({"denied": ["projects/shop/secrets/jwt"]}, "looked_up_found"),
    ],
)
def test_shortfall_ends_with_3(tmp_path, more, share):
    """What could not be listed, read or looked up shows in the counts and in the exit code."""
    code, told, _ = audited(tmp_path, world(**more), "--fail-on=never")
    whole = share.rpartition("_")[0]

    assert (code, told["verdict"]) == (3, "incomplete")
    assert told["coverage"][share] < told["coverage"][whole]


def on(day):
    at = dt.datetime.fromisoformat(f"{day}T12:00:00+00:00")
    return {"SOURCE_DATE_EPOCH": str(int(at.timestamp()))}


@pytest.mark.parametrize(
    ("promoted", "day", "reason"),
    [
        ("", "2026-01-15", ""),
        ("", "2026-01-02", ""),
        ("", "2026-01-01", "the clock says 2026-01-01, and api-3 was created on 2026-01-03"),
        ("2026-01-10", "2026-01-10", ""),
        ("2026-01-10", "2026-01-09", ""),
        ("2026-01-10", "2026-01-08", "the clock says 2026-01-08, and the baseline was promoted on 2026-01-10"),
    ],
)  # fmt: skip
def test_clock_behind_what_has_happened(tmp_path, promoted, day, reason):
    """Under a clock that is more than a day behind the facts, nobody knows which waivers are in force."""
    scope = ["--project=shop", "--region=r1", "--kind=service", "--service=api", "--fail-on=never"]
    with playing_document(world()) as emulator:
        env = reached(emulator)
        if promoted:
            words = ["baseline", "promote", "api-2", *scope[:-1], "--reason=r", "--by=me"]
            assert run(*words, cwd=tmp_path, env=env | on(promoted)).code == 0
        ran = run("audit", *scope, "-o", "r.json", cwd=tmp_path, env=env | on(day))
    told = json.loads((tmp_path / "r.json").read_text())

    assert ran.code == (3 if reason else 0), ran.block
    assert {s["reason"] for s in told["skipped"] if "day" in s["what"]} == (
        {reason} if reason else set()
    )


EXPECTS = '[scope]\nexpect = ["shop/r1/api", "shop/r1/gone"]\n'
WAIVER = '[[waiver]]\nrule="service-missing"\nat="shop/r1/gone"\nowner="me"\nreason="r"\nuntil={}\n'


@pytest.mark.parametrize(
    ("waiver", "code", "found"),
    [("", 3, 1), (WAIVER.format("2026-12-31"), 0, 2), (WAIVER.format("2026-01-01"), 3, 1)],
    ids=["open", "waived", "expired"],
)
def test_expected_service(tmp_path, waiver, code, found):
    """A service that the policy expects and that is not there leaves the audit incomplete, unless waived."""
    (tmp_path / "drift-audit.toml").write_text(EXPECTS + waiver)
    ended, told, _ = audited(tmp_path, world(), "--fail-on=never")

    assert ended == code
    assert (told["coverage"]["expected_found"], told["coverage"]["expected"]) == (found, 2)


def test_comparison_is_not_affected_by_others(tmp_path):
    """A comparison of two revisions says nothing of services that should be there besides."""
    (tmp_path / "drift-audit.toml").write_text(EXPECTS)
    words = ["api-2", "LATEST", "--service=api"]
    code, told, _ = audited(tmp_path, world(), *words, command="compare")

    assert code == 0
    assert (told["coverage"]["expected"], told["coverage"]["locations"]) == (0, 0)
    assert (told["coverage"]["judged"], told["coverage"]["compared"]) == (1, 1)
