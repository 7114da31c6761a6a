"""
Where the made-up project is, and how the names of a set of revisions are told in one number.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

PROJECT = "bench-shop"
NUMBER = "123456789012"
REGION = "europe-west1"
LOCATION = f"projects/{PROJECT}/locations/{REGION}"


def fingerprint(names: Iterable[str]) -> int:
    """A number for a set of names, in whatever order they came."""
    return sum(crc32(name.encode()) for name in names) & 0xFFFFFFFF
