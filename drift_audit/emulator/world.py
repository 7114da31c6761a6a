"""
A world: the projects, services, revisions and secrets that the emulator answers with.

A readable YAML file. Cloud Run copies a service's whole configuration into every revision, and so
does a world: each revision says only what differs from the one before it.

    secrets:
      - {project: shop, name: jwt-key, versions: {1: destroyed, 2: enabled}, aliases: {prod: 2}}
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

import datetime as dt
import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from drift_audit import files, strict
from drift_audit.emulator.faults import Fault
from drift_audit.errors import InputError
from drift_audit.names import LAST_VERSION
from drift_audit.snapshot import Frozen
from drift_audit.strict import Refused

Json = dict[str, Any]

INT32 = 2**31 - 1


def _utc(at: dt.datetime) -> dt.datetime:
    """A time in UTC; one without a zone is meant so, wherever the emulator runs."""
    try:
        return at.astimezone(dt.UTC) if at.tzinfo else at.replace(tzinfo=dt.UTC)
    except OverflowError:
        raise ValueError("a time that no calendar has") from None


Instant = Annotated[dt.datetime, AfterValidator(_utc)]
Scheduled = Annotated[Fault, BeforeValidator(Fault.parse)]


class Part(Frozen):
    """Part of a world. YAML scalars arrive as text and are read by the field that holds them."""

    model_config = ConfigDict(strict=False)


class SecretKey(Part):
    """A variable or file that a secret fills."""

    secret: str
    version: str = "latest"
    project: str = ""

    def v2(self) -> Json:
        """As v2 spells it."""
        name = f"projects/{self.project}/secrets/{self.secret}" if self.project else self.secret
        return {"secret": name, "version": self.version}


Env = dict[str, Annotated[str | SecretKey | None, Field(union_mode="left_to_right")]]


class Sidecar(Part):
    """A container beside the one that requests reach."""

    name: str
    image: str
    env: Env = Field({}, repr=False)


class Configured(Part):
    """The configuration that revisions and jobs share, and who gave it when."""

    at: Instant
    by: str | None = None
    client: str | None = None
    container: str | None = None
    image: str | None = None
    env: Env = Field({}, repr=False)
    files: dict[str, SecretKey | None] = {}
    sidecars: tuple[Sidecar, ...] | None = None
    labels: dict[str, str | None] = {}
    service_account: str | None = None
    connector: str | None = None
    egress: Literal["all-traffic", "private-ranges-only", ""] | None = None
    cloud_sql: tuple[str, ...] | None = None
    cpu: str | None = None
    memory: str | None = None
    timeout: int | None = Field(None, ge=1, le=604_800)
    args: tuple[str, ...] | None = Field(None, repr=False)


class WorldRevision(Configured):
    """What one deploy changed. A key or label that is null is removed; what is not named stays."""

    name: str
    ready: bool = True
    concurrency: int | None = Field(None, ge=1, le=1_000)
    timeout: int | None = Field(None, ge=1, le=3_600)
    min_instances: int | None = Field(None, ge=0, le=INT32)
    max_instances: int | None = Field(None, ge=1, le=INT32)

    def after(self, before: WorldRevision | None) -> WorldRevision:
        """
        The whole configuration: what the revision before had, and on it what this one changes.
        """
        if before is None:
            return self
        fields = set(type(self).model_fields) - self.model_fields_set - {"ready"}
        kept = {name: getattr(before, name) for name in fields}
        for name in ("env", "files", "labels"):
            kept[name] = _merged(getattr(before, name), getattr(self, name))
        return self.but(**kept)


def _merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    return {k: v for k, v in ({**before, **after}).items() if v is not None}


class Traffic(Part):
    """Part of the requests: to `LATEST`, or to a revision by name."""

    to: str = "LATEST"
    percent: int = Field(0, ge=0, le=100)
    tag: str = ""


class Parent(Part):
    """What has revisions, oldest first: a service or a worker pool."""

    project: str
    region: str
    labels: dict[str, str] = {}
    revisions: tuple[WorldRevision, ...] = Field(min_length=1)

    def whole(self) -> list[WorldRevision]:
        """Every revision with its whole configuration, oldest first."""
        found: list[WorldRevision] = []
        for revision in self.revisions:
            found.append(revision.after(found[-1] if found else None))
        return found

    def _check(self, targets: Sequence[str], what: str) -> None:
        names = [r.name for r in self.revisions]
        _once(names, "revision")
        if not {"LATEST", *names}.issuperset(targets):
            raise ValueError(f"{what} to a revision that is not there")


class WorldService(Parent):
    """A service and its revisions, oldest first."""

    service: str
    ingress: Literal["all", "internal", "internal-and-cloud-load-balancing"] = "all"
    traffic: tuple[Traffic, ...] = (Traffic(percent=100),)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check([t.to for t in self.traffic], "traffic")
        return self

    @property
    def name(self) -> str:
        """The full resource name."""
        return f"projects/{self.project}/locations/{self.region}/services/{self.service}"


class Split(Part):
    """Part of a worker pool's instances: of `LATEST`, or of a revision by name."""

    to: str = "LATEST"
    percent: int = Field(0, ge=0, le=100)


class WorldPool(Parent):
    """A worker pool and its revisions, oldest first. Nothing sends requests to it."""

    worker_pool: str
    instances: int = Field(1, ge=0, le=INT32)
    splits: tuple[Split, ...] = (Split(percent=100),)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check([s.to for s in self.splits], "a split")
        return self

    @property
    def name(self) -> str:
        """The full resource name."""
        return f"projects/{self.project}/locations/{self.region}/workerPools/{self.worker_pool}"


class WorldJob(Configured):
    """A job. It has no revisions: its configuration is what was deployed last."""

    project: str
    region: str
    job: str
    tasks: int = Field(1, ge=1, le=INT32)
    parallelism: int = Field(0, ge=0, le=INT32)
    max_retries: int = Field(3, ge=0, le=INT32)

    @property
    def name(self) -> str:
        """The full resource name."""
        return f"projects/{self.project}/locations/{self.region}/jobs/{self.job}"


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
    secret's own IAM policy lets read payloads.
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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not set(self.aliases.values()) <= self.versions.keys():
            raise ValueError("an alias of a version that is not there")
        if not self.scheduled.keys() <= self.versions.keys():
            raise ValueError("a scheduled version that is not there")
        return self


_RUN = ("services", "revisions", "workerpools", "jobs")
READ_ONLY = (
    "run.locations.list",
    *(f"run.{what}.{verb}" for what in _RUN for verb in ("get", "list")),
    "secretmanager.secrets.get",
    "secretmanager.secrets.getIamPolicy",
    "secretmanager.secrets.list",
    "secretmanager.versions.get",
    "secretmanager.versions.list",
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
    denied: tuple[str, ...] = ()
    faults: tuple[Scheduled, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _once([s.name for s in self.services], "service")
        _once([p.name for p in self.worker_pools], "worker pool")
        _once([j.name for j in self.jobs], "job")
        _once([f"{s.project}/{s.name}" for s in self.secrets], "secret")
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
        placed: tuple[Parent | WorldJob | WorldSecret, ...]
        placed = (*self.services, *self.worker_pools, *self.jobs, *self.secrets)
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


def _once(names: Sequence[str], what: str) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"a {what} stands twice")


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
