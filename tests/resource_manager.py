"""A local server that answers what goes over HTTP: permissions of the account, and regions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Cloud:
    """
    Projects and the permissions that are held there; regions of all of them. `unknown` permissions
    spoil a request, and `fails` is the status of every answer where it is set.
    """

    permissions: dict[str, list[str]]
    regions: list[str] = field(default_factory=lambda: ["europe-west1"])
    unknown: tuple[str, ...] = ()
    fails: int = 0
    answer: object = None
    asked: list[list[str]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def answered(self, path: str, body: dict) -> tuple[int, object]:
        """Status and content."""
        project = path.removeprefix("/v1/projects/").partition(":test")[0].partition("/")[0]
        if self.fails:
            return self.fails, {}
        if project not in self.permissions:
            return 404, {}
        if "/locations" in path:
            return 200, {"locations": [{"locationId": name} for name in self.regions]}
        if not path.endswith(":testIamPermissions"):
            return 404, {}
        wanted = body["permissions"]
        self.asked.append(wanted)
        if len(wanted) > 100 or set(wanted) & {*self.unknown}:
            return 400, {}
        held = [p for p in wanted if p in self.permissions[project]]
        return 200, self.answer or ({"permissions": held} if held else {})


@contextmanager
def answering(cloud: Cloud) -> Iterator[dict[str, str]]:
    """The server, and the variables that point the command at it and at no emulator that listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            self.reply(*cloud.answered(self.path, json.loads(self.rfile.read(length))))

        def do_GET(self):
            self.reply(*cloud.answered(self.path, {}))

        def reply(self, status, content):
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cloud.port = server.server_address[1]
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield {
            "CLOUD_RUN_EMULATOR_HOST": "127.0.0.1:1",
            "SECRET_MANAGER_EMULATOR_HOST": "127.0.0.1:1",
            "CLOUD_RUN_EMULATOR_REST_HOST": cloud.address,
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
