"""The report: verdict, exit code and counts follow from the facts, and it reads back whole."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import os
import signal

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError, field_serializer
from pydantic_core import PydanticSerializationError

from drift_audit.__main__ import (
    SIGNALS,
    Interrupted,
    Terminated,
    _arrive,
    _end,
    _guarded,
    _on_signals,
)
from drift_audit.cli.output import ended
from drift_audit.cli.trail import Trail
from drift_audit.differ import Change, compare
from drift_audit.errors import DriftAuditError, ExitCode, OutputError
from drift_audit.finding import (
    First,
    Known,
    Severity,
    SeverityWord,
    Skip,
    Threshold,
)
from drift_audit.fleet_report import Capacity, SharedSecret
from drift_audit.headline import differs, headline, number, some
from drift_audit.inventory import Scope
from drift_audit.report import Coverage, Report, Tool, assemble, exit_code
from drift_audit.rules import RULES
from drift_audit.service_report import ReportedChange, RevisionFacts, facts, reported
from drift_audit.snapshot import Address, Label, Unseen
from tests.builders import HOME, NOW, snapshot
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


def test_exit_code_of_what_was_not_asked():
    """Who demands no baseline and writes nothing is told of drift, or of none."""
    ends = [exit_code(complete=True, drift=drift) for drift in (True, False)]

    assert ends == [ExitCode.DRIFT, ExitCode.CLEAN]


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
    "SIGINT": (Interrupted(), ExitCode.INTERRUPTED),
    "a question without an answer": (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    "SIGTERM": (Terminated(), ExitCode.TERMINATED),
    "a defect": (ValueError(), ExitCode.DEFECT),
    **{one.__name__: (one("x"), one.code) for one in DriftAuditError.__subclasses__()},
}


@pytest.fixture
def signals():
    """What this process does with signals, as it was before."""
    kept = {one: signal.getsignal(one) for one in SIGNALS}
    yield
    for one, handler in kept.items():
        signal.signal(one, handler)


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
        return ended(code, written=kept)

    trail = Trail("audit")
    trail._metrics = Measures(measured)  # type: ignore[assignment]  # takes no look at what it writes
    first = _guarded(command)
    final = _guarded(lambda: _end([trail.end], first))
    lost = not measured or (not kept and instead is None)
    known = instead or code

    assert final == (ExitCode.OUTPUT if lost and known in (0, 10) else known)
    assert (final == 0) == (code == 0 and instead is None and measured and kept)


class Slow(BaseModel):
    """A model that is hit by a signal while it is written."""

    number: int

    @field_serializer("number")
    def hit(self, number):
        os.kill(os.getpid(), number)
        return number


@pytest.mark.parametrize("swallowed", [True, False])
@pytest.mark.parametrize("number", SIGNALS)
def test_signals_that_a_library_turns_into_something_else(number, swallowed, signals, capsys):
    """The code of a signal is its own, though pydantic raises an error of its own instead."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_DFL)

    def command():
        try:
            Slow(number=number).model_dump_json()
        except PydanticSerializationError:
            if not swallowed:
                raise
        return 0

    _on_signals(_arrive)

    assert _guarded(lambda: _guarded(command)) == 128 + number
    assert capsys.readouterr().err in ("drift-audit: interrupted\n", "drift-audit: terminated\n")
    assert _guarded(lambda: 0) == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_that_the_caller_has_us_ignore(number, signals):
    """What runs in the background of a shell is not interrupted by its keyboard."""
    signal.signal(number, signal.SIG_IGN)

    def command():
        os.kill(os.getpid(), number)
        return 0

    _on_signals(_arrive)

    assert _guarded(lambda: _end([lambda code: code], _guarded(command))) == 0
    assert signal.getsignal(number) == signal.SIG_IGN


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
        (lambda: report(service(), findings=[finding(waived=WAIVED)]), "clean", 0),
        (lambda: report(service(), findings=[finding(severity=Severity.LOW)], fail_on=Severity.LOW), "drift", 10),
        (lambda: report(service(), findings=[finding(severity=Severity.INFO)], fail_on=Severity.LOW), "clean", 0),
        (lambda: report(service(), findings=[finding(severity=Severity.CRITICAL)], fail_on=None), "drift", 0),
        (lambda: report(service(), findings=[finding(severity=Severity.MEDIUM)], fail_on=None), "clean", 0),
        (lambda: report(service(), service(name="web", changes=[change()])), "drift", 0),
        (lambda: report(service(), service(name="web", reference=None), require=True), "clean", 4),
        (lambda: report(service(**LOSS), service(name="web", reference=None), require=True), "drift", 4),
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
LAST = First(revision="api-00002-new", previous="api-00001-bad", certain=True)
BLOCKED = [Skip(what="x", reason="y", blocking=True)]
OPEN = Skip(what="x", reason="y", blocking=False)
IN_THE_APP = ReportedChange(container="app", key="B", before="secret", after="absent")
LOST_IN_THE_APP = finding(waived=WAIVED).but(address=HOME.at("app", key="B"))


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
        (
            lambda: report(service(), unseen=BLIND * 2, skipped=BLOCKED),
            "2 things in scope could not be read; no difference and nothing missing in 1 service",
        ),
        (
            lambda: report(service(**LOSS), skipped=[*BLOCKED * 2, OPEN]),
            "2 judgements in scope could not be made; api-00002-new drops 1 key that api-00001-old had: A",
        ),
        (
            lambda: report(service(), skipped=[OPEN]),
            "no difference and nothing missing in 1 service",
        ),
        (
            lambda: report(
                service(changes=[change()]),
                service(name="web", changes=[change("B"), change("C"), change("C")]),
                service(name="job", changes=[change("D", after="empty"), change("E"), change("F")]),
            ),
            "api-00002-new drops 2 keys that api-00001-old had: B, C",
        ),
        (
            lambda: report(
                service(changes=[change("A"), change("B")], findings=[finding(waived=WAIVED)])
            ),
            "api-00002-new drops 1 key that api-00001-old had: B",
        ),
        (
            lambda: report(
                service(changes=[change("A")], findings=[finding("key-added", waived=WAIVED)])
            ),
            "api-00002-new drops 1 key that api-00001-old had: A",
        ),
        (
            lambda: report(service(changes=[IN_THE_APP, change()], findings=[LOST_IN_THE_APP])),
            "api-00002-new drops 1 key that api-00001-old had: A",
        ),
        (
            lambda: report(service(changes=[change()], candidate="(template)")),
            "api drops 1 key that api-00001-old had: A",
        ),
        (
            lambda: report(service(changes=[ReportedChange(mount="/x", before="secret", after="absent")])),
            "1 difference in 1 service, none at or above high",
        ),
        (
            lambda: report(service(changes=[change(), change("B")], findings=[finding(first_seen=SINCE), finding(key="B", first_seen=SINCE)])),
            "api-00002-new drops 2 keys that api-00001-old had: A, B; since api-00001-bad",
        ),
        (
            lambda: report(service(changes=[change(), change("B")], findings=[finding(first_seen=SINCE), finding(key="B", first_seen=LAST)])),
            "api-00002-new drops 2 keys that api-00001-old had: A, B",
        ),
        (
            lambda: report(service(changes=[change()], findings=[finding(first_seen=LAST)])),
            "api-00002-new drops 1 key that api-00001-old had: A",
        ),
        (
            lambda: report(service(changes=[change()], findings=[finding(first_seen=SINCE.but(certain=False))])),
            "api-00002-new drops 1 key that api-00001-old had: A",
        ),
        (
            lambda: report(service(changes=[change()], findings=[finding(), finding("key-added", first_seen=SINCE), finding(key="C", first_seen=SINCE)])),
            "api-00002-new drops 1 key that api-00001-old had: A",
        ),
        (
            lambda: report(
                service(findings=[finding("key-missing")]),
                service(name="web", findings=[finding("key-missing").but(address=HOME.but(service="web").at(key="B"))]),
            ),
            "api, web lacks 2 required keys: A, B",
        ),
        (
            lambda: report(service(findings=[finding("version-destroyed"), finding("key-emptied", key="B"), finding("key-renamed", Severity.LOW)])),
            "api: B is gone, and 1 more finding",
        ),
        (
            lambda: report(service(findings=[finding("key-added"), finding("key-emptied", Severity.CRITICAL, key="B"), finding("key-moved", key="C")])),
            "api: B is gone, and 2 more findings",
        ),
        (
            lambda: report(service(findings=[finding("key-added", Severity.LOW)]), fail_on=Severity.LOW),
            "api: A is gone",
        ),
        (
            lambda: report(service(findings=[finding("key-added", Severity.MEDIUM)]), fail_on=None),
            "no difference and nothing missing in 1 service",
        ),
        (
            lambda: report(service(), findings=[finding("key-added").but(address=Address())]),
            "A is gone",
        ),
        (
            lambda: report(service(), findings=[finding("not-seen").but(address=Address())], unseen=BLIND),
            "1 thing in scope could not be read; no difference and nothing missing in 1 service",
        ),
        (
            lambda: report(
                service(changes=[change(after="literal"), change("B", after="empty")]),
                service(changes=[change(after="literal")], candidate="api-00003-newer"),
                service(name="web"),
                fail_on=Severity.CRITICAL,
            ),
            "3 differences in 2 services, none at or above critical",
        ),
        (
            lambda: report(
                service(changes=[change(after="literal")], findings=[finding(waived=WAIVED)]),
                service(name="web", changes=[change("B", after="literal")]),
            ),
            "2 differences in 2 services, none at or above high",
        ),
        (
            lambda: report(service(reference=None), service(name="web", reference=None)),
            "nothing was compared: 2 services had no reference",
        ),
        (
            lambda: report(service(), unseen=BLIND, findings=[finding("key-missing", waived=WAIVED)]),
            "1 thing in scope could not be read; no difference and nothing missing in 1 service",
        ),
    ],
)  # fmt: skip
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
    assert [one.raised.word for one in Severity] == [
        "low",
        "medium",
        "high",
        "critical",
        "critical",
    ]


def test_rules_that_fired_are_explained():
    """A report carries the text of its rules, so that it explains itself without the program."""
    found = report(service(findings=[finding()]), findings=[finding("key-added", waived=WAIVED)])

    assert list(found.rules) == ["key-added", "key-lost"]
    for id, text in found.rules.items():
        rule = RULES[id]
        assert (text.what, text.why, text.fix) == (rule.what, rule.why, rule.fix)


def test_headline_names_a_few():
    """A headline is one sentence, however many keys are gone."""
    changes = [change(f"K{n:02}") for n in range(20)]

    assert report(service(changes=changes)).headline == (
        "api-00002-new drops 20 keys that api-00001-old had: "
        "K00, K01, K02, K03, K04, K05, K06, K07 and 12 more"
    )


def test_lists_of_names():
    """Eight names are told, and how many there are besides."""
    names = list("ABCDEFGHIJ")

    assert [some(names[:count]) for count in (0, 1, 8, 9, 10)] == [
        "",
        "A",
        "A, B, C, D, E, F, G, H",
        "A, B, C, D, E, F, G, H and 1 more",
        "A, B, C, D, E, F, G, H and 2 more",
    ]


@pytest.mark.parametrize(
    ("count", "word", "told"),
    [
        (0, "service", "0 services"),
        (1, "service", "1 service"),
        (2, "service", "2 services"),
        (1, "policy", "1 policy"),
        (2, "policy", "2 policies"),
        (2, "key", "2 keys"),
        (2, "day", "2 days"),
        (2, "toy", "2 toys"),
        (2, "query", "2 queries"),
        (2, "Xy", "2 Xies"),
    ],
)
def test_numbers(count, word, told):
    """A number stands before its word, which says whether there is one."""
    assert number(count, word) == told


@pytest.mark.parametrize(
    ("changes", "findings", "counts"),
    [
        ([], [finding()], False),
        ([change()], [], True),
        ([change()], [finding(waived=WAIVED)], False),
        ([change()], [finding(waived=WAIVED), finding("key-emptied")], True),
        ([change()], [finding(waived=WAIVED, key="B")], True),
        ([ReportedChange(mount="A", before="secret", after="absent")], [finding(waived=WAIVED)], True),
        ([ReportedChange(container="app", key="A", before="secret", after="absent")], [finding(waived=WAIVED)], True),
        ([ReportedChange(mount="/m", before="secret", after="absent")], [finding(waived=WAIVED).but(address=HOME.at(mount="/m"))], False),
        ([ReportedChange(container="app", setting="s", before=1, after=2)], [finding(waived=WAIVED).but(address=HOME.at("app", setting="s"))], False),
    ],
)  # fmt: skip
def test_which_changes_count(changes, findings, counts):
    """A change is accepted where there are findings at its very place, and all of them are waived."""
    assert differs(service(changes=changes, findings=findings)) is counts


PAIRS = [
    ("locations", "locations_listed"),
    ("named", "named_read"),
    ("looked_up", "looked_up_found"),
    ("expected", "expected_found"),
    ("limits", "limits_read"),
]


@pytest.mark.parametrize("pair", PAIRS)
def test_ground_of_a_clean_verdict(pair):
    """One thing less than there was to see, of whatever kind, is incomplete."""
    whole = Coverage(**dict.fromkeys((name for both in PAIRS for name in both), 2), judged=5)
    less = whole.but(**{pair[1]: 1})

    assert (whole.whole, less.whole) == (True, False)
    assert made(coverage=whole).verdict == "clean"
    assert (made(coverage=less).verdict, made(coverage=less).exit_code) == ("incomplete", 3)


def made(**given):
    """A report of one quiet service, from no more facts than there must be."""
    facts = {"services": [service()], "findings": (), "skipped": (), "unseen": (), "fail_on": None}
    return assemble(
        tool=Tool(version="0"), now=NOW, scope=Scope(), revisions=0, secrets=0, **(facts | given)
    )


def test_report_of_nothing_but_a_service():
    """What was not given is empty, and no baseline is demanded."""
    found = made(services=[service(reference=None)])

    assert (found.verdict, found.exit_code) == ("clean", 0)
    assert (found.notes, found.shared, found.capacity) == ((), (), ())
    assert (found.coverage, found.trend) == (Coverage(), None)
    assert found.headline == "nothing was compared: 1 service had no reference"


def test_everything_that_is_known_is_in_the_report():
    """Each fact stands where it belongs, as it was given."""
    facts = {
        "scope": Scope(source="test", projects=("shop",)),
        "fail_on": Severity.CRITICAL,
        "services": [service(), service(name="web")],
        "findings": [finding()],
        "skipped": [Skip(what="x", reason="y", blocking=False)],
        "unseen": [Unseen(where="secret x", reason="permission denied")],
        "notes": ["one", "two"],
        "coverage": Coverage(judged=2, compared=1),
        "shared": [SharedSecret(project="shop", secret="jwt", readers=())],
        "capacity": [Capacity(kind="database", name="db", total=3)],
    }  # fmt: skip
    tool = Tool(version="7")
    found = assemble(tool=tool, now=NOW, revisions=3, secrets=4, **facts)

    assert (found.tool, found.generated_at) == (tool, NOW)
    for name, wanted in facts.items():
        given = getattr(found, name)
        assert (list(given) if isinstance(wanted, list) else given) == wanted, name
    assert found.counts.model_dump() == {
        "services": 2, "revisions": 3, "secrets": 4, "changes": 0, "findings": 1, "critical": 0,
        "high": 1, "medium": 0, "low": 0, "info": 0, "waived": 0, "skipped": 1, "unseen": 1,
    }  # fmt: skip


def test_headline_of_what_was_not_to_be_compared():
    """Where nothing was to be compared, nobody is told that a reference was missing."""
    services = [service(reference=None), service(name="web")]
    alone = made(services=services, alone=True)
    failing = made(services=[service(findings=[finding()])], alone=True)
    blind = made(unseen=BLIND, alone=True)

    assert alone.headline == "no required key is missing in 2 services"
    assert headline(services, [], [], [], None) == made(services=services).headline
    assert made(services=services).headline == "no difference, but 1 service had no reference"
    assert failing.headline == "api: A is gone"
    assert blind.headline == (
        "1 thing in scope could not be read; no required key is missing in 1 service"
    )


def test_services_are_counted_once():
    """A service that is there with several candidates is one, and its changes are all counted."""
    found = report(
        service(changes=[change()]),
        service(changes=[change(), change("B")], candidate="api-00003-newer"),
        service(name="web", findings=[finding(severity=Severity.CRITICAL, waived=WAIVED)]),
    )

    assert (found.counts.services, found.counts.changes) == (2, 3)
    assert (found.counts.findings, found.counts.waived, found.counts.critical) == (1, 1, 0)


def test_findings_of_all_services_by_weight():
    """The most severe come first, whichever service they are of, then by rule and address."""
    found = report(
        service(
            findings=[
                finding("key-emptied", Severity.LOW),
                finding("key-emptied", key="Z"),
                finding("key-emptied"),
            ]
        ),
        service(name="web", findings=[finding("key-added")]),
        findings=[finding("key-moved", Severity.CRITICAL)],
    )

    assert [(f.rule, f.severity.word, f.address.key) for f in found.all_findings] == [
        ("key-moved", "critical", "A"),
        ("key-added", "high", "A"),
        ("key-emptied", "high", "A"),
        ("key-emptied", "high", "Z"),
        ("key-emptied", "low", "A"),
    ]


VERDICT = "the verdict does not follow from what was found"
CODE = "the exit code does not follow from what was found"
COUNTS = "the counts do not agree with what is listed"


@pytest.mark.parametrize(
    ("made", "changed", "says"),
    [
        (lambda: report(service()), {"verdict": "drift"}, VERDICT),
        (lambda: report(service()), {"verdict": "incomplete"}, VERDICT),
        (lambda: report(service()), {"coverage": {"named": 1}}, VERDICT),
        (lambda: report(service()), {"services": []}, VERDICT),
        (lambda: report(service()), {"unseen": [{"where": "x", "reason": "y"}]}, VERDICT),
        (lambda: report(service()), {"skipped": [{"what": "x", "reason": "y", "blocking": True}]}, VERDICT),
        (lambda: report(service()), {"exit_code": 10}, CODE),
        (lambda: report(service()), {"exit_code": 4}, CODE),
        (lambda: report(service(**LOSS)), {"exit_code": 0}, CODE),
        (lambda: report(service(**LOSS)), {"fail_on": "critical"}, CODE),
        (lambda: report(service(), unseen=BLIND), {"exit_code": 0}, CODE),
        (lambda: report(service(), unseen=BLIND), {"exit_code": 10}, CODE),
        (lambda: report(service(reference=None)), {"exit_code": 4}, ""),
        (lambda: report(service(reference=None), require=True), {"exit_code": 0}, ""),
        (lambda: report(service(reference=None)), {"exit_code": 10}, CODE),
        (lambda: report(service()), {"counts": {"findings": 1}}, COUNTS),
        (lambda: report(service()), {"counts": {"unseen": 1}}, COUNTS),
        (lambda: report(service()), {"counts": {"skipped": 1}}, COUNTS),
        (lambda: report(service(**LOSS)), {"counts": {}}, COUNTS),
    ],
)  # fmt: skip
def test_report_that_was_changed_by_hand(made, changed, says):
    """A stored report that says one thing and ends with another is not read back."""
    stored = json.loads(made().model_dump_json()) | changed
    try:
        Report.model_validate_json(json.dumps(stored))
        refused = ""
    except ValidationError as error:
        [problem] = error.errors(include_input=False, include_url=False)
        refused = problem["msg"].removeprefix("Value error, ")

    assert refused == says


BEFORE = {
    "containers": {
        "app": {
            "env": {"A": {"secret": "a", "version": "1"}, "B": "x"},
            "files": {"/f": {"secret": "f", "project": "other"}},
            "settings": {"image": "r/one", "args": {"sealed": "x"}},
            "ingress": True,
        }
    }
}
AFTER = {
    "containers": {
        "app": {
            "env": {"A": "x", "C": ""},
            "settings": {"image": "r/two", "args": {"sealed": "y"}, "port": 1},
            "ingress": True,
        }
    }
}


def test_changes_as_they_are_reported():
    """States and names of secrets on both sides, what a setting was and is, and which parts differ."""
    there, here = snapshot(BEFORE), snapshot(AFTER)

    assert [reported(c) for c in compare(there, here)] == [
        ReportedChange(
            container="app", key="A", before="secret", after="literal", before_source="a@1",
            parts=("digest", "project", "secret", "state", "version"),
        ),
        ReportedChange(container="app", key="B", before="literal", after="absent", parts=("digest", "state")),
        ReportedChange(container="app", key="C", before="absent", after="empty", parts=("state",)),
        ReportedChange(
            container="app", mount="/f", before="secret", after="absent",
            before_source="projects/other/secrets/f@latest",
            parts=("mode", "project", "secret", "state", "version"),
        ),
        ReportedChange(container="app", setting="args", before="sealed", after="sealed", parts=("digest",)),
        ReportedChange(container="app", setting="image", before="r/one", after="r/two", parts=("value",)),
        ReportedChange(container="app", setting="port", before="absent", after=1, parts=("value",)),
    ]  # fmt: skip
    [back] = (reported(c) for c in compare(here, there) if c.at.key == "A")
    assert (back.before_source, back.after_source) == ("", "a@1")


def test_parts_of_a_change_in_order():
    """Parts have an order of their own, however a set holds them."""
    parts = ("digest", "mode", "project", "resolved", "secret", "shadowed", "state", "value")

    assert reported(Change(HOME, None, None, frozenset(parts))).parts == parts


def test_facts_of_a_revision():
    """Who made it, when, with what, and how it stood, as the snapshot says."""
    who = {
        "creator": "me", "client": "gcloud", "client_version": "500.0", "labels": {"a": "b"},
        "create_time": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    status = {"ready": False, "percent": 7, "tags": ("t",)}
    made = snapshot({"identity": who, "status": status})

    assert facts(made) == RevisionFacts(
        revision="api-00002-new",
        create_time=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        creator="me",
        client="gcloud 500.0",
        labels=(Label(name="a", value="b"),),
        ready=False,
        percent=7,
        tags=("t",),
    )
    assert facts(snapshot({"identity": {"client": "gcloud"}})).client == "gcloud"
    assert [RevisionFacts(revision=r).deployed for r in ("api-1", "(job)")] == [True, False]


@pytest.mark.parametrize(
    ("kind", "place"), [("service", "api"), ("job", "api.job"), ("worker-pool", "api.worker-pool")]
)
def test_address_of_what_is_reported(kind, place):
    """Jobs and worker pools have addresses of their own."""
    assert str(service().but(kind=kind).address) == f"shop/europe-west1/{place}"


def test_error_and_the_next_thing_to_type():
    """An error says its message, and has a hint where there is one."""
    one, other = DriftAuditError("it failed"), DriftAuditError("it failed", hint="try again")

    assert (str(one), one.hint, str(other), other.hint) == (
        "it failed",
        "",
        "it failed",
        "try again",
    )


@pytest.mark.parametrize("kind", [SeverityWord, Threshold])
def test_severities_are_words(kind):
    """A severity is read from its word and written as it; nothing else is one."""
    adapter = TypeAdapter(kind)
    for one in Severity:
        assert adapter.validate_python(one.word) is adapter.validate_python(one) is one
        assert adapter.dump_python(one) == one.word
    with pytest.raises(ValidationError) as error:
        adapter.validate_python("grave")

    words = "info, low, medium, high, critical"
    wanted = f"not one of never, {words}" if kind is Threshold else f"not one of {words}"
    assert error.value.errors()[0]["msg"] == f"Value error, {wanted}"


def test_threshold_that_nothing_reaches():
    """`never` is no threshold, and is written so."""
    adapter = TypeAdapter(Threshold)

    assert [adapter.validate_python(given) for given in ("never", None)] == [None, None]
    assert adapter.dump_python(None) == "never"


def test_identity_of_a_finding_is_what_it_was():
    """Stored waivers and nights go by it, so it is written down here once more."""
    wanted = hashlib.sha256(b"key-lost shop/europe-west1/api/env/-/A\xed\xa0\x80").hexdigest()[:16]

    assert finding(key="A\ud800").id == wanted


def test_findings_of_this_night():
    """A finding is new in the audit that saw it first, and in no other; order is that of a finding."""
    new, old = finding(since=NOW), finding(since=NOW - dt.timedelta(days=1))
    known = Known(
        id=new.id, rule=new.rule, severity=new.severity, address=new.address, says="x", since=NOW
    )

    assert [one.is_new(NOW) for one in (new, old, finding())] == [True, False, False]
    assert known.order == new.order == (-4, "key-lost", "shop/europe-west1/api/env/-/A")
