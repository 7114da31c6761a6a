"""Where in the user's repository a finding belongs: what CI shows findings beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from drift_audit.snapshot import Address


class Anchor(NamedTuple):
    """A file, its path from the root of the repository with `/` between the parts, and a line."""

    path: str
    line: int = 1

    @property
    def uri(self) -> str:
        """The path as a reference of a URI; a colon in its first part is no scheme."""
        return quote(self.path, safe="/", errors="replace")


Anchors = Callable[[Address], Anchor | None]
"""The anchor of what is said of an address; None where no file stands for it."""

RUN = Address()
"""The address of what is said of the run as a whole."""


def nowhere(_at: Address) -> Anchor | None:
    """What stands for anything where no file of a repository is known."""
    return None
