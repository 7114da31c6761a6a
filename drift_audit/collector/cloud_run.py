"""
Collects live: Cloud Run through google's gRPC clients, and the metadata of the secrets it reads.

Pages are walked here, on raw protobuf. The library's pager keeps only the last `unreachable`,
follows a repeated token for ever, and sends calls without a deadline (`threats-and-promises.md`
§0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeVar

from google.cloud import run_v2

from drift_audit.collector.budget import Budget, Missing, Unanswered
from drift_audit.collector.connection import Connection
from drift_audit.collector.protobuf import to_json
from drift_audit.collector.resources import Resource, from_v2, join
from drift_audit.collector.secret_manager import SecretManager
from drift_audit.collector.secret_versions import Asked, Version, asked_by, with_versions
from drift_audit.inventory import Evidence, Inventory, Scope, Service, Twins, absent, by_age
from drift_audit.seal import Sealer
from drift_audit.snapshot import Address, Snapshot, Unseen
from drift_audit.strict import Refused

IN_FLIGHT = 16
PAGE_SIZE = 500
PAGES = 2_000
"""More than any list can have: a list that goes on after that many pages is not going to end."""

Progress = Callable[[str, int, int], None]
"""What is being read, how many are done, of how many."""

Item = TypeVar("Item")


class Location(NamedTuple):
    """A project and a region."""

    project: str
    region: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"


def _full_name(parent: Resource) -> str:
    at = parent.identity
    return f"projects/{at.project}/locations/{at.region}/services/{at.service}"


class CloudRun:
    """
    A source of snapshots. `services` are globs on names; of secrets only metadata is read.

    What does not answer is unseen and stands in the inventory; only missing credentials raise
    (SourceError).
    """

    def __init__(
        self,
        locations: Sequence[Location],
        services: Sequence[str],
        sealer: Sealer,
        budget: Budget,
        connection: Connection,
        progress: Progress = lambda *_: None,
    ) -> None:
        self._locations, self._globs = tuple(locations), tuple(services) or ("*",)
        self._sealer, self._budget, self._progress = sealer, budget, progress
        self._services, self._revisions = connection.cloud_run()
        self._secrets = SecretManager(connection.secret_manager(), budget)
        self._versions: dict[Asked, Version] = {}
        self._unseen: list[Unseen] = []
        self._names: set[str] = set()
        self._blind = False
        self._parents_by_place: dict[Address, Resource] = {}

    def collect(self) -> Inventory:
        """Read the services in scope, and of each the revisions that serve or are newest."""
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            listed = pool.map(self._parents, self._locations)
            parents = [parent for found in listed for parent in found]
            self._miss_absent()
            self._parents_by_place = {p.identity.address: p for p in parents}
            read = self._told("services", pool.map(self._service, parents), len(parents))
            services = [service for service in read if service is not None]
            asked = asked_by(r for s in services for r in s.revisions)
            resolved = pool.map(self._secrets.version, asked)
            self._versions = dict(self._told("secrets", resolved, len(asked)))
        return Inventory(
            scope=Scope(
                source="Cloud Run",
                projects=tuple(sorted({at.project for at in self._locations})),
                regions=tuple(sorted({at.region for at in self._locations})),
                services=self._globs,
            ),
            services=tuple(sorted(map(self._resolved, services), key=lambda s: str(s.address))),
            unseen=tuple(sorted({*self._unseen, *self._secrets.unseen}, key=lambda u: u.where)),
            evidence=frozenset({Evidence.SECRET_VERSIONS}),
            twins=tuple(Twins(places=places) for places in self._sealer.twins()),
            secrets=len(asked),
        )

    def chain(self, service: Service) -> Service:
        """
        The same service with every revision that still exists; a list that failed is unseen.
        """
        parent = self._parents_by_place[service.address]
        what = f"revisions of {_full_name(parent)}"
        request = run_v2.ListRevisionsRequest(parent=_full_name(parent), page_size=PAGE_SIZE)
        found = {r.identity.revision: r for r in service.revisions}
        try:
            for page in self._pages(what, self._revisions.list_revisions, request):
                for message in page.revisions:
                    resource = from_v2(to_json(message)).of(parent)
                    if resource.identity.revision not in found:
                        snapshot = resource.snapshot(self._sealer, service.traffic)
                        found[resource.identity.revision] = snapshot
        except (Unanswered, Missing, Refused) as error:
            missed = Unseen(where=what, reason=str(error) or "there is no such service any more")
            return service.but(unseen=(*service.unseen, missed))
        newest_first = sorted(found.values(), key=by_age, reverse=True)
        return self._resolved(service.but(revisions=tuple(newest_first), complete=True))

    def resolve(self, snapshot: Snapshot) -> Snapshot:
        """The same revision with every secret version it reads; what cannot be asked is unseen."""
        known = len(self._secrets.unseen)
        missing = [asked for asked in asked_by([snapshot]) if asked not in self._versions]
        self._versions |= dict(map(self._secrets.version, missing))
        unseen = (*snapshot.seen.unseen, *self._secrets.unseen[known:])
        found = with_versions(snapshot, self._versions, self._secrets.numbers)
        return found.but(seen=found.seen.but(unseen=unseen))

    def _parents(self, at: Location) -> list[Resource]:
        """The services of one location that match, without their revisions."""
        request = run_v2.ListServicesRequest(parent=str(at), page_size=PAGE_SIZE)
        found: list[Resource] = []
        try:
            for page in self._pages(f"services of {at}", self._services.list_services, request):
                for place in page.unreachable:
                    self._blind = True
                    self._miss(f"location {place}", "the API could not reach it")
                found += [r for m in page.services if (r := self._parent(m)) is not None]
        except (Unanswered, Missing) as error:
            self._blind = True
            self._miss(f"services of {at}", str(error) or "no such project or region")
        return found

    def _miss_absent(self) -> None:
        """
        Tell which services were asked for by name and are nowhere.

        Where a location could not be listed they may be there, and that is told already.
        """
        if not self._blind:
            self._unseen += absent(self._globs, self._names)

    def _parent(self, message: Any) -> Resource | None:
        name = message.name.rpartition("/")[2]
        self._names.add(name)
        if not any(fnmatchcase(name, glob) for glob in self._globs):
            return None
        try:
            return from_v2(to_json(message))
        except Refused as refused:
            self._miss(f"service {message.name}", str(refused))
            return None

    def _service(self, parent: Resource) -> Service | None:
        """A service with the revisions that serve, and the newest ones."""
        who = parent.identity
        ready = str((parent.parent or {}).get("latestReadyRevision", "")).rpartition("/")[2]
        try:
            serving = {t.revision for t in parent.traffic if t.percent}
            wanted = {who.revision, ready, *serving} - {""}
            snapshots = [s for name in sorted(wanted) if (s := self._revision(parent, name))]
            return join(parent, snapshots, self._sealer, complete=False)
        except Refused as refused:
            self._miss(f"service {who.address}", str(refused))
            return None

    def _revision(self, parent: Resource, name: str) -> Snapshot | None:
        full = f"{_full_name(parent)}/revisions/{name}"
        request = run_v2.GetRevisionRequest(name=full)
        try:
            reply = self._budget.call(f"get {full}", self._revisions.get_revision, request)
            found = from_v2(to_json(run_v2.Revision.pb(reply)))
            return found.of(parent).snapshot(self._sealer, parent.traffic)
        except (Unanswered, Missing, Refused) as error:
            self._miss(f"revision {full}", str(error) or "it does not exist any more")
            return None

    def _pages(self, what: str, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """
        Raw pages to the last one. An empty page with a token goes on; a token that comes twice
        does not.

        Raises Unanswered and Missing.
        """
        tokens: set[str] = set()
        for number in range(1, PAGES + 1):
            reply = self._budget.call(f"list {what}, page {number}", method, request)
            page = type(first := next(reply.pages)).pb(first)
            yield page
            if not page.next_page_token:
                return
            if page.next_page_token in tokens:
                raise Unanswered("the list repeats a page")
            tokens.add(page.next_page_token)
            request.page_token = page.next_page_token
        raise Unanswered(f"the list goes on after {PAGES} pages")

    def _miss(self, where: str, reason: str) -> None:
        self._unseen.append(Unseen(where=where, reason=reason))

    def _resolved(self, service: Service) -> Service:
        versions, numbers = self._versions, self._secrets.numbers
        revisions = (with_versions(r, versions, numbers) for r in service.revisions)
        return service.but(revisions=tuple(revisions))

    def _told(self, what: str, results: Iterable[Item], total: int) -> Iterator[Item]:
        for done, result in enumerate(results, 1):
            self._progress(what, done, total)
            yield result
