"""
The one normaliser: a revision in the v2 JSON shape becomes a `Snapshot`.

Live protobuf and v1 Knative are both mapped onto that shape first, so every source ends in the same
value. Raw values are sealed here, in the call that reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drift_audit import names
from drift_audit.binding import Binding, Mount, Unreadable
from drift_audit.collector import fields
from drift_audit.collector import settings as settings_of
from drift_audit.collector.bindings import bindings
from drift_audit.collector.fields import Unread
from drift_audit.collector.nodes import Object
from drift_audit.collector.settings import SettingsOf
from drift_audit.collector.volumes import Volumes
from drift_audit.inventory import TrafficTarget, share
from drift_audit.seal import Sealer
from drift_audit.snapshot import (
    UNKNOWN,
    Container,
    Identity,
    Kind,
    Seen,
    Setting,
    Snapshot,
    Status,
    Unseen,
)
from drift_audit.strict import Node, Path, Refused

Doc = Mapping[str, Any]

DEFAULT_PORT = 8080


@dataclass(frozen=True)
class Beside:
    """
    What a source tells of a revision besides its v2 shape.

    `home` leads to the names and `root` to the revision's fields in the document, for the line of a
    refusal; `unknown` and `ignored` come from a shape other than v2; `digests` maps containers to
    resolved image digests.
    """

    home: Path = ()
    root: Path = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    unknown: Sequence[Unread] = ()
    ignored: Sequence[str] = ()
    unseen: Sequence[Unseen] = ()


def snapshot(
    template: Doc,
    identity: Identity,
    sealer: Sealer,
    *,
    shape: fields.Shape = fields.TEMPLATE,
    beside: Beside | None = None,
    status: Status | None = None,
) -> Snapshot:
    """
    A snapshot from the fields of a revision, or of a template, in the v2 shape.

    Raises Refused for what Cloud Run cannot have produced.
    """
    beside = beside or Beside()
    check_identity(identity, beside.home)
    one = Object(template, beside.root)
    boxes = _boxes(one, identity.kind)
    keys = [b for box in boxes for b in _keys(box, identity, sealer)]
    found = SettingsOf(identity.address, sealer)
    mounts = _settings(one, boxes, found, identity, beside)
    unread = list(fields.survey(template, shape))
    unknown = [*(u for u in unread if not u.noise), *beside.unknown]
    add_unknown(unknown, found, [box.name for box in boxes])
    ignored = {u.name for u in unread if u.noise}
    ignored |= {*settings_of.noisy(template), *beside.ignored}
    return Snapshot(
        identity=identity.but(labels=settings_of.provenance(template.get("labels"))),
        containers=tuple(
            Container(name=b.name, ingress=b.ingress)
            for b in sorted(boxes, key=lambda box: box.name)
        ),
        bindings=tuple(sorted(keys, key=lambda b: (b.container, b.key))),
        mounts=mounts,
        settings=found.sorted(),
        status=status or Status(),
        seen=Seen(
            unseen=(*beside.unseen, *_unseen(keys, mounts)),
            ignored=tuple(sorted(ignored)),
            patterns=sealer.patterns,
        ),
    )


UNKNOWN_LIMIT = 1_000
"""Far more than a new version of the API brings."""


def add_unknown(unknown: Sequence[Unread], found: SettingsOf, containers: Sequence[str]) -> None:
    """
    Seal the fields that nobody knows: those of one name in one container as a whole.

    Raises Refused for more of them than a document of Cloud Run can have.
    """
    told: dict[tuple[str, str], list[str]] = {}
    for one in unknown:
        match one.path:
            case ("containers", int(i), *_):
                container = containers[i]
            case _:
                container = ""
        told.setdefault((container, one.name), []).append(_canonical(one.node))
    if len(told) > UNKNOWN_LIMIT:
        raise Refused("too-many", f"more than {UNKNOWN_LIMIT} fields that nobody knows")
    for (container, name), values in told.items():
        found.inside(container).seal(f"unknown.{name}", *values)


def check_identity(identity: Identity, path: Path = ()) -> None:
    """
    Refuse names that do not fit their grammar: they become paths, commands and resource names.
    """
    places = (
        ("project", identity.project, names.PROJECT),
        ("region", identity.region, names.SERVICE),
        ("service", identity.service, names.SERVICE),
        ("revision", identity.revision, names.SERVICE),
    )
    for what, name, grammar in places:
        if name in ("", UNKNOWN) or grammar.fullmatch(name):
            continue
        if names.is_unfilled(name):
            raise Refused(
                "unfilled-placeholder",
                f"the name of the {what} is a placeholder",
                path=path,
                hint="render the template first, then audit what will be deployed",
            )
        reason = f"the name of the {what} does not fit the grammar of names"
        raise Refused("bad-name", reason, path=path)


@dataclass(frozen=True)
class _Box:
    """One container of the document."""

    name: str
    one: Object = field(repr=False)
    ingress: bool


CONTAINERS_LIMIT = 100
"""Ten times what a revision can have."""


def _boxes(template: Object, kind: Kind) -> list[_Box]:
    """
    The containers. Requests reach the only one, or the one with a port; in a worker pool, none.

    Several containers need names; where they lack them, their order names them.
    """
    where = (*template.path, "containers")
    listed = template.objects("containers")
    if not listed:
        raise Refused("no-containers", "no containers: nothing can be told of it", path=where)
    if len(listed) > CONTAINERS_LIMIT:
        raise Refused("too-many", f"more than {CONTAINERS_LIMIT} containers", path=where)
    found: dict[str, _Box] = {}
    for i, one in enumerate(listed, 1):
        name = one.text("name") or (f"container-{i}" if len(listed) > 1 else "")
        if name in found:
            raise Refused("bad-name", "two containers of the same name", path=one.path)
        ingress = kind == "service" and (len(listed) == 1 or bool(one.doc.get("ports")))
        found[name] = _Box(name, one, ingress)
    return list(found.values())


def _keys(box: _Box, identity: Identity, sealer: Sealer) -> list[Binding]:
    return bindings(box.name, box.one.doc.get("env"), identity, sealer, (*box.one.path, "env"))


def _settings(
    template: Object,
    boxes: Sequence[_Box],
    found: SettingsOf,
    identity: Identity,
    beside: Beside,
) -> tuple[Mount, ...]:
    """Add the settings of the revision and of its containers; gives back the mounted secrets."""
    main = next((box for box in boxes if box.ingress), boxes[0])
    settings_of.revision_settings(template, main.one, found, identity)
    volumes = Volumes(template, identity)
    for box in boxes:
        inside = found.inside(box.name)
        inside.add("image_digest", beside.digests.get(box.name, ""))
        port = DEFAULT_PORT if box is main and identity.kind == "service" else ""
        settings_of.container_settings(box.one, inside, port)
        volumes.mount(box.one, box.name, found, main=box is main)
    return volumes.close(found)


def _unseen(keys: Sequence[Binding], mounts: Sequence[Mount]) -> list[Unseen]:
    named = [*((f"key {b.key}", b.source) for b in keys)]
    named += [(f"file {m.path}", m.source) for m in mounts]
    return [
        Unseen(where=where, reason=source.reason)
        for where, source in named
        if isinstance(source, Unreadable)
    ]


def _canonical(node: Node) -> str:
    return json.dumps(node, sort_keys=True, default=str)


CONDITIONS = ("Ready", "Active")
"""The conditions that are read."""


def status(
    conditions: Node, name: str, traffic: Sequence[TrafficTarget], path: Path = ()
) -> Status:
    """How a revision stood: its own Ready and Active conditions, and its share of the traffic."""
    listed = Object({"conditions": conditions}, path).objects("conditions")
    by_type = {condition.text("type"): condition for condition in listed}
    nothing = Object({}, path)
    ready, active = by_type.get("Ready", nothing), by_type.get("Active", nothing)
    percent, tags = share(traffic, name)
    return Status(
        ready=_state(ready),
        ready_reason=ready.word("revisionReason", fields.REVISION_REASON),
        active=_state(active),
        active_reason=active.word("revisionReason", fields.REVISION_REASON),
        percent=percent,
        tags=tags,
    )


def _state(condition: Object) -> bool | None:
    word = condition.word("state", fields.CONDITION).lower()
    return {"true": True, "false": False}.get(word)


TARGETS_LIMIT = 3_000
"""More than the tags that a service can have."""


def traffic(parent: Doc, newest: str, path: Path = ()) -> tuple[TrafficTarget, ...]:
    """
    Where requests go: as observed, else as asked for; everything to the newest if nothing is said.

    v2 names no revision beside LATEST (§0): the newest Ready one is meant, or `newest` in a
    manifest. Raises Refused.
    """
    one = Object(parent, path)
    kinds = ("trafficStatuses", "instanceSplitStatuses", "traffic", "instanceSplits")
    told = next((kind for kind in kinds if parent.get(kind)), "traffic")
    ready = _short(one.text("latestReadyRevision")) or newest
    targets = one.objects(told)
    if len(targets) > TARGETS_LIMIT:
        raise Refused("too-many", f"more than {TARGETS_LIMIT} targets", path=(*path, told))
    found = []
    for target in targets or [Object({"type": "latest", "percent": 100}, path)]:
        latest = target.word("type", fields.ALLOCATION | fields.SPLIT) == "latest"
        percent = target.number("percent") or 0
        if not isinstance(percent, int):
            reason = "a share of the traffic that is not a number"
            raise Refused("wrong-type", reason, path=(*target.path, "percent"))
        found.append(
            TrafficTarget(
                revision=_short(target.text("revision")) or (ready if latest else ""),
                percent=percent,
                tag=target.text("tag"),
                latest=latest,
            )
        )
    return tuple(found)


def _short(name: str) -> str:
    """A revision by its own name, whether it came with its path or not."""
    return name.rpartition("/")[2]


def service_level(
    parent: Doc,
    identity: Identity,
    sealer: Sealer,
    unknown: Sequence[Unread] = (),
    path: Path = (),
) -> tuple[Setting, ...]:
    """
    What changes without a new revision, sorted.

    Of the traffic only the mode is a setting: whether it follows the newest revision or is
    pinned. The names of revisions change with every deploy; who serves stands in the status.
    """
    found = SettingsOf(identity.address, sealer, prefix="service.")
    one = Object(parent, path)
    settings_of.service_settings(one, found)
    add_unknown(unknown, found, ())
    if identity.kind == "job":
        return found.sorted()
    settings_of.serving_settings(one, found)
    shares: dict[str, int] = {}
    asked = {**parent, "trafficStatuses": None, "instanceSplitStatuses": None}
    for target in traffic(asked, "", path):
        mode = "latest" if target.latest else "pinned"
        shares[mode] = shares.get(mode, 0) + target.percent
    told = (f"{mode} {percent}%" for mode, percent in sorted(shares.items()) if percent)
    found.add("traffic", ", ".join(told))
    return found.sorted()
