"""
Report v1: the one document that every page, ticket and exit code is derived from.

It is plain JSON, holds no value, length or digest of a value, and reads back whole. What could
not be seen is part of it, and of the verdict.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, Self

from pydantic import AwareDatetime, model_validator

from drift_audit import names
from drift_audit.differ import Change, Item, state_of
from drift_audit.errors import ExitCode
from drift_audit.finding import Finding, Remedy, Severity, Skip, Threshold
from drift_audit.inventory import Scope
from drift_audit.rules import RULES
from drift_audit.snapshot import (
    Address,
    Frozen,
    Kind,
    Label,
    SecretReference,
    Setting,
    Snapshot,
    Unseen,
)

Verdict = Literal["clean", "drift", "incomplete"]
Side = str | int | bool


MOST_NAMED = 8
"""Names that a headline lists."""

ENDS = frozenset({ExitCode.CLEAN, ExitCode.INCOMPLETE, ExitCode.REFUSED, ExitCode.DRIFT})
"""How a run that made a report can have ended. A lost output is known only after it."""


class ReportedChange(Frozen):
    """
    One difference, judged or not: in a container, one of key, mount and setting.

    `before` and `after` are states, or the values of a setting; the sources name secrets, never
    values.
    """

    container: str = ""
    key: str | None = None
    mount: str | None = None
    setting: str | None = None
    before: Side
    after: Side
    before_source: str = ""
    after_source: str = ""
    parts: tuple[str, ...] = ()


class RevisionFacts(Frozen):
    """Who made a revision, when, with what, and how it stood when we looked."""

    revision: str
    create_time: AwareDatetime | None = None
    creator: str = ""
    client: str = ""
    labels: tuple[Label, ...] = ()
    ready: bool | None = None
    percent: int = 0
    tags: tuple[str, ...] = ()


class ServiceReport(Frozen):
    """One service: what was compared with what, what differs, and what that means."""

    project: str
    region: str
    service: str
    kind: Kind = "service"
    reference: str | None
    candidate: str
    reference_why: str
    passed_over: tuple[str, ...] = ()
    reference_facts: RevisionFacts | None = None
    candidate_facts: RevisionFacts
    changes: tuple[ReportedChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    remedy: Remedy | None = None
    ignored: tuple[str, ...] = ()

    @property
    def address(self) -> Address:
        """The address of the service, worker pool or job."""
        place = names.place(self.kind, self.service)
        return Address(project=self.project, region=self.region, service=place)


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
    that were asked for, `expected` the services that the policy wants to be there; `baselines` and
    `compared` count the judged revisions that were held against a baseline, or against anything.
    """

    locations: int = 0
    locations_listed: int = 0
    named: int = 0
    named_read: int = 0
    looked_up: int = 0
    looked_up_found: int = 0
    expected: int = 0
    expected_found: int = 0
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
        )


class Tool(Frozen):
    """Who wrote the report."""

    name: str = "drift-audit"
    version: str


class Report(Frozen):
    """The result of one run. `findings` holds those about the run as a whole."""

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/report"] = "drift-audit/report"
    tool: Tool
    generated_at: AwareDatetime
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

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        """A report that was changed by hand must not say one thing and end with another."""
        if self.exit_code not in ENDS:
            raise ValueError("not an exit code of a report")
        blind = self.exit_code == ExitCode.INCOMPLETE
        if (self.verdict == "incomplete") != blind:
            raise ValueError("verdict and exit code do not agree")
        if self.verdict == "clean" and self.exit_code == ExitCode.DRIFT:
            raise ValueError("verdict and exit code do not agree")
        hidden = self.unseen or any(s.blocking for s in self.skipped) or not self.coverage.whole
        if hidden and not blind:
            raise ValueError("something was not seen, and the verdict does not say so")
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
) -> Report:
    """
    Draw verdict, exit code, headline and counts from the facts, and put them before the facts.
    """
    everything = [*findings, *(f for s in services for f in s.findings)]
    open_findings = [f for f in everything if f.waived is None]
    failed = any(fail_on is not None and f.severity >= fail_on for f in open_findings)
    blocked = any(s.blocking for s in skipped)
    complete = bool(services) and not unseen and not blocked and coverage.whole
    grave = failed or any(f.severity >= Severity.HIGH for f in open_findings)
    differs = grave or any(map(_differs, services))
    verdict: Verdict = "incomplete" if not complete else "drift" if differs else "clean"
    wanting = require_baseline and any(s.reference is None for s in services)
    return Report(
        tool=tool,
        generated_at=now,
        verdict=verdict,
        exit_code=exit_code(complete=complete, baseline_wanting=wanting, drift=failed),
        headline=headline(services, open_findings, unseen, skipped, fail_on),
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
    )


def headline(
    services: Sequence[ServiceReport],
    findings: Sequence[Finding],
    unseen: Sequence[Unseen],
    skipped: Sequence[Skip],
    fail_on: Severity | None,
) -> str:
    """The one sentence that a reader must not miss: what was not seen, then the worst that was."""
    if not services:
        return "nothing was audited"
    worst = _worst(services, findings, fail_on)
    blocked = sum(skip.blocking for skip in skipped)
    if unseen:
        return f"{number(len(unseen), 'thing')} in scope could not be read; {worst}"
    if blocked:
        return f"{number(blocked, 'judgement')} in scope could not be made; {worst}"
    return worst


def _worst(
    services: Sequence[ServiceReport], findings: Sequence[Finding], fail_on: Severity | None
) -> str:
    by_loss = sorted(services, key=lambda s: -len(_lost(s)))
    worst, lost = by_loss[0], _lost(by_loss[0])
    if lost:
        since = _since(worst, lost)
        had = worst.reference if worst.reference != worst.candidate else "the reference"
        drops = f"{worst.candidate} drops {number(len(lost), 'key')} that {had} had"
        return f"{drops}: {some(lost)}{since}"
    missing = sorted({f.address.name for f in findings if f.rule == "key-missing"})
    if missing:
        where = sorted({f.address.service for f in findings if f.rule == "key-missing"})
        lacks = f"{some(where)} lacks {number(len(missing), 'required key')}"
        return f"{lacks}: {some(missing)}"
    failing = [f for f in findings if f.severity >= (fail_on or Severity.HIGH)]
    failing = [f for f in failing if f.rule != "not-seen"]  # told before, and in its own list
    if failing:
        first = min(failing, key=lambda f: f.order)
        more = f", and {number(len(failing) - 1, 'more finding')}" if len(failing) > 1 else ""
        return f"{first.address.service}: {first.says}{more}"
    changes = sum(len(s.changes) for s in services)
    if changes:
        limit = f"none at or above {fail_on.word}" if fail_on else "reported only"
        if not any(map(_differs, services)):
            limit = "all waived"
        return f"{number(changes, 'difference')} in {_places(services)}, {limit}"
    without = [s for s in services if s.reference is None]
    if without:
        told = f"{_places(without)} had no reference"
        nothing = len(without) == len(services)
        return f"nothing was compared: {told}" if nothing else f"no difference, but {told}"
    return f"no difference and nothing missing in {_places(services)}"


def some(names: Sequence[str]) -> str:
    """The first names of a list, and how many there are besides."""
    more = len(names) - MOST_NAMED
    told = ", ".join(names[:MOST_NAMED])
    return f"{told} and {more} more" if more > 0 else told


def _places(services: Sequence[ServiceReport]) -> str:
    """How many services those are: one may stand there with several candidates."""
    return number(len({str(s.address) for s in services}), "service")


def _lost(service: ServiceReport) -> list[str]:
    waived = {str(f.address) for f in service.findings if f.rule == "key-lost" and f.waived}
    lost = [c for c in service.changes if c.key is not None and c.after == "absent"]
    home = service.address
    return sorted(
        {c.key for c in lost if c.key and str(home.at(c.container, key=c.key)) not in waived}
    )


def _since(service: ServiceReport, lost: Sequence[str]) -> str:
    """The one deploy that lost them all, if it was one."""
    losses = [f for f in service.findings if f.rule == "key-lost" and f.address.key in lost]
    deploys = {f.first_seen.revision for f in losses if f.first_seen and f.first_seen.certain}
    one_of_several = len(deploys) == 1 and deploys != {service.candidate}
    return f"; since {deploys.pop()}" if one_of_several else ""


def _differs(service: ServiceReport) -> bool:
    """
    Tell whether there is a change that counts: one unless findings speak of its address and all of
    them are waived.
    """
    open_at = {f.address for f in service.findings if f.waived is None}
    accepted = {f.address for f in service.findings} - open_at
    return any(_place(change, service) not in accepted for change in service.changes)


def _place(change: ReportedChange, service: ServiceReport) -> Address:
    where = {n: v for n in ("key", "mount", "setting") if (v := getattr(change, n)) is not None}
    return service.address.at(change.container, **where)


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


def number(count: int, word: str) -> str:
    """`1 service`, `2 services`."""
    plural = f"{word[:-1]}ies" if word.endswith("y") and not word.endswith("ey") else f"{word}s"
    return f"{count} {word if count == 1 else plural}"


def reported(change: Change) -> ReportedChange:
    """A change as the report tells it: states and names of secrets, no value."""
    return ReportedChange(
        container=change.at.container,
        key=change.at.key,
        mount=change.at.mount,
        setting=change.at.setting,
        before=state_of(change.before),
        after=state_of(change.after),
        before_source=_secret(change.before),
        after_source=_secret(change.after),
        parts=tuple(sorted(change.parts)),
    )


def _secret(item: Item | None) -> str:
    if item is None or isinstance(item, Setting):
        return ""
    return str(item.source) if isinstance(item.source, SecretReference) else ""


def facts(snapshot: Snapshot) -> RevisionFacts:
    """What the report tells of a revision besides its configuration."""
    who, status = snapshot.identity, snapshot.status
    return RevisionFacts(
        revision=snapshot.revision,
        create_time=who.create_time,
        creator=who.creator,
        client=" ".join(filter(None, (who.client, who.client_version))),
        labels=who.labels,
        ready=status.ready,
        percent=status.percent,
        tags=status.tags,
    )
