"""
A world: the projects, services, revisions, secrets, databases and connectors that the emulator
answers with.

A readable YAML file. Cloud Run copies a service's whole configuration into every revision, and so
does a world: each revision says only what differs from the one before it.

    secrets:
      - {project: shop, name: jwt-key, versions: {1: destroyed, 2: enabled}, aliases: {prod: 2}}
    databases:
      - {project: shop, region: europe-west1, database: main, tier: db-custom-2-7680}
    connectors:
      - {project: shop, region: europe-west1, connector: shop-vpc, max_instances: 5}
    jobs:
      - project: shop
        region: europe-west1
        job: nightly
        at: 2026-01-01T08:00:00Z
        image: europe-docker.pkg.dev/shop/api/nightly:1
        tasks: 3
    services:
      - project: shop
        region: europe-west1
        service: api
        revisions:
          - name: api-00001-abc
            at: 2026-01-01T08:00:00Z
            by: deployer@example.com
            image: europe-docker.pkg.dev/shop/api/api:1
            env: {LOG_LEVEL: info, JWT_KEY: {secret: jwt-key, version: "2"}}
          - name: api-00002-def
            at: 2026-01-02T08:00:00Z
            env: {JWT_KEY: null}
"""

from __future__ import annotations

import zlib
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from drift_audit import files, strict
from drift_audit.emulator.deployed import (
    INT32,
    Instant,
    Parent,
    Part,
    WorldJob,
    WorldPool,
    WorldService,
    once,
)
from drift_audit.emulator.faults import Fault
from drift_audit.emulator.reached import WorldConnector, WorldDatabase
from drift_audit.errors import InputError
from drift_audit.names import LAST_VERSION
from drift_audit.strict import Refused

Scheduled = Annotated[Fault, BeforeValidator(Fault.parse)]

State = Literal["enabled", "disabled", "destroyed"]


class Rotation(Part):
    """When a secret is to be rotated next, and every how many seconds."""

    next: Instant
    period: int | None = Field(None, ge=3_600, le=3_153_600_000)


Number = Annotated[int, Field(ge=1, le=LAST_VERSION)]


class WorldSecret(Part):
    """
    A secret, its versions and its aliases.

    `scheduled` tells when versions are to be destroyed; `accessors` are the members that the
    secret's own IAM policy lets read payloads. `payloads` is what versions hold that the caller may
    read; of all others reading is refused.
    """

    project: str
    name: str
    versions: dict[Number, State] = {}
    aliases: dict[str, int] = {}
    created: Instant | None = None
    expires: Instant | None = None
    rotates: Rotation | None = None
    scheduled: dict[Number, Instant] = {}
    accessors: tuple[str, ...] = ()
    payloads: dict[Number, str] = Field({}, repr=False)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.payloads.keys() <= self.versions.keys():
            raise ValueError("a payload of a version that is not there")
        if not set(self.aliases.values()) <= self.versions.keys():
            raise ValueError("an alias of a version that is not there")
        if not self.scheduled.keys() <= self.versions.keys():
            raise ValueError("a scheduled version that is not there")
        return self


_RUN = ("services", "revisions", "workerpools", "jobs")
READ_ONLY = (
    "run.locations.list",
    *(f"run.{what}.{verb}" for what in _RUN for verb in ("get", "list")),
    "run.services.getIamPolicy",
    "secretmanager.secrets.get",
    "secretmanager.secrets.getIamPolicy",
    "secretmanager.secrets.list",
    "secretmanager.versions.get",
    "secretmanager.versions.list",
    "cloudsql.instances.get",
    "vpcaccess.connectors.get",
)
"""What a read-only auditor needs (`cloud-run-api.md` §5.3)."""


class World(Part):
    """
    Everything the emulator knows. Requests for names under `denied` are refused; no page holds more
    than `page` items, whatever was asked for.

    `locations` and `permissions` tell by project what the APIs answer: the regions of what the
    world holds, and what a read-only auditor needs, unless something else is said. `permissions`
    is an answer alone and refuses nothing. `caller` is who the emulator takes its clients for,
    `faults` what goes wrong (`drift_audit.emulator.faults`).
    """

    page: int = Field(100, ge=1, le=INT32)
    caller: str = "caller@example.com"
    numbers: dict[str, str] = {}
    locations: dict[str, tuple[str, ...]] = {}
    permissions: dict[str, tuple[str, ...]] = {}
    services: tuple[WorldService, ...] = ()
    worker_pools: tuple[WorldPool, ...] = ()
    jobs: tuple[WorldJob, ...] = ()
    secrets: tuple[WorldSecret, ...] = ()
    databases: tuple[WorldDatabase, ...] = ()
    connectors: tuple[WorldConnector, ...] = ()
    denied: tuple[str, ...] = ()
    faults: tuple[Scheduled, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        once([s.name for s in self.services], "service")
        once([p.name for p in self.worker_pools], "worker pool")
        once([j.name for j in self.jobs], "job")
        once([f"{s.project}/{s.name}" for s in self.secrets], "secret")
        once([d.name for d in self.databases], "database")
        once([c.name for c in self.connectors], "connector")
        return self

    def denies(self, name: str) -> bool:
        """Tell whether a resource is denied, itself or with what it stands in."""
        return any(f"{name}/".startswith(f"{one}/") for one in self.denied)

    def number(self, project: str) -> str:
        """The number of a project: one that is made up from its id, where the world tells none."""
        if project.isdecimal():
            return project
        return self.numbers.get(project) or str(10**11 + zlib.crc32(project.encode()))

    def project(self, name: str) -> str:
        """The id of a project that is named by id or by number."""
        placed: tuple[Parent | WorldJob | WorldSecret | WorldDatabase | WorldConnector, ...]
        placed = (*self.services, *self.worker_pools, *self.jobs, *self.secrets)
        placed = (*placed, *self.databases, *self.connectors)
        known = {one.project for one in placed} | self.numbers.keys()
        return next((p for p in sorted(known) if self.number(p) == name), name)

    def regions(self, project: str) -> list[str]:
        """The locations of a project."""
        if project in self.locations:
            return list(self.locations[project])
        placed: tuple[Parent | WorldJob, ...]
        placed = (*self.services, *self.worker_pools, *self.jobs)
        return sorted({one.region for one in placed if one.project == project})

    def held(self, project: str) -> tuple[str, ...]:
        """The permissions that the caller has in a project."""
        return self.permissions.get(project, READ_ONLY)


def read_world(document: Any, file: str, text: str = "") -> World:
    """
    A world from a document that was read strictly. Raises InputError with the place, and with its
    line where the text is given.
    """
    try:
        return World.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        line = strict.line_of(text, 0, first["loc"]) if text else None
        where = f"{file}:{line}" if line else file
        place = ".".join(str(part) for part in first["loc"]) or "the world"
        why = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: bad-world: {place}: {why}") from None


def load_world(path: str) -> World:
    """A world from a YAML file. Raises InputError with the file and the place in it."""
    try:
        text = strict.decode(files.read(path))
        documents = strict.load(text)
    except Refused as refused:
        where = f"{path}:{refused.line}" if refused.line else path
        raise InputError(f"{where}: {refused}") from None
    if len(documents) > 1:
        raise InputError(f"{path}: bad-world: the world: more than one document")
    return read_world(documents[0], path, text)
