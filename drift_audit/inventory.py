"""
What was found in scope: services, their revisions as far as they were read, and what was not seen.

Live collection and files both end here, so everything below is the same for both.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Protocol

from drift_audit import names
from drift_audit.binding import Seal
from drift_audit.frozen import Frozen
from drift_audit.limits import Limits
from drift_audit.snapshot import Address, Kind, Setting, Snapshot, Unseen

LATEST = "LATEST"
"""gcloud's word for the newest revision that was created."""


class Evidence(StrEnum):
    """What a rule may need besides the two snapshots."""

    SECRET_VERSIONS = "the state of secret versions"


class TrafficTarget(Frozen):
    """
    Where requests go. `latest` follows every deploy; a tag can point at a revision with 0
    percent.
    """

    revision: str
    percent: int = 0
    tag: str = ""
    latest: bool = False


def share(targets: Iterable[TrafficTarget], revision: str) -> tuple[int, tuple[str, ...]]:
    """
    The percentage of a revision, and its tags. What has no name yet gets what follows the newest.
    """
    mine = [t for t in targets if t.revision == revision and (revision or t.latest)]
    return sum(t.percent for t in mine), tuple(sorted(t.tag for t in mine if t.tag))


class Service(Frozen):
    """
    One service as it was found; one that is deleted and created anew has another `uid`.

    `revisions` holds those that were read, newest first; `complete` says whether they are all that
    still exist. A template that no revision was made of yet (a manifest in git) stands first and
    has no revision name. `settings` is what changes without a new revision, as it stands now;
    None where only revisions were read.
    """

    project: str
    region: str
    service: str
    kind: Kind = "service"
    uid: str = ""
    latest_created: str = ""
    latest_ready: str = ""
    traffic: tuple[TrafficTarget, ...] = ()
    settings: tuple[Setting, ...] | None = None
    revisions: tuple[Snapshot, ...] = ()
    complete: bool = False
    unseen: tuple[Unseen, ...] = ()

    @property
    def address(self) -> Address:
        """The address of the service, worker pool or job."""
        place = names.place(self.kind, self.service)
        return Address(project=self.project, region=self.region, service=place)

    def revision(self, name: str) -> Snapshot | None:
        """The revision of that name, if it was read."""
        return next((r for r in self.revisions if r.identity.revision == name), None)

    @property
    def newest(self) -> Snapshot | None:
        """
        The revision created last, as the service names it; without a service, the first one read.
        """
        return self.revision(self.latest_created) or next(iter(self.revisions), None)

    @property
    def named(self) -> frozenset[str]:
        """
        The revisions that the service itself speaks of: newest, newest Ready, and all that traffic
        or a tag points at. Who has read these has not lost a page.
        """
        targets = {t.revision or (self.latest_ready if t.latest else "") for t in self.traffic}
        return frozenset({self.latest_created, self.latest_ready, *targets} - {""})

    @property
    def serving(self) -> tuple[str, ...]:
        """Names of the revisions that answer requests, by share, largest first."""
        shares: dict[str, int] = {}
        for target in self.traffic:
            name = target.revision or (self.latest_ready if target.latest else "")
            shares[name] = shares.get(name, 0) + target.percent
        return tuple(sorted((n for n, p in shares.items() if p > 0), key=lambda n: (-shares[n], n)))


class Remembered(Frozen):
    """
    A service as an earlier run read it, and the mark of what Cloud Run listed of it then. Revisions
    never change: where the mark is the same, so is all that was read.
    """

    mark: str
    service: Service


class Memory(Protocol):
    """What earlier runs read."""

    def recall(self, at: Address) -> Remembered | None:
        """A service as it was read last, if it was."""

    def services(self, project: str, region: str) -> Collection[Address]:
        """The services that were there."""

    def forget(self, at: Address) -> None:
        """Drop a service that is not there any more."""


class NoMemory:
    """The memory of a first run."""

    def recall(self, at: Address) -> Remembered | None:  # noqa: ARG002
        """Nothing."""
        return None

    def services(self, project: str, region: str) -> Collection[Address]:  # noqa: ARG002
        """None."""
        return ()

    def forget(self, at: Address) -> None:
        """Nobody asks for that: nothing was there."""
        raise AssertionError(f"{at} was never known")


class Scope(Frozen):
    """
    What the audit was asked to look at, as the report repeats it. `services` are globs on names; a
    part that is empty leaves that part open. `regions_found` says that the regions are those that
    the API named.
    """

    source: str = ""
    projects: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    regions_found: bool = False
    services: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()

    def covers(self, at: Address) -> bool:
        """
        Tell whether a service lies in it; a job or worker pool goes by its own name. Where the API
        was asked for the regions, every region does.
        """
        name, kind = names.taken_apart(at.service)
        return (
            (not self.projects or at.project in self.projects)
            and (not self.regions or self.regions_found or at.region in self.regions)
            and (not self.services or any(fnmatchcase(name, g) for g in self.services))
            and (not self.kinds or kind in self.kinds)
        )

    @property
    def question(self) -> tuple[object, ...]:
        """What was asked for: regions that the API names may be others on another day."""
        regions = () if self.regions_found else self.regions
        return self.source, self.projects, regions, self.services, self.kinds

    @property
    def open(self) -> bool:
        """Whether it leaves everything open."""
        return not (self.projects or self.regions or self.services or self.kinds)


class Twins(Frozen):
    """
    Places that hold the same plain credential, each with its seal there. Known only inside the run
    that read them: stored seals cannot be matched between services. Where the run has parts, `mark`
    is the same in all of them for the same value, and in no other run.
    """

    places: tuple[tuple[Address, Seal | None], ...]
    mark: str = ""


class Inventory(Frozen):
    """
    Everything that was read in one run, and everything that was not. Of the locations that were
    looked at, `listed` were listed to the end. `secrets` names the versions that were asked for.
    `limits` is None where nobody asked for them.
    """

    scope: Scope
    locations: int = 0
    listed: int = 0
    services: tuple[Service, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    evidence: frozenset[Evidence] = frozenset()
    twins: tuple[Twins, ...] = ()
    secrets: frozenset[str] = frozenset()
    limits: Limits | None = None
    remembered: frozenset[Address] = frozenset()
    """Services that stand as an earlier run read them, so that no value was read of them now."""

    def contents(self) -> Iterator[Snapshot | Unseen]:
        """Every revision that was read, and what could not be read."""
        yield from self.unseen
        for service in self.services:
            yield from service.unseen
            yield from service.revisions


def absent(asked: Iterable[str], found: Collection[str]) -> list[Unseen]:
    """
    The services that were asked for by name and not found. A glob may match nothing, a name may
    not: a service that is gone, or misspelled, must not pass for one that was audited.
    """
    named = (name for name in dict.fromkeys(asked) if not names.is_glob(name))
    reason = "was asked for and not found"
    return [Unseen(where=f"service {n}", reason=reason) for n in named if n not in found]


def by_age(snapshot: Snapshot) -> tuple[dt.datetime, int, str]:
    """
    Sort key from oldest to newest.

    Names carry no order (`cloud-run-api.md` §7): creation time decides, then generation. What was
    not created yet comes last.
    """
    at = snapshot.identity.create_time or dt.datetime.max.replace(tzinfo=dt.UTC)
    return at, snapshot.identity.generation or 0, snapshot.identity.revision
