"""
The HTTP side of the server: what gcloud reads (v1), and how the benchmark sets and asks things.

    GET  /facts                what a right answer must say
    GET  /counters             what was called since the last change of settings
    POST /settings             change settings, forget the counters
    GET  /apis/serving.knative.dev/v1/namespaces/P/{revisions,services}[/NAME]
    GET  /v1/projects/P/locations

gcloud puts the region before the host, so it must be told to use this port as its proxy; requests
then carry whole URLs, of which only the path counts.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from bench import knative, place

if TYPE_CHECKING:
    from bench.server import Server
    from bench.world import World

_NAMESPACE = f"/apis/serving.knative.dev/v1/namespaces/{place.PROJECT}/"
_SERVICE_LABEL = "serving.knative.dev/service"


def serve(server: Server) -> int:
    """Start answering in a thread that ends with the process; the port it listens on."""
    known = Knative(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path in ("/facts", "/counters"):
                kept = server.catalog.world.facts() if url.path == "/facts" else server.counters
                self._send(json.dumps(asdict(kept)).encode())
                return
            time.sleep(server.settings.latency)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            self._send(known.answer(url.path, query))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.change(**json.loads(body))
            self._send(b"{}")

        def _send(self, body: bytes | None) -> None:
            self.send_response(404 if body is None else 200)
            sent = b'{"error": {"code": 404, "status": "NOT_FOUND"}}' if body is None else body
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: nobody reads it."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    return listening.server_port


class Knative:
    """Answers v1 requests; every page is made once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pages: dict[tuple[str, ...], bytes] = {}
        self._world: World | None = None

    def answer(self, path: str, query: dict[str, str]) -> bytes | None:
        """The JSON of one request; None for what is not there."""
        if path == f"/v1/projects/{place.PROJECT}/locations":
            where = {"name": place.LOCATION, "locationId": place.REGION}
            return json.dumps({"locations": [where]}).encode()
        if not path.startswith(_NAMESPACE):
            return None
        what, _, name = path.removeprefix(_NAMESPACE).partition("/")
        if what not in ("revisions", "services"):
            return None
        if name:
            return self._one(what, name)
        chosen = query.get("labelSelector", "").replace(" ", "").removeprefix(f"{_SERVICE_LABEL}=")
        return self._page(what, chosen, query.get("continue", ""), query.get("limit", ""))

    def _one(self, what: str, name: str) -> bytes | None:
        for chain in self._server.catalog.world.chains:
            if what == "services" and chain.name == name:
                return knative.service(chain.service(), chain.revisions[-1]).encode()
            if what == "revisions" and name in chain.names:
                return knative.revision(chain.revisions[chain.names.index(name)]).encode()
        return None

    def _page(self, what: str, service: str, token: str, limit: str) -> bytes:
        known = self._server.catalog.world
        if known is not self._world:
            self._world, self._pages = known, {}
        asked = (what, service, token, limit)
        if asked not in self._pages:
            most = self._server.settings.run_page
            start, size = int(token or 0), min(int(limit or most), most)
            chains = [c for c in known.chains if service in ("", c.name)]
            if what == "services":
                pairs = [(c.service(), c.revisions[-1]) for c in chains[start : start + size]]
                items, total = [knative.service(*pair) for pair in pairs], len(chains)
            else:
                found = [r for c in chains for r in reversed(c.revisions)]
                items, total = (
                    [knative.revision(r) for r in found[start : start + size]],
                    len(found),
                )
            after = str(start + size) if start + size < total else ""
            kind = "Service" if what == "services" else "Revision"
            self._pages[asked] = knative.listed(kind, items, after)
        return self._pages[asked]
