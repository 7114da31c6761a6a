"""
What one revision is configured to be.

A `Snapshot` is the same value whether it came from the live API, from a gcloud file or from the
store. It holds no raw value: literals arrive here sealed (see `drift_audit.seal`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from drift_audit import names

State = Literal["absent", "empty", "literal", "secret", "unreadable"]
"""The five states of a key. They are never merged: an empty key is not an absent one."""

UNKNOWN = "-"
"""Stands for a project, region or service that the input does not name."""


class Frozen(BaseModel):
    """A closed value: no field may be added or changed, and no error quotes what stood in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    def but(self, **changed: Any) -> Self:
        """The same with some fields changed, and without what was derived from the old ones."""
        changed_copy = self.model_copy(update=changed)
        for derived in changed_copy.__dict__.keys() - type(self).model_fields.keys():
            del changed_copy.__dict__[derived]
        return changed_copy


class Address(Frozen):
    """
    Where something lives: a service, and in it one key, one mount, one setting, or none of them.
    """

    project: str = UNKNOWN
    region: str = UNKNOWN
    service: str = UNKNOWN
    container: str = ""
    key: str | None = None
    mount: str | None = None
    setting: str | None = None

    def __str__(self) -> str:
        """`PROJECT/REGION/SERVICE/env/CONTAINER/KEY`, the form that waivers match with globs."""
        place = f"{self.project}/{self.region}/{self.service}"
        for kind, name in (("env", self.key), ("mount", self.mount), ("setting", self.setting)):
            if name is not None:
                return f"{place}/{kind}/{self.container or UNKNOWN}/{name}"
        return place

    @property
    def name(self) -> str:
        """The key, mount path or setting, else the service: what a sentence calls this place."""
        return self.key or self.mount or self.setting or self.service

    @property
    def home(self) -> Address:
        """The address of the service alone."""
        return Address(project=self.project, region=self.region, service=self.service)

    def at(self, container: str = "", **where: str) -> Address:
        """A place inside this service: `key=`, `mount=` or `setting=`."""
        return Address(
            project=self.project,
            region=self.region,
            service=self.service,
            container=container,
            **where,
        )


class Empty(Frozen):
    """A key with no value, or with `""`. Cloud Run shows both as a name alone."""

    state: Literal["empty"] = "empty"


class Seal(Frozen):
    """
    A keyed digest: equal seals under one key mean equal values, and nothing else can be read from
    it.
    """

    key_id: str
    digest: str


class LiteralValue(Frozen):
    """
    A plain value, sealed.

    `sealed` is None when literals were left out on purpose; `clear` is set for revealed keys only.
    `traits` name what is odd about the value (`blank`, `placeholder`, …), never what it is.
    """

    state: Literal["literal"] = "literal"
    sealed: Seal | None = None
    clear: str | None = None
    traits: tuple[str, ...] = ()


VersionState = Literal["enabled", "disabled", "destroyed", "not-found", "unseen"]


def _is_none(value: object) -> bool:
    return value is None


Moment = Annotated[AwareDatetime | None, Field(exclude_if=_is_none)]
"""A time that is written down only where there is one."""


Access = Literal["granted", "not-proven"]
"""
Whether the secret's own policy lets the service account of the revision read it. What a project or
folder grants is not seen there: without a grant of its own, access is not proven, and may be there.
"""


class SecretReference(Frozen):
    """
    A value that Secret Manager holds.

    `project` is empty for the project of the service itself, whether the source spelled it by id,
    by number or not at all. `version` is what was asked for (empty: nothing, which means `latest`),
    `resolved` the number it stood for when we looked, `version_state` what Secret Manager said of
    it; both are None when nobody asked. The times are those that Secret Manager gave: when the
    version is going to be destroyed, when the secret expires, when it is to be rotated. `access` is
    None where nobody looked.
    """

    state: Literal["secret"] = "secret"
    project: str = ""
    secret: str
    version: str
    resolved: int | None = None
    version_state: VersionState | None = None
    destroyed_at: Moment = None
    expires_at: Moment = None
    rotates_at: Moment = None
    access: Annotated[Access | None, Field(exclude_if=_is_none)] = None

    @property
    def pinned(self) -> bool:
        """Whether the version is a number, so that the payload cannot change under the revision."""
        return names.is_pinned(self.version)

    @property
    def floating(self) -> bool:
        """Whether the version is `latest` or an alias, so that the payload can change any time."""
        return names.is_floating(self.version)

    @property
    def gone(self) -> bool:
        """Whether an instance that starts now cannot read it, as far as we looked."""
        return self.version_state in ("disabled", "destroyed", "not-found")

    @property
    def asked(self) -> str:
        """The version as Cloud Run understands it."""
        return self.version or "latest"

    @property
    def resource(self) -> str:
        """
        The secret as gcloud spells it: `NAME`, or `projects/P/secrets/NAME` in another project.
        """
        return f"projects/{self.project}/secrets/{self.secret}" if self.project else self.secret

    @property
    def spelled(self) -> tuple[str, str, str]:
        """Project, secret and version, as a key."""
        return self.project, self.secret, self.asked

    def __str__(self) -> str:
        return f"{self.resource}@{self.asked}"


class Unreadable(Frozen):
    """There is something, and we cannot tell what."""

    state: Literal["unreadable"] = "unreadable"
    reason: str


Source = Annotated[
    Empty | LiteralValue | SecretReference | Unreadable, Field(discriminator="state")
]


def is_blank(source: Source) -> bool:
    """Tell whether an application gets nothing from it: empty, or white space only."""
    return isinstance(source, Empty) or (
        isinstance(source, LiteralValue) and "blank" in source.traits
    )


class Binding(Frozen):
    """
    A key of one container and where its value comes from.

    `shadowed` holds earlier entries of the same name, in order: on Cloud Run the last one wins.
    """

    container: str
    key: str
    source: Source
    shadowed: tuple[Source, ...] = ()

    @property
    def state(self) -> State:
        """One of the five states."""
        return self.source.state


READABLE = 0o444
"""Permissions of a mounted secret unless they are set; write bits are always masked (§1.3)."""


class Mount(Frozen):
    """
    A file that a secret puts into a container, at its full path (mount path and item path
    joined).
    """

    container: str
    path: str
    source: SecretReference
    mode: int = READABLE

    @property
    def state(self) -> State:
        """One of the five states."""
        return self.source.state


Value = StrictStr | StrictInt | StrictBool | LiteralValue
"""A canonical scalar; a `LiteralValue` where a secret could hide (args, probe headers, labels)."""


class Setting(Frozen):
    """
    One property of the revision (`container` empty) or of a container, under its canonical name.
    """

    container: str = ""
    name: str
    value: Value


class Container(Frozen):
    """A container and whether requests reach it: it is the only one, or the one with a port."""

    name: str
    ingress: bool


class Label(Frozen):
    """A provenance label: who or what made the revision. Shown, never compared."""

    name: str
    value: str


Kind = names.Kind


class Identity(Frozen):
    """Which revision this is and who is said to have made it. Never compared."""

    project: str = UNKNOWN
    project_number: str = ""
    region: str = UNKNOWN
    kind: Kind = "service"
    service: str = UNKNOWN
    revision: str = ""
    uid: str = ""
    generation: int | None = None
    create_time: AwareDatetime | None = None
    creator: str = ""
    client: str = ""
    client_version: str = ""
    labels: tuple[Label, ...] = ()

    @cached_property
    def address(self) -> Address:
        """The address of the service, worker pool or job."""
        place = names.place(self.kind, self.service)
        return Address(project=self.project, region=self.region, service=place)


class Status(Frozen):
    """
    What Cloud Run said of the revision when we looked. Retired (`active` false) is not broken.
    """

    ready: bool | None = None
    ready_reason: str = ""
    active: bool | None = None
    active_reason: str = ""
    percent: int = 0
    tags: tuple[str, ...] = ()


class Unseen(Frozen):
    """Something in scope that could not be read: where, and why. It travels to the report."""

    where: str
    reason: str


class Seen(Frozen):
    """What could not be read of this revision, and which system fields were passed over by rule."""

    unseen: tuple[Unseen, ...] = ()
    ignored: tuple[str, ...] = ()


SECTIONS = frozenset({"containers", "bindings", "mounts", "settings", "service"})
"""The parts of a snapshot that are compared; the rest is identity, status and coverage."""


class Snapshot(Frozen):
    """
    What one revision is configured to be.

    Every tuple is sorted and free of repeats in its key, so equal configurations are equal values.
    `service` holds what changes without a new revision (ingress, traffic mode, …) as it stood
    when we looked; it is None where that is not known, as for a revision of the past.
    """

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/snapshot"] = "drift-audit/snapshot"
    identity: Identity
    containers: tuple[Container, ...]
    bindings: tuple[Binding, ...] = ()
    mounts: tuple[Mount, ...] = ()
    settings: tuple[Setting, ...] = ()
    service: tuple[Setting, ...] | None = None
    status: Status = Status()
    seen: Seen = Seen()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        """Refuse what breaks the promise above: a stored snapshot may have been edited."""
        if not self.containers:
            raise ValueError("a snapshot without containers")
        keys: dict[str, list[tuple[str, str]]] = {
            "containers": [(c.name, "") for c in self.containers],
            "bindings": [(b.container, b.key) for b in self.bindings],
            "mounts": [(m.container, m.path) for m in self.mounts],
            "settings": [(s.container, s.name) for s in self.settings],
            "service": [(s.container, s.name) for s in self.service or ()],
        }
        for section, found in keys.items():
            if any(one >= other for one, other in pairwise(found)):
                raise ValueError(f"{section} that are not sorted, or repeated")
        return self

    @property
    def address(self) -> Address:
        """The address of the service."""
        return self.identity.address

    @property
    def revision(self) -> str:
        """The revision's name, or a word for what has none: a job, or a template alone."""
        return self.identity.revision or ("(job)" if self.identity.kind == "job" else "(template)")

    @cached_property
    def keys(self) -> dict[tuple[str, str], Binding]:
        """Bindings by (container, key)."""
        return {(b.container, b.key): b for b in self.bindings}

    @cached_property
    def ingress(self) -> str:
        """The name of the container that requests reach; the first one where none is marked."""
        return next((c.name for c in self.containers if c.ingress), self.containers[0].name)

    def secrets(self) -> Iterator[SecretReference]:
        """Every secret this revision reads, as often as it does."""
        yield from (b.source for b in self.bindings if isinstance(b.source, SecretReference))
        yield from (m.source for m in self.mounts)

    def references(self) -> tuple[tuple[Address, SecretReference], ...]:
        """Every secret this revision reads, with the place that reads it."""
        return self._references

    @cached_property
    def _references(self) -> tuple[tuple[Address, SecretReference], ...]:
        home = self.address
        keys = (
            (home.at(b.container, key=b.key), b.source)
            for b in self.bindings
            if isinstance(b.source, SecretReference)
        )
        return *keys, *((home.at(m.container, mount=m.path), m.source) for m in self.mounts)

    def setting(self, name: str, container: str = "") -> Value | None:
        """One setting's value, None where the revision has none of that name."""
        for s in (*self.settings, *(self.service or ())):
            if s.name == name and s.container == container:
                return s.value
        return None

    @cached_property
    def digests(self) -> dict[str, bytes]:
        """One digest per section that is compared: equal digests need no closer look."""
        texts = {section: self.model_dump_json(include={section}) for section in SECTIONS}
        return {
            section: hashlib.blake2b(text.encode(), digest_size=16).digest()
            for section, text in texts.items()
        }
