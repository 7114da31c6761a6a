"""
How many connections services may open at worst, and how many a database or a connector takes.

Instances times processes times pool and overflow, over everything that uses the database; the path
to Cloud SQL that is built in carries a hundred for each instance (`cloud-run-api.md` §8). No number
is assumed: what no key, no policy and no API tells is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from drift_audit import names
from drift_audit.binding import LiteralValue
from drift_audit.differ import Change
from drift_audit.finding import Severity
from drift_audit.limits import (
    Limit,
    SqlInstance,
    Trouble,
    VpcConnector,
    connector_of,
    connector_place,
)
from drift_audit.policy import Amount, Connector, Database, Policy
from drift_audit.rules.engine import Fleet
from drift_audit.rules.meaning import DATABASE
from drift_audit.snapshot import Address, Snapshot

BUILT_IN = 100
"""Connections that one instance has to Cloud SQL over the path that is built in."""

MAX_INSTANCES = "scaling.max_instances"
DEFAULT_LIMIT = 100
"""The most instances of a revision that says nothing."""


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

    @cached_property
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

    def times(self, instances: int) -> str:
        """The arithmetic, for a sentence."""
        processes, pool, overflow = (number for _, number in self._inputs.values())
        name = f"{self.revision.address.service} {instances}"
        if self._built_in and self.each == BUILT_IN:
            return f"{name} x {BUILT_IN}"
        return f"{name} x {processes} x ({pool} + {overflow})"


@dataclass(frozen=True)
class Demand:
    """
    The most that all services together may open at a database, what a rollout adds, and what the
    database takes: as the policy says, else as it was read.
    """

    database: Database
    read: SqlInstance | None
    total: int
    rollout: int
    parts: Sequence[str]
    unknown: Sequence[tuple[Load, str, Sequence[str]]]
    used: bool

    @property
    def limit(self) -> Limit:
        """The connections that there are for all clients."""
        if self.database.max_connections is not None:
            return Limit(self.database.max_connections, "")
        return self.read.limit if self.read else Limit(None, "")

    @property
    def takes(self) -> int | None:
        """The connections that are there for services; None where that is not known."""
        most = self.limit.most
        return None if most is None else most - self.database.reserved


@dataclass(frozen=True)
class Passage:
    """The instances of services that may go through a connector, and what is known of it."""

    connector: str
    through: dict[Address, int]
    entry: Connector | None
    read: VpcConnector | None

    @property
    def name(self) -> str:
        """Its own name, or its full one where it is of another project or region."""
        homes = {f"projects/{at.project}/locations/{at.region}" for at in self.through}
        home, _, short = self.connector.rpartition("/connectors/")
        return short if not home or homes == {home} else self.connector

    @property
    def at(self) -> Address:
        """Where a finding about it stands: in its project and region, where they are known."""
        place = connector_place(self.connector)
        if place is None:
            return Address(setting=f"connector/{self.connector}")
        setting = f"connector/{place.name}"
        return Address(project=place.project, region=place.region, setting=setting)

    @property
    def own(self) -> int | None:
        """The most instances that go through those of its own, where both numbers are known."""
        each = self.entry.per_instance if self.entry else None
        own = self.read.max_instances if self.read else None
        return None if each is None or own is None else each * own

    @property
    def carries(self) -> int | None:
        """The most instances that may go through: as the policy says, else by those of its own."""
        said = self.entry.max_instances if self.entry else None
        return self.own if said is None else said


def demands(fleet: Fleet) -> list[Demand]:
    """
    What every database may get that the policy names, or that was read. None in a comparison, which
    has no other services.
    """
    if fleet.asked is None:
        return []
    limits, said = fleet.inventory.limits, fleet.policy.database
    named = {database.instance for database in said}
    others = [one.name for one in limits.databases if one.name not in named] if limits else []
    return [
        _demand(fleet, database, limits.database(database.instance) if limits else None)
        for database in (*said, *(Database(instance=name) for name in others))
    ]


def _demand(fleet: Fleet, database: Database, read: SqlInstance | None) -> Demand:
    """Every service at its limit, and the one whose next deploy adds most."""
    total, rollout, used = database.others, 0, False
    parts = [f"others {database.others}"] if database.others else []
    unknown: list[tuple[Load, str, Sequence[str]]] = []
    for revisions in fleet.by_service.values():
        loads = [Load(one, database) for one in revisions if uses(one, database)]
        missing = [(load, *one) for load in loads for one in load.missing]
        unknown += missing
        used = used or bool(loads)
        if missing or not loads:
            continue
        each = [load.each or 0 for load in loads]
        for i, instances in _running([load.revision for load in loads], each):
            total += instances * each[i]
            parts.append(loads[i].times(instances))
        rollout = max(rollout, max(1, _floor(loads[0].revision)) * each[0])
    return Demand(database, read, total, rollout, parts, unknown, used)


def _running(
    revisions: Sequence[Snapshot], weights: Sequence[int] | None = None
) -> Iterator[tuple[int, int]]:
    """
    The most instances of each revision of one service at a time, the newest first, by its place:
    those that serve at their ceilings, the weightiest first until the limit of the service is
    reached, others at their floors.
    """
    every = range(len(revisions))
    serving = [i for i in every if revisions[i].status.percent] or [0]
    left = _limit(revisions[0], "service.scaling.max_instances")
    for i in sorted(serving, key=lambda i: -weights[i] if weights else 0):
        instances = ceiling(revisions[i])
        if left is not None:
            instances = min(instances, left)
            left -= instances
        yield i, instances
    waiting = ((i, _floor(revisions[i])) for i in every if i not in serving)
    yield from ((i, instances) for i, instances in waiting if instances)


def passages(fleet: Fleet) -> list[Passage]:
    """
    What may go through every connector that the policy names, or that was read. None in a
    comparison.
    """
    if fleet.asked is None:
        return []
    through: dict[str, dict[Address, int]] = {}
    for at, revisions in fleet.by_service.items():
        by_connector: dict[str, list[Snapshot]] = {}
        for one in revisions:
            by_connector.setdefault(connector_of(one), []).append(one)
        for name, same in by_connector.items():
            most = sum(instances for _, instances in _running(same))
            through.setdefault(name, {})[at] = most
    limits = fleet.inventory.limits
    found = [
        Passage(
            connector=name,
            through=through[name],
            entry=next((c for c in fleet.policy.connector if c.covers(name)), None),
            read=limits.connector(name) if limits else None,
        )
        for name in sorted(through.keys() - {""})
    ]
    return [one for one in found if one.entry or one.read]


def used_databases(candidates: Iterable[Snapshot], policy: Policy) -> list[str]:
    """The instances that revisions are attached to or name, or that the policy says they use."""
    found: set[str] = set()
    for one in candidates:
        attached = (s.name for s in one.settings if s.name.startswith(DATABASE))
        found |= {name.removeprefix(DATABASE) for name in attached}
        found |= {target.name for _, target in one.targets if target.kind == "cloud-sql"}
        found |= {database.instance for database in policy.database if uses(one, database)}
    return sorted(found)


def used_connectors(candidates: Iterable[Snapshot]) -> list[str]:
    """The full names of the connectors that revisions go through."""
    return sorted({connector_of(one) for one in candidates} - {""})


def grown_by(changes: Iterable[Change], policy: Policy) -> list[Change]:
    """The changes that a growth can come of: of instances, and of the keys that tell a pool."""
    names = policy.numbers
    return [c for c in changes if c.at.setting == MAX_INSTANCES or c.at.key in names]


def gravity(trouble: Trouble) -> Severity:
    """How grave it is that something does not work: what passes by itself is less so."""
    return Severity.MEDIUM if trouble.passing else Severity.HIGH


def uses(snapshot: Snapshot, database: Database) -> bool:
    """Whether a revision is attached to a database, names it, or is said to use it."""
    return (
        snapshot.setting(DATABASE + database.instance) is not None
        or any(t.kind == "cloud-sql" and t.name == database.instance for _, t in snapshot.targets)
        or database.covers(snapshot.address)
    )


def ceiling(revision: Snapshot) -> int:
    """The most instances of a revision."""
    most = _limit(revision, MAX_INSTANCES)
    return DEFAULT_LIMIT if most is None else most


def _floor(revision: Snapshot) -> int:
    """The instances that run though nobody calls."""
    return _limit(revision, "scaling.min_instances") or 0


def _number(snapshot: Snapshot, amount: Amount) -> int | None:
    """A number as the policy says it, or as the first of some keys holds it."""
    if isinstance(amount, int):
        return amount
    held = (b.source for key in amount for b in snapshot.bindings if b.key == key)
    told = (source.clear for source in held if isinstance(source, LiteralValue) and source.clear)
    numbers = (names.whole_number(text.strip()) for text in told)
    return next((number for number in numbers if number is not None), None)


def _limit(snapshot: Snapshot, name: str) -> int | None:
    """A number of instances; None where the revision says none."""
    value = snapshot.setting(name)
    return value if isinstance(value, int) else None
