"""
What a location lists of one kind: services, worker pools and jobs as they were listed, and what of
them is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property

from drift_audit import names
from drift_audit.collector.listing import Message
from drift_audit.collector.protobuf import to_json
from drift_audit.collector.resources import Resource, from_v2
from drift_audit.inventory import Service
from drift_audit.snapshot import Address, Unseen

MOST_NAMED = 3
"""Services asked for by name are read one by one up to so many; more are cheaper to list."""


@dataclass(frozen=True)
class Parent:
    """
    A service, worker pool or job as it was listed: the revisions it names, or what is known of it
    already.
    """

    name: str
    message: Message = field(repr=False)
    seal_mark: str
    known: Service | None = None

    @cached_property
    def mark(self) -> tuple[str, ...]:
        """What moves when it is changed or deployed."""
        return mark(self.message)

    @cached_property
    def resource(self) -> Resource:
        """The same, taken apart. Raises Refused."""
        return from_v2(to_json(self.message))

    @cached_property
    def wanted(self) -> frozenset[str]:
        """Full names of the revisions it names: newest, newest Ready, and all in its traffic."""
        if self.resource.identity.kind == "job":
            return frozenset()
        ready = str((self.resource.parent or {}).get("latestReadyRevision", ""))
        named = {self.resource.identity.revision, ready.rpartition("/")[2]}
        named |= {target.revision for target in self.resource.traffic}
        return frozenset(f"{self.name}/revisions/{revision}" for revision in named - {""})


@dataclass
class Gathered:
    """
    What was found. `names` are those of everything that is there, in scope or not; `blind` says
    that there may be more.
    """

    services: list[Service] = field(default_factory=list)
    parents: list[Parent] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    blind: bool = False


@dataclass(frozen=True)
class Wanted:
    """What is in scope: globs on names, and what of it falls to this process."""

    globs: Collection[str]
    mine: Callable[[Address], bool]

    def covers(self, name: str, at: Address) -> bool:
        """Tell whether something by that name, which lies there, is to be read."""
        return any(fnmatchcase(name, glob) for glob in self.globs) and self.mine(at)

    @property
    def named(self) -> list[str]:
        """The services that were asked for by name, where that is all and they are few."""
        few = len(self.globs) <= MOST_NAMED
        return list(self.globs) if few and not any(map(names.is_glob, self.globs)) else []


def mark(message: Message) -> tuple[str, ...]:
    """What moves when a service is changed or deployed."""
    told = ("uid", "generation", "etag", "latest_created_revision", "latest_ready_revision")
    return tuple(str(getattr(message, name, "")) for name in told)
