"""
The nights of a store: `_nights/DATE/RUN` holds the pages of one, and last of all `night.json`:
where it is, they are.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from drift_audit.errors import StoreError
from drift_audit.inventory import Scope
from drift_audit.night import Night
from drift_audit.store.home import Conflict, Home

FOLDER = "_nights/"
"""No project is called so."""

SUMMARY = "night.json"
LIMIT = 256 * 2**20

RUN = re.compile(r"[a-z0-9]([-a-z0-9]{0,98}[a-z0-9])?")
"""The name of a run: that of an execution of a job, or a time."""

ONE_NIGHT = dt.timedelta(hours=12)
"""What has one name and is not further apart is one run, tried again."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}/")


class Nights:
    """The nights in a home. All calls raise StoreError for what cannot be read or written."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def keep(self, night: Night, pages: Mapping[str, str]) -> str:
        """
        Write the pages of a night, by their file names, and then what is kept of it; tells where.

        Nothing is written over. A run that is kept already and was complete is not kept again; one
        that was not is kept beside it.
        """
        date = f"{night.generated_at.astimezone(dt.UTC):%Y-%m-%d}"
        for time in range(1, 1_000):
            name = night.run if time == 1 else f"{night.run}.{time}"
            folder = f"{FOLDER}{date}/{name}/"
            there = self._read(f"{folder}{SUMMARY}")
            if there is not None and (there.complete or there == night):
                return self._home.where(folder)
            if there is None and self._written(folder, night, pages):
                return self._home.where(folder)
        raise StoreError(f"{self._home.where(FOLDER)}{date}: too many nights of one run")

    def all(self) -> Iterator[tuple[str, Night]]:
        """Every night with its folder, the newest first."""
        for date in sorted(self._names(FOLDER, _DATE), reverse=True):
            found = []
            for run in self._names(f"{FOLDER}{date}"):
                folder = f"{FOLDER}{date}{run}"
                if (night := self._read(f"{folder}{SUMMARY}")) is not None:
                    found.append((folder, night))
            yield from sorted(found, key=lambda one: (one[1].generated_at, one[0]), reverse=True)

    def last(self, scope: Scope, run: str, now: dt.datetime) -> Night | None:
        """The night before a run of that scope, if there is one, and not an earlier try of it."""
        for _, night in self.all():
            same = night.run == run and abs(now - night.generated_at) < ONE_NIGHT
            if night.follows(scope) and not same:
                return night
        return None

    def page(self, folder: str, name: str) -> bytes | None:
        """A page of a night; None where it has none of that name."""
        stored = self._home.read(f"{folder}{name}", limit=LIMIT)
        return stored.data if stored else None

    def put(self, name: str, text: str) -> str:
        """Write a page about all nights beside them, in place of the one that is there."""
        path = f"{FOLDER}{name}"
        stored = self._home.read(path, limit=LIMIT)
        data = text.encode()
        if stored is None or stored.data != data:
            self._home.write(path, data, over=stored.generation if stored else None)
        return self._home.where(path)

    def _written(self, folder: str, night: Night, pages: Mapping[str, str]) -> bool:
        """Whether the folder is this night's by now; another one may be writing it."""
        files = {**pages, SUMMARY: f"{night.model_dump_json(indent=1)}\n"}
        for name, text in files.items():
            data = text.encode("utf-8", "surrogatepass")
            try:
                self._home.write(f"{folder}{name}", data, over=None)
            except Conflict:
                stored = self._home.read(f"{folder}{name}", limit=LIMIT)
                if stored is None or stored.data != data:
                    return False
        return True

    def _names(self, folder: str, grammar: re.Pattern[str] | None = None) -> list[str]:
        names = (name for name in self._home.names(folder) if name.endswith("/"))
        return [name for name in names if grammar is None or grammar.fullmatch(name)]

    def _read(self, path: str) -> Night | None:
        stored = self._home.read(path, limit=LIMIT)
        if stored is None:
            return None
        try:
            return Night.model_validate_json(stored.data)
        except ValidationError:
            where = self._home.where(path)
            raise StoreError(f"{where}: not a night of this version") from None
