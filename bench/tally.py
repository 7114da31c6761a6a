"""
What a task reads from, and the account it gives of what it saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from zlib import crc32


@dataclass(frozen=True)
class Target:
    """
    Where the data is. `folder` is what a task may keep from one night to the next; `quota` is how
    many calls the server grants in a window of so many seconds, 0 for as many as one likes.
    """

    address: str
    project: str
    region: str
    folder: str = ""
    quota: int = 0
    window: float = 0.0
    key: str = ""


@dataclass
class Tally:
    """
    What was seen, so that a fast answer that left something out does not add up. `wall` and `cpu`
    are the seconds of the part that counts, where that is not the whole task; `stored` and
    `canonical` the bytes of a store and of what is in it as JSON; `memory` the megabytes of another
    process, whose they are to count; `filtered` the milliseconds that a page took to filter.
    """

    revisions: int = 0
    env: int = 0
    names: int = 0
    services: int = 0
    lost: list[str] = field(default_factory=list)
    unseen: int = 0
    stored: int = 0
    canonical: int = 0
    memory: float = 0.0
    filtered: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0

    def add(self, name: str, env: int) -> None:
        """Count one revision."""
        self.revisions += 1
        self.env += env
        self.names = (self.names + crc32(name.encode())) & 0xFFFFFFFF
