"""
What a report tells of several services together: the secrets that they share, and what databases
and connectors may get of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from drift_audit.frozen import Frozen
from drift_audit.rules.engine import Fleet
from drift_audit.rules.load import demands, passages
from drift_audit.snapshot import UNKNOWN, Address


class Reader(Frozen):
    """A key or mounted file that reads a secret, and in which version, as it was resolved."""

    at: Address
    version: str


class SharedSecret(Frozen):
    """
    A secret that several services read. `groups` names those of the policy that speak of its
    readers.
    """

    project: str
    secret: str
    groups: tuple[str, ...] = ()
    readers: tuple[Reader, ...]

    @property
    def agree(self) -> bool:
        """Whether all of them read the same version."""
        return len({reader.version for reader in self.readers}) == 1


class Capacity(Frozen):
    """
    What a database or a connector may get at worst, in connections or instances, and how many it
    takes; None where that is not known. `parts` are the sums, `unknown` what is missing in them.
    """

    kind: Literal["database", "connector"]
    name: str
    total: int
    rollout: int = 0
    takes: int | None = None
    parts: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def exceeded(self) -> bool:
        """Whether it may get more than it takes."""
        return self.takes is not None and self.total > self.takes


def shared(fleet: Fleet) -> tuple[SharedSecret, ...]:
    """The secrets that the newest revisions of several services read, by project and name."""
    readers: dict[tuple[str, str], list[Reader]] = {}
    for snapshot in fleet.newest:
        for item, ref in snapshot.references:
            project, secret, version = fleet.read(snapshot, ref)
            if project != UNKNOWN:
                reader = Reader(at=snapshot.at(item), version=version)
                readers.setdefault((project, secret), []).append(reader)
    return tuple(
        SharedSecret(
            project=project,
            secret=secret,
            groups=tuple(_groups(fleet, found)),
            readers=tuple(sorted(found, key=lambda one: str(one.at))),
        )
        for (project, secret), found in sorted(readers.items())
        if len({reader.at.home for reader in found}) > 1
    )


def capacity(fleet: Fleet) -> tuple[Capacity, ...]:
    """Every database and connector that is watched, as the rules about them reckon."""
    databases = (
        Capacity(
            kind="database",
            name=demand.database.instance,
            total=demand.total,
            rollout=demand.rollout,
            takes=demand.takes,
            parts=tuple(demand.parts),
            unknown=tuple(
                f"{what} of {load.revision.address.service}" for load, what, _ in demand.unknown
            ),
        )
        for demand in fleet.once(demands)
    )
    connectors = (
        Capacity(
            kind="connector",
            name=passage.name,
            total=sum(passage.through.values()),
            takes=passage.carries,
            parts=tuple(
                f"{at.service} {most}" for at, most in sorted(passage.through.items(), key=_by_at)
            ),
        )
        for passage in fleet.once(passages)
    )
    return *databases, *connectors


def _by_at(one: tuple[Address, int]) -> str:
    return str(one[0])


def _groups(fleet: Fleet, readers: Iterable[Reader]) -> list[str]:
    """The groups of the policy that name a service and a key that read it."""
    found = (
        group.name
        for group in fleet.policy.group
        for reader in readers
        if reader.at.key in group.keys and group.covers(reader.at.home)
    )
    return list(dict.fromkeys(found))
