"""
The server of the benchmark from the outside: started, set, asked, stopped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Shape:
    """How large a world is."""

    services: int
    revisions: int

    @property
    def total(self) -> int:
        """All revisions of all services."""
        return self.services * self.revisions

    def __str__(self) -> str:
        return f"{self.services:,} x {self.revisions}"


class Backend:
    """A running server. Use as a context manager."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.server"),
                f"--services={shape.services}",
                f"--revisions={shape.revisions}",
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ports: dict[str, int] = {}
        self.settings: dict[str, Any] = {}

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self._ports = json.loads(self._process.stdout.readline())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    @property
    def address(self) -> str:
        """Where gRPC is spoken."""
        return f"127.0.0.1:{self._ports['grpc']}"

    @property
    def web(self) -> str:
        """Where HTTP is spoken."""
        return f"127.0.0.1:{self._ports['http']}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point clients here instead of at a cloud."""
        return {
            "CLOUD_RUN_EMULATOR_HOST": self.address,
            "SECRET_MANAGER_EMULATOR_HOST": self.address,
            "CLOUD_RUN_EMULATOR_REST_HOST": self.web,
        }

    def change(self, **settings: Any) -> None:
        """Change settings of the server, and make it forget what it counted."""
        self.settings |= settings
        body = json.dumps(settings).encode()
        self._ask(urllib.request.Request(f"http://{self.web}/settings", body, method="POST"))

    def facts(self) -> dict[str, Any]:
        """What a right answer must say."""
        return self._ask(urllib.request.Request(f"http://{self.web}/facts"))

    def counters(self) -> dict[str, Any]:
        """What was called since the settings were last changed."""
        return self._ask(urllib.request.Request(f"http://{self.web}/counters"))

    def _ask(self, request: urllib.request.Request) -> dict[str, Any]:
        with _NO_PROXY.open(request, timeout=PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
