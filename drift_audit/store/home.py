"""
Where a store lives: a folder or a bucket, as what both can do.

A home holds small files under relative paths. Whoever writes says what is there to be replaced, so
two that write at the same time cannot lose each other's work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from drift_audit.errors import StoreError

LIMIT = 8 * 2**20
"""The largest file in bytes, unless more is asked for: several hundred times a baseline."""


class Stored(NamedTuple):
    """What lies at a path, and which of all that ever lay there it is."""

    data: bytes
    generation: str


class Conflict(StoreError):
    """Something else lies there than was to be replaced."""


class Home(Protocol):
    """
    Files under relative paths, with `/` between their parts. All calls raise StoreError for what
    the folder or the bucket refuses, and name the file.
    """

    def read(self, path: str, *, limit: int = LIMIT) -> Stored | None:
        """What lies at a path; None where nothing does."""

    def read_all(self, paths: Collection[str], *, limit: int = LIMIT) -> Mapping[str, Stored]:
        """What lies at several paths; those where nothing does are left out."""

    def write(self, path: str, data: bytes, *, over: str | None) -> None:
        """
        Write a file whole or not at all, in place of the generation that was read; with None,
        where nothing lies yet. Raises Conflict where that is not what is there.
        """

    def names(self, folder: str = "") -> list[str]:
        """What lies in a folder (`a/b/`), sorted; folders end in `/`. Nothing where it is none."""

    def names_all(self, folders: Collection[str]) -> Mapping[str, list[str]]:
        """What lies in several folders, as `names` tells it."""

    def versions(self, folder: str) -> Mapping[str, str]:
        """
        The files of a folder (`a/b/`), each with what is another text as soon as the file is
        written again, whatever is written. They are listed, and not read.
        """

    def where(self, path: str) -> str:
        """The path as a person would type it."""
