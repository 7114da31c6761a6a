"""
A store in a folder: made for git, and reviewed like code.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from drift_audit import files
from drift_audit.errors import InputError, OutputError, StoreError
from drift_audit.store.home import LIMIT, Conflict, Stored

MOST = 2**31
"""What is written may be larger than what is read without asking for more."""


class Folder:
    """
    A home in a folder, which is made when the first file is written, unless it was `demanded`: then
    StoreError is raised where it is not there, and InputError where the system does not tell.

    The digest of a file tells which one it is. Who writes holds a lock on the file's own folder,
    which needs no file of its own and is given up by the system when the holder dies.
    """

    def __init__(self, root: str, *, demanded: bool = False) -> None:
        self._root = Path(root)
        if demanded and not files.is_folder(root):
            raise StoreError(f"{root}: there is no such folder", hint="give the store's own folder")

    def read(self, path: str, *, limit: int = LIMIT) -> Stored | None:
        """What lies at a path. Links are not followed. Raises StoreError."""
        place = self._root / path
        try:
            place.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {place}: {files.reason(error)}") from None
        self._check_inside(place)
        try:
            data = files.read(str(place), limit=limit)
        except InputError as error:
            raise StoreError(str(error)) from None
        return Stored(data, hashlib.sha256(data).hexdigest())

    def read_all(self, paths: Collection[str], *, limit: int = LIMIT) -> Mapping[str, Stored]:
        """What lies at several paths. Raises StoreError."""
        found = ((path, self.read(path, limit=limit)) for path in paths)
        return {path: stored for path, stored in found if stored is not None}

    def write(self, path: str, data: bytes, *, over: str | None) -> None:
        """Write a file whole or not at all. Raises Conflict and StoreError."""
        place = self._root / path
        try:
            files.make_folder(place.parent)
            self._check_inside(place)
            with _locked(place.parent):
                there = self.read(path, limit=MOST)
                if (there.generation if there else None) != over:
                    raise Conflict(f"{place}: somebody else wrote it in the meantime")
                files.write(str(place), data)
        except OSError as error:
            raise StoreError(f"cannot write {place}: {files.reason(error)}") from None
        except OutputError as error:
            raise StoreError(str(error)) from None

    def names(self, folder: str = "") -> list[str]:
        """What lies in a folder, sorted. Raises StoreError."""
        place = self._root / folder
        try:
            return sorted(f"{one.name}/" if one.is_dir() else one.name for one in place.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"cannot read {place}: {files.reason(error)}") from None

    def names_all(self, folders: Collection[str]) -> Mapping[str, list[str]]:
        """What lies in several folders. Raises StoreError."""
        return {folder: self.names(folder) for folder in folders}

    def versions(self, folder: str) -> Mapping[str, str]:
        """
        The files of a folder by the places of their contents on the disk and the time of the last
        change of any kind, which nobody can set. Raises StoreError.
        """
        place = self._root / folder
        try:
            with os.scandir(place) as entries:
                found = [(e.name, e.stat(follow_symlinks=False)) for e in entries]
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise StoreError(f"cannot read {place}: {files.reason(error)}") from None
        return {
            name: f"{at.st_ino:x}-{at.st_size:x}-{at.st_ctime_ns:x}"
            for name, at in sorted(found)
            if not stat.S_ISDIR(at.st_mode)
        }

    def where(self, path: str) -> str:
        """The path from where the program runs."""
        return str(self._root / path)

    def _check_inside(self, place: Path) -> None:
        """Refuse what a link puts outside the store, or in another file's place."""
        inside = place.relative_to(self._root)
        if place.parent.resolve() != (self._root.resolve() / inside).parent:
            raise StoreError(f"{place.parent}: a link, which is not followed")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else writes into a folder meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
