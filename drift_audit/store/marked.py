"""
Files of a store that only those who hold the sealing key can write: `.archive/PROJECT/REGION` and a
suffix, one for each location. Nobody reviews them, and git leaves them out.

A line holds one service, and all lines are compressed together. Before them stands one that holds a
keyed digest of itself and of all the others, bound to the place of the file: what anybody else has
touched, or moved there, is not believed.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Generic, Literal, TypeVar

from pydantic import ValidationError
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from drift_audit import names
from drift_audit.errors import StoreError
from drift_audit.frozen import Frozen
from drift_audit.store.home import Conflict, Home, Stored

FOLDER = ".archive/"
LIMIT = 2**30
"""Bytes of one location, unpacked: ten times what a thousand services take."""

TRIES = 12
"""How often a location is written anew because another run wrote it in the meantime."""

GZIP = zlib.MAX_WBITS | 16
"""The form that `zcat` reads."""

Mark = Callable[[str, bytes], str]
"""Makes the keyed digest of bytes under a name."""

Place = tuple[str, str]
"""Project and region."""

Lines = dict[str, str]
"""One line of JSON for each service, by its address."""

_log = logging.getLogger(__name__)


class Head(Frozen):
    """The first line."""

    schema_version: Literal[1] = 1
    mark: str = ""


Kind = TypeVar("Kind", bound=Head)


class Marked(Generic[Kind]):
    """
    The files of one kind. `mark` makes the keyed digest of bytes under a name; `lost` says what
    becomes of a run that cannot believe a file.
    """

    def __init__(
        self,
        home: Home,
        suffix: str,
        head: type[Kind],
        mark: Mark,
        lost: str,
    ) -> None:
        self._home, self._suffix, self._head = home, suffix, head
        self._mark, self._lost = mark, lost

    def holds(self, place: Place) -> bool:
        """Tell whether something can be kept of a place: its names must be part of a path."""
        return bool(names.PROJECT.fullmatch(place[0]) and names.SERVICE.fullmatch(place[1]))

    def read(self, place: Place) -> tuple[Kind, Lines] | None:
        """What is kept of a location; None where nothing is, or where it cannot be believed."""
        try:
            stored = self._home.read(self._path(place), limit=LIMIT)
        except StoreError:
            _log.warning("%s: cannot be read: %s", self.where(place), self._lost)
            return None
        found = self._believed(place, stored) if stored else None
        if stored and found is None:
            where = self.where(place)
            _log.warning("%s: written by another version, or another key: %s", where, self._lost)
        return found

    def believes(self, place: Place) -> bool:
        """Tell whether something is kept of a location that can be believed. Raises StoreError."""
        stored = self._home.read(self._path(place), limit=LIMIT)
        return stored is not None and self._believed(place, stored) is not None

    def places(self) -> Iterator[Place]:
        """The locations of which something is kept. Raises StoreError."""
        for folder in self._home.names(FOLDER):
            for name in self._home.names(FOLDER + folder) if folder.endswith("/") else ():
                place = folder[:-1], name.removesuffix(self._suffix)
                if name.endswith(self._suffix) and self.holds(place):
                    yield place

    def write(
        self, place: Place, change: Callable[[tuple[Kind, Lines] | None], tuple[Kind, Lines]]
    ) -> None:
        """
        Keep what `change` makes of what is kept of a location, whole or not at all; it is asked
        again where somebody else wrote meanwhile. What cannot be written is logged and no more:
        nothing that a run tells depends on it.
        """
        try:
            again(lambda: self._write_once(place, change), self.where(place))
        except StoreError as error:
            _log.info("%s", error)

    def where(self, place: Place) -> str:
        """The file of a location, for a message."""
        return self._home.where(self._path(place))

    def _write_once(
        self, place: Place, change: Callable[[tuple[Kind, Lines] | None], tuple[Kind, Lines]]
    ) -> None:
        path = self._path(place)
        stored = self._home.read(path, limit=LIMIT)
        head, lines = change(self._believed(place, stored) if stored else None)
        leave_out_of_git(self._home)
        data = packed("".join(f"{at}\t{line}\n" for at, line in sorted(lines.items())))
        data = marked(self._mark, path, head, data)
        self._home.write(path, data, over=stored.generation if stored else None)

    def _believed(self, place: Place, stored: Stored) -> tuple[Kind, Lines] | None:
        found = believed(self._mark, self._path(place), self._head, stored.data)
        if found is None:
            return None
        lines = unpacked(found[1]).split("\n")[:-1]
        return found[0], dict(line.split("\t", 1) for line in lines)

    def _path(self, place: Place) -> str:
        return f"{FOLDER}{place[0]}/{place[1]}{self._suffix}"


def marked(mark: Mark, path: str, head: Head, data: bytes) -> bytes:
    """A file: a head with the keyed digest of itself and of what follows, at their place."""
    bare = head.but(mark="")
    digest = mark(path.removeprefix(FOLDER), f"{bare.model_dump_json()}\n".encode() + data)
    return f"{bare.but(mark=digest).model_dump_json()}\n".encode() + data


def believed(mark: Mark, path: str, kind: type[Kind], file: bytes) -> tuple[Kind, bytes] | None:
    """The head of a file and what follows it; None where the file is not as it was marked there."""
    first, _, data = file.partition(b"\n")
    try:
        head = kind.model_validate_json(first)
    except ValidationError:
        return None
    return (head, data) if file == marked(mark, path, head, data) else None


def again(
    write: Callable[[], None], where: str, *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """
    Write, and once more for each time that somebody else wrote meanwhile; `sleep` waits. Raises
    StoreError, also where that does not end.
    """
    tries = Retrying(
        retry=retry_if_exception_type(Conflict),
        wait=wait_random_exponential(multiplier=0.05, max=5),
        stop=stop_after_attempt(TRIES),
        sleep=sleep,
    )
    try:
        tries(write)
    except RetryError:
        raise StoreError(f"{where}: others wrote it all the time") from None


def leave_out_of_git(home: Home) -> None:
    """What lies here is not for review. Raises Conflict where another one says so, StoreError."""
    ignored = f"{FOLDER}.gitignore"
    if home.read(ignored) is None:
        home.write(ignored, b"*\n", over=None)


def packed(text: str, level: int = 1) -> bytes:
    """Compressed, at the quickest level if no other is named, the same for the same text."""
    packer = zlib.compressobj(level=level, wbits=GZIP)
    return packer.compress(text.encode("utf-8", "surrogatepass")) + packer.flush()


def unpacked(data: bytes) -> str:
    """The text of bytes whose mark was believed."""
    return zlib.decompress(data, wbits=GZIP).decode("utf-8", "surrogatepass")
