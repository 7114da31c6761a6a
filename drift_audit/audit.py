"""
One audit, start to end: collect, choose a reference, compare, judge, blame, assemble.

Everything that happens to come from outside (the source, the store, the time) is an argument.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from drift_audit import __version__, history, unjudged
from drift_audit.differ import Change, compare
from drift_audit.errors import InputError
from drift_audit.explanation import Explanation, explain
from drift_audit.finding import Finding, Severity
from drift_audit.fleet_report import capacity, shared
from drift_audit.history import KnownGood
from drift_audit.inventory import Evidence, Inventory, Remembered, Scope, Service, share
from drift_audit.kept import Keeper, NoKeeper
from drift_audit.limits import Limits
from drift_audit.part import Judged, Part, Shard, Terms, joined, missing, policy_digest
from drift_audit.past import NoPast, Past, Pasts
from drift_audit.policy import Policy
from drift_audit.remedy import pinned
from drift_audit.report import Coverage, Report, Tool, assemble
from drift_audit.rules import Case, Fleet, Rule, judge, judge_fleet
from drift_audit.rules.load import used_connectors, used_databases
from drift_audit.rules.schema import violations
from drift_audit.rules.waivers import Before, waive
from drift_audit.service_report import ServiceReport, facts, reported
from drift_audit.snapshot import Address, Snapshot, Unseen
from drift_audit.store import Store


class Source(Protocol):
    """Where services come from: live, or files."""

    def collect(self) -> Inventory:
        """Everything in scope."""

    def every(self) -> Iterator[Snapshot | Unseen]:
        """Every revision there is, as it is read, and what could not be read."""

    def chain(self, service: Service) -> Service:
        """The service with its history, as far as there is one; asked for when it is needed."""

    def remember(self) -> Iterable[Remembered]:
        """What a later run need not read again."""

    def resolve(self, snapshot: Snapshot) -> Snapshot:
        """A revision with the secret versions it reads looked up, as far as possible."""


class LimitSource(Protocol):
    """Where it is read what databases and connectors take."""

    def read(self, databases: Collection[str], connectors: Collection[str]) -> Limits:
        """Instances by PROJECT:REGION:NAME and connectors by full names, as far as they answer."""


@dataclass(frozen=True)
class Pair:
    """A candidate and what it is held against."""

    service: Service
    candidate: Snapshot
    known: KnownGood
    refused: Snapshot | None = None


class Histories:
    """The services of a source with their revisions, each read when it is asked for, and once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._read: dict[Address, Service] = {}

    def of(self, service: Service) -> Service:
        """The service with its history."""
        at = service.address
        if at not in self._read:
            self._read[at] = self._source.chain(service)
        return self._read[at]

    def so_far(self, service: Service) -> Service:
        """The service with its history if that was asked for, else as it was collected."""
        return self._read.get(service.address, service)

    def now(self, reference: Snapshot) -> Snapshot:
        """A revision with the exact secret versions that it resolved to, as they stand now."""
        return self._source.resolve(pinned(reference))


WHOLE = Shard()

ALONE = "only what the revision itself holds was asked for"


@dataclass(frozen=True)
class Audit:
    """
    What an audit is done with, besides its subject. `asked` is what the user narrowed it to,
    `patterns` the library whose patterns plain values are held against, if any is, `pasts` what
    earlier audits saw, `kept` what keeps the revisions that are read, and `limits` where limits are
    read, if they are. With `rules` these alone judge, each revision in use by what it holds itself;
    without, all of them, each against its last known good.
    """

    policy: Policy
    now: dt.datetime
    fail_on: Severity | None = Severity.HIGH
    require_baseline: bool = False
    notes: Sequence[str] = field(default=())
    asked: Scope = field(default_factory=Scope)
    patterns: str = ""
    pasts: Pasts = field(default_factory=NoPast)
    kept: Keeper = field(default_factory=NoKeeper)
    limits: LimitSource | None = None
    rules: Sequence[Rule] | None = None

    @property
    def today(self) -> dt.date:
        """The day on which waivers must be in force."""
        return self.now.date()

    def of(self, source: Source, store: Store | None) -> Report:
        """Audit everything a source finds."""
        return self.conclude([self.part(source, store)], store)

    def part(self, source: Source, store: Store | None, shard: Shard = WHOLE) -> Part:
        """
        Read and judge what a source finds, service by service; of several parts of a run, what
        falls to this one. What earlier audits saw of the services is noted.
        """
        inventory, histories = source.collect(), Histories(source)
        mine = tuple(s for s in inventory.services if shard.holds(s.address))
        inventory = inventory.but(services=mine)
        pairs = [pair for s in inventory.services for pair in self._pairs(s, store, histories)]
        inventory = self._with_limits(inventory, [pair.candidate for pair in pairs])
        unseen = [u for s in inventory.services for u in s.unseen]
        part = self._part(inventory, self.asked, histories, pairs, shard)
        part = part.but(inventory=inventory.but(unseen=(*inventory.unseen, *unseen)))
        if inventory.scope.projects:  # files tell of a day that nobody knows
            found: dict[Address, list[str]] = {}
            for judged in part.judged:
                ids = (finding.id for finding in judged.report.findings)
                found.setdefault(judged.report.address, []).extend(ids)
            for service in map(histories.so_far, inventory.services):
                self.pasts.note(self._past(service, found.get(service.address, ())))
                self.kept.note(service)
        return part

    def conclude(self, parts: Sequence[Part], store: Store | None = None) -> Report:
        """
        The report of a run from all its parts: the rules about several services are run here, once.
        A part that is not there is unseen. Raises InputError for parts of different runs.
        """
        terms, inventory = parts[0].terms, joined(parts)
        if any(part.terms != terms or part.shard.count != parts[0].shard.count for part in parts):
            raise InputError("parts of different runs: they were not made on the same terms")
        if terms.policy != policy_digest(self.policy):
            raise InputError("the parts were made with another policy than this one")
        now = min(part.now for part in parts)
        judged = sorted((j for part in parts for j in part.judged), key=_by_service)
        unseen = {*inventory.unseen, *missing(parts), *(u for j in judged for u in j.unseen)}
        fleet = Fleet(
            *(inventory, self.policy, now.date(), terms.asked),
            left=_left(inventory, store),
            candidates=[j.candidate for j in judged],
            unseen=sorted(unseen, key=lambda u: u.order),
            findings=[f for j in judged for f in j.report.findings],
        )
        about_run = waive(judge_fleet(fleet, self.rules), self.policy, now.date())
        read = {(str(r.address), r.revision) for s in inventory.services for r in s.revisions}
        return assemble(
            tool=Tool(version=terms.version),
            now=now,
            scope=inventory.scope,
            fail_on=terms.fail_on,
            require_baseline=terms.require_baseline,
            services=[j.report for j in judged],
            findings=about_run,
            skipped=[
                *(skip for j in judged for skip in j.skipped),
                *unjudged.of_run(fleet),
                *unjudged.waivers_about_the_run(about_run),
            ],
            unseen=fleet.unseen,
            notes=[*terms.notes, *(note for j in judged for note in j.notes)],
            revisions=len(read.union(*(j.read for j in judged))),
            secrets=len(inventory.secrets),
            coverage=_coverage(fleet, [j.report for j in judged], about_run),
            alone=terms.alone,
            shared=shared(fleet),
            capacity=capacity(fleet),
        )

    def _with_limits(self, inventory: Inventory, candidates: Sequence[Snapshot]) -> Inventory:
        """The same with the limits of what the candidates use, where they are read."""
        if self.limits is None:
            return inventory
        databases = used_databases(candidates, self.policy)
        limits = self.limits.read(databases, used_connectors(candidates))
        return inventory.but(limits=limits, unseen=(*inventory.unseen, *limits.unseen))

    def compare(self, inventory: Inventory, source: Source, pair: Pair) -> Report:
        """
        Hold one revision against another. What else there is, or should be, is not asked.
        """
        return self.conclude([self._part(inventory, None, Histories(source), [pair])])

    def _past(self, service: Service, found: Iterable[str]) -> Past:
        """What audits have seen of a service, with what this one found."""
        at = service.address
        past = self.pasts.of(at) or Past(service=at)
        if service.complete:
            past = past.of_those({revision.identity.uid for revision in service.revisions})
        serving = (service.revision(name) for name in service.serving)
        there = [waiver.id for waiver in self.policy.waiver if waiver.concerns(at)]
        return past.then(self.now, [r for r in serving if r is not None], found, there)

    def _pairs(self, service: Service, store: Store | None, histories: Histories) -> Iterator[Pair]:
        """The newest revision and those that serve, each with its reference."""
        stored = store.read(service.address, service.uid) if store else None
        baseline = stored.reference if stored else None
        wanted = [service.newest, *(service.revision(name) for name in service.serving)]
        seen: set[str] = set()
        for candidate in wanted:
            if candidate is None or candidate.revision in seen:
                continue
            seen.add(candidate.revision)
            if self.rules is not None:
                yield Pair(service, candidate, KnownGood(None, ALONE))
                continue
            known = history.last_known_good(
                service,
                candidate,
                baseline=baseline,
                past=self.pasts.of(service.address),
                violations=lambda one: violations(one, self.policy, self.today),
                chain=histories.of,
            )
            refused = baseline.snapshot if baseline and known.how != "promoted" else None
            current = candidate.but(service=service.settings) if service.settings else candidate
            yield Pair(service, current, known, refused)

    def _part(
        self,
        inventory: Inventory,
        asked: Scope | None,
        histories: Histories,
        pairs: Sequence[Pair],
        shard: Shard = WHOLE,
    ) -> Part:
        return Part(
            shard=shard,
            now=self.now,
            terms=Terms(
                version=__version__,
                policy=policy_digest(self.policy),
                fail_on=self.fail_on,
                require_baseline=self.require_baseline,
                asked=asked,
                notes=tuple(self.notes),
                alone=self.rules is not None,
            ),
            inventory=inventory,
            judged=tuple(self._judge(pair, histories, inventory.evidence) for pair in pairs),
        )

    def _judge(self, pair: Pair, histories: Histories, evidence: frozenset[Evidence]) -> Judged:
        candidate, reference = pair.candidate, pair.known.snapshot
        changes = compare(reference, candidate) if reference else ()
        case = Case(
            *(candidate, reference, changes, self.policy, evidence, pair.refused, self.today),
            service=pair.service,
        )
        findings, skipped = judge(case, self.rules)
        changed = {change.at for change in changes}
        before = Before(self.pasts.of(candidate.address), pair.known.waivers, changed)
        findings = waive(findings, self.policy, self.today, before)
        skipped += unjudged.waivers_of_unknown_age(candidate, findings, before)
        service, told = histories.so_far(pair.service), Explanation(findings)
        skipped += unjudged.of_service(case, self.patterns)
        skipped += unjudged.behind_the_facts(case, pair.known.promoted)
        if reference is not None and changes:
            service = histories.of(pair.service)
            told = explain(
                changes,
                findings,
                reference=reference,
                candidate=candidate,
                service=service,
                policy=self.policy,
                now=histories.now,
            )
        read = [*service.revisions, *([reference] if reference else [])]
        return Judged(
            report=_service_report(pair, changes, told),
            candidate=candidate,
            skipped=tuple(skipped),
            unseen=(
                *candidate.seen.unseen,
                *(reference.seen.unseen if reference else ()),
                *told.unseen,
                *pair.known.unseen,
                *(u for u in service.unseen if u not in pair.service.unseen),
            ),
            notes=tuple(_of_two_services(pair)),
            read=tuple(sorted({(str(r.address), r.revision) for r in read})),
        )


def _service_report(pair: Pair, changes: Sequence[Change], told: Explanation) -> ServiceReport:
    """What one pair came to, as the report tells it."""
    candidate, reference, known = pair.candidate, pair.known.snapshot, pair.known
    who = candidate.identity
    return ServiceReport(
        project=who.project,
        region=who.region,
        service=who.service,
        kind=who.kind,
        reference=reference.revision if reference else None,
        candidate=candidate.revision,
        reference_why=known.why,
        reference_how=known.how,
        passed_over=(*known.passed_over, *known.runners_up),
        reference_facts=facts(_as_it_stands(pair, reference)) if reference else None,
        candidate_facts=facts(candidate),
        changes=tuple(reported(c) for c in changes),
        findings=tuple(told.findings),
        remedy=told.remedy,
        history=told.history,
        ignored=candidate.seen.ignored,
    )


def _as_it_stands(pair: Pair, reference: Snapshot) -> Snapshot:
    """A reference with its traffic of now: a baseline tells that of the day of its promotion."""
    if pair.known.how != "promoted":
        return reference
    percent, tags = share(pair.service.traffic, reference.identity.revision)
    return reference.but(status=reference.status.but(percent=percent, tags=tags))


def _by_service(judged: Judged) -> str:
    return str(judged.report.address)


def _of_two_services(pair: Pair) -> Iterator[str]:
    """What must be known of a comparison of services that are not the same."""
    one, other = pair.known.snapshot, pair.candidate
    if one is not None and one.address != other.address:
        told = f"two services are compared: {one.address} and {other.address}"
        yield f"{told}; a secret without a project is each one's own"


def _coverage(
    fleet: Fleet, services: Sequence[ServiceReport], about_run: Sequence[Finding]
) -> Coverage:
    """What there was to see and what of it was seen; a comparison of two has only its two."""
    inventory = fleet.inventory if fleet.asked is not None else Inventory(scope=Scope())
    read = [{r.identity.revision for r in s.revisions} for s in inventory.services]
    named = [s.named for s in inventory.services]
    looked_up = {
        (c.identity.project, *ref.spelled): ref.version_state
        for c in fleet.candidates
        for _, ref in c.references
        if ref.version_state is not None
    }
    expected, limits = fleet.expected, inventory.limits or Limits()
    missing = {f.address for f in about_run if f.rule == "service-missing" and f.waived is None}
    compared = [service for service in services if service.reference is not None]
    return Coverage(
        locations=inventory.locations,
        locations_listed=inventory.listed,
        named=sum(map(len, named)),
        named_read=sum(len(n & r) for n, r in zip(named, read, strict=True)),
        looked_up=len(looked_up),
        looked_up_found=sum(state != "unseen" for state in looked_up.values()),
        expected=len(expected),
        expected_found=len(expected - missing),
        limits=len(limits.asked),
        limits_read=len(limits.asked) - len(limits.unseen),
        judged=len(services),
        compared=len(compared),
        baselines=sum(service.reference_how == "promoted" for service in compared),
    )


def _left(inventory: Inventory, store: Store | None) -> list[Address]:
    """Services that a baseline is kept of, in the scope of a live audit, and that are not there."""
    if store is None or not inventory.scope.projects:
        return []
    found = {service.address for service in inventory.services}
    gone = [a for a in store.addresses() if inventory.scope.covers(a) and a not in found]
    return [at for at in gone if store.read(at) is not None]
