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
from drift_audit.collector import fields, nodes
from drift_audit.collector import settings as settings_of
from drift_audit.collector.bindings import bindings, secret_files
from drift_audit.collector.settings import SettingsOf
from drift_audit.inventory import TrafficTarget
from drift_audit.seal import Sealer
from drift_audit.snapshot import (
    UNKNOWN,
    Binding,
    Container,
    Identity,
    Mount,
    Seen,
    Setting,
    Snapshot,
    Status,
    Unreadable,
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
    unknown: Sequence[tuple[str, Node]] = ()
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
    service: tuple[Setting, ...] | None = None,
) -> Snapshot:
    """
    A snapshot from the fields of a revision, or of a template, in the v2 shape.

    Raises Refused for what Cloud Run cannot have produced.
    """
    beside = beside or Beside()
    check_identity(identity, beside.home)
    boxes = _boxes(template, beside.root)
    keys = [b for box in boxes for b in _keys(box, identity, sealer)]
    mounts, volumes = _mounts(boxes, template, identity, beside.root)
    unread = list(fields.survey(template, shape))
    unknown = [*((p, node) for p, node, noise in unread if not noise), *beside.unknown]
    found = SettingsOf(identity.address, sealer)
    _settings(template, boxes, beside.digests, found)
    for (container, where), told in volumes.items():
        found.inside(container).add(f"volume.{where}", told)
    for path in {p for p, _ in unknown}:
        found.seal(f"unknown.{path}", *(_canonical(node) for p, node in unknown if p == path))
    labels, annotations = template.get("labels"), template.get("annotations")
    ignored = {path for path, _, noise in unread if noise}
    ignored |= {*settings_of.noisy(labels), *settings_of.noisy(annotations), *beside.ignored}
    return Snapshot(
        identity=identity.but(labels=settings_of.provenance(labels)),
        containers=tuple(
            Container(name=b.name, ingress=b.ingress) for b in sorted(boxes, key=_name)
        ),
        bindings=tuple(sorted(keys, key=lambda b: (b.container, b.key))),
        mounts=tuple(sorted(mounts, key=lambda m: (m.container, m.path))),
        settings=found.sorted(),
        service=service,
        status=status or Status(),
        seen=Seen(unseen=(*beside.unseen, *_unseen(keys)), ignored=tuple(sorted(ignored))),
    )


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
    doc: Doc
    ingress: bool
    path: Path


def _name(box: _Box) -> str:
    return box.name


def _boxes(template: Doc, root: Path) -> list[_Box]:
    """
    The containers. Requests reach the only one, or the one with a port.

    Several containers need names; where they lack them, their order names them.
    """
    where = (*root, "containers")
    listed = nodes.sequence(template.get("containers"), *where)
    docs = [nodes.mapping(c, *where, i) for i, c in enumerate(listed)]
    if not docs:
        raise Refused("no-containers", "no containers: nothing can be told of it", path=where)
    found: list[_Box] = []
    for i, doc in enumerate(docs):
        name = nodes.text(doc.get("name"), *where, i) or (
            f"container-{i + 1}" if len(docs) > 1 else ""
        )
        if name in {box.name for box in found}:
            raise Refused("bad-name", "two containers of the same name", path=(*where, i))
        ingress = len(docs) == 1 or bool(doc.get("ports"))
        found.append(_Box(name, doc, ingress, (*where, i)))
    return found


def _keys(box: _Box, identity: Identity, sealer: Sealer) -> list[Binding]:
    return bindings(box.name, box.doc.get("env"), identity, sealer, (*box.path, "env"))


def _settings(
    template: Doc, boxes: Sequence[_Box], digests: Mapping[str, str], found: SettingsOf
) -> None:
    ingress = next((box for box in boxes if box.ingress), boxes[0])
    settings_of.revision_settings(template, ingress.doc, found)
    for box in boxes:
        ports = nodes.sequence(box.doc.get("ports"), *box.path, "ports")
        given = (
            nodes.number(nodes.mapping(ports[0], *box.path).get("containerPort")) if ports else 0
        )
        port = given or (DEFAULT_PORT if box is ingress else "")
        digest = digests.get(box.name, "")
        settings_of.container_settings(box.doc, found.inside(box.name), port, digest)
    for volume in nodes.sequence(template.get("volumes"), "volumes"):
        sql = nodes.mapping(nodes.mapping(volume).get("cloudSqlInstance"))
        for instance in nodes.sequence(sql.get("instances"), "volumes", "instances"):
            found.add(f"cloud_sql.{nodes.text(instance)}", "attached")


def _mounts(
    boxes: Sequence[_Box], template: Doc, identity: Identity, root: Path
) -> tuple[list[Mount], dict[tuple[str, str], str]]:
    """Mounted secrets, and what other volumes are mounted where, by container and path."""
    listed = nodes.sequence(template.get("volumes"), *root, "volumes")
    volumes = [(nodes.mapping(v, *root, "volumes", i), i) for i, v in enumerate(listed)]
    named = {nodes.text(v.get("name")): (v, (*root, "volumes", i)) for v, i in volumes}
    secrets: dict[tuple[str, str], Mount] = {}
    others: dict[tuple[str, str], str] = {}
    for box in boxes:
        for i, item in enumerate(nodes.sequence(box.doc.get("volumeMounts"), *box.path)):
            mount = nodes.mapping(item, *box.path, "volumeMounts", i)
            where = nodes.text(mount.get("mountPath"), *box.path, "volumeMounts", i)
            sub_path = nodes.text(mount.get("subPath"))
            volume, path = named.get(nodes.text(mount.get("name")), ({}, box.path))
            if "secret" in volume:
                for file in secret_files(box.name, where, sub_path, volume, identity, path):
                    secrets[file.container, file.path] = file
            elif told := _volume(volume):
                others[box.name, where] = told
    return list(secrets.values()), others


def _volume(volume: Doc) -> str:
    """What a volume other than a secret is, in words; nothing for Cloud SQL, which is a setting."""
    match volume:
        case {"cloudSqlInstance": _}:
            return ""
        case {"emptyDir": empty}:
            doc = nodes.mapping(empty)
            kind = nodes.word(doc.get("medium"), fields.MEDIUM)
            return f"empty-dir {kind} {nodes.memory(doc.get('sizeLimit'))}".rstrip()
        case {"nfs": nfs}:
            doc = nodes.mapping(nfs)
            return (
                f"nfs {nodes.text(doc.get('server'))}:{nodes.text(doc.get('path'))}{_access(doc)}"
            )
        case {"gcs": gcs}:
            doc = nodes.mapping(gcs)
            options = ",".join(nodes.text(o) for o in nodes.sequence(doc.get("mountOptions")))
            return f"gcs {nodes.text(doc.get('bucket'))}{_access(doc)} {options}".rstrip()
    kinds = sorted(volume.keys() - {"name"})
    return f"unsupported {', '.join(kinds)}" if kinds else "no such volume"


def _access(doc: Doc) -> str:
    return " read-only" if nodes.flag(doc.get("readOnly")) else ""


def _unseen(keys: Sequence[Binding]) -> list[Unseen]:
    return [
        Unseen(where=f"key {b.key}", reason=b.source.reason)
        for b in keys
        if isinstance(b.source, Unreadable)
    ]


def _canonical(node: Node) -> str:
    return json.dumps(node, sort_keys=True, default=str)


def status(conditions: Node, name: str, traffic: Sequence[TrafficTarget]) -> Status:
    """How a revision stood: its own Ready and Active conditions, and its share of the traffic."""
    by_type = {
        nodes.text(c.get("type")): c
        for c in (nodes.mapping(item) for item in nodes.sequence(conditions, "conditions"))
    }
    ready, active = by_type.get("Ready", {}), by_type.get("Active", {})
    mine = [t for t in traffic if t.revision == name and (name or t.latest)]
    return Status(
        ready=_state(ready),
        ready_reason=_reason(ready),
        active=_state(active),
        active_reason=_reason(active),
        percent=sum(t.percent for t in mine),
        tags=tuple(sorted(t.tag for t in mine if t.tag)),
    )


def _state(condition: Doc) -> bool | None:
    word = nodes.word(condition.get("state"), fields.CONDITION).lower()
    return {"true": True, "false": False}.get(word)


def _reason(condition: Doc) -> str:
    return nodes.word(condition.get("revisionReason"), fields.REVISION_REASON)


def traffic(parent: Doc, newest: str) -> tuple[TrafficTarget, ...]:
    """
    Where requests go: as observed, else as asked for; everything to the newest if nothing is said.

    v2 names no revision beside LATEST (§0): the newest Ready one is meant, or `newest` in a
    manifest.
    """
    observed = parent.get("trafficStatuses") or parent.get("instanceSplitStatuses")
    asked = parent.get("traffic") or parent.get("instanceSplits")
    targets = [nodes.mapping(t) for t in nodes.sequence(observed or asked, "traffic")]
    ready = _short(parent.get("latestReadyRevision")) or newest
    found = []
    for target in targets or [{"type": "latest", "percent": 100}]:
        latest = nodes.word(target.get("type"), fields.ALLOCATION | fields.SPLIT) == "latest"
        revision = _short(target.get("revision"))
        found.append(
            TrafficTarget(
                revision=revision or (ready if latest else ""),
                percent=_percent(target.get("percent")),
                tag=nodes.text(target.get("tag")),
                latest=latest,
            )
        )
    return tuple(found)


def _percent(node: Node) -> int:
    number = nodes.number(node, "traffic", "percent")
    return number if isinstance(number, int) else 0


def _short(node: Node) -> str:
    """A revision by its own name, whether it came with its path or not."""
    return nodes.text(node).rpartition("/")[2]


def service_level(parent: Doc, identity: Identity, sealer: Sealer) -> tuple[Setting, ...]:
    """
    What changes without a new revision, sorted.

    Of the traffic only the mode is a setting: whether it follows the newest revision or is
    pinned. The names of revisions change with every deploy; who serves stands in the status.
    """
    found = SettingsOf(identity.address, sealer, prefix="service.")
    settings_of.service_settings(parent, found)
    shares: dict[str, int] = {}
    asked = {**parent, "trafficStatuses": None, "instanceSplitStatuses": None}
    for target in traffic(asked, ""):
        mode = "latest" if target.latest else "pinned"
        shares[mode] = shares.get(mode, 0) + target.percent
    told = (f"{mode} {percent}%" for mode, percent in sorted(shares.items()) if percent)
    found.add("traffic", ", ".join(told))
    return found.sorted()
