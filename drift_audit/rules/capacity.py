"""
How many connections services may open at worst, and how many a database or a connector takes.

Instances times processes times pool and overflow, over everything that uses the database; the path
to Cloud SQL that is built in carries a hundred for each instance (`cloud-run-api.md` §8). No number
is assumed: what no key and no policy tells is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from drift_audit.differ import Change
from drift_audit.finding import Severity
from drift_audit.policy import Amount, Database, Policy
from drift_audit.rules.engine import Case, Fleet, Hit, fleet_rule, rule
from drift_audit.rules.meaning import DATABASE
from drift_audit.snapshot import Address, Snapshot

BUILT_IN = 100
"""Connections that one instance has to Cloud SQL over the path that is built in."""

MAX_INSTANCES = "scaling.max_instances"
DEFAULT_LIMIT = 100
"""The most instances of a revision that says nothing."""


INPUTS = {
    "processes": "how many processes it runs",
    "pool": "how large its pool is",
    "overflow": "how far its pool may overflow",
}
"""What must be known of a service, in the words of the policy and in a sentence."""


@dataclass(frozen=True)
class Load:
    """What one revision may open at a database."""

    revision: Snapshot
    database: Database

    @cached_property
    def _inputs(self) -> dict[str, tuple[Amount, int | None]]:
        """Processes, pool and overflow: where they are told, and how many there are."""
        told = {
            "processes": self.database.processes,
            "pool": self.database.pool,
            "overflow": self.database.overflow,
        }
        return {what: (amount, _number(self.revision, amount)) for what, amount in told.items()}

    @property
    def missing(self) -> list[tuple[str, Sequence[str]]]:
        """What is not known, and the keys that would tell it."""
        return [
            (what, amount)
            for what, (amount, number) in self._inputs.items()
            if number is None and not isinstance(amount, int)
        ]

    @property
    def each(self) -> int | None:
        """Connections of one instance; None where that is not known."""
        processes, pool, overflow = (number for _, number in self._inputs.values())
        if processes is None or pool is None or overflow is None:
            return None
        opened = processes * (pool + overflow)
        return min(opened, BUILT_IN) if self._built_in else opened

    @property
    def _built_in(self) -> bool:
        return self.revision.setting(DATABASE + self.database.instance) is not None

    @property
    def ceiling(self) -> int:
        """The most instances."""
        most = _limit(self.revision, MAX_INSTANCES)
        return DEFAULT_LIMIT if most is None else most

    @property
    def floor(self) -> int:
        """The instances that run though nobody calls."""
        return _limit(self.revision, "scaling.min_instances") or 0

    def times(self, instances: int) -> str:
        """The arithmetic, for a sentence."""
        processes, pool, overflow = (number for _, number in self._inputs.values())
        name = f"{self.revision.address.service} {instances}"
        if self._built_in and self.each == BUILT_IN:
            return f"{name} x {BUILT_IN}"
        return f"{name} x {processes} x ({pool} + {overflow})"


@dataclass(frozen=True)
class Worst:
    """The most that all services together may open at a database, and what a rollout adds."""

    total: int
    rollout: int
    parts: list[str]
    unknown: list[tuple[Load, str, Sequence[str]]]


def _worst(fleet: Fleet, database: Database) -> Worst:
    """Every service at its limit, and the one whose next deploy adds most."""
    total, rollout = database.others, 0
    parts = [f"others {database.others}"] if database.others else []
    unknown: list[tuple[Load, str, Sequence[str]]] = []
    for loads in _by_service(fleet, database):
        missing = [(load, *one) for load in loads for one in load.missing]
        unknown += missing
        if missing:
            continue
        serving = [load for load in loads if load.revision.status.percent] or loads[:1]
        left = _limit(loads[0].revision, "service.scaling.max_instances")
        for load in sorted(serving, key=lambda one: -(one.each or 0)):
            instances = load.ceiling if left is None else min(load.ceiling, left)
            left = None if left is None else left - instances
            total += instances * (load.each or 0)
            parts.append(load.times(instances))
        waiting = [load for load in loads if load not in serving]
        total += sum(load.floor * (load.each or 0) for load in waiting)
        parts += [load.times(load.floor) for load in waiting if load.floor]
        rollout = max(rollout, max(1, loads[0].floor) * (loads[0].each or 0))
    return Worst(total, rollout, parts, unknown)


def _by_service(fleet: Fleet, database: Database) -> Iterator[list[Load]]:
    """
    The revisions of every service that use a database, the newest first. None of a comparison,
    which has no other services.
    """
    if fleet.asked is None:
        return
    for revisions in fleet.by_service.values():
        if loads := [Load(one, database) for one in revisions if _uses(one, database)]:
            yield loads


def _uses(snapshot: Snapshot, database: Database) -> bool:
    """Whether a revision is attached to a database, names it, or is said to use it."""
    return (
        snapshot.setting(DATABASE + database.instance) is not None
        or any(t.kind == "cloud-sql" and t.name == database.instance for _, t in snapshot.targets)
        or database.covers(snapshot.address)
    )


def _number(snapshot: Snapshot, amount: Amount) -> int | None:
    """A number as the policy says it, or as the first of some keys holds it."""
    if isinstance(amount, int):
        return amount
    for key in amount:
        for binding in snapshot.bindings:
            clear = getattr(binding.source, "clear", None)
            if binding.key == key and clear is not None and clear.strip().isdecimal():
                return int(clear)
    return None


def _limit(snapshot: Snapshot, name: str) -> int | None:
    """A number of instances; None where the revision says none."""
    value = snapshot.setting(name)
    return value if isinstance(value, int) else None


@fleet_rule("connections-exceeded", Severity.HIGH)
def connections_exceeded(fleet: Fleet) -> Iterator[Hit]:
    """
    All services at their limits open more connections than the database takes.

    It holds until the first peak, or until all start at once. Then new connections are refused,
    also those of services that did nothing.

    Fix: lower the instances or the pools, put a pooler in front, or raise max_connections.
    """
    for database in fleet.policy.database:
        worst = _worst(fleet, database)
        if worst.total > database.takes:
            at_least = "at least " if worst.unknown else ""
            says = f"may get {at_least}{worst.total} connections and takes {database.takes}"
            yield Hit(_place(database), f"{database.instance} {says}: {', '.join(worst.parts)}")


@fleet_rule("connections-exceeded-in-rollout", Severity.MEDIUM)
def connections_exceeded_in_rollout(fleet: Fleet) -> Iterator[Hit]:
    """
    The database takes all connections, until the next deploy runs beside what serves.

    Old and new revision hold their connections at the same time, for as long as the rollout takes.

    Fix: leave room for one more instance of each service, or deploy where fewer run.
    """
    for database in fleet.policy.database:
        worst = _worst(fleet, database)
        rolled = worst.total + worst.rollout
        if worst.total <= database.takes < rolled:
            says = f"may get {rolled} connections during a rollout and takes {database.takes}"
            yield Hit(_place(database), f"{database.instance} {says}: {', '.join(worst.parts)}")


@fleet_rule("capacity-unknown", Severity.LOW)
def capacity_unknown(fleet: Fleet) -> Iterator[Hit]:
    """
    How many connections a service may open is not known.

    The policy names a database that the service uses, and nothing tells its processes or its pool.
    No number is assumed, so the database was judged without the service.

    Fix: set the key that the finding names, or say the number in the policy.
    """
    for database in fleet.policy.database:
        for load, what, keys in _worst(fleet, database).unknown:
            at = load.revision.address.at(load.revision.ingress, key=keys[0])
            how = f"set {' or '.join(keys)}, or say {what} in the policy"
            says = f"{load.revision.address.service} uses {database.instance}, and {INPUTS[what]}"
            yield Hit(at, f"{says} is not known: {how}")


@rule("connections-grew", Severity.MEDIUM)
def connections_grew(case: Case) -> Iterator[Hit]:
    """
    The service may open more connections at a database than the reference revision.

    More instances, more processes or a larger pool: the database was measured for less.

    Fix: check what the database takes, or set the numbers of the reference again.
    """
    for database in case.policy.database:
        before, after = (_alone(one, database) for one in (case.reference, case.candidate))
        if before is not None and after is not None and after > before:
            says = f"{database.instance} may get {after} connections from it, {before} before"
            yield Hit(case.candidate.address.at(setting=DATABASE + database.instance), says)


def grown_by(changes: Iterable[Change], policy: Policy) -> list[Change]:
    """The changes that a growth can come of: of instances, and of the keys that tell a pool."""
    names = policy.numbers
    return [c for c in changes if c.at.setting == MAX_INSTANCES or c.at.key in names]


def _alone(snapshot: Snapshot | None, database: Database) -> int | None:
    """What one revision may open at its ceiling; None where that is not known."""
    if snapshot is None or not _uses(snapshot, database):
        return None
    load = Load(snapshot, database)
    return None if load.each is None else load.ceiling * load.each


@fleet_rule("connector-exceeded", Severity.MEDIUM)
def connector_exceeded(fleet: Fleet) -> Iterator[Hit]:
    """
    More instances may go through a connector than the policy says it carries.

    A connector that is full drops packets, and calls through it time out.

    Fix: lower the limits, widen the connector, or let services go into the VPC directly.
    """
    for connector in fleet.policy.connector:
        through: dict[str, int] = {}
        for candidate in fleet.candidates if fleet.asked is not None else ():
            if candidate.setting("vpc.connector") == connector.name:
                most = _limit(candidate, MAX_INSTANCES) or DEFAULT_LIMIT
                name = candidate.address.service
                through[name] = max(through.get(name, 0), most)
        total = sum(through.values())
        if total > connector.max_instances:
            told = ", ".join(f"{name} {most}" for name, most in sorted(through.items()))
            says = f"{total} instances may go through it, and it carries {connector.max_instances}"
            at = Address(setting=f"connector/{connector.name}")
            yield Hit(at, f"connector {connector.name}: {says}: {told}")


def _place(database: Database) -> Address:
    return Address(setting=f"database/{database.instance}")
