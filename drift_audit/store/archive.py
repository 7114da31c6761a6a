"""
What earlier audits read, kept so that a night reads only what is new.

One file for each location, below the baselines: `.archive/PROJECT/REGION.jsonl`. It can be deleted
at any time: the next audit then reads everything. A line holds one service, sealed; the first line
holds a keyed digest of all the others, so that only those who hold the sealing key can write what
an audit believes. A file that anybody else has touched is not believed, and everything is read.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from drift_audit import __version__, files, names
from drift_audit.errors import InputError, OutputError
from drift_audit.frozen import Frozen
from drift_audit.inventory import Remembered
from drift_audit.seal import Sealer
from drift_audit.snapshot import Address

FOLDER = ".archive"
LIMIT = 2**30
"""Bytes of one location: ten times what a thousand services take."""

FULL_AFTER = dt.timedelta(days=7)
"""After so long everything is read anew, so that nothing that was missed is missed for ever."""

_log = logging.getLogger(__name__)


class _Head(Frozen):
    """The first line: which program wrote the others, when all was read anew last, and a mark."""

    document: Literal["drift-audit/archive"] = "drift-audit/archive"
    schema_version: Literal[1] = 1
    tool: str
    full_at: AwareDatetime
    mark: str


class Archive:
    """
    The archive of one store. `sealer` marks what is written; `now` is the time of this audit.

    With `full`, nothing is recalled, and what is read replaces what was there.
    """

    def __init__(self, root: str, sealer: Sealer, now: dt.datetime, *, full: bool = False) -> None:
        self._folder, self._sealer = Path(root) / FOLDER, sealer
        self._now, self._full = now, full
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], dict[str, str]] = {}
        self._full_at: dict[tuple[str, str], dt.datetime] = {}
        self._changed: set[tuple[str, str]] = set()

    def recall(self, at: Address) -> Remembered | None:
        """What an earlier audit read of a service, if it can be believed."""
        text = self._lines((at.project, at.region)).get(str(at))
        if text is None:
            return None
        try:
            found = Remembered.model_validate_json(text)
        except ValidationError:
            return None
        return found if found.service.address == at else None

    def services(self, project: str, region: str) -> list[Address]:
        """The services of a location that an earlier audit read."""
        kept = [at.rpartition("/")[2] for at in list(self._lines((project, region)))]
        return [Address(project=project, region=region, service=name) for name in sorted(kept)]

    def forget(self, at: Address) -> None:
        """Drop a service that is no longer there."""
        place = at.project, at.region
        if self._lines(place).pop(str(at), None) is not None:
            self._changed.add(place)

    def keep(self, read: Iterable[Remembered]) -> None:
        """
        Write down what was read, beside what is kept of other services of the same locations.

        A folder that cannot be written is logged and no more: the next audit reads a little more.
        """
        for one in read:
            at = one.service.address
            place = at.project, at.region
            self._lines(place)[str(at)] = one.model_dump_json()
            self._changed.add(place)
        for place in sorted(self._changed & self._known.keys()):
            lines = sorted(self._known[place].items())
            text = "".join(f"{at}\t{line}\n" for at, line in lines)
            try:
                self._write(place, text)
            except (OSError, OutputError) as error:
                _log.info("%s", error)

    def _lines(self, place: tuple[str, str]) -> dict[str, str]:
        """
        What is kept of a location, as text by address; loaded when it is asked for first. Of one
        whose name is no part of a path nothing is.
        """
        if not (names.PROJECT.fullmatch(place[0]) and names.SERVICE.fullmatch(place[1])):
            return {}
        with self._lock:  # the kinds of a location are read beside each other
            if place not in self._known:
                self._known[place] = self._load(place)
            return self._known[place]

    def _write(self, place: tuple[str, str], text: str) -> None:
        path, ignored = self._path(place), self._folder / ".gitignore"
        path.parent.mkdir(parents=True, exist_ok=True)
        for one in (path, ignored):
            self._check_inside(one)
        if not ignored.exists():
            files.write(str(ignored), "*\n")
        full_at = self._full_at.get(place, self._now)
        mark = self._mark(path, full_at, text)
        head = _Head(tool=__version__, full_at=full_at, mark=mark)
        files.write(str(path), f"{head.model_dump_json()}\n{text}")

    def _load(self, place: tuple[str, str]) -> dict[str, str]:
        """The services of a location, as text by address; nothing where it is all to be read."""
        path = self._path(place)
        if self._full or not path.exists():
            return {}
        try:
            self._check_inside(path)
            first, _, text = files.read(str(path), limit=LIMIT).decode().partition("\n")
            head = _Head.model_validate_json(first)
        except (InputError, OutputError, UnicodeDecodeError, ValidationError):
            _log.warning("%s: not an archive of this version: everything is read", path)
            return {}
        if head.tool != __version__ or self._mark(path, head.full_at, text) != head.mark:
            _log.warning("%s: written by another version, or another key: all is read", path)
            return {}
        if not dt.timedelta(0) <= self._now - head.full_at < FULL_AFTER:
            _log.info("%s: last read whole on %s: everything is read", path, head.full_at.date())
            return {}
        self._full_at[place] = head.full_at
        pairs = (line.partition("\t") for line in text.split("\n")[:-1])
        return {at: remembered for at, _, remembered in pairs}

    def _mark(self, path: Path, full_at: dt.datetime, text: str) -> str:
        """A keyed digest of the lines and their age, bound to their place and to this version."""
        where = "/".join(path.relative_to(self._folder).parts)
        what = f"archive {where} {__version__} {full_at.isoformat()}"
        return self._sealer.mark(what, text.encode())

    def _check_inside(self, path: Path) -> None:
        """Refuse what a link puts elsewhere. Raises OutputError."""
        inside = path.relative_to(self._folder)
        store = self._folder.parent.resolve()
        if path.is_symlink() or path.parent.resolve() != (store / FOLDER / inside).parent:
            raise OutputError(f"{path}: a link, which is not followed")

    def _path(self, place: tuple[str, str]) -> Path:
        """The file of a location."""
        return self._folder / place[0] / f"{place[1]}.jsonl"
