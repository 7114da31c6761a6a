"""
What earlier audits read, kept so that a night reads only what is new.

It can be deleted at any time: the next audit then reads everything, as it does where a file is not
believed (see `drift_audit.store.marked`). Each service is kept sealed.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Literal

from pydantic import ValidationError

from drift_audit import __version__
from drift_audit.frozen import Instant
from drift_audit.inventory import Remembered
from drift_audit.seal import Sealer
from drift_audit.snapshot import Address
from drift_audit.store.home import Home
from drift_audit.store.marked import Head, Lines, Marked, Place

FULL_AFTER = dt.timedelta(days=7)
"""After so long everything is read anew, so that nothing that was missed is missed for ever."""

NIGHT = dt.timedelta(hours=12)
"""What was read anew within so long was read by another part of the same run."""

_log = logging.getLogger(__name__)


class _Head(Head):
    """Which program wrote the lines, and when all was read anew last."""

    document: Literal["drift-audit/archive"] = "drift-audit/archive"
    tool: str
    full_at: Instant


class Archive:
    """
    The archive in a home. `sealer` marks what is written; `now` is the time of this audit.

    With `full`, nothing is recalled, and what is read replaces what was there.
    """

    def __init__(self, home: Home, sealer: Sealer, now: dt.datetime, *, full: bool = False) -> None:

        def mark(where: str, data: bytes) -> str:
            return sealer.mark(f"archive {where} {__version__}", data)

        self._files = Marked(home, ".jsonl.gz", _Head, mark, lost="all is read")
        self._now, self._full = now, full
        self._lock = threading.Lock()
        self._known: dict[Place, Lines] = {}
        self._full_at: dict[Place, dt.datetime] = {}
        self._changed: dict[Place, dict[str, str | None]] = {}

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
            self._changed.setdefault(place, {})[str(at)] = None

    def keep(self, read: Iterable[Remembered]) -> None:
        """
        Write down what was read, beside what is kept of other services of the same locations.

        A folder that cannot be written is logged and no more: the next audit reads a little more.
        """
        for one in read:
            at = one.service.address
            place = at.project, at.region
            if self._files.holds(place):
                self._changed.setdefault(place, {})[str(at)] = one.model_dump_json()
        for place, changes in sorted(self._changed.items()):
            self._files.write(place, partial(self._with, place, changes))

    def _with(
        self, place: Place, changes: Mapping[str, str | None], kept: tuple[_Head, Lines] | None
    ) -> tuple[_Head, Lines]:
        """What is kept of a location by now, unless that is too old, and what this audit read."""
        full_at, lines = self._full_at.get(place, self._now), dict[str, str | None]()
        anew = self._full and kept is not None and self._now - kept[0].full_at > NIGHT
        if kept is not None and self._young(kept[0]) and not anew:
            full_at, lines = min(full_at, kept[0].full_at), dict(kept[1])
        lines |= changes
        head = _Head(tool=__version__, full_at=full_at)
        return head, {at: line for at, line in lines.items() if line is not None}

    def _young(self, head: _Head) -> bool:
        return dt.timedelta(0) <= self._now - head.full_at < FULL_AFTER

    def _lines(self, place: Place) -> Lines:
        """
        What is kept of a location, as text by address; loaded when it is asked for first. Of one
        whose name is no part of a path nothing is.
        """
        if not self._files.holds(place):
            return {}
        with self._lock:  # the kinds of a location are read beside each other
            if place not in self._known:
                self._known[place] = self._load(place)
            return self._known[place]

    def _load(self, place: Place) -> Lines:
        """The services of a location, as text by address; nothing where it is all to be read."""
        found = None if self._full else self._files.read(place)
        if found is None:
            return {}
        head, lines = found
        if not self._young(head):
            path, day = self._files.where(place), head.full_at.date()
            _log.info("%s: last read whole on %s: everything is read", path, day)
            return {}
        self._full_at[place] = head.full_at
        return lines
