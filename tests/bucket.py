"""
A bucket on loopback, for the real client: what the JSON API of Cloud Storage answers to uploads,
downloads and lists, with generations and their preconditions.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

from drift_audit.store.bucket import NO_TRACES, Bucket, open_bucket

NAME = "audits"
PAGE = 3
"""Few, so that every list has several pages."""


@dataclass
class Cloud:
    """
    The objects of the bucket, what was asked, and what goes wrong. `careless` forgets preconditions;
    before each answer comes a `pause` in seconds, and where calls are to come `together`, all of them.
    """

    objects: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    after_write: list[int] = field(default_factory=list)
    denied: str = ""
    careless: bool = False
    pause: float = 0.0
    together: threading.Barrier | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    generation: int = 1000
    url: str = ""
    opened: list[Any] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    """What browsers are to take each object for."""

    def home(self, prefix: str = "") -> Bucket:
        """The bucket as the program opens it; closed when the bucket is."""
        os.environ.setdefault(NO_TRACES, "true")
        home = open_bucket(f"gs://{NAME}/{prefix}", self.url, credentials=_nobody)
        self.opened.append(home._client)
        return home

    @property
    def env(self) -> dict[str, str]:
        """What leads the client here."""
        return {"STORAGE_EMULATOR_HOST": self.url}

    def write(self, name: str, data: bytes, over: str | None) -> tuple[int, dict[str, Any]]:
        with self.lock:
            there = self.objects.get(name, (0, b""))[0]
            if over is not None and int(over) != there and not self.careless:
                return 412, _error(
                    412, "At least one of the pre-conditions you specified did not hold."
                )
            self.generation += 1
            self.objects[name] = self.generation, data
            return 200, self.told(name)

    def told(self, name: str) -> dict[str, Any]:
        generation, data = self.objects[name]
        return {
            "kind": "storage#object",
            "name": name,
            "bucket": NAME,
            "generation": str(generation),
            "metageneration": "1",
            "size": str(len(data)),
            "crc32c": base64.b64encode(google_crc32c.Checksum(data).digest()).decode(),
        }


def _nobody() -> Any:
    raise AssertionError("a local server gets no credentials")


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "errors": [{"message": message}]}}


class _Handler(BaseHTTPRequestHandler):
    cloud: Cloud
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits forty milliseconds for its second half

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if self._stopped(url.path):
            return
        if found := re.fullmatch(r"/download/storage/v1/b/([^/]+)/o/(.+)", url.path):
            self._download(found[1], unquote(found[2]))
        elif found := re.fullmatch(r"/storage/v1/b/([^/]+)/o", url.path):
            self._list(found[1], query)
        else:
            self._json(404, _error(404, "Not Found"))

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = re.fullmatch(r"/upload/storage/v1/b/([^/]+)/o", url.path)
        assert found, self.path
        assert query["uploadType"] == "multipart"
        boundary = self.headers["Content-Type"].partition("boundary=")[2].strip("\"'").encode()
        _, first, second, _ = body.split(b"--" + boundary)
        told = json.loads(first.partition(b"\r\n\r\n")[2])
        about, _, data = second.removesuffix(b"\r\n").partition(b"\r\n\r\n")
        self.cloud.kinds[told["name"]] = about.decode().partition("content-type: ")[2]
        if self._stopped(f"{url.path}/{told['name']}"):
            return
        if found[1] != NAME:
            self._json(404, _error(404, "The specified bucket does not exist."))
            return
        code, answer = self.cloud.write(told["name"], data, query.get("ifGenerationMatch"))
        if self.cloud.after_write:  # it was written, and the client never hears of it
            code = self.cloud.after_write.pop()
            answer = _error(code, "went wrong")
        self._json(code, answer)

    def _stopped(self, path: str) -> bool:
        cloud = self.cloud
        cloud.asked.append(f"{self.command} {path}")
        time.sleep(cloud.pause)
        try:
            if cloud.together:
                cloud.together.wait()
        except threading.BrokenBarrierError:  # nothing that the client tries again
            self._json(400, _error(400, "the others did not come"))
            return True
        if cloud.denied and cloud.denied in unquote(path):
            self._json(403, _error(403, "canary-in-the-bucket does not have access."))
            return True
        if cloud.faults:
            self._json(fault := cloud.faults.pop(), _error(fault, "went wrong"))
            return True
        return False

    def _download(self, bucket: str, name: str) -> None:
        with self.cloud.lock:
            there = self.cloud.objects.get(name)
        if bucket != NAME or there is None:
            what = (
                "The specified bucket does not exist."
                if bucket != NAME
                else f"No such object: {bucket}/{name}"
            )
            self._send(404, what.encode(), {"Content-Type": "text/html"})
            return
        generation, data = there
        headers = {"X-Goog-Generation": str(generation), "Content-Type": "application/octet-stream"}
        code, part = 200, data
        if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            if not data:
                self._send(416, b"", {})
                return
            code, part = 206, data[int(asked[1]) : int(asked[2]) + 1]
            headers["Content-Range"] = (
                f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(data)}"
            )
        crc = base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
        self._send(code, part, {**headers, "X-Goog-Hash": f"crc32c={crc}"})

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        if bucket != NAME:
            self._json(404, _error(404, "The specified bucket does not exist."))
            return
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        with self.cloud.lock:
            found = sorted(name for name in self.cloud.objects if name.startswith(prefix))
        entries: dict[str, bool] = {}
        for name in found:
            head, cut, _ = (
                name.removeprefix(prefix).partition(delimiter) if delimiter else (name, "", "")
            )
            entries[prefix + head + cut if cut else name] = bool(cut)
        names = [name for name in entries if name > query.get("pageToken", "")]
        page, rest = names[:PAGE], names[PAGE:]
        with self.cloud.lock:
            items = [self.cloud.told(name) for name in page if not entries[name]]
        answer = {
            "kind": "storage#objects",
            "items": items,
            "prefixes": [n for n in page if entries[n]],
        }
        self._json(200, {**answer, "nextPageToken": page[-1]} if rest else answer)

    def _json(self, code: int, answer: dict[str, Any]) -> None:
        self._send(code, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        with suppress(ConnectionError):  # whoever asked may have waited long enough
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def bucket(**settings: Any) -> Iterator[Cloud]:
    """A bucket of its own, on a port of its own."""
    cloud = Cloud(**settings)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cloud": cloud}))
    server.daemon_threads = True
    cloud.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield cloud
    finally:
        for client in cloud.opened:
            client.close()
        server.shutdown()
        server.server_close()
        thread.join()
