"""
Where a value comes from: a key or a mounted file of a container, and what fills it.

No raw value is here: literals arrive sealed (see `drift_audit.seal`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from drift_audit import names
from drift_audit.frozen import Frozen, Instant, is_unset

State = Literal["absent", "empty", "literal", "secret", "unreadable"]
"""The five states of a key. They are never merged: an empty key is not an absent one."""


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


TargetKind = Literal["cloud-run", "cloud-sql", "local", "private", "label", "public"]
"""
What a value leads to: a service or a database by the names Google gives them, the container itself,
a private address, a name without a domain, or anything else.
"""


class Target(Frozen):
    """
    Where a plain value leads. `name` is a host or an instance, and empty for `public`; the
    environment is the one that the host speaks of.
    """

    kind: TargetKind
    name: str = ""
    port: int | None = None
    environment: names.Environment | None = None


class LiteralValue(Frozen):
    """
    A plain value, sealed.

    `sealed` is None when literals were left out on purpose; `clear` is set for revealed keys only.
    `traits` name what is odd about the value (`blank`, `placeholder`, …), never what it is;
    `targets` tell where it leads.
    """

    state: Literal["literal"] = "literal"
    sealed: Seal | None = None
    clear: str | None = None
    traits: tuple[str, ...] = ()
    targets: Annotated[tuple[Target, ...], Field(exclude_if=is_unset)] = ()


VersionState = Literal["enabled", "disabled", "destroyed", "not-found", "unseen"]


Moment = Annotated[Instant | None, Field(exclude_if=is_unset)]
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
    it; both are None when nobody asked. `project_number` is that of another project, where Secret
    Manager told it. The times are those that Secret Manager gave: when the
    version was created and is going to be destroyed, when the secret expires, when it is to be
    rotated. `access` is None where nobody looked.
    """

    state: Literal["secret"] = "secret"
    project: str = ""
    secret: str
    version: str
    resolved: int | None = None
    version_state: VersionState | None = None
    created_at: Moment = None
    destroyed_at: Moment = None
    expires_at: Moment = None
    rotates_at: Moment = None
    access: Annotated[Access | None, Field(exclude_if=is_unset)] = None
    project_number: Annotated[str, Field(exclude_if=is_unset)] = ""

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

    def __str__(self) -> str:
        return "what cannot be told"


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
    def name(self) -> str:
        """The key."""
        return self.key

    @property
    def state(self) -> State:
        """One of the five states."""
        return self.source.state


READABLE = 0o444
"""Permissions of a mounted secret unless they are set; write bits are always masked (§1.3)."""


class Mount(Frozen):
    """
    A file that a secret puts into a container, at its full path (mount path and item path
    joined). Which secret, or which version of it, may be what nobody can tell yet.
    """

    container: str
    path: str
    source: Annotated[SecretReference | Unreadable, Field(discriminator="state")]
    mode: int = READABLE

    @property
    def name(self) -> str:
        """The full path."""
        return self.path

    @property
    def state(self) -> State:
        """One of the five states."""
        return self.source.state
