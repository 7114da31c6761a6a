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
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from drift_audit import files, strict
from drift_audit.errors import InputError
from drift_audit.names import LAST_VERSION
from drift_audit.snapshot import Frozen
from drift_audit.strict import Refused

Json = dict[str, Any]

SCALE = "TRAFFIC_TARGET_ALLOCATION_TYPE_"


INT32 = 2**31 - 1


def _utc(at: dt.datetime) -> dt.datetime:
    """A time in UTC; one without a zone is meant so, wherever the emulator runs."""
    try:
        return at.astimezone(dt.UTC) if at.tzinfo else at.replace(tzinfo=dt.UTC)
    except OverflowError:
        raise ValueError("a time that no calendar has") from None


Instant = Annotated[dt.datetime, AfterValidator(_utc)]


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
    env: Env = {}


class WorldRevision(Part):
    """What one deploy changed. A key or label that is null is removed; what is not named stays."""

    name: str
    at: Instant
    by: str | None = None
    client: str | None = None
    ready: bool = True
    container: str | None = None
    image: str | None = None
    env: Env = {}
    files: dict[str, SecretKey | None] = {}
    sidecars: tuple[Sidecar, ...] | None = None
    labels: dict[str, str | None] = {}
    service_account: str | None = None
    connector: str | None = None
    egress: Literal["all-traffic", "private-ranges-only", ""] | None = None
    cloud_sql: tuple[str, ...] | None = None
    cpu: str | None = None
    memory: str | None = None
    concurrency: int | None = Field(None, ge=1, le=1_000)
    timeout: int | None = Field(None, ge=1, le=3_600)
    min_instances: int | None = Field(None, ge=0, le=INT32)
    max_instances: int | None = Field(None, ge=1, le=INT32)
    args: tuple[str, ...] | None = None

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


class WorldService(Part):
    """A service and its revisions, oldest first."""

    project: str
    region: str
    service: str
    ingress: Literal["all", "internal", "internal-and-cloud-load-balancing"] = "all"
    labels: dict[str, str] = {}
    traffic: tuple[Traffic, ...] = (Traffic(percent=100),)
    revisions: tuple[WorldRevision, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [r.name for r in self.revisions]
        _once(names, "revision")
        if any(t.to not in {"LATEST", *names} for t in self.traffic):
            raise ValueError("traffic to a revision that is not there")
        return self

    @property
    def name(self) -> str:
        """The full resource name."""
        return f"projects/{self.project}/locations/{self.region}/services/{self.service}"

    def whole(self) -> list[WorldRevision]:
        """Every revision with its whole configuration, oldest first."""
        found: list[WorldRevision] = []
        for revision in self.revisions:
            found.append(revision.after(found[-1] if found else None))
        return found


State = Literal["enabled", "disabled", "destroyed"]


class WorldSecret(Part):
    """A secret, its versions and its aliases."""

    project: str
    name: str
    versions: dict[Annotated[int, Field(ge=1, le=LAST_VERSION)], State] = {}
    aliases: dict[str, int] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not set(self.aliases.values()) <= self.versions.keys():
            raise ValueError("an alias of a version that is not there")
        return self


class World(Part):
    """
    Everything the emulator knows. Requests for names under `denied` are refused; no page holds more
    than `page` items, whatever was asked for.
    """

    page: int = Field(100, ge=1, le=INT32)
    numbers: dict[str, str] = {}
    services: tuple[WorldService, ...] = ()
    secrets: tuple[WorldSecret, ...] = ()
    denied: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _once([s.name for s in self.services], "service")
        _once([f"{s.project}/{s.name}" for s in self.secrets], "secret")
        return self


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


# The v2 JSON of a world


def services(world: World) -> Iterator[tuple[Json, list[Json]]]:
    """Each service and its revisions, newest first, in the v2 JSON shape."""
    for service in world.services:
        whole = service.whole()
        revisions = [revision_v2(service, r) for r in reversed(whole)]
        yield service_v2(service, whole, world), revisions


def service_v2(service: WorldService, whole: list[WorldRevision], world: World) -> Json:
    """One service as the API shows it."""
    newest = whole[-1]
    ready = next((r for r in reversed(whole) if r.ready), newest)
    number = world.numbers.get(service.project, "0")
    client, _, version = (newest.client or "").partition(" ")
    return {
        "name": service.name,
        "uid": f"{service.service}-uid",
        "generation": str(len(whole)),
        "labels": service.labels,
        "createTime": _time(whole[0]),
        "updateTime": _time(newest),
        "creator": whole[0].by or "",
        "lastModifier": newest.by or "",
        "client": client,
        "clientVersion": version,
        "ingress": "INGRESS_TRAFFIC_" + _INGRESS[service.ingress],
        "template": {**_template(newest), "revision": newest.name},
        "traffic": [_target(t) for t in service.traffic],
        "trafficStatuses": [_target(t) for t in service.traffic],
        "latestCreatedRevision": f"{service.name}/revisions/{newest.name}",
        "latestReadyRevision": f"{service.name}/revisions/{ready.name}",
        "urls": [f"https://{service.service}-{number}.{service.region}.run.app"],
        "etag": f"etag-{len(whole)}",
    }


_INGRESS = {
    "all": "ALL",
    "internal": "INTERNAL_ONLY",
    "internal-and-cloud-load-balancing": "INTERNAL_LOAD_BALANCER",
}


def _target(target: Traffic) -> Json:
    """As the API answers: LATEST comes without the name of a revision (`cloud-run-api.md` §0)."""
    found: Json = {"percent": target.percent, "tag": target.tag}
    if target.to == "LATEST":
        return found | {"type": SCALE + "LATEST"}
    return found | {"type": SCALE + "REVISION", "revision": target.to}


def revision_v2(service: WorldService, revision: WorldRevision) -> Json:
    """One revision as the API shows it: no client, no digest."""
    serves = any(t.to in ("LATEST", revision.name) for t in service.traffic)
    newest = service.revisions[-1].name == revision.name
    active = serves and (newest or any(t.to == revision.name for t in service.traffic))
    return {
        **_template(revision),
        "name": f"{service.name}/revisions/{revision.name}",
        "uid": f"{revision.name}-uid",
        "generation": "1",
        "createTime": _time(revision),
        "updateTime": _time(revision),
        "service": service.service,
        "creator": revision.by or "",
        "launchStage": "GA",
        "conditions": [
            _condition("Ready", revision.ready),
            _condition("Active", active, "" if active else "RETIRED"),
        ],
        "etag": f"etag-{revision.name}",
    }


def _condition(kind: str, good: bool, reason: str = "") -> Json:
    state = "CONDITION_SUCCEEDED" if good else "CONDITION_FAILED"
    return {"type": kind, "state": state} | ({"revisionReason": reason} if reason else {})


def _template(revision: WorldRevision) -> Json:
    main: Json = {
        "name": revision.container or "",
        "image": revision.image or "",
        "args": list(revision.args or ()),
        "env": _env(revision.env),
        "ports": [{"name": "http1", "containerPort": 8080}],
        "resources": {
            "limits": {"cpu": revision.cpu or "1000m", "memory": revision.memory or "512Mi"},
            "cpuIdle": True,
        },
    }
    beside = [
        {"name": s.name, "image": s.image, "env": _env(s.env)} for s in revision.sidecars or ()
    ]
    volumes = [_volume(path, source, main) for path, source in revision.files.items() if source]
    if revision.cloud_sql:
        instances = {"instances": list(revision.cloud_sql)}
        volumes.append({"name": "cloudsql", "cloudSqlInstance": instances})
        main.setdefault("volumeMounts", []).append({"name": "cloudsql", "mountPath": "/cloudsql"})
    access = {"connector": revision.connector or "", "egress": _EGRESS[revision.egress or ""]}
    return {
        "labels": {k: v for k, v in revision.labels.items() if v is not None},
        "scaling": {
            "minInstanceCount": revision.min_instances or 0,
            "maxInstanceCount": revision.max_instances or 100,
        },
        "vpcAccess": access if revision.connector else None,
        "timeout": f"{revision.timeout or 300}s",
        "serviceAccount": revision.service_account or "",
        "maxInstanceRequestConcurrency": revision.concurrency or 80,
        "containers": [main, *beside],
        "volumes": volumes,
    }


_EGRESS = {"": 0, "all-traffic": 1, "private-ranges-only": 2}


def _env(env: Env) -> list[Json]:
    return [
        {"name": key, "valueSource": {"secretKeyRef": value.v2()}}
        if isinstance(value, SecretKey)
        else {"name": key, "value": value}
        for key, value in env.items()
        if value is not None
    ]


def _volume(path: str, source: SecretKey, main: Json) -> Json:
    folder, _, file = path.rpartition("/")
    name = f"secret-{len(main.setdefault('volumeMounts', []))}"
    main["volumeMounts"].append({"name": name, "mountPath": folder})
    items = [{"path": file, "version": source.version}]
    return {"name": name, "secret": {"secret": source.v2()["secret"], "items": items}}


def _time(revision: WorldRevision) -> str:
    return revision.at.isoformat().replace("+00:00", "Z")
