"""
Lists as the server sends them: items framed once, pages joined once per size.

Every list reply of both APIs has its items in field 1 and the next token in field 2, so the bytes
of a page are the frames of its items, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

_ITEM = b"\x0a"
_TOKEN = b"\x12"


class BadToken(Exception):
    """A page token that was never given out."""


class Listing:
    """One list. With `hole`, its second page comes without its items: a server that is broken."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames = frames
        self._pages: dict[tuple[int, int], bytes] = {}

    def page(self, token: str, size: int, *, hole: bool = False) -> bytes:
        """The reply to one call. Raises BadToken."""
        if token and not token.isdecimal():
            raise BadToken(token)
        start = int(token or 0)
        if hole and start == size:
            return self._token(start + size)
        if (start, size) not in self._pages:
            items = b"".join(self._frames[start : start + size])
            self._pages[start, size] = items + self._token(start + size)
        return self._pages[start, size]

    def _token(self, end: int) -> bytes:
        if end >= len(self._frames):
            return b""
        text = str(end).encode()
        return _TOKEN + bytes([len(text)]) + text


def frame(item: bytes) -> bytes:
    """An item as it stands in a page."""
    return _ITEM + varint(len(item)) + item


def unframe(framed: bytes) -> bytes:
    """The item alone."""
    start = 1
    while framed[start] & 0x80:
        start += 1
    return framed[start + 1 :]


def varint(number: int) -> bytes:
    """A length as protobuf writes it."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
