"""Waivers and time: which were there before what they forgive, which end, and what they cannot hide."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.finding import Finding, Severity
from drift_audit.past import Past
from drift_audit.policy import Policy, read_policy
from drift_audit.rules import RULES
from drift_audit.rules.waivers import OF_WAIVERS, Before, waive
from drift_audit.store.baseline import promotion, read_baseline
from drift_audit.waiver import Waiver
from tests.builders import HOME, NOW, snapshot
from tests.canary import leaks
from tests.command import run
from tests.test_known_good import CANARY, DAY, FILE, SCOPE, Night, world
from tests.worlds import playing_document, reached

UNTIL = dt.date(2026, 12, 31)
LOST = Finding(rule="key-lost", severity=Severity.HIGH, address=HOME.at(key="JWT"), says="gone")


def waiver(rule="key-lost", at="*", until=UNTIL, reason="noise"):
    return Waiver(rule=rule, at=at, owner="team-api", reason=reason, until=until)


def new(before, *waivers, finding=LOST):
    """Whether a finding counts as waived by a waiver that came with it; None where it is open."""
    [found] = waive([finding], Policy(waiver=waivers), NOW.date(), before)
    return found.waived and found.waived.new


def looks(*seen):
    """The past after audits, a day after each other, that found some things and saw some waivers."""
    past = Past(service=HOME)
    for number, (findings, waivers) in enumerate(seen):
        past = past.then(NOW + number * DAY, (), findings, [w.id for w in waivers])
    return past


ONE, RENEWED = waiver(), waiver(until=UNTIL + DAY)


@pytest.mark.parametrize(
    ("seen", "is_new"),
    [
        ([([], [])], True),
        ([([], [ONE])], False),
        ([([LOST.id], [])], False),
        ([([LOST.id], [ONE])], False),
        ([([], []), ([LOST.id], [ONE])], True),
        ([([], []), ([LOST.id], []), ([LOST.id], [ONE])], False),
        ([([], []), ([], [ONE]), ([LOST.id], [ONE])], False),
        ([([], []), ([LOST.id], [RENEWED])], False),
        ([([LOST.id], [ONE]), ([], []), ([LOST.id], [ONE])], True),
    ],
    ids=[
        "both are new now", "waiver was there", "drift was there", "both were there at first",
        "both came at once, last night", "drift, then waiver", "waiver, then drift", "given again",
        "both went and came back",
    ],
)  # fmt: skip
def test_what_was_there_first(seen, is_new):
    """A waiver is new where one audit saw it and what it forgives for the first time, for good."""
    assert new(Before(looks(*seen)), ONE) is is_new


def test_one_older_waiver_is_enough():
    """What an older waiver covers as well is not forgiven by the new one alone."""
    broad = waiver("key-*")

    assert new(Before(looks(([], [broad]))), ONE, broad) is False
    assert new(Before(looks(([], [broad]))), ONE) is True


def test_baseline_tells_what_was_there_when_it_was_promoted():
    """Without a past, what changed since the baseline is held against the waivers of then."""
    at = [LOST.address]

    assert new(Before(None, frozenset(), at), ONE) is True
    assert new(Before(None, frozenset({ONE.id}), at), ONE) is False
    assert new(Before(None, frozenset(), []), ONE) is False
    assert new(Before(None, None, at), ONE) is False
    assert new(Before(looks(([LOST.id], [])), frozenset(), at), ONE) is False


def test_what_is_known_of_a_finding():
    """Without a past or a baseline that tells, nothing is known of which came first."""
    told = [
        before.tells_of(LOST)
        for before in (
            Before(looks(([], []))),
            Before(None, frozenset(), [LOST.address]),
            Before(None, frozenset(), []),
            Before(None, None, [LOST.address]),
            Before(),
        )
    ]

    assert told == [True, True, False, False, False]


@given(st.sampled_from(sorted(OF_WAIVERS)), st.sampled_from(["*", "waiver-*", "exact"]))
def test_no_waiver_covers_what_is_said_of_waivers(rule, glob):
    """Whatever a waiver names: what is said of waivers stays open."""
    finding = Finding(rule=rule, severity=Severity.LOW, address=HOME, says="x")
    one = Waiver.model_construct(
        rule=rule if glob == "exact" else glob, at="*", owner="me", reason="x", until=UNTIL
    )

    assert one.covers(finding, NOW.date())
    assert waive([finding], Policy.model_construct(waiver=(one,)), NOW.date())[0].waived is None


def test_rules_of_the_family():
    """The rules that no waiver covers are those about waivers, each of them."""
    assert {id for id, rule in RULES.items() if rule.family == "waivers"} == OF_WAIVERS


def test_identity_of_a_waiver():
    """A waiver is the same with another reason, and another one with all else."""
    others = [waiver("key-added"), waiver(at="shop"), RENEWED, ONE.but(owner="you")]

    assert waiver(reason="typo").id == ONE.id == "4c65705905875bf1"  # as baselines hold it
    assert len({w.id for w in [ONE, *others]}) == 5


@pytest.mark.parametrize(
    ("at", "concerns"),
    [("*", True), ("shop", True), ("shop/*/a*", True), ("*/*/api/env/*/X", True), ("web", False),
     ("shop/europe-west1/web", False), ("*/*/web/env", False),
     ("shop/europe-west1/api/mount/-//run/keys/jwt", True)],
)  # fmt: skip
def test_waivers_that_concern_a_service(at, concerns):
    """Of a service those waivers are remembered that could speak of it."""
    assert waiver(at=at).concerns(HOME) is concerns


def test_baseline_without_waivers_reads_as_before():
    """A baseline from before waivers were written down is read, shown and checked as it stands."""
    kept = promotion(snapshot({}), None, by="me", at=NOW, reason="r")
    older = kept.but(waivers=None).signed()

    assert '"waivers": []' in kept.text()
    assert "waivers" not in older.text()
    assert read_baseline(older.text().encode(), "x") == older
    assert (older.reference.waivers, kept.reference.waivers) == (None, frozenset())


def test_notice_is_read():
    """How long before its end a waiver is announced stands in the policy."""
    assert (read_policy("").waiver_notice, read_policy("waiver_notice = 3").waiver_notice) == (
        14,
        3,
    )


# The command

WAIVER = """
[[waiver]]
rule = "{rule}"
at = "{at}"
owner = "team-api"
reason = "moved away"
until = {until}
"""
NONE = [{"what": "whether waivers came with what they forgive",
         "reason": "no earlier audit of the service is remembered", "blocking": False}]  # fmt: skip


@pytest.fixture
def night(tmp_path):
    return Night(tmp_path)


def waived(folder, *, rule="key-lost", at="shop/*/api/env/*/JWT", until="2026-12-31"):
    """Put a waiver into the policy."""
    (folder / "drift-audit.toml").write_text(WAIVER.format(rule=rule, at=at, until=until))


def told(night, played, *arguments, **options):
    """How the lost key is waived, what is said of waivers, what could not be told, verdict and code."""
    ran = night(played, "--format=json", *arguments, **options)
    report = json.loads(ran.out)
    [lost] = [f for s in report["services"] for f in s["findings"] if f["rule"] == "key-lost"]
    about = [f["rule"] for f in report["findings"] if f["rule"].startswith("waiver-")]
    unknown = [
        {name: value for name, value in skip.items() if name != "service"}
        for skip in report["skipped"]
        if "waivers" in skip["what"]
    ]
    return lost["waived"] and lost["waived"]["new"], about, unknown, report["verdict"], ran.code


WITH_DRIFT: tuple[Any, ...] = (True, ["waiver-added-with-drift"], [])


def test_waiver_in_the_change_that_it_forgives(night):
    """A deploy that loses a key and brings the waiver for it is told, that night and later."""
    night(world(1))
    waived(night.folder)
    first, second = told(night, world(2)), told(night, world(2))
    waived(night.folder, until="2027-01-31")

    assert first[:3] == second[:3] == WITH_DRIFT
    assert first[4] == 0
    assert told(night, world(2))[:3] == (False, [], [])


def test_control_waiver_of_drift_that_was_seen(night):
    """A waiver for what an audit has told before is as it should be, and so is one given before."""
    night(world(1))
    before = told(night, world(2))
    waived(night.folder)
    after = told(night, world(2))

    assert before[0] is None
    assert after[:3] == (False, [], [])


def test_waiver_that_was_there_before(night):
    """A waiver that an audit saw before there was anything to forgive is not new."""
    waived(night.folder)
    night(world(1))

    assert told(night, world(2))[:3] == (False, [], [])


def test_waiver_of_everything_in_a_service(night):
    """A waiver for all rules of a service does not hide that it came with the drift."""
    night(world(1))
    waived(night.folder, rule="*", at="shop/europe-west1/api")

    assert told(night, world(2))[:3] == WITH_DRIFT


def test_nothing_is_remembered(night):
    """Where no earlier audit is remembered, nobody can tell which came first, and that is said."""
    night(world(1))
    waived(night.folder)
    path = night.folder / "store" / FILE
    data = path.read_bytes()
    path.unlink()
    gate = {"command": ("compare", "api-00001", "api-00002", "--service=api")}
    unknown = told(night, world(2), **gate)
    path.write_bytes(data)

    assert unknown[:3] == (False, [], NONE)
    assert told(night, world(2), **gate)[:3] == WITH_DRIFT


@pytest.mark.parametrize("format", ["text", "markdown", "html"])
def test_every_page_tells_the_new_waiver(night, format):
    """Each page marks what a new waiver covers, and says why that matters."""
    night(world(1))
    waived(night.folder)
    page = night(world(2), f"--format={format}").told.replace("<code>", "").replace("</code>", "")

    assert "new waiver by team-api until 2026-12-31: moved away" in page
    assert (
        "the waiver of key-lost by team-api came together with what it forgives: key-lost at"
        in page
    )
    assert leaks(page.encode(), [CANARY]) == []


def test_gate_without_a_ledger(night):
    """A gate that has no ledger goes by the waivers that there were when the baseline was promoted."""
    promote = ("baseline", "promote", "--service=api", "--reason=r", "--by=me")
    gate = {"command": ("compare", "KNOWN_GOOD", "LATEST", "--service=api")}
    assert night(world(1), command=promote).code == 0
    waived(night.folder)
    added = told(night, world(2), **gate)
    assert night(world(1), command=promote).code == 0
    known = told(night, world(2), **gate)
    baseline = (night.folder / "store/shop/europe-west1/api.json").read_text()

    assert (added[:3], added[4]) == (WITH_DRIFT, 0)
    assert known[:3] == (False, [], [])
    assert json.loads(baseline)["waivers"] == [
        w.id for w in read_policy((night.folder / "drift-audit.toml").read_text()).waiver
    ]


def test_waivers_about_the_run(night):
    """Of findings about the run nobody remembers when they were there first, and that is said."""
    waived(night.folder, rule="service-missing", at="*")
    policy = night.folder / "drift-audit.toml"
    policy.write_text('[scope]\nexpect = ["shop/europe-west1/gone"]\n' + policy.read_text())
    ran = night(world(1), "--format=json")
    [skip] = [s for s in json.loads(ran.out)["skipped"] if "waivers" in s["what"]]

    assert skip["what"] == "whether waivers of findings about this run came with them"
    assert ran.code == 0, ran.block


def test_waiver_that_ends_soon(night):
    """A waiver in its last two weeks is announced, and fails nothing."""
    night(world(1))
    night(world(2))
    waived(night.folder, until="2026-01-20")
    ran = night(world(2))

    assert ran.code == 0
    assert "the waiver of key-lost by team-api ends on 2026-01-20" in ran.told


def test_comparison_of_files_remembers_nothing(tmp_path):
    """Two files of a service that no audit has seen: a waiver is told as one of unknown age."""
    waived(tmp_path)
    with playing_document(world(2)) as emulator:
        every = ["--all-revisions", "-o", "all.json", *SCOPE[:2]]
        run("snapshot", *every, cwd=tmp_path, env=reached(emulator))
    ran = run("compare", "all.json#api-00001", "all.json#api-00002", cwd=tmp_path)

    assert "whether waivers came with what they forgive" in ran.told, ran.block
