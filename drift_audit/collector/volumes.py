"""
What is mounted where: files of secrets, Cloud SQL, and other volumes as settings of a container.

A volume is known by where it is mounted and by what it holds, never by its name, which v1 makes up
(`cloud-run-api.md` §2.5). Of kinds that Cloud Run does not have, the details are sealed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from drift_audit.binding import Mount
from drift_audit.collector import fields
from drift_audit.collector.bindings import reference, secret_files
from drift_audit.collector.nodes import NOT_KNOWN, NotKnown, Object
from drift_audit.collector.settings import SettingsOf
from drift_audit.snapshot import Identity
from drift_audit.strict import Path, Refused

CLOUD_SQL = "/cloudsql"
"""Where Cloud Run mounts the sockets of Cloud SQL (§2.3)."""

FILES_LIMIT = 10_000
MOUNTS_LIMIT = 1_000
DETAILS_LIMIT = 65_536
"""Far more than a revision can have: a document with more is not an export."""


@dataclass(frozen=True)
class _Volume:
    """A volume of the document. What it says is worked out once, however often it is mounted."""

    one: Object = field(repr=False)

    @cached_property
    def instances(self) -> list[str]:
        """The Cloud SQL instances behind it."""
        sql = self.one.inside("cloudSqlInstance")
        return sorted(_few(sql.texts("instances"), sql.path))

    @cached_property
    def words(self) -> str:
        """What it is, unless it is a secret."""
        one = self.one
        match one.doc:
            case {"cloudSqlInstance": _}:
                return f"cloud-sql {', '.join(self.instances)}"
            case {"emptyDir": _}:
                empty = one.inside("emptyDir")
                kind, size = empty.word("medium", fields.MEDIUM), empty.memory("sizeLimit")
                return f"empty-dir {kind} {size}".rstrip()
            case {"nfs": _}:
                nfs = one.inside("nfs")
                return f"nfs {nfs.text('server')}:{nfs.text('path')}{_access(nfs)}"
            case {"gcs": _}:
                gcs = one.inside("gcs")
                options = ",".join(_few(gcs.texts("mountOptions"), gcs.path))
                return f"gcs {gcs.text('bucket')}{_access(gcs)} {options}".rstrip()
        kinds = sorted(one.doc.keys() - {"name"})
        return f"unsupported {', '.join(kinds)}" if kinds else "no such volume"

    @cached_property
    def details(self) -> tuple[str, ...]:
        """The whole of a volume that has no words of its own, to be sealed."""
        unsupported = {k: v for k, v in self.one.doc.items() if k != "name"}
        if not unsupported or _SUPPORTED & unsupported.keys():
            return ()
        told = json.dumps(unsupported, sort_keys=True)
        if len(told) > DETAILS_LIMIT:
            raise Refused("too-many", "a volume with more than it can hold", path=self.one.path)
        return (told,)


_SUPPORTED = frozenset({"secret", "cloudSqlInstance", "emptyDir", "nfs", "gcs"})


def _access(volume: Object) -> str:
    return " read-only" if volume.flag("readOnly") else ""


def _few(items: list[Any], path: Path) -> list[Any]:
    """The list, if it is no longer than one of a revision can be."""
    if len(items) > MOUNTS_LIMIT:
        raise Refused("too-many", f"more than {MOUNTS_LIMIT} of them", path=path)
    return items


class Volumes:
    """
    The volumes of a revision. Each container is `mount`ed in turn; `close` tells of volumes that
    no container mounts.
    """

    def __init__(self, template: Object, identity: Identity) -> None:
        self._identity = identity
        self._files: dict[tuple[str, str], Mount] = {}
        self._number = 0
        self._mounted: list[str] = []
        self._named: dict[str, _Volume] = {}
        where = (*template.path, "volumes")
        for one in _few(template.objects("volumes"), where):
            name = one.text("name")
            if name in self._named:
                raise Refused("bad-name", "two volumes of the same name", path=one.path)
            self._named[name] = _Volume(one)

    def mount(self, container: Object, name: str, found: SettingsOf, *, main: bool) -> None:
        """
        Add what one container mounts.

        Cloud SQL of the `main` container is told of the revision, as v1 has it in an annotation.
        """
        inside = found.inside(name)
        for mount in container.objects("volumeMounts"):
            at = mount.text("mountPath")
            at = at.rstrip("/") or at[:1]
            sub_path, called = mount.text("subPath"), mount.text("name")
            volume = self._named.get(called, _Volume(Object({}, mount.path)))
            self._mounted.append(called)
            _few(self._mounted, mount.path)
            if "secret" in volume.one.doc:
                self._secret(name, at, sub_path, volume.one)
            elif "cloudSqlInstance" in volume.one.doc and at == CLOUD_SQL and not sub_path:
                for instance in volume.instances:
                    (found if main else inside).add(f"cloud_sql.{instance}", "attached")
            else:
                inside.add(f"volume.{at}", volume.words)
                inside.add(f"volume.{at}.sub_path", sub_path)
                inside.seal(f"volume.{at}.details", *volume.details)

    def _secret(self, name: str, at: str, sub_path: str, volume: Object) -> None:
        for file in secret_files(name, at, sub_path, volume, self._identity):
            self._files[file.container, file.path] = file
            self._number += 1
            if self._number > FILES_LIMIT:
                reason = f"more than {FILES_LIMIT} mounted files"
                raise Refused("too-many", reason, path=volume.path)

    def close(self, found: SettingsOf) -> tuple[Mount, ...]:
        """All mounted files, sorted; volumes that nobody mounts become a setting."""
        mounted = set(self._mounted)
        idle = [v for name, v in self._named.items() if name not in mounted]
        found.add("unmounted_volumes", "; ".join(sorted(map(self._idle, idle))))
        found.seal("unmounted_volumes.details", *sorted(d for v in idle for d in v.details))
        return tuple(file for _, file in sorted(self._files.items()))

    def _idle(self, volume: _Volume) -> str:
        if "secret" not in volume.one.doc:
            return volume.words
        secret = volume.one.inside("secret")
        if isinstance(secret.doc.get("secret"), NotKnown):
            return f"secret {NOT_KNOWN}"
        ref = reference(secret.doc.get("secret"), None, self._identity, volume.one.path)
        return f"secret {ref.resource}"
