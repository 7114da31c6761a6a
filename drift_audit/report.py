"""
Report v1: the one document that every page, ticket and exit code is derived from.

It is plain JSON, holds no value, length or digest of a value, and reads back whole. What could
not be seen is part of it, and of the verdict.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from drift_audit.errors import ExitCode
from drift_audit.finding import Finding, Known, Severity, Skip, Threshold
from drift_audit.fleet_report import Capacity, SharedSecret
from drift_audit.frozen import Frozen, Instant, is_unset
from drift_audit.headline import differs, headline
from drift_audit.inventory import Scope
from drift_audit.rules import RULES
from drift_audit.service_report import ServiceReport
from drift_audit.snapshot import Unseen

Verdict = Literal["clean", "drift", "incomplete"]


class RuleText(Frozen):
    """What a rule that fired says of itself."""

    what: str
    why: str
    fix: str


class Counts(Frozen):
    """What was looked at and what came of it. The same numbers stand in every rendering."""

    services: int = 0
    revisions: int = 0
    secrets: int = 0
    changes: int = 0
    findings: int = 0
    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0
    info: int = 0
    waived: int = 0
    skipped: int = 0
    unseen: int = 0


class Coverage(Frozen):
    """
    The ground that a clean verdict stands on, counted: what there was to see, and what of it was
    seen.

    `named` are the revisions that the services themselves speak of, `looked_up` the secret versions
    that were asked for, `expected` the services that the policy wants to be there, `limits` the
    databases and connectors that were asked for theirs; `baselines` and `compared` count the judged
    revisions that were held against a baseline, or against anything.
    """

    locations: int = 0
    locations_listed: int = 0
    named: int = 0
    named_read: int = 0
    looked_up: int = 0
    looked_up_found: int = 0
    expected: int = 0
    expected_found: int = 0
    limits: int = 0
    limits_read: int = 0
    judged: int = 0
    compared: int = 0
    baselines: int = 0

    @property
    def whole(self) -> bool:
        """Whether everything that had to be seen was."""
        return (
            self.locations_listed == self.locations
            and self.named_read == self.named
            and self.looked_up_found == self.looked_up
            and self.expected_found == self.expected
            and self.limits_read == self.limits
        )


class Trend(Frozen):
    """
    A night against those before it: how many findings are new and how many continue, what was
    resolved, and when an audit of this scope was complete before this one, if one ever was.
    """

    last_complete: Instant | None = None
    new: int = 0
    continuing: int = 0
    resolved: tuple[Known, ...] = ()


class Tool(Frozen):
    """Who wrote the report."""

    name: str = "drift-audit"
    version: str


class Report(Frozen):
    """
    The result of one run. `findings` holds those about the run as a whole; `trend` is there where
    it is one of several nights.
    """

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/report"] = "drift-audit/report"
    tool: Tool
    generated_at: Instant
    verdict: Verdict
    exit_code: int
    headline: str
    fail_on: Threshold
    scope: Scope
    services: tuple[ServiceReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    skipped: tuple[Skip, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    notes: tuple[str, ...] = ()
    counts: Counts = Counts()
    coverage: Coverage = Coverage()
    rules: dict[str, RuleText] = {}
    shared: Annotated[tuple[SharedSecret, ...], Field(exclude_if=is_unset)] = ()
    capacity: Annotated[tuple[Capacity, ...], Field(exclude_if=is_unset)] = ()
    trend: Annotated[Trend | None, Field(exclude_if=is_unset)] = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        """A report that was changed by hand must not say one thing and end with another."""
        complete = _complete(self.services, self.skipped, self.unseen, self.coverage)
        found = _verdict(self.services, self.all_findings, self.fail_on, complete=complete)
        if self.verdict != found:
            raise ValueError("the verdict does not follow from what was found")
        drift = _fails(self.all_findings, self.fail_on)
        wanting = _without_reference(self.services)  # a baseline may have been demanded, or not
        ends = {
            exit_code(complete=complete, baseline_wanting=demanded, drift=drift)
            for demanded in (False, wanting)
        }
        if self.exit_code not in ends:
            raise ValueError("the exit code does not follow from what was found")
        told = self.counts.findings, self.counts.unseen, self.counts.skipped
        if told != (len(self.all_findings), len(self.unseen), len(self.skipped)):
            raise ValueError("the counts do not agree with what is listed")
        return self

    @property
    def all_findings(self) -> list[Finding]:
        """Every finding, most severe first."""
        about_services = (f for s in self.services for f in s.findings)
        return sorted([*self.findings, *about_services], key=lambda f: f.order)


def exit_code(
    *, complete: bool, baseline_wanting: bool = False, written: bool = True, drift: bool
) -> ExitCode:
    """
    The code for what is known.

    Blindness wins over all: whoever tolerates drift, or a lost page, must not tolerate not having
    looked. Then a baseline that was demanded and is not there, an output that was not written,
    drift.
    """
    if not complete:
        return ExitCode.INCOMPLETE
    if baseline_wanting:
        return ExitCode.REFUSED
    if not written:
        return ExitCode.OUTPUT
    return ExitCode.DRIFT if drift else ExitCode.CLEAN


def assemble(
    *,
    tool: Tool,
    now: dt.datetime,
    scope: Scope,
    fail_on: Severity | None,
    require_baseline: bool = False,
    services: Sequence[ServiceReport],
    findings: Sequence[Finding],
    skipped: Sequence[Skip],
    unseen: Sequence[Unseen],
    notes: Sequence[str] = (),
    revisions: int,
    secrets: int,
    coverage: Coverage = Coverage(),  # noqa: B008  # a frozen value
    alone: bool = False,
    shared: Sequence[SharedSecret] = (),
    capacity: Sequence[Capacity] = (),
) -> Report:
    """
    Draw verdict, exit code, headline and counts from the facts, and put them before the facts.
    `alone` says that nothing was to be compared.
    """
    everything = [*findings, *(f for s in services for f in s.findings)]
    open_findings = [f for f in everything if f.waived is None]
    complete = _complete(services, skipped, unseen, coverage)
    wanting = require_baseline and _without_reference(services)
    drift = _fails(everything, fail_on)
    return Report(
        tool=tool,
        generated_at=now,
        verdict=_verdict(services, everything, fail_on, complete=complete),
        exit_code=exit_code(complete=complete, baseline_wanting=wanting, drift=drift),
        headline=headline(services, open_findings, unseen, skipped, fail_on, alone=alone),
        fail_on=fail_on,
        scope=scope,
        services=tuple(services),
        findings=tuple(findings),
        skipped=tuple(skipped),
        unseen=tuple(unseen),
        notes=tuple(notes),
        counts=_counts(services, everything, skipped, unseen, revisions, secrets),
        coverage=coverage,
        rules={
            id: RuleText(what=RULES[id].what, why=RULES[id].why, fix=RULES[id].fix)
            for id in sorted({f.rule for f in everything})
        },
        shared=tuple(shared),
        capacity=tuple(capacity),
    )


def _complete(
    services: Sequence[ServiceReport],
    skipped: Sequence[Skip],
    unseen: Sequence[Unseen],
    coverage: Coverage,
) -> bool:
    """Whether something was looked at, and all of it."""
    blocked = any(s.blocking for s in skipped)
    return bool(services) and not unseen and not blocked and coverage.whole


def _fails(findings: Iterable[Finding], fail_on: Severity | None) -> bool:
    """Whether a finding that nobody accepted reaches the threshold."""
    return fail_on is not None and any(f.waived is None and f.severity >= fail_on for f in findings)


def _verdict(
    services: Sequence[ServiceReport],
    findings: Sequence[Finding],
    fail_on: Severity | None,
    *,
    complete: bool,
) -> Verdict:
    """What the facts come to. Whatever differs, or is grave in itself, is drift."""
    if not complete:
        return "incomplete"
    grave = _fails(findings, fail_on) or _fails(findings, Severity.HIGH)
    return "drift" if grave or any(map(differs, services)) else "clean"


def _without_reference(services: Sequence[ServiceReport]) -> bool:
    return any(service.reference is None for service in services)


def _counts(
    services: Sequence[ServiceReport],
    findings: Iterable[Finding],
    skipped: Sequence[Skip],
    unseen: Sequence[Unseen],
    revisions: int,
    secrets: int,
) -> Counts:
    everything = list(findings)
    weights = Counter(f.severity.word for f in everything if f.waived is None)
    return Counts(
        services=len({str(s.address) for s in services}),
        revisions=revisions,
        secrets=secrets,
        changes=sum(len(s.changes) for s in services),
        findings=len(everything),
        waived=sum(f.waived is not None for f in everything),
        skipped=len(skipped),
        unseen=len(unseen),
        **weights,
    )
