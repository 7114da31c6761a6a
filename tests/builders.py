"""
Builds snapshots for tests from a few words.

A side is a mapping of keys to where their values come from, in the default container:

    LOG_LEVEL: info                                a plain value
    EMPTY: ""                                      an empty one
    JWT: {secret: jwt, version: "7"}               a secret; also project, state, resolved
    X: [one, two]                                  a key that stands twice
    Y: {unreadable: comes from configMapKeyRef}

or, when it needs more, a mapping with some of `env`, `files` (path to secret), `settings`, `service`,
`containers` (name to {env, files, settings, ingress}), and fields of the identity and the status.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from drift_audit.binding import (
    READABLE,
    Binding,
    Empty,
    LiteralValue,
    Mount,
    SecretReference,
    Source,
    Unreadable,
)
from drift_audit.seal import Sealer, SealKey
from drift_audit.snapshot import (
    Address,
    Container,
    Identity,
    Label,
    Seen,
    Setting,
    Snapshot,
    Status,
    Unseen,
)

KEY = SealKey(b"k" * 32, lasting=False)
LASTING = SealKey(b"l" * 32, lasting=True)

NOW = dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC)
HOME = Address(project="shop", region="europe-west1", service="api")

EXTENDED = {"env", "files", "settings", "service", "containers", "identity", "status", "unseen"}


def sealer(**options: Any) -> Sealer:
    """A sealer with a fixed key."""
    return Sealer(options.pop("key", KEY), **options)


def snapshot(
    side: Mapping[str, Any] | None = None, *, seal: Sealer | None = None, **identity: Any
) -> Snapshot:
    """A snapshot of `shop/europe-west1/api` from a side; `identity` overrides its fields."""
    given = dict(side or {})
    if not EXTENDED & given.keys():
        given = {"env": given}
    seal = seal or sealer()
    who = Identity(
        **{
            "project": HOME.project,
            "region": HOME.region,
            "service": HOME.service,
            "revision": "api-00002-new",
            **_identity(given.get("identity", {})),
            **identity,
        }
    )
    boxes = given.get("containers") or {"": {"env": given.get("env"), "files": given.get("files")}}
    parts = [_container(name, box or {}, who, seal) for name, box in boxes.items()]
    settings = [s for _, _, _, found in parts for s in found]
    settings += _settings(given.get("settings"), "", who, seal)
    service = given.get("service")
    return Snapshot(
        identity=who,
        containers=tuple(sorted((c for c, _, _, _ in parts), key=lambda c: c.name)),
        bindings=tuple(
            sorted((b for _, bs, _, _ in parts for b in bs), key=lambda b: (b.container, b.key))
        ),
        mounts=tuple(
            sorted((m for _, _, ms, _ in parts for m in ms), key=lambda m: (m.container, m.path))
        ),
        settings=tuple(sorted(settings, key=lambda s: (s.container, s.name))),
        service=None
        if service is None
        else tuple(sorted(_settings(service, "", who, seal, "service."), key=lambda s: s.name)),
        status=Status(**given.get("status", {})),
        seen=Seen(unseen=tuple(Unseen(**u) for u in given.get("unseen", ()))),
    )


def _identity(given: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(given)
    if isinstance(found.get("create_time"), str):
        found["create_time"] = dt.datetime.fromisoformat(found["create_time"])
    if "labels" in found:
        found["labels"] = tuple(Label(name=n, value=v) for n, v in found["labels"].items())
    return found


def _container(
    name: str, box: Mapping[str, Any], who: Identity, seal: Sealer
) -> tuple[Container, list[Binding], list[Mount], list[Setting]]:
    env, files = box.get("env") or {}, box.get("files") or {}
    container = Container(name=name, ingress=box.get("ingress", name in ("", "app")))
    bindings = [_binding(name, key, given, who, seal) for key, given in env.items()]
    mounts = [
        Mount(container=name, path=path, source=_file(given), mode=given.get("mode", READABLE))
        for path, given in files.items()
    ]
    return container, bindings, mounts, _settings(box.get("settings"), name, who, seal)


def _binding(name: str, key: str, given: Any, who: Identity, seal: Sealer) -> Binding:
    at = who.address.at(name, key=key)
    sources = [_source(g, at, seal) for g in (given if isinstance(given, list) else [given])]
    return Binding(container=name, key=key, source=sources[-1], shadowed=tuple(sources[:-1]))


def _source(given: Any, at: Address, seal: Sealer) -> Source:
    if given == "":
        return Empty()
    if isinstance(given, str):
        return seal.seal(at, given)
    return _file(given)


def _file(given: Mapping[str, Any]) -> SecretReference | Unreadable:
    if "unreadable" in given:
        return Unreadable(reason=given["unreadable"])
    return _secret(given)


def _secret(given: Mapping[str, Any]) -> SecretReference:
    return SecretReference(
        project=given.get("project", ""),
        secret=given["secret"],
        version=given.get("version", "latest"),
        resolved=given.get("resolved"),
        version_state=given.get("state"),
        created_at=_day(given.get("created")),
        destroyed_at=_day(given.get("destroyed")),
        expires_at=_day(given.get("expires")),
        access=given.get("access"),
        project_number=given.get("project_number", ""),
    )


def _day(given: dt.date | None) -> dt.datetime | None:
    return dt.datetime.combine(given, dt.time(12), dt.UTC) if given else None


def _settings(
    given: Mapping[str, Any] | None, container: str, who: Identity, seal: Sealer, prefix: str = ""
) -> list[Setting]:
    """Settings; a value written as {sealed: text} is sealed."""
    found = []
    for name, value in (given or {}).items():
        at = who.address.at(container, setting=prefix + name)
        told: str | int | bool | LiteralValue = (
            seal.seal(at, value["sealed"]) if isinstance(value, dict) else value
        )
        found.append(Setting(container=container, name=prefix + name, value=told))
    return found
