"""
What a world has deployed: services, worker pools and jobs, and the parts they are made of.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from drift_audit.frozen import Frozen

Json = dict[str, Any]

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
        once(names, "revision")
        if not {"LATEST", *names}.issuperset(targets):
            raise ValueError(f"{what} to a revision that is not there")


class WorldService(Parent):
    """A service and its revisions, oldest first. `invokers` are the members that may call it."""

    service: str
    invokers: tuple[str, ...] = ()
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


def once(names: Sequence[str], what: str) -> None:
    """Raise ValueError for a name that stands twice."""
    if len(set(names)) < len(names):
        raise ValueError(f"a {what} stands twice")
