"""
A TCP relay in front of a gRPC port, for faults of the connection itself.

It passes bytes on and knows of HTTP/2 only where a frame with data begins. The server behind it
tells by the address of its peer what is to become of a connection.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

from drift_audit.emulator.wire import drip, reset_when_closed

CHUNK = 65_536

FRAME_HEADER = 9
DATA = 0


class Relay:
    """Listens at a port, 0 for any that is free, and connects each client to the port `target`."""

    def __init__(self, host: str, port: int, target: int) -> None:
        self._target = (host, target)
        self._lines: dict[int, Line] = {}
        self._listener = socket.create_server((host, port))
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> None:
        """Accept connections from now on."""
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Accept no more, and close what is open."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in list(self._lines.values()):
            line.order("close")

    def line(self, peer: str) -> Line:
        """The connection that the server behind the relay knows as `ipv4:127.0.0.1:PORT`."""
        return self._lines[int(peer.rpartition(":")[2])]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            line = Line(client, server)
            self._lines[server.getsockname()[1]] = line
            threading.Thread(target=line.carry, daemon=True).start()


class Line:
    """One connection. A single thread carries it, so that a reset takes effect at once."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client, self._server = client, server
        self._wake, self._order_end = socket.socketpair()
        self._order = ""
        self._frames = _Frames()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def order(self, what: str) -> None:
        """
        Say what becomes of the connection: `reset` or `close` it now, `reset-midway` in the next
        message to the client, or let that one `slow-drip`.
        """
        self._order = what
        with suppress(OSError):  # it is over already
            self._order_end.send(b"!")

    def carry(self) -> None:
        """Pass bytes both ways until one side is done, or an order ends it."""
        try:
            while self._order not in ("reset", "close"):
                readable, _, _ = select.select([self._client, self._server, self._wake], [], [])
                if not all(self._passed(one) for one in readable):
                    break
        except OSError:
            pass  # the other side went away in the middle of it
        if self._order.startswith("reset"):
            reset_when_closed(self._client)
        for one in (self._client, self._server, self._wake, self._order_end):
            one.close()

    def _passed(self, source: socket.socket) -> bool:
        """Pass on what came from one side; tell whether the connection goes on."""
        data = source.recv(CHUNK)
        if source is self._wake:
            return True
        if source is self._client:
            self._server.sendall(data)
            return bool(data)
        for inside, part in self._frames.split(data):
            if not self._sent(part, inside=inside):
                return False
        return bool(data)

    def _sent(self, part: bytes, *, inside: bool) -> bool:
        """Send a part to the client, as was ordered; tell whether the connection goes on."""
        if inside and self._order == "reset-midway":
            self._client.sendall(part[: len(part) // 2])
            return False
        if inside and self._order == "slow-drip":
            self._order = ""
            drip(part, self._client.sendall)
        else:
            self._client.sendall(part)
        return True


class _Frames:
    """Tells the data of messages from the rest of an HTTP/2 connection."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._data = False

    def split(self, data: bytes) -> Iterator[tuple[bool, bytes]]:
        """The same bytes in parts, each with whether it is data of a message."""
        while data:
            if self._left:
                part, data = data[: self._left], data[self._left :]
                self._left -= len(part)
                yield self._data, part
                continue
            missing = FRAME_HEADER - len(self._header)
            part, data = data[:missing], data[missing:]
            self._header += part
            yield False, part
            if len(self._header) == FRAME_HEADER:
                self._left = int.from_bytes(self._header[:3], "big")
                self._data = self._header[3] == DATA
                self._header = b""
