"""Runs the real command, as a user does."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import click

from drift_audit.cli import cli
from tests import warm
from tests.warm import Ended, Warm

ROOT = Path(__file__).parents[1]

AT_START = ("COVERAGE", "GOOGLE_", "GRPC_", "LANG", "LC_", "PYTHON", "TZ")
"""What counts when a process starts: a command that is given such a variable is started for it."""

_turn = threading.Lock()

SEAL_KEY = "c2VhbC1rZXktb2YtdGhlLXRlc3RzLTMyLWJ5dGVzLWxvbmctLS0="
SEALED = {"DRIFT_AUDIT_SEAL_KEY": SEAL_KEY}


def every_command(
    command: click.Command = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The command, and all below it, each with the words that it is called by."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from every_command(inner, (*path, name))


@dataclass(frozen=True)
class Ran:
    """How a process ended."""

    code: int
    out: str
    err: str

    @classmethod
    def of(cls, done: Ended) -> Self:
        """The same as text."""
        return cls(done.code, done.out.decode(), done.err.decode())

    @property
    def told(self) -> str:
        """Standard output without the line breaks of the terminal."""
        return " ".join(self.out.split())

    @property
    def block(self) -> str:
        """Exit code, stdout and stderr as one text, for golden files."""
        return f"exit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


def run(
    *arguments: str,
    cwd: Path,
    env: dict[str, str] | None = None,
    stdin: bytes = b"",
    limited: bool = False,
) -> Ran:
    """
    Run `drift-audit`; `limited` holds it to two CPU seconds and 512 MiB.

    It runs in a process that has loaded it already, unless what it is given counts at the start, or
    another one is running: tests that look at the start itself, and the long campaigns, start it.
    """
    whole = environment(cwd, env, measured=not limited)
    fresh = bool(env) and _counts(env)
    return Ran.of(ended(arguments, cwd, whole, stdin, limited=limited, fresh=fresh))


def ended(
    arguments: tuple[str, ...],
    cwd: Path,
    env: dict[str, str],
    stdin: bytes = b"",
    *,
    limited: bool,
    fresh: bool = False,
) -> Ended:
    """The same with the whole environment, and what the run took."""
    if fresh or not _turn.acquire(blocking=False):
        return warm.cold(arguments, cwd, env, stdin, limited=limited)
    try:
        return _server(measured=not limited)(arguments, cwd, env, stdin, limited=limited)
    finally:
        _turn.release()


@functools.cache
def _server(*, measured: bool) -> Warm:
    """The process that runs commands, with or without coverage; each is started once."""
    return Warm(environment(ROOT, measured=measured))


def _counts(env: dict[str, str]) -> bool:
    return any(name.startswith(AT_START) for name in env)


def environment(
    home: Path, more: dict[str, str] | None = None, *, measured: bool = True
) -> dict[str, str]:
    """
    A clean environment: nothing of the developer's, no way to a cloud.

    Coverage follows into the process, except where its time is limited.
    """
    kept = {k: v for k, v in os.environ.items() if measured and k.startswith("COVERAGE")}
    return {
        **kept,
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "PYTHONPATH": str(ROOT),
        "NO_GCE_CHECK": "true",
        "SOURCE_DATE_EPOCH": "1768478400",
        **(more or {}),
    }
