"""
The real command, run in children of a process that has loaded it already: a fifth of the time of a start.

`python -m tests.warm` is that process: it reads what to run as lines of JSON, and answers in the same way.
It opens no connection and starts no thread, so that its children can.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

CPU_SECONDS = 2
MEMORY = 512 * 2**20
PATIENCE = 60
"""Wall seconds before a run is given up; what is measured is its CPU time."""

ALONE = frozenset({"drift_audit.__main__", "drift_audit.schema_export"})
"""What is run, not imported."""


@dataclass(frozen=True)
class Ended:
    """How a run ended, what it said, its CPU seconds, and the most memory it held, in bytes."""

    code: int
    out: bytes
    err: bytes
    seconds: float
    memory: int


class Warm:
    """The process that waits for commands to run; `env` is what it is started with, and by which Python."""

    def __init__(self, env: Mapping[str, str], python: str = sys.executable) -> None:
        self._server = subprocess.Popen(
            [python, "-m", "tests.warm"],
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._server.communicate)

    def __call__(
        self,
        arguments: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdin: bytes = b"",
        *,
        limited: bool,
    ) -> Ended:
        """Run one command in a folder, with an environment of its own."""
        asked = {
            "arguments": arguments,
            "cwd": str(cwd),
            "env": dict(env),
            "stdin": base64.b64encode(stdin).decode(),
            "limited": limited,
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(f"{json.dumps(asked)}\n")
        self._server.stdin.flush()
        told = json.loads(self._server.stdout.readline())
        said = {name: base64.b64decode(told[name]) for name in ("out", "err")}
        return Ended(**{**told, **said})


def cold(
    arguments: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    stdin: bytes = b"",
    *,
    limited: bool,
) -> Ended:
    """The same in a process that is started for it, as a user does."""
    with tempfile.TemporaryDirectory() as folder, _streams(Path(folder), stdin) as streams:
        started = subprocess.Popen(
            [sys.executable, "-m", "drift_audit", *arguments],
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            cwd=cwd,
            env=dict(env),
            preexec_fn=partial(_bounded, limited=limited),  # noqa: PLW1509  # it takes no lock
        )
        done = _ended(started.pid, Path(folder))
        started.returncode = done.code  # it has been waited for
        return done


@contextmanager
def _streams(folder: Path, stdin: bytes) -> Iterator[list[int]]:
    """The standard streams of a run, as files."""
    (folder / "in").write_bytes(stdin)
    flags = {"in": os.O_RDONLY, "out": os.O_WRONLY | os.O_CREAT, "err": os.O_WRONLY | os.O_CREAT}
    streams = [os.open(folder / name, flag, 0o600) for name, flag in flags.items()]
    try:
        yield streams
    finally:
        for stream in streams:
            os.close(stream)


def _ended(child: int, folder: Path) -> Ended:
    _, status, used = os.wait4(child, 0)
    out, err = ((folder / name).read_bytes() for name in ("out", "err"))
    seconds = used.ru_utime + used.ru_stime
    return Ended(os.waitstatus_to_exitcode(status), out, err, seconds, used.ru_maxrss * 1024)


def _bounded(*, limited: bool) -> None:
    os.setsid()
    signal.alarm(PATIENCE)
    if limited:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _serve() -> None:
    """Run what is asked for, one after the other, until nobody asks any more."""
    import drift_audit
    from drift_audit.__main__ import main

    os.environ["GRPC_VERBOSITY"] = "NONE"  # grpc reads it when it is loaded
    for module in pkgutil.walk_packages(drift_audit.__path__, "drift_audit."):
        if module.name not in ALONE:
            import_module(module.name)
    for line in iter(sys.stdin.readline, ""):
        asked = json.loads(line)
        given = base64.b64decode(asked["stdin"])
        with tempfile.TemporaryDirectory() as folder, _streams(Path(folder), given) as streams:
            child = os.fork()
            if not child:
                _become(asked, streams, main)
            done = _ended(child, Path(folder))
        said = {name: base64.b64encode(getattr(done, name)).decode() for name in ("out", "err")}
        sys.stdout.write(f"{json.dumps({**vars(done), **said})}\n")
        sys.stdout.flush()


def _become(
    asked: Mapping[str, Any], streams: Sequence[int], main: Callable[[list[str]], Any]
) -> None:
    """Be the process that is asked for, and end."""
    code: Any = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        _bounded(limited=asked["limited"])
        main(asked["arguments"])
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
