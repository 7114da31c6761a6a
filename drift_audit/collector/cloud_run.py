"""
Collects live: Cloud Run through google's gRPC clients, and the metadata of the secrets it reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

from drift_audit.collector import regions
from drift_audit.collector.api import IN_FLIGHT, LISTS, Api, Location
from drift_audit.collector.budget import Budget, Missing, Unanswered
from drift_audit.collector.connection import Connection
from drift_audit.collector.gather import Gatherer
from drift_audit.collector.listing import Message
from drift_audit.collector.parents import Parent, Wanted
from drift_audit.collector.secret_manager import SecretManager
from drift_audit.collector.secret_versions import (
    Asked,
    all_with_versions,
    asked_by,
    spelled,
    with_versions,
    without_versions,
)
from drift_audit.collector.series import Series
from drift_audit.collector.settings import with_invokers
from drift_audit.inventory import (
    Evidence,
    Inventory,
    Memory,
    NoMemory,
    Remembered,
    Scope,
    Service,
    Twins,
    absent,
    by_age,
)
from drift_audit.names import KINDS, Kind
from drift_audit.seal import Sealer
from drift_audit.snapshot import Address, Snapshot, Unseen
from drift_audit.strict import Refused

AT_ONCE = 100
"""Revisions that are held while their secrets are looked up."""

Progress = Callable[[str, int, int], None]
"""What is being read, how many are done, of how many."""

Depth = Literal["names", "versions", "readers"]
"""
How far the secrets are looked at that revisions read: not beyond their names, which the revisions
tell, or what their versions are, or also who may read them.
"""

Item = TypeVar("Item")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Where:
    """
    Where to look, and for what. Without regions, those that Cloud Run names for each project.

    `services` are globs on the names of services, worker pools and jobs. Of all that is in scope,
    `mine` tells what falls to this process, where a `run` has several.
    """

    projects: Sequence[str]
    regions: Sequence[str] = ()
    services: Sequence[str] = ("*",)
    kinds: Sequence[Kind] = KINDS
    mine: Callable[[Address], bool] = lambda _: True
    run: str = ""


class CloudRun:
    """
    A source of snapshots. Of secrets only metadata is read.

    What does not answer is unseen and stands in the inventory; only missing credentials raise
    (SourceError).
    """

    def __init__(
        self,
        where: Where,
        sealer: Sealer,
        budget: Budget,
        connection: Connection,
        progress: Progress = lambda *_: None,
        memory: Memory | None = None,
        secrets: Depth = "versions",
    ) -> None:
        self._where, self._globs = where, tuple(where.services) or ("*",)
        self._sealer, self._budget, self._progress = sealer, budget, progress
        self._connection = connection
        self._calls = ThreadPoolExecutor(IN_FLIGHT, "call")
        self._places = ThreadPoolExecutor(LISTS, "place")
        self._api = Api(connection, budget)
        self._secrets = SecretManager(connection.secret_manager(), budget, self._calls)
        self._memory, self._depth = memory or NoMemory(), secrets
        self._parents: dict[Address, Parent] = {}
        self._read: dict[Address, Service] = {}

    def collect(self) -> Inventory:
        """Read the services in scope, and of each the revisions that serve or are newest."""
        locations, unseen = self._locations()
        pairs = [(at, kind) for at in locations for kind in self._where.kinds]
        read = self._places.map(lambda pair: self._gatherer(*pair).gather(), pairs)
        gathered = list(self._told("lists", read, len(pairs)))
        for found in gathered:
            parents = zip(found.services, found.parents, strict=True)
            self._parents |= {service.address: parent for service, parent in parents}
            self._read |= {service.address: service for service in found.services}
        dark = {at for (at, _), found in zip(pairs, gathered, strict=True) if found.blind}
        blind = bool(unseen or dark)
        unseen += [missed for found in gathered for missed in found.unseen]
        if not blind:  # where something could not be listed they may be there, as is told already
            unseen += absent(self._globs, {name for found in gathered for name in found.names})
        services = [service for found in gathered for service in found.services]
        asked = self._asked(r for s in services for r in _in_use(s))
        self._resolve(asked)
        if self._depth == "readers":
            self._secrets.look_at_policies(asked)
            services = list(self._calls.map(self._with_invokers, services))
        return Inventory(
            locations=len(locations),
            listed=len(locations) - len(dark),
            scope=self._scope(locations),
            services=tuple(sorted(map(self._resolved, services), key=lambda s: str(s.address))),
            unseen=tuple(sorted({*unseen, *self._secrets.unseen}, key=lambda u: u.order)),
            evidence=frozenset({Evidence.SECRET_VERSIONS} if self._depth != "names" else ()),
            twins=tuple(
                Twins(mark=mark, places=places)
                for mark, places in self._sealer.twins(self._where.run)
            ),
            secrets=frozenset(spelled(asked)),
            remembered=frozenset(at for at, p in self._parents.items() if p.known is not None),
        )

    def _scope(self, locations: Iterable[Location]) -> Scope:
        return Scope(
            source="Cloud Run",
            projects=tuple(sorted(set(self._where.projects))),
            regions=tuple(sorted({at.region for at in locations})),
            regions_found=not self._where.regions,
            services=self._globs,
            kinds=tuple(self._where.kinds),
        )

    def remember(self) -> Iterator[Remembered]:
        """
        What a later run need not read again: every service that was read whole, with all that was
        read of its history, and nothing of what can change without it. What stands as it was
        remembered is not told again.
        """
        for at, service in self._read.items():
            if service is self._parents[at].known:
                continue
            if service.kind != "job" and not service.unseen and _read_whole(service):
                revisions = tuple(map(without_versions, service.revisions))
                bare = service.but(revisions=revisions)
                yield Remembered(mark=self._parents[at].seal_mark, service=bare)

    def every(self) -> Iterator[Snapshot | Unseen]:
        """Every revision in scope that still exists, as it is read, and what could not be read."""
        locations, unseen = self._locations()
        yield from unseen
        gatherers = [self._gatherer(at, kind) for at in locations for kind in self._where.kinds]
        read = (one for gatherer in gatherers for one in gatherer.every(self._places))
        for batch in _batched(read, AT_ONCE):
            snapshots = [one for one in batch if isinstance(one, Snapshot)]
            known = len(self._secrets.unseen)
            self._resolve(self._asked(snapshots), more_to_come=True)
            yield from all_with_versions(snapshots, self._secrets.known, self._secrets.numbers)
            yield from (one for one in batch if isinstance(one, Unseen))
            yield from self._secrets.unseen[known:]
        gathered = [gatherer.found for gatherer in gatherers]
        if not unseen and not any(found.blind for found in gathered):
            yield from absent(self._globs, {name for found in gathered for name in found.names})

    def chain(self, service: Service) -> Service:
        """
        The same service with every revision that still exists, up to its newest one; a list that
        failed, or that lacks what the service itself names, is unseen.
        """
        if service.complete:
            return service
        try:
            found = self._history(service, self._parents[service.address])
        except (Unanswered, Missing, Refused) as error:
            what = f"revisions of {self._parents[service.address].name}"
            missed = Unseen(where=what, reason=str(error) or "there is no such service any more")
            return service.but(unseen=(*service.unseen, missed))
        newest_first = tuple(sorted(found, key=by_age, reverse=True))
        known = self._read[service.address].but(revisions=newest_first, complete=True)
        self._read[service.address] = known
        return self._resolved(service.but(revisions=newest_first, complete=True))

    def _with_invokers(self, service: Service) -> Service:
        """A service with who may invoke it; a policy that cannot be read is unseen."""
        if service.kind != "service" or service.settings is None:
            return service
        name = self._parents[service.address].name
        try:
            members = self._api.invokers(_location(service), name)
            return service.but(settings=with_invokers(service.settings, members))
        except (Unanswered, Missing) as error:
            reason = str(error) or "there is no such service any more"
            missed = Unseen(where=f"invokers of {name}", reason=reason)
            return service.but(unseen=(*service.unseen, missed))

    def _history(self, service: Service, parent: Parent) -> Collection[Snapshot]:
        """What was read of a service and all else that is listed of it. Raises what a call does."""
        found = {r.identity.revision: r for r in service.revisions}
        series = Series(parent.resource, self._sealer)
        unlisted = set(service.named)
        for message in self._api.revisions(_location(service), parent.name):
            name = message.name.rpartition("/")[2]
            unlisted.discard(name)
            if name not in found and not _later(message, service):
                found[name] = series.snapshot(message)
        if unlisted:
            raise Unanswered(f"the list lacks {', '.join(sorted(unlisted))}")
        return found.values()

    def resolve(self, snapshot: Snapshot) -> Snapshot:
        """The same revision with every secret version it reads; what cannot be asked is unseen."""
        known = len(self._secrets.unseen)
        self._resolve(self._asked([snapshot]))
        unseen = (*snapshot.seen.unseen, *self._secrets.unseen[known:])
        found = with_versions(snapshot, self._secrets.known, self._secrets.numbers)
        return found.but(seen=found.seen.but(unseen=unseen))

    def _locations(self) -> tuple[list[Location], list[Unseen]]:
        """The places to look at; a project whose regions cannot be had is unseen."""
        projects = list(dict.fromkeys(self._where.projects))
        if self._where.regions:
            return [
                Location(p, r) for p in projects for r in dict.fromkeys(self._where.regions)
            ], []
        rest = self._connection.rest()
        found: list[Location] = []
        unseen: list[Unseen] = []
        listed = self._calls.map(lambda p: regions.of(p, rest, self._budget), projects)
        for project, told in zip(projects, listed, strict=True):
            if isinstance(told, Unseen):
                unseen.append(told)
            else:
                _log.info("regions of %s: %s", project, ", ".join(told) or "none")
                found += [Location(project, region) for region in told]
        return found, unseen

    def _gatherer(self, at: Location, kind: Kind) -> Gatherer:
        family = self._api.families[kind]
        wanted = Wanted(self._globs, self._where.mine)
        return Gatherer(self._api, at, family, wanted, self._sealer, self._calls, self._memory)

    def _asked(self, snapshots: Iterable[Snapshot]) -> list[Asked]:
        """The secret versions to look up."""
        return asked_by(snapshots) if self._depth != "names" else []

    def _resolve(self, asked: Sequence[Asked], *, more_to_come: bool = False) -> None:
        secrets = {(project, secret) for project, secret, _ in asked}
        done = self._secrets.resolve(asked, more_to_come=more_to_come)
        for _ in self._told("secrets", done, len(secrets)):
            pass

    def _resolved(self, service: Service) -> Service:
        known, numbers, readers = self._secrets.known, self._secrets.numbers, self._secrets.readers
        revisions = all_with_versions(service.revisions, known, numbers, readers)
        return service.but(revisions=tuple(revisions))

    def _told(self, what: str, results: Iterable[Item], total: int) -> Iterator[Item]:
        for done, result in enumerate(results, 1):
            self._progress(what, done, total)
            yield result


def _location(service: Service) -> Location:
    return Location(service.project, service.region)


def _in_use(service: Service) -> list[Snapshot]:
    """The revisions that are judged or named: those of the past come from an earlier run."""
    named = {service.latest_created, *service.named}
    return [r for r in service.revisions if r.identity.revision in named]


def _read_whole(service: Service) -> bool:
    """Tell whether no template stands in for a revision that could not be read: it has no uid."""
    return all(r.identity.uid for r in service.revisions)


def _later(message: Message, service: Service) -> bool:
    """Tell whether a revision was deployed after all that the service named when it was read."""
    newest = service.newest.identity.create_time if service.newest else None
    if newest is None or not message.HasField("create_time"):
        return False
    created: bool = message.create_time.ToMilliseconds() > newest.timestamp() * 1000
    return created


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of so many items, as they come; the last may be shorter."""
    some = iter(items)
    while batch := list(islice(some, size)):
        yield batch
