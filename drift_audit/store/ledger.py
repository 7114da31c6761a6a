"""
What earlier audits saw of each service, as `drift_audit.past` tells it: names and times, no value.

It lies beside the archive and is no part of it: what was seen once cannot be read again, so it has
no age, and neither `--full` nor another version of the program drops it. A file that is not
believed (see `drift_audit.store.marked`) is as good as none: nothing is known of the past.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Literal

from pydantic import ValidationError

from drift_audit.past import Past
from drift_audit.seal import SealKey
from drift_audit.snapshot import Address
from drift_audit.store.home import Home
from drift_audit.store.marked import Head, Lines, Marked, Place


class _Head(Head):
    document: Literal["drift-audit/past"] = "drift-audit/past"


class Ledger:
    """The ledger in a home. `key` marks what is written, and tells what was written with it."""

    def __init__(self, home: Home, key: SealKey) -> None:
        def mark(where: str, data: bytes) -> str:
            return key.mark(json.dumps(["drift-audit/v1 past", where]), data)

        self._home = home
        self._files = Marked(
            home, ".past.jsonl.gz", _Head, mark, lost="what was seen before is lost"
        )
        self._lines: dict[Place, Lines] = {}
        self._pasts: dict[Address, Past | None] = {}
        self._noted: dict[Place, Lines] = {}

    def of(self, service: Address) -> Past | None:
        """What earlier audits saw of a service, as far as that can be believed."""
        if service not in self._pasts:
            self._pasts[service] = self._read(service)
        return self._pasts[service]

    def _read(self, service: Address) -> Past | None:
        place = service.project, service.region
        if not self._files.holds(place):
            return None
        if place not in self._lines:
            found = self._files.read(place)
            self._lines[place] = found[1] if found else {}
        text = self._lines[place].get(str(service))
        if text is None:
            return None
        try:
            past = Past.model_validate_json(text)
        except ValidationError:
            return None
        return past if past.service == service else None

    def note(self, past: Past) -> None:
        """Remember what has been seen by now; it is written by `keep`."""
        place = past.service.project, past.service.region
        self._noted.setdefault(place, {})[str(past.service)] = past.model_dump_json()

    def keep(self) -> None:
        """
        Write down what was noted, beside what is kept of other services by now. A folder that
        cannot be written is logged and no more.
        """
        for place, noted in sorted(self._noted.items()):
            if self._files.holds(place):
                self._files.write(place, partial(_with, noted))

    def hand_over(self, key: SealKey) -> None:
        """
        Keep under another key, from now on, what was seen: it can be seen no second time. What is
        kept under that key already stays. Raises StoreError for what cannot be read.
        """
        other = Ledger(self._home, key)
        for place in [*self._files.places()]:
            found = None if other._files.believes(place) else self._files.read(place)
            if found is not None:
                other._files.write(place, partial(_with, found[1]))


def _with(noted: Lines, kept: tuple[_Head, Lines] | None) -> tuple[_Head, Lines]:
    return _Head(), (kept[1] if kept else {}) | noted
