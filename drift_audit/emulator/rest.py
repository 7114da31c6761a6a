"""
The same services over plain HTTP: Cloud Run v1 and v2, Secret Manager, what gcloud asks beside
them, and the databases and connectors that services reach.

It takes the targets that a forward proxy gets, which is how the real gcloud is led here
(`cloud-run-api.md` §9.1), and passes nothing on to anywhere.
"""

from __future__ import annotations

import hmac
import json
import select
import socket
import sys
import threading
from base64 import b64encode
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.unknown_fields import UnknownFieldSet

from drift_audit import names
from drift_audit.emulator.deployed import Json
from drift_audit.emulator.desk import Answer, Desk
from drift_audit.emulator.routes import Received, asking
from drift_audit.emulator.status import Refusal, invalid
from drift_audit.emulator.wire import LIMIT, PAUSE, drip, reset_when_closed
from drift_audit.emulator.world import World

USER = "rehearsal"
"""Who gives the password."""

BODY_LIMIT = 10 * 2**20

HTTP = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""The HTTP status of each code; 500 for the rest."""


class Rest:
    """
    The HTTP server at a port of a host, 0 for any that is free. With a password it answers only who
    gives it as to a proxy.
    """

    def __init__(self, host: str, port: int, desk: Desk, world: World, password: str = "") -> None:
        self._server = _Server((host, port), desk, world, password)
        self.port: int = self._server.server_address[1]

    def start(self) -> None:
        """Serve from now on."""
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Serve no more, and close what is open."""
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for one in list(self._server.open):
            _close(one)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], desk: Desk, world: World, password: str) -> None:
        self.desk, self.world, self.password = desk, world, password
        self.stopping = threading.Event()
        self.open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of a defect; a client that went away is none."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _close(one: socket.socket) -> None:
    with suppress(OSError):  # it is closed already
        one.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one piece

    def _answer(self) -> None:
        if not self._is_welcome():
            self.close_connection = True
            self._send(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, b"{}")
            return
        try:
            received = self._received()
            method, request = self._asked(received)
            answer = self.server.desk.answer(method, request, deadline=None)
            numbers = "enum-encoding=int" in received.query("$alt", "alt")
            self._send(HTTPStatus.OK, _body(answer, numbers=numbers), answer)
        except Refusal as refusal:
            code, body = _refused(refusal)
            self._send(code, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815  # http.server's names

    def do_CONNECT(self) -> None:
        """Count and refuse a tunnel to elsewhere: nothing is passed on."""
        self.server.desk.unserved(f"CONNECT {self.path}", reads=False)
        self.close_connection = True
        self._send(HTTPStatus.FORBIDDEN, b"{}")

    def _is_welcome(self) -> bool:
        """Whether the password was given, where one is wanted."""
        wanted = self.server.password
        given = self.headers.get("Proxy-Authorization") or ""
        expected = b64encode(f"{USER}:{wanted}".encode()).decode()
        return not wanted or hmac.compare_digest(given.encode(), f"Basic {expected}".encode())

    def _asked(self, received: Received) -> tuple[str, Any]:
        """The method and its message. What no method is for is counted and refused."""
        try:
            return asking(received, self.server.desk.rpcs, self.server.world)
        except Refusal:
            name = f"{received.verb} {received.path}"
            self.server.desk.unserved(name, reads=received.verb == "GET")
            raise

    def _received(self) -> Received:
        length = names.whole_number(self.headers.get("Content-Length") or "0")
        chunked = "Transfer-Encoding" in self.headers
        if chunked or length is None or length > BODY_LIMIT:
            self.close_connection = True
            raise invalid("the body is too large, or its length is not told")
        return Received(
            self.command, self.path, self.headers.get("Host") or "", self.rfile.read(length)
        )

    def _send(self, code: int, body: bytes, answer: Answer | None = None) -> None:
        """Send a reply, after what the faults of its way make of it."""
        kinds = []
        for fault in answer.faults if answer else ():
            self.server.desk.schedule.fire(fault)
            kinds.append(fault.kind)
        if "hang" in kinds:
            self._hang()
            return
        if "reset" in kinds:
            self._reset()
            return
        if "truncated" in kinds:
            body = body[: len(body) // 2]
        self.send_response(code)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if "reset-midway" in kinds:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self._reset()
        elif "slow-drip" in kinds:
            self.wfile.flush()
            drip(body, self.connection.sendall)
        else:
            self.wfile.write(body)

    def _hang(self) -> None:
        """Wait until the client has gone, or all is over."""
        self.close_connection = True
        while not self.server.stopping.is_set():
            readable, _, _ = select.select([self.connection], [], [], PAUSE)
            if readable:
                return

    def _reset(self) -> None:
        self.close_connection = True
        reset_when_closed(self.connection)
        self.server.open.discard(self.connection)
        self.connection.close()
        self.rfile.close()  # or the socket would stay open for its sake

    def log_message(self, *_: Any) -> None:
        """Nothing: what came stands in `calls`."""


def _body(answer: Answer, *, numbers: bool) -> bytes:
    """A reply as JSON."""
    reply = answer.reply
    found: Json = reply if isinstance(reply, dict) else _told(reply, numbers=numbers)
    text = json.dumps(found, indent=2).encode()
    if any(fault.kind == "oversize" for fault in answer.faults):
        text = b" " * (LIMIT + 1) + text
    return text


def _told(reply: Any, *, numbers: bool) -> Json:
    """A message as JSON. The fields that it does not know have no name there, so they get one."""
    found = MessageToDict(reply, use_integers_for_enums=numbers)
    for name, value in found.items():
        field = reply.DESCRIPTOR.fields_by_camelcase_name.get(name)
        if field is not None and field.is_repeated and field.message_type is not None:
            for item, message in zip(value, getattr(reply, field.name), strict=False):
                _tell_unknown(item, message)
    _tell_unknown(found, reply)
    return found


def _tell_unknown(found: Any, message: Any) -> None:
    if isinstance(found, dict):
        fields: Any = UnknownFieldSet(message)
        found.update({f"field{field.field_number}": "unknown" for field in fields})


def _refused(refusal: Refusal) -> tuple[int, bytes]:
    """The status and body of a refusal, as Google's APIs write it."""
    code = HTTP.get(refusal.code.name, 500)
    error: Json = {"code": code, "message": str(refusal), "status": refusal.code.name}
    if refusal.retry_after:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        error["details"] = [{"@type": kind, "retryDelay": f"{refusal.retry_after}s"}]
    return code, json.dumps({"error": error}, indent=2).encode()
