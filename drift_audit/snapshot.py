"""
What one revision is configured to be.

A `Snapshot` is the same value whether it came from the live API, from a gcloud file or from the
store. It holds no raw value: literals arrive here sealed (see `drift_audit.seal`).
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from drift_audit import names
from drift_audit.binding import Binding, LiteralValue, Mount, SecretReference, Target
from drift_audit.frozen import Frozen, Instant, is_unset

UNKNOWN = "-"
"""Stands for a project, region or service that the input does not name."""


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
        place = {"project": self.project, "region": self.region, "service": self.service}
        return Address.model_validate({**place, "container": container, **where})


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
    """
    Which revision this is and who is said to have made it. Never compared. `planned` says that it
    was not deployed when we looked: a file tells what a deploy would make.
    """

    project: str = UNKNOWN
    project_number: str = ""
    region: str = UNKNOWN
    kind: Kind = "service"
    service: str = UNKNOWN
    revision: str = ""
    uid: str = ""
    generation: int | None = None
    create_time: Instant | None = None
    creator: str = ""
    client: str = ""
    client_version: str = ""
    labels: tuple[Label, ...] = ()
    planned: Annotated[bool, Field(exclude_if=is_unset)] = False

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

    @property
    def order(self) -> tuple[str, str]:
        """Sort key: by where, then by why."""
        return self.where, self.reason


class Seen(Frozen):
    """
    What could not be read of this revision, and which system fields were passed over by rule.
    `patterns` names the library whose patterns its plain values were held against, if any was.
    """

    unseen: tuple[Unseen, ...] = ()
    ignored: tuple[str, ...] = ()
    patterns: Annotated[str, Field(exclude_if=is_unset)] = ""


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
        """The revision's name, or a word for what has none: a job, a plan, or a template alone."""
        if self.identity.revision:
            return self.identity.revision
        if self.identity.planned:
            return "(planned)"
        return "(job)" if self.identity.kind == "job" else "(template)"

    @property
    def as_planned(self) -> Snapshot:
        """The same as what a deploy would make: it has no status, and nobody has deployed it."""
        return self.but(identity=self.identity.but(planned=True), status=Status())

    @cached_property
    def keys(self) -> dict[tuple[str, str], Binding]:
        """Bindings by (container, key)."""
        return {(b.container, b.key): b for b in self.bindings}

    @cached_property
    def ingress(self) -> str:
        """The name of the container that requests reach; the first one where none is marked."""
        return next((c.name for c in self.containers if c.ingress), self.containers[0].name)

    @cached_property
    def references(self) -> tuple[tuple[Binding | Mount, SecretReference], ...]:
        """Every secret this revision reads, with the key or the mounted file that reads it."""
        readers: tuple[Binding | Mount, ...] = (*self.bindings, *self.mounts)
        return tuple((r, r.source) for r in readers if isinstance(r.source, SecretReference))

    def at(self, item: Binding | Mount) -> Address:
        """The address of a key or of a mounted file of this revision."""
        where = {"key": item.key} if isinstance(item, Binding) else {"mount": item.path}
        return self.address.at(item.container, **where)

    @cached_property
    def targets(self) -> tuple[tuple[Address, Target], ...]:
        """Everything that the plain values of keys lead to, with the place that holds them."""
        return tuple(
            (self.at(binding), target)
            for binding in self.bindings
            if isinstance(binding.source, LiteralValue) and binding.source.targets
            for target in binding.source.targets
        )

    @property
    def all_settings(self) -> tuple[Setting, ...]:
        """The settings of the revision, and of its service as far as they are known."""
        return *self.settings, *(self.service or ())

    def setting(self, name: str, container: str = "") -> Value | None:
        """One setting's value, None where the revision has none of that name."""
        for s in self.all_settings:
            if s.name == name and s.container == container:
                return s.value
        return None
