"""
What one process read and judged of a run: all of it, or the part that falls to it.

A report is concluded from parts. A part that is written down holds sealed snapshots, as the archive
does, and nothing else of a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import model_validator

from drift_audit.finding import Skip, Threshold
from drift_audit.frozen import Frozen, Instant
from drift_audit.inventory import Inventory, Scope, Twins
from drift_audit.limits import Limits
from drift_audit.policy import Policy
from drift_audit.service_report import ServiceReport
from drift_audit.snapshot import Address, Snapshot, Unseen


class Shard(Frozen):
    """Which part of a run: `number` of `count`, from 1. A service falls to one of them for good."""

    number: int = 1
    count: int = 1

    @model_validator(mode="after")
    def _one_of_them(self) -> Shard:
        if not 1 <= self.number <= self.count:
            raise ValueError("no such part")
        return self

    def __str__(self) -> str:
        return f"part {self.number} of {self.count}"

    @property
    def whole(self) -> bool:
        """Whether it is all there is."""
        return self.count == 1

    def holds(self, service: Address) -> bool:
        """Tell whether a service falls to this part: its name decides, and nothing else."""
        digest = hashlib.sha256(str(service).encode()).digest()
        return int.from_bytes(digest[:8]) % self.count == self.number - 1


class Judged(Frozen):
    """What one pair came to, and the names of the revisions that were read for it."""

    report: ServiceReport
    candidate: Snapshot
    skipped: tuple[Skip, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    notes: tuple[str, ...] = ()
    read: tuple[tuple[str, str], ...] = ()


class Terms(Frozen):
    """What a run is done with besides its subject; the same in all its parts, or they are none."""

    version: str
    policy: str
    fail_on: Threshold
    require_baseline: bool
    asked: Scope | None
    notes: tuple[str, ...]
    alone: bool = False


class Part(Frozen):
    """
    One part of a run, whose findings about the run as a whole are still to be made. `inventory`
    lists all that it found, `judged` what came of it, service by service.
    """

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/part"] = "drift-audit/part"
    shard: Shard = Shard()
    now: Instant
    terms: Terms
    inventory: Inventory
    judged: tuple[Judged, ...] = ()


def policy_digest(policy: Policy) -> str:
    """What tells one policy from another: it names no value."""
    return hashlib.sha256(policy.model_dump_json().encode("utf-8", "surrogatepass")).hexdigest()


def missing(parts: Sequence[Part]) -> list[Unseen]:
    """The parts of a run that are not there."""
    count, here = parts[0].shard.count, {part.shard.number for part in parts}
    gone = (Shard(number=n, count=count) for n in range(1, count + 1) if n not in here)
    return [Unseen(where=str(shard), reason="it was not written") for shard in gone]


def joined(parts: Sequence[Part]) -> Inventory:
    """What all parts found; what each of them looked at, such as the lists, counts once."""
    inventories = [part.inventory for part in parts]
    first = inventories[0]
    if len(parts) == 1:
        return first
    limits = [one.limits for one in inventories if one.limits is not None]
    return first.but(
        locations=max(one.locations for one in inventories),
        listed=min(one.listed for one in inventories),
        services=tuple(
            sorted((s for one in inventories for s in one.services), key=lambda s: str(s.address))
        ),
        unseen=_once(missed for one in inventories for missed in one.unseen),
        evidence=frozenset().union(*(one.evidence for one in inventories)),
        twins=_twins(twins for one in inventories for twins in one.twins),
        secrets=frozenset().union(*(one.secrets for one in inventories)),
        limits=_limits(limits) if limits else None,
        remembered=frozenset().union(*(one.remembered for one in inventories)),
    )


def _once(found: Iterable[Unseen]) -> tuple[Unseen, ...]:
    return tuple(sorted(set(found), key=lambda missed: missed.order))


def _twins(found: Iterable[Twins]) -> tuple[Twins, ...]:
    """Those of the same mark together, where they are in several services."""
    by_mark: dict[str, list[Twins]] = {}
    for one in found:
        by_mark.setdefault(one.mark, []).append(one)
    groups = (
        sorted((place for one in same for place in one.places), key=lambda place: str(place[0]))
        for same in by_mark.values()
    )
    across = [group for group in groups if len({at.home for at, _ in group}) > 1]
    return tuple(
        Twins(places=tuple(group)) for group in sorted(across, key=lambda group: str(group[0][0]))
    )


def _limits(read: Sequence[Limits]) -> Limits:
    """What several parts read, once each."""
    databases = {one.name: one for limits in read for one in limits.databases}
    connectors = {one.name: one for limits in read for one in limits.connectors}
    return Limits(
        databases=tuple(databases[name] for name in sorted(databases)),
        connectors=tuple(connectors[name] for name in sorted(connectors)),
        asked=frozenset().union(*(limits.asked for limits in read)),
        unseen=_once(missed for limits in read for missed in limits.unseen),
    )
