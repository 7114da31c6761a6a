"""
How many connections services may open at worst, and how many a database or a connector takes.
"""

from __future__ import annotations

from collections.abc import Iterator

from drift_audit.finding import Severity
from drift_audit.policy import Database
from drift_audit.rules.engine import Case, Fleet, Hit, fleet_rule, rule
from drift_audit.rules.load import (
    Demand,
    Load,
    Passage,
    ceiling,
    demands,
    passages,
    uses,
)
from drift_audit.rules.meaning import DATABASE
from drift_audit.snapshot import Address, Snapshot

INPUTS = {
    "processes": "how many processes it runs",
    "pool": "how large its pool is",
    "overflow": "how far its pool may overflow",
}
"""What must be known of a service, in the words of the policy and in a sentence."""

READ = "read it with --read-limits"


@fleet_rule("connections-exceeded", Severity.HIGH)
def connections_exceeded(fleet: Fleet) -> Iterator[Hit]:
    """
    All services at their limits open more connections than the database takes.

    It holds until the first peak, or until all start at once. Then new connections are refused,
    also those of services that did nothing.

    Fix: lower the instances or the pools, put a pooler in front, or raise max_connections.
    """
    for demand in fleet.once(demands):
        if demand.takes is not None and demand.total > demand.takes:
            at_least = "at least " if demand.unknown else ""
            says = f"may get {at_least}{demand.total} connections and takes {_takes(demand)}"
            yield Hit(_place(demand), f"{_name(demand)} {says}: {', '.join(demand.parts)}")


@fleet_rule("connections-exceeded-in-rollout", Severity.MEDIUM)
def connections_exceeded_in_rollout(fleet: Fleet) -> Iterator[Hit]:
    """
    The database takes all connections, until the next deploy runs beside what serves.

    Old and new revision hold their connections at the same time, for as long as the rollout takes.

    Fix: leave room for one more instance of each service, or deploy where fewer run.
    """
    for demand in fleet.once(demands):
        rolled = demand.total + demand.rollout
        if demand.takes is not None and demand.total <= demand.takes < rolled:
            says = f"may get {rolled} connections during a rollout and takes {_takes(demand)}"
            yield Hit(_place(demand), f"{_name(demand)} {says}: {', '.join(demand.parts)}")


@fleet_rule("capacity-unknown", Severity.LOW)
def capacity_unknown(fleet: Fleet) -> Iterator[Hit]:
    """
    How many connections a service may open is not known.

    The service uses a database that is watched, and nothing tells its processes or its pool. No
    number is assumed, so the database was judged without the service.

    Fix: set the key that the finding names, or say the number in the policy.
    """
    for demand in fleet.once(demands):
        for load, what, keys in demand.unknown:
            at = load.revision.address.at(load.revision.ingress, key=keys[0])
            how = f"set {' or '.join(keys)}, or say {what} in the policy"
            says = f"{load.revision.address.service} uses {_name(demand)}, and {INPUTS[what]}"
            yield Hit(at, f"{says} is not known: {how}")


@fleet_rule("limit-unknown", Severity.LOW)
def limit_unknown(fleet: Fleet) -> Iterator[Hit]:
    """
    How many connections a database takes, or how many instances a connector carries, is not known.

    Services use it, and nothing tells its limit. No number is assumed, so what they may open at
    worst was held against nothing.

    Fix: say the number that the finding asks for in the policy, or read limits.
    """
    for demand in fleet.once(demands):
        gone = demand.read is not None and not demand.read.exists
        if demand.used and demand.limit.most is None and not (gone or _unseen(fleet, demand)):
            why = f"{demand.limit.because}; " if demand.read else f"{READ}, or "
            says = f"how many connections it takes is not known: {why}say max_connections"
            yield Hit(_place(demand), f"{_name(demand)}: {says} in the policy")
    for passage in fleet.once(passages):
        gone = passage.read is not None and not passage.read.exists
        if passage.carries is None and not (gone or _unseen(fleet, passage)):
            says = f"how many instances it carries is not known: {_asked(passage)} in the policy"
            yield Hit(passage.at, f"connector {passage.name}: {says}")


@fleet_rule("limit-differs", Severity.MEDIUM)
def limit_differs(fleet: Fleet) -> Iterator[Hit]:
    """
    A database or a connector has another limit than the policy says.

    The policy wins: what services may open was held against its number. Where the real one is
    lower, the audit calls enough what is not.

    Fix: correct the number in the policy, or leave it out and have it read.
    """
    for demand in fleet.once(demands):
        said, read = demand.database.max_connections, demand.read
        if said is not None and read is not None and read.limit.most not in (None, said):
            most, because = read.limit
            says = f"takes {most} connections, {because}, and the policy says {said}"
            yield Hit(_place(demand), f"{_name(demand)} {says}", _by(said, most))
    for passage in fleet.once(passages):
        said = passage.entry.max_instances if passage.entry else None
        if said is not None and passage.own not in (None, said):
            says = f"carries {passage.own} by the instances of its own, and the policy says {said}"
            yield Hit(
                passage.at,
                f"connector {passage.name} {says}",
                _by(said, passage.own),
            )


def _by(said: int, read: int | None) -> Severity:
    """How grave it is that two limits differ: a policy that is stricter errs on the safe side."""
    return Severity.MEDIUM if said > (read or 0) else Severity.INFO


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


def _alone(snapshot: Snapshot | None, database: Database) -> int | None:
    """What one revision may open at its ceiling; None where that is not known."""
    if snapshot is None or not uses(snapshot, database):
        return None
    load = Load(snapshot, database)
    return None if load.each is None else ceiling(snapshot) * load.each


@fleet_rule("connector-exceeded", Severity.MEDIUM)
def connector_exceeded(fleet: Fleet) -> Iterator[Hit]:
    """
    More instances may go through a connector than it carries.

    A connector that is full drops packets, and calls through it time out.

    Fix: lower the limits, widen the connector, or let services go into the VPC directly.
    """
    for passage in fleet.once(passages):
        total = sum(passage.through.values())
        if passage.carries is not None and total > passage.carries:
            says = f"{total} instances may go through it, and it carries {_carries(passage)}"
            told = ", ".join(f"{name} {most}" for name, most in _services(passage))
            yield Hit(passage.at, f"connector {passage.name}: {says}: {told}")


# How it is told


def _name(demand: Demand) -> str:
    return demand.database.instance


def _place(demand: Demand) -> Address:
    return Address(setting=f"database/{_name(demand)}")


def _takes(demand: Demand) -> str:
    """What is there for services; where it was read, what that follows from."""
    most, because = demand.limit
    return f"{demand.takes} ({most}, {because})" if because else str(demand.takes)


def _carries(passage: Passage) -> str:
    """What it carries; where it was read, what that follows from."""
    said, each = (
        (passage.entry.max_instances, passage.entry.per_instance) if passage.entry else (None, None)
    )
    own = passage.read.max_instances if passage.read else None
    return str(said) if said is not None else f"{passage.carries} ({own} x {each})"


def _services(passage: Passage) -> list[tuple[str, int]]:
    """The services that go through, by their names; with project and region where two share one."""
    names = [at.service for at in passage.through]
    told = (
        (at.service if names.count(at.service) == 1 else str(at), most)
        for at, most in passage.through.items()
    )
    return sorted(told)


def _asked(passage: Passage) -> str:
    """What is to be said of a connector, and why."""
    if passage.read is None:
        return f"{READ}, or say max_instances"
    if passage.read.max_instances is None:
        return "it is limited by throughput; say max_instances"
    own = f"{passage.read.max_instances} of its own"
    kind = f" ({passage.read.machine_type})" if passage.read.machine_type else ""
    return f"it has at most {own}{kind}; say per_instance or max_instances"


def _unseen(fleet: Fleet, one: Demand | Passage) -> bool:
    """Whether a limit was asked for in vain: that is told already."""
    return fleet.inventory.limits is not None and one.read is None
