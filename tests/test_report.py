"""The report: verdict, exit code and counts follow from the facts, and it reads back whole."""

from __future__ import annotations

import itertools
import json
import signal

import pytest

from drift_audit.__main__ import Interrupted, Terminated, _end, _guarded
from drift_audit.cli.nights import ended
from drift_audit.cli.trail import Trail
from drift_audit.errors import DriftAuditError, ExitCode, OutputError
from drift_audit.finding import First, Severity, Skip
from drift_audit.report import Report, exit_code
from drift_audit.snapshot import Unseen
from tests.reports import WAIVED, change, finding, report, service


def expected(*, complete, baseline_wanting, written, drift):
    """The exit table of the design, written down once more."""
    table = (
        {(False, *any_): 3 for any_ in itertools.product((True, False), repeat=3)}
        | {(True, True, *any_): 4 for any_ in itertools.product((True, False), repeat=2)}
        | {
            (True, False, False, True): 5,
            (True, False, False, False): 5,
            (True, False, True, True): 10,
            (True, False, True, False): 0,
        }
    )
    return table[complete, baseline_wanting, written, drift]


FACTS = ("complete", "baseline_wanting", "written", "drift")


@pytest.mark.parametrize("values", list(itertools.product((True, False), repeat=4)))
def test_exit_truth_table(values):
    """Blindness before a missing baseline before a lost output before drift before clean."""
    facts = dict(zip(FACTS, values, strict=True))

    assert exit_code(**facts) == expected(**facts)


def test_exit_codes_are_the_documented_ones():
    """No code is 1, and each has the number of the table."""
    assert {c.name: c.value for c in ExitCode} == {
        "CLEAN": 0, "USAGE": 2, "INCOMPLETE": 3, "REFUSED": 4, "OUTPUT": 5, "DRIFT": 10,
        "DEFECT": 70, "INTERRUPTED": 130, "TERMINATED": 143,
    }  # fmt: skip


ENDED = [code for code in ExitCode if code < ExitCode.DEFECT]
"""What a command itself can end with."""

ARRIVES = {
    "nothing": (None, None),
    "SIGINT": (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    "SIGINT, with logs": (Interrupted(), ExitCode.INTERRUPTED),
    "SIGTERM": (Terminated(), ExitCode.TERMINATED),
    "a defect": (ValueError(), ExitCode.DEFECT),
    **{one.__name__: (one("x"), one.code) for one in DriftAuditError.__subclasses__()},
}


@pytest.fixture
def signals():
    """What this process does with signals, as it was before."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("arrives", ARRIVES)
@pytest.mark.parametrize("code", ENDED)
def test_exit_truth_table_of_a_process(code, arrives, measured, kept, signals):
    """
    Whatever arrives wins over what the command would have said, and what was lost besides makes 5 of a
    verdict, of nothing else: 0 is left to the run in which all went well.
    """
    error, instead = ARRIVES[arrives]

    def command():
        if error:
            raise error
        return ended(code, kept=kept)

    trail = Trail("audit")
    trail._metrics = Measures(measured)  # type: ignore[assignment]  # takes no look at what it writes
    first = _guarded(command)
    final = _guarded(lambda: _end([trail.end], first))
    lost = not measured or (not kept and instead is None)
    known = instead or code

    assert final == (ExitCode.OUTPUT if lost and known in (0, 10) else known)
    assert (final == 0) == (code == 0 and instead is None and measured and kept)


class Measures:
    """A file of metrics that takes them, or does not."""

    def __init__(self, takes):
        self.takes = takes

    def write(self, *_):
        if not self.takes:
            raise OutputError("cannot write m")


LOSS = {"changes": [change()], "findings": [finding()]}
BLIND = [Unseen(where="secret x", reason="permission denied")]


@pytest.mark.parametrize(
    ("made", "verdict", "code"),
    [
        (lambda: report(service()), "clean", 0),
        (lambda: report(service(**LOSS)), "drift", 10),
        (lambda: report(service(**LOSS), fail_on=None), "drift", 0),
        (lambda: report(service(**LOSS), fail_on=Severity.CRITICAL), "drift", 0),
        (lambda: report(service(findings=[finding()])), "drift", 10),
        (lambda: report(service(findings=[finding()]), fail_on=None), "drift", 0),
        (lambda: report(service(findings=[finding()]), fail_on=Severity.CRITICAL), "drift", 0),
        (lambda: report(service(findings=[finding(severity=Severity.LOW)])), "clean", 0),
        (lambda: report(service(changes=[change()], findings=[finding(waived=WAIVED)])), "clean", 0),
        (lambda: report(service(changes=[change(), change("B")], findings=[finding(waived=WAIVED)])), "drift", 0),
        (lambda: report(service(changes=[change()])), "drift", 0),
        (lambda: report(service(), findings=[finding("service-missing")]), "drift", 10),
        (report, "incomplete", 3),
        (lambda: report(fail_on=None), "incomplete", 3),
        (lambda: report(service(), unseen=BLIND), "incomplete", 3),
        (lambda: report(service(**LOSS), unseen=BLIND), "incomplete", 3),
        (lambda: report(service(), skipped=[Skip(what="x", reason="y", blocking=True)]), "incomplete", 3),
        (lambda: report(service(), skipped=[Skip(what="x", reason="y", blocking=False)]), "clean", 0),
        (lambda: report(service(reference=None)), "clean", 0),
        (lambda: report(service(reference=None), require=True), "clean", 4),
        (lambda: report(service(), require=True), "clean", 0),
    ],
)  # fmt: skip
def test_verdict(made, verdict, code):
    """Verdict and exit code follow from what was seen, what differs, what is waived, and the threshold."""
    found = made()

    assert (found.verdict, found.exit_code) == (verdict, code)


SINCE = First(revision="api-00001-bad", previous="api-00000", certain=True)


@pytest.mark.parametrize(
    ("made", "headline"),
    [
        (report, "nothing was audited"),
        (lambda: report(service()), "no difference and nothing missing in 1 service"),
        (
            lambda: report(service(), service(name="web")),
            "no difference and nothing missing in 2 services",
        ),
        (
            lambda: report(service(**LOSS)),
            "api-00002-new drops 1 key that api-00001-old had: A",
        ),
        (
            lambda: report(service(changes=[change("B"), change("A")], reference="api-00002-new")),
            "api-00002-new drops 2 keys that the reference had: A, B",
        ),
        (
            lambda: report(service(changes=[change()], findings=[finding(first_seen=SINCE)])),
            "api-00002-new drops 1 key that api-00001-old had: A; since api-00001-bad",
        ),
        (
            lambda: report(
                service(findings=[finding("key-missing"), finding("key-missing", key="B")])
            ),
            "api lacks 2 required keys: A, B",
        ),
        (
            lambda: report(
                service(findings=[finding("version-destroyed"), finding("key-emptied", key="B")])
            ),
            "api: B is gone, and 1 more finding",
        ),
        (
            lambda: report(service(changes=[change(after="literal")])),
            "1 difference in 1 service, none at or above high",
        ),
        (
            lambda: report(service(changes=[change(after="literal")]), fail_on=None),
            "1 difference in 1 service, reported only",
        ),
        (
            lambda: report(service(reference=None)),
            "nothing was compared: 1 service had no reference",
        ),
        (
            lambda: report(service(reference=None), service(name="web")),
            "no difference, but 1 service had no reference",
        ),
        (
            lambda: report(service(), unseen=BLIND),
            "1 thing in scope could not be read; no difference and nothing missing in 1 service",
        ),
        (
            lambda: report(
                service(),
                skipped=[Skip(what="x", reason="sealed under another key or name", blocking=True)],
            ),
            "1 judgement in scope could not be made; no difference and nothing missing in 1 service",
        ),
        (
            lambda: report(service(changes=[change()], findings=[finding(waived=WAIVED)])),
            "1 difference in 1 service, all waived",
        ),
    ],
)
def test_headline(made, headline):
    """The one sentence says the worst, and what was not seen before it."""
    assert made().headline == headline


def test_counts():
    """Findings count by severity when they are open, and apart when they are waived."""
    found = report(
        service(changes=[change()], findings=[finding(), finding(waived=WAIVED, key="B")]),
        findings=[finding("waiver-unused", Severity.LOW)],
        unseen=BLIND,
        skipped=[Skip(what="x", reason="y", blocking=False)],
    ).counts

    assert found.model_dump() == {
        "services": 1, "revisions": 2, "secrets": 1, "changes": 1, "findings": 3, "critical": 0,
        "high": 1, "medium": 0, "low": 1, "info": 0, "waived": 1, "skipped": 1, "unseen": 1,
    }  # fmt: skip


def test_round_trip():
    """A stored report reads back as the same report."""
    one = report(
        service(changes=[change()], findings=[finding(first_seen=SINCE, waived=WAIVED)]),
        findings=[finding("nothing-audited", Severity.CRITICAL)],
        unseen=BLIND,
        fail_on=None,
    )

    assert Report.model_validate_json(one.model_dump_json()) == one


def test_stable_core():
    """What scripts rely on has the names of the contract."""
    found = json.loads(report(service(**LOSS)).model_dump_json())

    assert {
        "schema_version",
        "verdict",
        "exit_code",
        "services",
        "skipped",
        "unseen",
        "counts",
    } <= found.keys()
    [one] = found["services"]
    assert {
        "project",
        "region",
        "service",
        "reference",
        "candidate",
        "changes",
        "findings",
    } <= one.keys()
    assert {"container", "key", "mount", "setting", "before", "after"} <= one["changes"][0].keys()
    [told] = one["findings"]
    assert {
        "rule",
        "severity",
        "address",
        "before",
        "after",
        "first_seen",
        "cause",
        "remedy",
        "waived",
    } <= told.keys()
    assert told["severity"] == "high"


def test_identity_of_a_finding():
    """A finding is the same in every run: by rule and address, not by revision, severity or words."""
    one = finding()
    same = finding(severity=Severity.LOW, waived=WAIVED)

    assert one.id == same.id
    assert len({one.id, finding("key-added").id, finding(key="B").id}) == 3


def test_severities_are_ordered():
    """From info to critical, and no higher."""
    assert Severity.HIGH >= Severity.LOW
    assert not Severity.LOW >= Severity.HIGH
    assert (Severity.HIGH.raised, Severity.CRITICAL.raised) == (
        Severity.CRITICAL,
        Severity.CRITICAL,
    )


def test_rules_that_fired_are_explained():
    """A report carries the text of its rules, so that it explains itself without the program."""
    found = report(service(findings=[finding()]))

    assert found.rules["key-lost"].fix
    assert found.rules.keys() == {"key-lost"}


def test_headline_names_a_few():
    """A headline is one sentence, however many keys are gone."""
    changes = [change(f"K{n:02}") for n in range(20)]

    assert report(service(changes=changes)).headline == (
        "api-00002-new drops 20 keys that api-00001-old had: "
        "K00, K01, K02, K03, K04, K05, K06, K07 and 12 more"
    )
