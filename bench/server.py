"""
Cloud Run and Secret Manager on loopback, as cheap as a server can be: bytes in, bytes out.

`python -m bench.server` prints its two ports as one line of JSON and lives until its standard input
is closed. How slow it is, how much it grants and what it counts is set over HTTP: see `web.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud import run_v2
from google.cloud import secretmanager_v1 as sm

from bench import world
from bench.catalog import Catalog, Missing
from bench.pages import BadToken
from bench.web import serve

_LIST = run_v2.ListRevisionsRequest.pb()
_GET = sm.GetSecretRequest.pb()
"""All list requests have parent, size and token in the same fields; all get requests a name."""

_RUN = "/google.cloud.run.v2."
_SECRETS = "/google.cloud.secretmanager.v1.SecretManagerService/"


class Exhausted(Exception):
    """The quota of this window is used up."""


class NotAllowed(Exception):
    """A call that changes something or reads a payload."""


@dataclass
class Settings:
    """How the server behaves. A quota of 0 is none; `hole` drops a page of every list."""

    latency: float = 0.0
    quota: int = 0
    window: float = 60.0
    run_page: int = 100
    secret_page: int = 25_000
    hole: bool = False
    touched: int = 0


@dataclass
class Counters:
    """What the server saw since it was last asked to forget."""

    calls: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    without_deadline: int = 0
    not_allowed: list[str] = field(default_factory=list)


class Server:
    """Answers calls from a catalog, as the settings say, and counts them."""

    def __init__(self, size: world.Size) -> None:
        self.settings, self.counters = Settings(), Counters()
        self._base = Catalog(world.build(size))
        self.catalog = self._base
        self._opened, self._granted = 0.0, 0
        self._routes: dict[str, Callable[[bytes], bytes]] = {
            f"{_RUN}Services/ListServices": lambda r: self._list(r, self._services),
            f"{_RUN}Revisions/ListRevisions": lambda r: self._list(r, self._revisions),
            f"{_RUN}WorkerPools/ListWorkerPools": lambda _: b"",
            f"{_RUN}Jobs/ListJobs": lambda _: b"",
            f"{_RUN}Services/GetService": lambda r: self.catalog.service(_name(r)),
            f"{_RUN}Revisions/GetRevision": lambda r: self.catalog.revision(_name(r)),
            f"{_RUN}WorkerPools/GetWorkerPool": _nothing,
            f"{_RUN}Jobs/GetJob": _nothing,
            f"{_SECRETS}ListSecrets": lambda r: self._secret_list(r, self._secrets),
            f"{_SECRETS}ListSecretVersions": lambda r: self._secret_list(r, self._versions),
            f"{_SECRETS}GetSecret": lambda r: self.catalog.secret(_name(r)),
            f"{_SECRETS}GetSecretVersion": lambda r: self.catalog.version(_name(r)),
        }

    def change(self, **settings: Any) -> None:
        """Change some settings. The touched services are always touched in the first world."""
        for name, value in settings.items():
            setattr(self.settings, name, value)
        if self.settings.touched != self.catalog.world.touched:
            after = self._base.world.after(self.settings.touched)
            self.catalog = Catalog(after, self._base) if after.touched else self._base
        self.counters, self._opened, self._granted = Counters(), 0.0, 0

    def reply(self, method: str, request: bytes) -> bytes:
        """The answer to one call. Raises Missing, BadToken, Exhausted, NotAllowed."""
        if method.startswith(_RUN):
            self._grant()
        if method not in self._routes:
            raise NotAllowed
        return self._routes[method](request)

    def handler(self, details: Any) -> Any:
        """What gRPC asks for each call."""
        method = details.method

        async def handle(request: bytes, context: Any) -> bytes:
            seen = self.counters
            short = method.rpartition("/")[2]
            seen.calls[short] = seen.calls.get(short, 0) + 1
            seen.in_flight += 1
            seen.most_in_flight = max(seen.most_in_flight, seen.in_flight)
            seen.without_deadline += context.time_remaining() is None
            try:
                if self.settings.latency:
                    await asyncio.sleep(self.settings.latency)
                return self.reply(method, request)
            except Missing:
                code, why = grpc.StatusCode.NOT_FOUND, "not found"
            except BadToken:
                code, why = grpc.StatusCode.INVALID_ARGUMENT, "page_token is not valid"
            except Exhausted:
                seen.rejected += 1
                code, why = grpc.StatusCode.RESOURCE_EXHAUSTED, "Quota exceeded for read requests"
            except NotAllowed:
                seen.not_allowed.append(method)
                code, why = grpc.StatusCode.PERMISSION_DENIED, "reads of metadata only"
            finally:
                seen.in_flight -= 1
            await context.abort(code, why)
            raise AssertionError  # abort raises; type checkers do not know

        return grpc.unary_unary_rpc_method_handler(handle)

    def _grant(self) -> None:
        if not self.settings.quota:
            return
        now = time.monotonic()
        if now - self._opened >= self.settings.window:
            self._opened, self._granted = now, 0
        if self._granted >= self.settings.quota:
            raise Exhausted
        self._granted += 1

    def _list(self, request: bytes, answer: Callable[[Any, int], bytes]) -> bytes:
        asked, most = _LIST.FromString(request), self.settings.run_page
        return answer(asked, min(asked.page_size or most, most))

    def _secret_list(self, request: bytes, answer: Callable[[Any, int], bytes]) -> bytes:
        asked, most = _LIST.FromString(request), self.settings.secret_page
        return answer(asked, min(asked.page_size or most, most))

    def _services(self, asked: Any, size: int) -> bytes:
        found = self.catalog.services(asked.parent)
        return found.page(asked.page_token, size, hole=self.settings.hole)

    def _revisions(self, asked: Any, size: int) -> bytes:
        found = self.catalog.revisions(asked.parent)
        return found.page(asked.page_token, size, hole=self.settings.hole)

    def _secrets(self, asked: Any, size: int) -> bytes:
        return self.catalog.secrets().page(asked.page_token, size)

    def _versions(self, asked: Any, size: int) -> bytes:
        return self.catalog.versions(asked.parent).page(asked.page_token, size)


def _nothing(request: bytes) -> bytes:
    """There are services alone."""
    raise Missing(_name(request))


def _name(request: bytes) -> str:
    return str(_GET.FromString(request).name)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # no generic at run time
    def __init__(self, server: Server) -> None:
        self._server = server

    def service(self, handler_call_details: Any) -> Any:
        return self._server.handler(handler_call_details)


async def run(server: Server) -> None:
    """Serve until standard input is closed."""
    options = (("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1))
    listening = grpc.aio.server(options=options)
    listening.add_generic_rpc_handlers((_Handlers(server),))
    port = listening.add_insecure_port("127.0.0.1:0")
    await listening.start()
    print(json.dumps({"grpc": port, "http": serve(server)}), flush=True)
    closed, loop = asyncio.Event(), asyncio.get_running_loop()

    def wait() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=wait, daemon=True).start()
    await closed.wait()
    await listening.stop(grace=0)


def main() -> None:
    """Read the size of the world from the command line, and serve it."""
    parser = argparse.ArgumentParser(prog="python -m bench.server", description=__doc__)
    parser.add_argument("--services", type=int, default=1_000)
    parser.add_argument("--revisions", type=int, default=20)
    parser.add_argument("--drifted", type=float, default=0.01)
    given = parser.parse_args()
    asyncio.run(run(Server(world.Size(given.services, given.revisions, given.drifted))))


if __name__ == "__main__":
    main()
