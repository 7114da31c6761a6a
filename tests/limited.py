"""
Runs the real command in children of a process that has loaded it already, each with the limits and in
the folder that it is given. That takes a fifth of the time of a start.

`python -m tests.limited` is that process: it reads what to run as lines of JSON, and answers in the same way.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from tests.command import CPU_SECONDS, MEMORY, PATIENCE, Ran, environment

LOADED = (
    "audit cli cli.audit cli.baseline cli.compare cli.merge cli.render cli.schema cli.snapshot collector.exports "
    "renderer.github renderer.html renderer.json renderer.junit renderer.markdown renderer.sarif renderer.text "
    "rules store.baselines store.folder store.nights store.parts"
).split()  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """How a process ended, its CPU seconds, and the most memory it held, in bytes."""

    ran: Ran
    seconds: float
    memory: int


def measured(*arguments: str, cwd: Path, env: Mapping[str, str]) -> Measured:
    """The same for a process of its own, which is started as a user does."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("out", "err")]
        child = os.fork()
        if not child:
            command = [sys.executable, "-m", "drift_audit", *arguments]
            _become(cwd, streams, lambda: os.execve(sys.executable, command, dict(env)))
        return _ended(child, streams)


class Forked(AbstractContextManager["Forked"]):
    """A process that waits for commands to run."""

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.limited"],
            env=environment(Path.cwd(), measured=False),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate(timeout=PATIENCE)

    def __call__(self, *arguments: str, cwd: Path, env: Mapping[str, str]) -> Measured:
        """Run one command in a folder, with an environment of its own."""
        asked = {"arguments": arguments, "cwd": str(cwd), "env": dict(env)}
        self._server.stdin.write(f"{json.dumps(asked)}\n")
        self._server.stdin.flush()
        told = json.loads(self._server.stdout.readline())
        return Measured(
            Ran(told["code"], told["out"], told["err"]), told["seconds"], told["memory"]
        )


def _become(cwd: Path, streams: list[Path], act: Any) -> None:
    """Be the process that is asked for, and end."""
    code: Any = 1
    try:
        os.setsid()
        for number, path in enumerate([Path(os.devnull), *streams]):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(path, flags, 0o600), number)
        os.chdir(cwd)
        signal.alarm(PATIENCE)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        act()
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ended(child: int, streams: list[Path]) -> Measured:
    _, status, used = os.wait4(child, 0)
    out, err = (path.read_text() if path.exists() else "" for path in streams)
    seconds = used.ru_utime + used.ru_stime
    return Measured(
        Ran(os.waitstatus_to_exitcode(status), out, err), seconds, used.ru_maxrss * 1024
    )


def _serve() -> None:
    """Run what is asked for, one after the other, until nobody asks any more."""
    from drift_audit.__main__ import main

    for name in LOADED:
        import_module(f"drift_audit.{name}")
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("out", "err")]
        for line in iter(sys.stdin.readline, ""):
            asked = json.loads(line)
            child = os.fork()
            if not child:
                os.environ.clear()
                os.environ.update(asked["env"])
                _become(Path(asked["cwd"]), streams, partial(main, asked["arguments"]))
            done = _ended(child, streams)
            told = {**vars(done.ran), "seconds": done.seconds, "memory": done.memory}
            sys.stdout.write(f"{json.dumps(told)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _serve()
