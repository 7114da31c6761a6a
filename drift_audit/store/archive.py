"""
What earlier audits read, kept so that a night reads only what is new.

It can be deleted at any time: the next audit then reads everything, as it does where a file is not
believed (see `drift_audit.store.marked`). Each service is kept sealed.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Iterable
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from drift_audit import __version__
from drift_audit.inventory import Remembered
from drift_audit.seal import Sealer
from drift_audit.snapshot import Address
from drift_audit.store.marked import Head, Lines, Marked, Place

FULL_AFTER = dt.timedelta(days=7)
"""After so long everything is read anew, so that nothing that was missed is missed for ever."""

_log = logging.getLogger(__name__)


class _Head(Head):
    """Which program wrote the lines, and when all was read anew last."""

    document: Literal["drift-audit/archive"] = "drift-audit/archive"
    tool: str
    full_at: AwareDatetime


class Archive:
    """
    The archive of one store. `sealer` marks what is written; `now` is the time of this audit.

    With `full`, nothing is recalled, and what is read replaces what was there.
    """

    def __init__(self, root: str, sealer: Sealer, now: dt.datetime, *, full: bool = False) -> None:

        def mark(where: str, data: bytes) -> str:
            return sealer.mark(f"archive {where} {__version__}", data)

        self._files = Marked(root, ".jsonl", _Head, mark, lost="all is read")
        self._now, self._full = now, full
        self._lock = threading.Lock()
        self._known: dict[Place, Lines] = {}
        self._full_at: dict[Place, dt.datetime] = {}
        self._changed: set[Place] = set()

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
            full_at = self._full_at.get(place, self._now)
            head = _Head(tool=__version__, full_at=full_at)
            self._files.write(place, head, self._known[place])

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
        if not dt.timedelta(0) <= self._now - head.full_at < FULL_AFTER:
            path, day = self._files.path(place), head.full_at.date()
            _log.info("%s: last read whole on %s: everything is read", path, day)
            return {}
        self._full_at[place] = head.full_at
        return lines
