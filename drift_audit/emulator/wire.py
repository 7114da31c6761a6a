"""What faults make of the bytes of a message, and of the connection that they go over."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

LIMIT = 4 * 2**20
"""What gRPC takes in one message unless it is told otherwise."""

STEPS = 40
PAUSE = 0.01
"""What drips takes about half a second, whatever its length."""

LENGTH_DELIMITED = 2
NOBODYS = 1023


def truncated(data: bytes) -> bytes:
    """A message that ends inside its last field; an empty one begins one and ends."""
    return data[:-1] or b"\x0a"


def oversize(reply: Any) -> bytes:
    """
    The bytes of a message, over the limit of gRPC, and with the same content.

    A field that comes twice has its last value: the padding is an earlier value of a field that is
    written once more at the end.
    """
    field = next((f for n in ("next_page_token", "name") if (f := _field(reply, n))), None)
    number = field.number if field else NOBODYS
    value = str(getattr(reply, field.name)).encode() if field else b""
    padding = _text(number, b"x" * (LIMIT + 1))
    return padding + bytes(reply.SerializeToString()) + _text(number, value)


def drip(data: bytes, send: Callable[[bytes], object]) -> None:
    """Send bytes a few at a time."""
    step = max(1, len(data) // STEPS)
    for i in range(0, len(data), step):
        send(data[i : i + step])
        time.sleep(PAUSE)


def reset_when_closed(connection: socket.socket) -> None:
    """Let a connection end with RST, once every descriptor of it is closed."""
    linger_not = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)


def _field(reply: Any, name: str) -> Any:
    return reply.DESCRIPTOR.fields_by_name.get(name)


def _text(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
