"""
A collector as one would write it first: it trusts google's pager, takes what fails for absent, and
looks once. The control of the fault campaign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import run_v2, secretmanager_v1

from drift_audit.collector.budget import Budget
from drift_audit.collector.connection import Connection
from drift_audit.collector.protobuf import to_json
from drift_audit.collector.resources import Resource, from_v2, join
from drift_audit.collector.secret_versions import Asked, Version, asked_by, with_versions
from drift_audit.emulator.server import Emulator
from drift_audit.inventory import Evidence, Inventory, Remembered, Scope, Service
from drift_audit.snapshot import Address, Snapshot
from tests.builders import sealer
from tests.campaign import Stage

Item = TypeVar("Item")

SECONDS = 2.0

PATIENCE = 20
"""Pages after which even this one stops to follow a list that goes in circles."""


class Naive:
    """Services of one region, with the revisions that they name."""

    def __init__(self, stage: Stage, emulator: Emulator, budget: Budget) -> None:
        connection = Connection(emulator.address, emulator.address)
        self._clients, self._secrets = connection.cloud_run(), connection.secret_manager()
        self._sealer = sealer()
        self._parents: dict[Address, tuple[str, Resource]] = {}

    def collect(self) -> Inventory:
        """What could be read."""
        place = "projects/shop/locations/europe-west1"
        services = []
        for message in _listed(self._clients.services.list_services, place, "services"):
            name, parent = message.name, from_v2(to_json(type(message).pb(message)))
            wanted = {t.revision for t in parent.traffic} | {parent.identity.revision}
            full = [f"{name}/revisions/{one}" for one in sorted(wanted - {""})]
            read = [r for one in full if (r := self._revision(one, parent))]
            service = join(parent, read, self._sealer, complete=False).but(unseen=())
            self._parents[service.address] = (name, parent)
            services.append(service)
        asked = asked_by(r for s in services for r in s.revisions)
        versions = {one: found for one in asked if (found := self._version(one))}
        told = [
            s.but(revisions=tuple(with_versions(r, versions, {}) for r in s.revisions))
            for s in services
        ]
        return Inventory(
            scope=Scope(source="Cloud Run", projects=("shop",)),
            services=tuple(told), evidence=frozenset({Evidence.SECRET_VERSIONS}),
        )  # fmt: skip

    def chain(self, service: Service) -> Service:
        """The service with all its revisions that could be listed."""
        name, parent = self._parents[service.address]
        found = {r.revision: r for r in service.revisions}
        for one in _listed(self._clients.revisions.list_revisions, name, "revisions"):
            read = from_v2(to_json(run_v2.Revision.pb(one))).of(parent)
            found.setdefault(read.identity.revision, read.snapshot(self._sealer, parent.traffic))
        newest_first = sorted(found.values(), key=lambda r: r.revision, reverse=True)
        return service.but(revisions=tuple(newest_first), complete=True)

    def resolve(self, snapshot: Snapshot) -> Snapshot:
        """The same: it looks nothing up."""
        return snapshot

    def every(self) -> Iterator[Any]:
        """Nothing."""
        return iter(())

    def remember(self) -> Iterable[Remembered]:
        """Nothing."""
        return ()

    def _revision(self, name: str, parent: Resource) -> Snapshot | None:
        found = _tried(
            lambda: self._clients.revisions.get_revision(name=name, timeout=SECONDS, retry=None),
            None,
        )
        if found is None:
            return None
        return from_v2(to_json(run_v2.Revision.pb(found))).of(parent).snapshot(self._sealer, ())

    def _version(self, asked: Asked) -> Version | None:
        project, secret, version = asked
        name = f"projects/{project}/secrets/{secret}/versions/{version}"
        found = _tried(
            lambda: self._secrets.get_secret_version(name=name, timeout=SECONDS, retry=None), None
        )
        if found is None:
            return Version(None, "not-found")
        state = secretmanager_v1.SecretVersion.State(found.state).name.lower()
        return Version(int(found.name.rpartition("/")[2]), state)


def _listed(method: Callable[..., Any], parent: str, field: str) -> list[Any]:
    """What the pages of google's pager hold until it ends, or breaks off."""
    found: list[Any] = []
    with suppress(GoogleAPICallError):
        pager = method(parent=parent, timeout=SECONDS, retry=None)
        for page in islice(pager.pages, PATIENCE):
            found.extend(getattr(page, field))
    return found


def _tried(call: Callable[[], Item], otherwise: Item) -> Item:
    """What a call gives, or something else where it fails."""
    try:
        return call()
    except GoogleAPICallError:
        return otherwise
