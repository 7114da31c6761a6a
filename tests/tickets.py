"""
Servers on loopback that stand for GitHub, Jira and ServiceNow, and for a chat: they keep what they are
sent, answer as their documentation says, and fail when they are told to.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ME, SOMEBODY = "drift-bot[bot]", "mallory"
PAGE = 2
"""Few, so that every list has several pages."""

SYS_ID = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Asked:
    """One request, as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def raw(self) -> bytes:
        """All of it, for the canary."""
        head = "\n".join([self.line, *self.query.values(), *map(str, self.headers.items())])
        return head.encode() + b"\n" + self.body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = tuple[int, Any]


@dataclass
class Desk:
    """
    What a service keeps, and what goes wrong with it: `faults` are the answers to the next requests,
    one each, None for the right one; `always` is that to all of them.
    """

    asked: list[Asked] = field(default_factory=list)
    faults: list[tuple[int, dict[str, str]] | None] = field(default_factory=list)
    always: tuple[int, dict[str, str]] | None = None
    garbage: bytes | None = None
    comments: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    pages: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    @property
    def sent(self) -> list[str]:
        """The texts that people will read."""
        told = [f"{m['title']}\n{m['message']}" for m in self.messages]
        return [*(c["body"] for c in self.comments if self._mine(c)), *self.notes, *told]

    @property
    def raw(self) -> bytes:
        return b"\n".join(one.raw for one in self.asked)

    def writes(self) -> list[str]:
        """The requests that changed something, or tried to."""
        reads = ("GET", "HEAD")
        return [a.line for a in self.asked if a.method not in reads and a.path != "/graphql"]

    @staticmethod
    def _mine(comment: dict[str, Any]) -> bool:
        author = comment.get("user") or comment.get("author") or {}
        return ME in author.values()

    def next_id(self) -> int:
        return 100 + len(self.comments) + len(self.attachments)

    # GitHub

    def github(self, one: Asked) -> Answer:
        issue = "/repos/acme/shop/issues/12"
        match one.method, one.path:
            case "POST", "/graphql":
                return 200, {"data": {"viewer": {"login": ME}}}
            case "GET", path if path == issue:
                return 200, {"number": 12, "url": self.url + issue, "comments": len(self.comments)}
            case "GET", path if path == f"{issue}/comments":
                number = int(one.query.get("page", "1"))
                return 200, self.comments[(number - 1) * PAGE : number * PAGE]
            case "POST", path if path == f"{issue}/comments":
                return 201, self.comment(one.json["body"], ME)
            case "PATCH", path if path.startswith("/repos/acme/shop/issues/comments/"):
                return 200, self._changed(path, one.json["body"])
        return 404, {"message": "Not Found"}

    def comment(self, body: str, login: str) -> dict[str, Any]:
        id = self.next_id()
        url = f"{self.url}/repos/acme/shop/issues/comments/{id}"
        self.comments.append({"id": id, "url": url, "body": body, "user": {"login": login}})
        return self.comments[-1]

    def _changed(self, path: str, body: str) -> dict[str, Any]:
        [found] = [c for c in self.comments if str(c["id"]) == path.rpartition("/")[2]]
        found["body"] = body
        return found

    # Jira

    def jira(self, one: Asked) -> Answer:
        issue = "/rest/api/2/issue/OPS-1"
        match one.method, one.path:
            case "GET", "/rest/api/2/myself":
                return 200, {"accountId": ME}
            case "GET", path if path == issue:
                assert one.query["fields"] == "attachment"
                return 200, {"fields": {"attachment": self.attachments}}
            case "POST", path if path == f"{issue}/attachments":
                assert one.headers["x-atlassian-token"] == "no-check"
                file, held = _part(one)
                self.attachments.append({**file, "author": {"accountId": ME}})
                self.pages.append(held)
                return 200, self.attachments[-1:]
            case "GET", path if path == f"{issue}/comment":
                start = int(one.query["startAt"])
                some = self.comments[start : start + PAGE]
                return 200, {"comments": some, "total": len(self.comments)}
            case "POST", path if path == f"{issue}/comment":
                return 201, self.jira_comment(one.json["body"], ME)
            case "PUT", path if path.startswith(f"{issue}/comment/"):
                return 200, self._changed(path, one.json["body"])
        return 404, {"errorMessages": ["Issue does not exist"]}

    def jira_comment(self, body: str, who: str) -> dict[str, Any]:
        id = str(self.next_id())
        self.comments.append({"id": id, "body": body, "author": {"accountId": who}})
        return self.comments[-1]

    # ServiceNow

    def servicenow(self, one: Asked) -> Answer:
        match one.method, one.path:
            case "GET", "/api/now/table/incident":
                assert one.query["sysparm_display_value"] == "true"
                if one.query["sysparm_query"] != "number=INC0010001":
                    return 200, {"result": []}
                notes = "\n\n".join(self.notes)
                return 200, {"result": [{"sys_id": SYS_ID, "work_notes": notes}]}
            case "PATCH", path if path == f"/api/now/table/incident/{SYS_ID}":
                self.notes.append(one.json["work_notes"])
                return 200, {"result": {}}
            case "GET", "/api/now/attachment":
                asked = dict(p.split("=") for p in one.query["sysparm_query"].split("^"))
                assert asked["table_sys_id"] == SYS_ID
                found = [a for a in self.attachments if a["filename"] == asked["file_name"]]
                return 200, {"result": found}
            case "POST", "/api/now/attachment/file":
                assert one.headers["content-type"] == "text/html"
                name = one.query["file_name"]
                self.attachments.append({"filename": name})
                self.pages.append(one.body)
                return 201, {"result": {}}
        return 404, {"error": {"message": "No Record found"}}

    # Chat

    def chat(self, one: Asked) -> Answer:
        self.messages.append(one.json)
        return 200, {}


def _part(one: Asked) -> tuple[dict[str, Any], bytes]:
    """The file in a multipart body, and what it holds."""
    head = f"Content-Type: {one.headers['content-type']}\r\n\r\n".encode()
    _, part = message_from_bytes(head + one.body).walk()
    told = {"id": "7", "filename": part.get_filename(), "type": part.get_content_type()}
    held = part.get_payload(decode=True)
    assert isinstance(held, bytes)
    return told, held


class _Handler(BaseHTTPRequestHandler):
    desk: Desk
    service: str
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        url, desk = urlsplit(self.path), self.desk
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        one = Asked(self.command, url.path, query, headers, body)
        desk.asked.append(one)
        fault = desk.always or (desk.faults.pop(0) if desk.faults else None)
        if fault:
            self._send(fault[0], fault[1], b'{"message": "said by the server"}')
        elif desk.garbage is not None:
            self._send(200, {}, desk.garbage)
        else:
            answer: Callable[[Asked], Answer] = getattr(desk, self.service)
            code, found = answer(one)
            self._send(code, self._more(one, found), json.dumps(found).encode())

    def _more(self, one: Asked, found: Any) -> dict[str, str]:
        """GitHub tells the next page in a header."""
        if self.service == "github" and isinstance(found, list) and len(found) == PAGE:
            page = int(one.query.get("page", "1")) + 1
            return {"Link": f'<{self.desk.url}{one.path}?per_page=100&page={page}>; rel="next"'}
        return {}

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _send(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(code)
        given = {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}
        for name, value in given.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(service: str, **settings: Any) -> Iterator[Desk]:
    """A service of its own, on a port of its own."""
    desk = Desk(**settings)
    handler = type("Handler", (_Handler,), {"desk": desk, "service": service})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    desk.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield desk
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


TOKEN = "tkn-6d1f0a94c2e87b35"


@dataclass(frozen=True)
class Sink:
    """One command of `attach`: its target, its credentials, and how they arrive."""

    name: str
    target: str
    env: dict[str, str]
    arrives: str
    writes: tuple[str, ...]
    budget: int

    def arguments(self, desk: Desk, *more: str, report: str = "report.json") -> list[str]:
        url = [] if self.name == "notify" else [f"--url={desk.url}"]
        return ["attach", self.name, report, self.target, *url, *more]

    def environment(self, desk: Desk) -> dict[str, str]:
        host = urlsplit(desk.url).netloc
        return {name: value.replace("HOST", host) for name, value in self.env.items()}

    @property
    def service(self) -> str:
        return "chat" if self.name == "notify" else self.name


BASIC = "Basic Ym90OnRrbi02ZDFmMGE5NGMyZTg3YjM1"
GITHUB = Sink(
    "github",
    "acme/shop#12",
    {"GITHUB_TOKEN": TOKEN},
    f"token {TOKEN}",
    ("POST /repos/acme/shop/issues/12/comments",),
    60_000,
)
JIRA = Sink(
    "jira",
    "OPS-1",
    {"JIRA_USER": "bot", "JIRA_API_TOKEN": TOKEN},
    BASIC,
    ("POST /rest/api/2/issue/OPS-1/attachments", "POST /rest/api/2/issue/OPS-1/comment"),
    30_000,
)
SERVICENOW = Sink(
    "servicenow",
    "INC0010001",
    {"SERVICENOW_USER": "bot", "SERVICENOW_PASSWORD": TOKEN},
    BASIC,
    ("POST /api/now/attachment/file", f"PATCH /api/now/table/incident/{SYS_ID}"),
    30_000,
)
NOTIFY = Sink(
    "notify",
    "ops",
    {"DRIFT_AUDIT_NOTIFY_OPS": f"json://bot:{TOKEN}@HOST/in?wait=0.1"},
    BASIC,
    ("POST /in",),
    2_800,
)
TICKETS = (GITHUB, JIRA, SERVICENOW)
SINKS = (*TICKETS, NOTIFY)
