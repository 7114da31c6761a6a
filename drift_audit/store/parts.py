"""
The parts of runs that several processes share: `.archive/parts/RUN/3-of-10.json.gz`.

A part is sealed and marked as the archive is: what somebody without the key has touched is refused,
for a verdict is made of it.
"""

from __future__ import annotations

import json
import re
from typing import Literal

from pydantic import ValidationError

from drift_audit.errors import StoreError
from drift_audit.part import Part
from drift_audit.seal import SealKey
from drift_audit.store.home import Conflict, Home
from drift_audit.store.marked import FOLDER, LIMIT, Head, believed, marked, packed, unpacked
from drift_audit.store.nights import ONE_NIGHT

PARTS = f"{FOLDER}parts/"
_NAME = re.compile(r"(?P<number>[0-9]+)-of-(?P<count>[0-9]+)\.json\.gz")


class _Head(Head):
    document: Literal["drift-audit/marked-part"] = "drift-audit/marked-part"


class Parts:
    """The parts in a home. All calls raise StoreError for what cannot be read, or believed."""

    def __init__(self, home: Home, key: SealKey) -> None:
        self._home, self._key = home, key

    def keep(self, run: str, part: Part) -> tuple[str, bool]:
        """
        Write a part; tells where, and whether it was not there before. A task that is tried again
        leaves what its first try has written. Raises StoreError for that of another run.
        """
        path = f"{PARTS}{run}/{part.shard.number}-of-{part.shard.count}.json.gz"
        data = packed(part.model_dump_json())
        try:
            self._home.write(path, marked(self._mark, path, _Head(), data), over=None)
        except Conflict:
            if abs(part.now - self._part(path).now) >= ONE_NIGHT:
                where = self._home.where(path)
                hint = "give each run a name of its own: --run=NAME"
                raise StoreError(f"{where}: is that of another run", hint=hint) from None
            return self._home.where(path), False
        return self._home.where(path), True

    def read(self, run: str) -> list[Part]:
        """The parts of a run, in their order."""
        folder = f"{PARTS}{run}/"
        paths = [f"{folder}{name}" for name in self._home.names(folder) if _NAME.fullmatch(name)]
        parts = [self._part(path) for path in paths]
        return sorted(parts, key=lambda part: part.shard.number)

    def newest(self) -> str | None:
        """The run whose first part was written last, None where there is none."""
        runs = [name[:-1] for name in self._home.names(PARTS) if name.endswith("/")]
        begun = [(parts[0].now, run) for run in runs if (parts := self.read(run))]
        return max(begun)[1] if begun else None

    def _part(self, path: str) -> Part:
        where = self._home.where(path)
        stored = self._home.read(path, limit=LIMIT)
        found = believed(self._mark, path, _Head, stored.data if stored else b"")
        if found is None:
            raise StoreError(
                f"{where}: written with another key, or touched since",
                hint="merge with the key that its tasks had",
            )
        try:
            return Part.model_validate_json(unpacked(found[1]))
        except ValidationError:
            raise StoreError(f"{where}: not a part of this version") from None

    def _mark(self, path: str, data: bytes) -> str:
        return self._key.mark(json.dumps(["drift-audit/v1 part", path]), data)
