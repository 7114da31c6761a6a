"""
What is mounted where: files of secrets, Cloud SQL, and other volumes as settings of a container.

A volume is known by where it is mounted and by what it holds, never by its name, which v1 makes up
(`cloud-run-api.md` §2.5). Of kinds that Cloud Run does not have, the details are sealed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drift_audit.collector import fields, nodes
from drift_audit.collector.bindings import reference, secret_files
from drift_audit.collector.settings import SettingsOf
from drift_audit.snapshot import Identity, Mount
from drift_audit.strict import Path, Refused

Doc = Mapping[str, Any]

CLOUD_SQL = "/cloudsql"
"""Where Cloud Run mounts the sockets of Cloud SQL (§2.3)."""

FILES_LIMIT = 10_000
MOUNTS_LIMIT = 1_000
"""Far more than a revision can have: a document with more is not an export."""


@dataclass(frozen=True)
class _Volume:
    doc: Doc
    path: Path

    @property
    def instances(self) -> list[str]:
        """The Cloud SQL instances behind it."""
        where = (*self.path, "cloudSqlInstance")
        sql = nodes.mapping(self.doc.get("cloudSqlInstance"), *where)
        listed = nodes.sequence(sql.get("instances"), *where, "instances")
        return [nodes.text(item, *where, "instances") for item in listed]


class Volumes:
    """
    The volumes of a revision. Each container is `mount`ed in turn; `close` tells of volumes that
    no container mounts.
    """

    def __init__(self, template: Doc, identity: Identity, root: Path) -> None:
        self._identity = identity
        self._files: dict[tuple[str, str], Mount] = {}
        self._mounted: set[str] = set()
        self._named: dict[str, _Volume] = {}
        where = (*root, "volumes")
        listed = nodes.sequence(template.get("volumes"), *where)
        _check_number(listed, where)
        for i, item in enumerate(listed):
            doc = nodes.mapping(item, *where, i)
            name = nodes.text(doc.get("name"), *where, i, "name")
            if name in self._named:
                raise Refused("bad-name", "two volumes of the same name", path=(*where, i))
            self._named[name] = _Volume(doc, (*where, i))

    def mount(
        self, container: Doc, name: str, found: SettingsOf, path: Path, *, main: bool
    ) -> None:
        """
        Add what one container mounts.

        Cloud SQL of the `main` container is told of the revision, as v1 has it in an annotation.
        """
        where = (*path, "volumeMounts")
        listed = nodes.sequence(container.get("volumeMounts"), *where)
        _check_number(listed, where)
        inside = found.inside(name)
        for i, item in enumerate(listed):
            mount = nodes.mapping(item, *where, i)
            at = nodes.text(mount.get("mountPath"), *where, i, "mountPath")
            at = at.rstrip("/") or at[:1]
            sub_path = nodes.text(mount.get("subPath"), *where, i, "subPath")
            called = nodes.text(mount.get("name"), *where, i, "name")
            volume = self._named.get(called, _Volume({}, (*where, i)))
            self._mounted.add(called)
            if "secret" in volume.doc:
                self._secret(name, at, sub_path, volume)
            elif "cloudSqlInstance" in volume.doc and at == CLOUD_SQL and not sub_path:
                for instance in volume.instances:
                    (found if main else inside).add(f"cloud_sql.{instance}", "attached")
            else:
                inside.add(f"volume.{at}", _told(volume))
                inside.add(f"volume.{at}.sub_path", sub_path)
                inside.seal(f"volume.{at}.details", *_details(volume))

    def _secret(self, name: str, at: str, sub_path: str, volume: _Volume) -> None:
        files = secret_files(name, at, sub_path, volume.doc, self._identity, volume.path)
        for file in files:
            self._files[file.container, file.path] = file
            if len(self._files) > FILES_LIMIT:
                reason = f"more than {FILES_LIMIT} mounted files"
                raise Refused("too-many", reason, path=volume.path)

    def close(self, found: SettingsOf) -> tuple[Mount, ...]:
        """All mounted files, sorted; volumes that nobody mounts become a setting."""
        idle = [v for name, v in self._named.items() if name not in self._mounted]
        found.add("unmounted_volumes", "; ".join(sorted(map(self._idle, idle))))
        found.seal("unmounted_volumes.details", *sorted(d for v in idle for d in _details(v)))
        return tuple(file for _, file in sorted(self._files.items()))

    def _idle(self, volume: _Volume) -> str:
        if "secret" not in volume.doc:
            return _told(volume)
        secret = nodes.mapping(volume.doc["secret"], *volume.path, "secret")
        ref = reference(secret.get("secret"), None, self._identity, volume.path)
        return f"secret {ref.resource}"


def _check_number(listed: list[Any], path: Path) -> None:
    if len(listed) > MOUNTS_LIMIT:
        raise Refused("too-many", f"more than {MOUNTS_LIMIT} of them", path=path)


_SUPPORTED = frozenset({"secret", "cloudSqlInstance", "emptyDir", "nfs", "gcs"})


def _told(volume: _Volume) -> str:
    """What a volume is, in words."""
    doc, path = volume.doc, volume.path
    match doc:
        case {"cloudSqlInstance": _}:
            return f"cloud-sql {', '.join(sorted(volume.instances))}"
        case {"emptyDir": empty}:
            one = nodes.mapping(empty, *path, "emptyDir")
            kind = nodes.word(one.get("medium"), fields.MEDIUM, *path, "emptyDir", "medium")
            size = nodes.memory(one.get("sizeLimit"), *path, "emptyDir", "sizeLimit")
            return f"empty-dir {kind} {size}".rstrip()
        case {"nfs": nfs}:
            one = nodes.mapping(nfs, *path, "nfs")
            server, folder = (nodes.text(one.get(f), *path, "nfs", f) for f in ("server", "path"))
            return f"nfs {server}:{folder}{_access(one, path)}"
        case {"gcs": gcs}:
            one = nodes.mapping(gcs, *path, "gcs")
            bucket = nodes.text(one.get("bucket"), *path, "gcs", "bucket")
            listed = nodes.sequence(one.get("mountOptions"), *path, "gcs", "mountOptions")
            options = ",".join(nodes.text(o, *path, "gcs", "mountOptions") for o in listed)
            return f"gcs {bucket}{_access(one, path)} {options}".rstrip()
    kinds = sorted(doc.keys() - {"name"})
    return f"unsupported {', '.join(kinds)}" if kinds else "no such volume"


def _access(doc: Doc, path: Path) -> str:
    return " read-only" if nodes.flag(doc.get("readOnly"), *path, "readOnly") else ""


def _details(volume: _Volume) -> Iterator[str]:
    """The whole of a volume that has no words of its own, to be sealed."""
    unsupported = {k: v for k, v in volume.doc.items() if k != "name"}
    if unsupported and not _SUPPORTED & unsupported.keys():
        yield json.dumps(unsupported, sort_keys=True)
