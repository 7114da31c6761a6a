"""
The real command in a child of this process: it finds everything imported, so that thousands of runs are
possible, and it can be broken on purpose without anything else being broken.

The parent never opens a connection: gRPC does not survive a fork. Emulators live in children of their own.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from drift_audit.emulator.server import Emulator
from tests.command import SEALED

PATIENCE = 60.0
"""Seconds before a run that does not end is killed, and is a problem."""

STUCK = -99
"""The exit code of a run that had to be killed."""


@dataclass(frozen=True)
class Ended:
    """How a run ended, and what it said."""

    code: int
    out: bytes = b""
    err: bytes = b""


@dataclass(frozen=True)
class Streams:
    """Where the standard streams of a child go: into files, unless they are named."""

    out: Path
    err: Path
    stdin: str = os.devnull


Act = Callable[[], Any]

_last: list[Act] = []
"""What a child does at its end."""


def run(
    arguments: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    *,
    first: Act = lambda: None,
    meanwhile: Callable[[int], None] = lambda _: None,
    out: str = "",
) -> Ended:
    """
    Run `drift-audit` in a folder with that environment alone. `first` happens in the child before
    it; `meanwhile` gets the child's id while it runs; `out` is where standard output goes to.
    """
    said = [folder.parent / f"{folder.name}.{name}" for name in ("out", "err")]
    child = os.fork()
    if not child:
        _become(arguments, folder, env, first, Path(out) if out else said[0], said[1])
    try:
        meanwhile(child)
    finally:
        code = _wait(child)
    told = [path.read_bytes() if path.exists() else b"" for path in said]
    for path in said:
        path.unlink(missing_ok=True)
    return Ended(code, *told)


def _wait(child: int) -> int:
    end = time.monotonic() + PATIENCE
    wait = 0.001
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(wait := min(wait * 1.2, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return STUCK


def _become(
    arguments: Sequence[str], folder: Path, env: Mapping[str, str], first: Act, out: Path, err: Path
) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        _redirect(out, err)
        first()
        code = _ran(list(arguments))
    except BaseException:  # noqa: BLE001  # a child must never come back into the parent's code
        with suppress(BaseException):
            traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
        with suppress(BaseException):
            sys.stderr.flush()
        with suppress(BaseException):
            for act in _last:
                act()
        os._exit(code)


def _redirect(out: Path, err: Path) -> None:
    names = ((os.devnull, os.O_RDONLY), *((p, os.O_WRONLY | os.O_CREAT) for p in (out, err)))
    for number, (name, flags) in enumerate(names):
        descriptor = os.open(name, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115


def _ran(arguments: list[str]) -> int:
    """The exit code that the interpreter would give."""
    try:
        importlib.import_module("drift_audit.__main__").main(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException as error:  # noqa: BLE001  # as the interpreter does
        sys.excepthook(type(error), error, error.__traceback__)
    return 1


def at_end(act: Act) -> None:
    """In a child: what is done when the run is over, and everything was said."""
    _last.append(act)


def warm(
    arguments: Sequence[str], folder: Path, env: Mapping[str, str], first: Act = lambda: None
) -> Ended:
    """Run, and import here what that imported, so that other children find it."""
    listed = folder.parent / "modules"

    def note() -> None:
        listed.write_text(json.dumps(sorted(sys.modules.keys() - {"__mp_main__"})))

    def prepared() -> None:
        first()
        at_end(note)

    ended = run(arguments, folder, env, first=prepared)
    for name in json.loads(listed.read_text()):
        with suppress(ImportError):  # parts of packages that have no name of their own
            importlib.import_module(name)
    listed.unlink()
    return ended


# What a run talks to


@dataclass
class Other:
    """Another process that runs talk to: what it said at its start, and at its end."""

    said: str
    last: str = ""


@contextmanager
def child(
    context: Callable[[], Any], told: Callable[[Any], str], last: Callable[[Any], str] = str
) -> Iterator[Other]:
    """A context manager that lives in another process; `told` and `last` are what is asked of it."""
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        _keep(context, told, last, writer)
    os.close(writer)
    with os.fdopen(reader) as file:
        other = Other(file.readline().strip())
        try:
            assert other.said, "what a run talks to did not start"
            yield other
            os.kill(process, signal.SIGTERM)
            other.last = file.readline().strip()
        finally:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _keep(
    context: Callable[[], Any],
    told: Callable[[Any], str],
    last: Callable[[Any], str],
    writer: int,
) -> NoReturn:
    try:
        over = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: over.set())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with context() as found:
            os.write(writer, f"{told(found)}\n".encode())
            over.wait()
            os.write(writer, f"{last(found)}\n".encode())
    except BaseException:  # noqa: BLE001  # it must not come back into the parent's code
        traceback.print_exc()
    finally:
        os._exit(1)


def reached(emulator: Emulator) -> str:
    """The addresses of an emulator in one line."""
    return f"{emulator.address} {emulator.rest}"


def fired(emulator: Emulator) -> str:
    """How many faults took effect."""
    return str(len(emulator.fired))


def pointing(addresses: str) -> dict[str, str]:
    """What points the command at the emulator with those addresses."""
    grpc, rest = addresses.split()
    hosts = {"CLOUD_RUN_EMULATOR_HOST": grpc, "SECRET_MANAGER_EMULATOR_HOST": grpc}
    return {**SEALED, **hosts, "CLOUD_RUN_EMULATOR_REST_HOST": rest}
