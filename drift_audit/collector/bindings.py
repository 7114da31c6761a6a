"""
Where the values of a container come from: its variables and the secrets mounted into it.

Literals are sealed here. What cannot be told is unreadable, never absent.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from drift_audit import names
from drift_audit.binding import READABLE, Binding, Empty, Mount, SecretReference, Source, Unreadable
from drift_audit.collector import nodes
from drift_audit.collector.nodes import NOT_YET, NotKnown, Object
from drift_audit.seal import Sealer
from drift_audit.snapshot import Identity
from drift_audit.strict import Node, Path, Refused

Doc = Mapping[str, Any]

ENV_LIMIT = 10_000
"""Ten times what a container can hold: a file with more is not an export."""


def bindings(
    container: str, entries: Node, identity: Identity, sealer: Sealer, path: Path
) -> list[Binding]:
    """
    The variables of one container, one binding per key.

    Of several entries with one name the last one wins on Cloud Run; the others are kept as
    shadowed.
    """
    items = nodes.sequence(entries, *path)
    if len(items) > ENV_LIMIT:
        raise Refused("too-many", f"more than {ENV_LIMIT} variables", path=path)
    found: dict[str, list[Source]] = {}
    for i, item in enumerate(items):
        here = (*path, i)
        entry = nodes.mapping(item, *here)
        key = nodes.string(entry.get("name"), *here, "name")
        if not key:
            raise Refused("bad-name", "a variable without a name", path=here)
        found.setdefault(key, []).append(_source(container, key, entry, identity, sealer, here))
    return [
        Binding(container=container, key=key, source=sources[-1], shadowed=tuple(sources[:-1]))
        for key, sources in found.items()
    ]


def _source(
    container: str, key: str, entry: Doc, identity: Identity, sealer: Sealer, path: Path
) -> Source:
    source = nodes.mapping(entry.get("valueSource"), *path, "valueSource")
    if "value" in entry and source:
        raise Refused("value-and-reference", f"{key} has a value and a reference", path=path)
    if isinstance(entry.get("value"), NotKnown):
        return Unreadable(reason=f"comes from {entry['value']}")
    if "value" in entry:
        try:
            value = nodes.value(entry["value"], *path)
        except Refused:
            reason = f"the value of {key} is not text; put it in quotes"
            raise Refused("not-a-string", reason, path=path) from None
        if not value:
            return Empty()
        return sealer.seal_at(identity.address, container, "key", key, value)
    if "secretKeyRef" in source:
        ref = nodes.mapping(source["secretKeyRef"], *path, "secretKeyRef")
        return reference(ref.get("secret"), ref.get("version"), identity, path)
    if entry.get("valueSource") is None:
        source = {k: v for k, v in entry.items() if k not in ("name", "valueSource")}
        if not source:
            return Empty()
    kinds = ", ".join(sorted(source)) or "a source that is not told"
    return Unreadable(reason=f"comes from {kinds}")


def reference(secret: Node, version: Node, identity: Identity, path: Path) -> SecretReference:
    """
    A reference to a secret, canonical: no project if it is the service's own.

    A name or a version that Secret Manager cannot have is refused, except for placeholders in
    names, which are findings. Nothing is normalised: `00007` stays `00007`.
    """
    name = nodes.string(secret, *path, "secret")
    asked = "" if version is None else nodes.string(version, *path, "version")
    elsewhere = names.SECRET_PATH.fullmatch(name)
    project, short = (elsewhere["project"], elsewhere["secret"]) if elsewhere else ("", name)
    if project in (identity.project, identity.project_number):
        project = ""
    if not names.SECRET.fullmatch(short) and not names.is_placeholder(name):
        raise Refused("bad-secret-name", "not the name of a secret", path=path)
    if version is not None and not names.is_version(asked):
        reason = "neither latest, nor a number, nor an alias"
        raise Refused("bad-version", reason, path=path)
    return SecretReference(project=project, secret=short, version=asked)


def secret_files(
    container: str, where: str, sub_path: str, volume: Object, identity: Identity
) -> Iterator[Mount]:
    """
    The files that a secret volume puts under one mount path.

    Without items it is one file named after the secret, of the latest version (§1.3).
    """
    secret, path = volume.inside("secret"), volume.path
    name, items = secret.doc.get("secret"), secret.objects("items")
    mode = _mode(secret, "defaultMode") or READABLE
    if not items:
        whole = reference(name, None, identity, path)
        yield Mount(
            container=container,
            path=_join(where, sub_path, whole.secret),
            source=whole.but(version="latest"),
            mode=mode,
        )
    for one in items:
        yield Mount(
            container=container,
            path=_join(where, sub_path, one.text("path")),
            source=_source_of_file(name, one.doc.get("version"), identity, path),
            mode=_mode(one, "mode") or mode,
        )


def _source_of_file(
    secret: Node, version: Node, identity: Identity, path: Path
) -> SecretReference | Unreadable:
    if isinstance(secret, NotKnown) or isinstance(version, NotKnown):
        return Unreadable(reason=f"comes from {NOT_YET}")
    return reference(secret, version, identity, path)


def _join(where: str, sub_path: str, file: str) -> str:
    """A mount of a sub path puts that file at the mount path itself."""
    if sub_path and file == sub_path:
        return where
    return posixpath.join(where, file)


def _mode(holder: Object, name: str) -> int:
    """Permissions without the write bits; 0 where none are given."""
    number = holder.number(name)
    if isinstance(number, str):
        reason = "permissions that are not a number"
        raise Refused("wrong-type", reason, path=(*holder.path, name))
    return (number or 0) & ~0o222
