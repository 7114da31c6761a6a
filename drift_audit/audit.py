"""
One audit, start to end: collect, choose a reference, compare, judge, blame, assemble.

Everything that happens to come from outside (the source, the store, the time) is an argument.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from drift_audit import __version__, history
from drift_audit.cause import probable_cause
from drift_audit.differ import Change, compare, incomparable
from drift_audit.finding import Cause, Finding, Severity, Skip
from drift_audit.history import Baseline, KnownGood, first_with
from drift_audit.inventory import Evidence, Inventory, Service
from drift_audit.policy import Policy
from drift_audit.remedy import remedy
from drift_audit.report import Report, ServiceReport, Tool, assemble, facts, reported
from drift_audit.rules import Case, Fleet, judge, judge_fleet
from drift_audit.rules.schema import missing_keys
from drift_audit.rules.waivers import waive
from drift_audit.snapshot import Snapshot, Unseen
from drift_audit.store import Store

RESTORED = frozenset(
    {
        "binding-downgraded",
        "key-emptied",
        "key-lost",
        "key-missing",
        "secret-mount-lost",
        "secret-project-changed",
        "secret-retargeted",
        "setting-changed",
        "version-unpinned",
    }
)
"""Rules whose findings get a command that puts the reference's state back."""


TWO_SIDES = 2
"""With no more revisions than the two compared, nothing is known of the deploys between them."""


class Source(Protocol):
    """Where services come from: live, or files."""

    def collect(self) -> Inventory:
        """Everything in scope."""

    def chain(self, service: Service) -> Service:
        """The service with its history, as far as there is one; asked for when it is needed."""

    def resolve(self, snapshot: Snapshot) -> Snapshot:
        """A revision of a chain with the secret versions it reads looked up, as far as possible."""


@dataclass(frozen=True)
class Pair:
    """A candidate and what it is held against."""

    service: Service
    candidate: Snapshot
    known: KnownGood
    refused: Snapshot | None = None


@dataclass(frozen=True)
class Judged:
    """What one pair came to."""

    report: ServiceReport
    candidate: Snapshot
    skipped: Sequence[Skip]
    unseen: Sequence[Unseen]
    read: Sequence[Snapshot]


@dataclass(frozen=True)
class Audit:
    """What an audit is done with, besides its subject."""

    policy: Policy
    now: dt.datetime
    fail_on: Severity | None = Severity.HIGH
    require_baseline: bool = False
    notes: Sequence[str] = field(default=())

    def of(self, source: Source, store: Store | None) -> Report:
        """Audit everything a source finds, each service against its last known good."""
        inventory = source.collect()
        pairs = [pair for s in inventory.services for pair in self._pairs(s, store)]
        unseen = [u for s in inventory.services for u in s.unseen]
        return self._report(inventory, source, pairs, unseen)

    def compare(
        self, inventory: Inventory, source: Source, service: Service, known: KnownGood, to: Snapshot
    ) -> Report:
        """Hold one revision against another of one service. What else serves is not asked."""
        return self._report(inventory, source, [Pair(service, to, known)], [])

    def _pairs(self, service: Service, store: Store | None) -> Iterator[Pair]:
        """The newest revision and those that serve, each with its reference."""
        stored = store.read(service.address) if store else None
        baseline = Baseline(stored.snapshot, stored.why) if stored else None
        wanted = [service.newest, *(service.revision(name) for name in service.serving)]
        seen: set[str] = set()
        for candidate in wanted:
            if candidate is None or candidate.revision in seen:
                continue
            seen.add(candidate.revision)
            known = history.last_known_good(
                service,
                candidate,
                baseline=baseline,
                served=(),
                satisfies=lambda revision: not missing_keys(revision, self.policy),
            )
            used = baseline is not None and known.snapshot is baseline.snapshot
            refused = baseline.snapshot if baseline and not used else None
            current = candidate.but(service=service.settings) if service.settings else candidate
            yield Pair(service, current, known, refused)

    def _report(
        self, inventory: Inventory, source: Source, pairs: list[Pair], unseen: list[Unseen]
    ) -> Report:
        judged = [self._judge(pair, source, inventory.evidence) for pair in pairs]
        missed = {*inventory.unseen, *unseen, *(u for j in judged for u in j.unseen)}
        unseen = sorted(missed, key=lambda u: (u.where, u.reason))
        fleet = Fleet(
            inventory=inventory,
            policy=self.policy,
            today=self.now.date(),
            candidates=[j.candidate for j in judged],
            unseen=unseen,
            findings=[f for j in judged for f in j.report.findings],
        )
        about_run = waive(judge_fleet(fleet), self.policy, self.now.date())
        read = [r for s in inventory.services for r in s.revisions]
        read += [r for j in judged for r in j.read]
        return assemble(
            tool=Tool(version=__version__),
            now=self.now,
            scope=inventory.scope,
            fail_on=self.fail_on,
            require_baseline=self.require_baseline,
            services=[j.report for j in judged],
            findings=about_run,
            skipped=[skip for j in judged for skip in j.skipped],
            unseen=unseen,
            notes=self.notes,
            revisions=len({(str(r.address), r.revision) for r in read}),
            secrets=inventory.secrets,
        )

    def _judge(self, pair: Pair, source: Source, evidence: frozenset[Evidence]) -> Judged:
        candidate, reference = pair.candidate, pair.known.snapshot
        changes = compare(reference, candidate) if reference else ()
        case = Case(candidate, reference, changes, self.policy, evidence, pair.refused)
        findings, skipped = judge(case)
        history = _history(pair, source) if reference and changes else pair.service
        if reference is not None:
            findings = _explained(findings, changes, pair, history)
            skipped += _not_compared(reference, candidate)
        restored = [c for c in changes if any(_restores(f, c) for f in findings)]
        who = candidate.identity
        return Judged(
            report=ServiceReport(
                project=who.project,
                region=who.region,
                service=who.service,
                kind=who.kind,
                reference=reference.revision if reference else None,
                candidate=candidate.revision,
                reference_why=pair.known.why,
                passed_over=pair.known.passed_over,
                reference_facts=facts(reference) if reference else None,
                candidate_facts=facts(candidate),
                changes=tuple(reported(c) for c in changes),
                findings=tuple(waive(findings, self.policy, self.now.date())),
                remedy=remedy(restored, reference, candidate) if reference and restored else None,
                ignored=candidate.seen.ignored,
            ),
            candidate=candidate,
            skipped=[*skipped, *_versions_not_looked_at(candidate, evidence)],
            unseen=[
                *candidate.seen.unseen,
                *(reference.seen.unseen if reference else ()),
                *history.unseen,
            ],
            read=[*history.revisions, *([reference] if reference else [])],
        )


def _restores(finding: Finding, change: Change) -> bool:
    return (
        finding.address == change.at
        and finding.rule in RESTORED
        and (finding.rule != "setting-changed" or finding.severity >= Severity.HIGH)
    )


def _history(pair: Pair, source: Source) -> Service:
    """The service with its revisions, and with both sides even where they are gone from it."""
    service = source.chain(pair.service)
    sides = [r for r in (pair.known.snapshot, *service.revisions, pair.candidate) if r is not None]
    return service.but(revisions=tuple({r.revision: r for r in sides}.values()))


def _explained(
    findings: list[Finding], changes: Sequence[Change], pair: Pair, history: Service
) -> list[Finding]:
    """The findings about changes, each with the deploy that made it, its cause and its remedy."""
    by_address = {change.at: change for change in changes}
    by_name = {r.revision: r for r in history.revisions}
    causes: dict[tuple[str, str], Cause | None] = {}

    def explained(finding: Finding) -> Finding:
        change = by_address.get(finding.address)
        if change is None or pair.known.snapshot is None:
            return finding
        first = first_with(history, pair.candidate, change.at)
        step = first.previous, first.revision
        if change.after is None and first.previous and step not in causes:
            causes[step] = probable_cause(by_name[step[0]], by_name[step[1]])
        undo = _restores(finding, change)
        return finding.but(
            first_seen=first if first.certain or len(by_name) > TWO_SIDES else None,
            cause=causes.get(step) if change.after is None else None,
            remedy=remedy([change], pair.known.snapshot, pair.candidate) if undo else None,
        )

    return [explained(finding) for finding in findings]


def _not_compared(reference: Snapshot, candidate: Snapshot) -> Iterator[Skip]:
    """What could not be held side by side, and whether that was in scope."""
    reasons = Counter(reason for _, reason in incomparable(reference, candidate))
    for reason, number in sorted(reasons.items()):
        yield Skip(
            what=f"{number} plain value" + "s" * (number > 1),
            service=candidate.address,
            reason=reason,
            blocking=reason == "sealed under another key",
        )
    if reference.service is None and candidate.service is not None:
        yield Skip(
            what="service-level settings",
            service=candidate.address,
            reason="a revision of the past does not say how its service was set",
            blocking=False,
        )


def _versions_not_looked_at(candidate: Snapshot, evidence: frozenset[Evidence]) -> Iterator[Skip]:
    """Secrets whose versions nobody listed, where others were."""
    if Evidence.SECRET_VERSIONS in evidence:
        unknown = {str(ref) for _, ref in candidate.references() if ref.version_state is None}
        for secret in sorted(unknown):
            yield Skip(
                what=f"the state of {secret}",
                service=candidate.address,
                reason="no list of its versions was given",
                blocking=False,
            )
