"""
Files below a store that only those who hold the sealing key can write: `.archive/PROJECT/REGION`
and a suffix, one for each location. Nobody reviews them, and git leaves them out.

A line holds one service. The first line holds a keyed digest of itself and of all the others, bound
to the place of the file: what anybody else has touched, or moved there, is not believed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, Literal, TypeVar

from pydantic import ValidationError

from drift_audit import files, names
from drift_audit.errors import InputError, OutputError
from drift_audit.frozen import Frozen

FOLDER = ".archive"
LIMIT = 2**30
"""Bytes of one location: ten times what a thousand services take."""

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
        root: str,
        suffix: str,
        head: type[Kind],
        mark: Callable[[str, bytes], str],
        lost: str,
    ) -> None:
        self._folder, self._suffix, self._head = Path(root) / FOLDER, suffix, head
        self._mark, self._lost = mark, lost

    def holds(self, place: Place) -> bool:
        """Tell whether something can be kept of a place: its names must be part of a path."""
        return bool(names.PROJECT.fullmatch(place[0]) and names.SERVICE.fullmatch(place[1]))

    def read(self, place: Place) -> tuple[Kind, Lines] | None:
        """What is kept of a location; None where nothing is, or where it cannot be believed."""
        path = self.path(place)
        if not path.exists():
            return None
        try:
            self._check_inside(path)
            first, _, text = files.read(str(path), limit=LIMIT).decode().partition("\n")
            head = self._head.model_validate_json(first)
        except (InputError, OutputError, UnicodeDecodeError, ValidationError):
            _log.warning("%s: not written by this version: %s", path, self._lost)
            return None
        if self._marked(path, head, text).mark != head.mark:
            _log.warning("%s: written by another version, or another key: %s", path, self._lost)
            return None
        pairs = (line.partition("\t") for line in text.split("\n")[:-1])
        return head, {at: line for at, _, line in pairs}

    def write(self, place: Place, head: Kind, lines: Mapping[str, str]) -> None:
        """
        Keep the lines of a location, whole or not at all. What cannot be written is logged and no
        more: nothing that a run tells depends on it.
        """
        path, ignored = self.path(place), self._folder / ".gitignore"
        text = "".join(f"{at}\t{line}\n" for at, line in sorted(lines.items()))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for one in (path, ignored):
                self._check_inside(one)
            if not ignored.exists():
                files.write(str(ignored), "*\n")
            first = self._marked(path, head, text).model_dump_json()
            files.write(str(path), f"{first}\n{text}")
        except (OSError, OutputError) as error:
            _log.info("%s", error)

    def path(self, place: Place) -> Path:
        """The file of a location."""
        return self._folder / place[0] / f"{place[1]}{self._suffix}"

    def _marked(self, path: Path, head: Kind, text: str) -> Kind:
        """The head with the digest of itself and of the lines, at their place."""
        where = "/".join(path.relative_to(self._folder).parts)
        bare = head.but(mark="")
        return bare.but(mark=self._mark(where, f"{bare.model_dump_json()}\n{text}".encode()))

    def _check_inside(self, path: Path) -> None:
        """Refuse what a link puts elsewhere. Raises OutputError."""
        inside = path.relative_to(self._folder)
        store = self._folder.parent.resolve()
        if path.is_symlink() or path.parent.resolve() != (store / FOLDER / inside).parent:
            raise OutputError(f"{path}: a link, which is not followed")
