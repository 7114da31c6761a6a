"""Runs the real command in a process of its own, as a user does."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CPU_SECONDS = 2
MEMORY = 512 * 2**20
PATIENCE = 60
"""Wall seconds before a test gives up on a process; what is measured is its CPU time."""

SEAL_KEY = "c2VhbC1rZXktb2YtdGhlLXRlc3RzLTMyLWJ5dGVzLWxvbmctLS0="
SEALED = {"DRIFT_AUDIT_SEAL_KEY": SEAL_KEY}


@dataclass(frozen=True)
class Ran:
    """How a process ended."""

    code: int
    out: str
    err: str

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
    """Run `drift-audit`; `limited` holds it to two CPU seconds and 512 MiB."""
    done = subprocess.run(
        [sys.executable, "-m", "drift_audit", *arguments],
        cwd=cwd,
        env=environment(cwd, env, measured=not limited),
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        preexec_fn=_limit if limited else None,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


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
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "NO_GCE_CHECK": "true",
        "SOURCE_DATE_EPOCH": "1768478400",
        **(more or {}),
    }


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
