"""
The nights of a store: `_nights/DATE/RUN` holds the pages of one, and last of all `night.json`:
where it is, they are.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from pydantic import ValidationError

from drift_audit.errors import StoreError
from drift_audit.inventory import Scope
from drift_audit.night import Glance, Night
from drift_audit.store.home import Conflict, Home

FOLDER = "_nights/"
"""No project is called so."""

SUMMARY = "night.json"
LIMIT = 256 * 2**20

RUN = re.compile(r"[a-z0-9]([-a-z0-9]{0,98}[a-z0-9])?")
"""The name of a run: that of an execution of a job, or a time."""

ONE_NIGHT = dt.timedelta(hours=12)
"""What has one name and is not further apart is one run, tried again."""

BESIDE = 16
"""Nights that are read beside each other."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}/")


Told = TypeVar("Told", bound=Glance)


class Kept:
    """
    A night as it lies in the store, in a `folder` beside the others (`2026-03-01/020000/`). It is
    read as far as is asked for: what all findings of a night are costs twenty times a glance at it.
    """

    def __init__(self, folder: str, where: str, data: bytes) -> None:
        self.folder = folder
        self._where, self._data = where, data

    def read(self, kind: type[Told]) -> Told:
        """The night, or as much of it as that kind holds. Raises StoreError."""
        try:
            return kind.model_validate_json(self._data)
        except ValidationError:
            raise StoreError(f"{self._where}: not a night of this version") from None


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
        where = self._home.where(f"{FOLDER}{date}")
        raise StoreError(f"{where}: too many nights of one run")

    def kept(self) -> Iterator[Kept]:
        """Every night, the newest first. Several are read beside each other, and no more held."""
        waiting: list[list[str]] = []
        most = 1  # whoever wants the last night alone shall not wait for others
        for paths in self._dates():
            waiting.append(paths)
            if sum(map(len, waiting)) >= most:
                yield from self._read_dates(waiting)
                waiting, most = [], BESIDE
        yield from self._read_dates(waiting)

    def last(self, scope: Scope, run: str, now: dt.datetime) -> Night | None:
        """The night before a run of that scope, if there is one, and not an earlier try of it."""
        for kept in self.kept():
            night = kept.read(Glance)
            same = night.run == run and abs(now - night.generated_at) < ONE_NIGHT
            if night.follows(scope) and not same:
                return kept.read(Night)
        return None

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

    def _dates(self) -> Iterator[list[str]]:
        """Where the nights of each date are, the newest date first."""
        dates = [name for name in self._home.names(FOLDER) if _DATE.fullmatch(name)]
        folders = [f"{FOLDER}{date}" for date in sorted(dates, reverse=True)]
        for some in (
            folders[:1],
            *(folders[i : i + BESIDE] for i in range(1, len(folders), BESIDE)),
        ):
            for folder, names in self._home.names_all(some).items():
                yield [f"{folder}{name}{SUMMARY}" for name in names if name.endswith("/")]

    def _read_dates(self, dates: Sequence[Sequence[str]]) -> Iterator[Kept]:
        stored = self._home.read_all([path for paths in dates for path in paths], limit=LIMIT)
        for paths in dates:
            kept = [self._kept(path, stored[path].data) for path in paths if path in stored]
            yield from sorted(kept, key=_order, reverse=True) if len(kept) > 1 else kept

    def _kept(self, path: str, data: bytes) -> Kept:
        folder = path.removesuffix(SUMMARY)
        return Kept(folder.removeprefix(FOLDER), self._home.where(path), data)

    def _read(self, path: str) -> Night | None:
        stored = self._home.read(path, limit=LIMIT)
        return self._kept(path, stored.data).read(Night) if stored else None


def _order(kept: Kept) -> tuple[dt.datetime, int, str]:
    """A run that was tried again follows the first try, also where both bear one time."""
    return kept.read(Glance).generated_at, len(kept.folder), kept.folder
