"""
What is said on standard error: lines for the person at the terminal, or, once
`drift_audit.cli.logs.speak` was called, one JSON object on each line for whoever reads logs.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable

from drift_audit import quiet
from drift_audit.cli.echo import silence
from drift_audit.renderer.encode import legible

PROGRAM = "drift-audit"
"""The logger of what commands say. It has a handler only where logs are structured."""

OURS = "drift_audit"
"""The logger of what the modules log, from a level on."""

NOTICE = 25
"""Cloud Logging's severity between INFO and WARNING."""

EXECUTION = {
    "execution": "CLOUD_RUN_EXECUTION",
    "task_index": "CLOUD_RUN_TASK_INDEX",
    "task_attempt": "CLOUD_RUN_TASK_ATTEMPT",
}
"""What Cloud Run tells the tasks of a job, by the names that logs have for it."""


def structured() -> bool:
    """Whether what is said becomes JSON."""
    return bool(logging.getLogger(PROGRAM).handlers)


def notice(line: object, *more: object) -> None:
    """
    One line and what belongs to it, with nothing in them that a terminal would obey.

    Where nobody is left to read it the run goes on: the exit code still tells.
    """
    if structured():
        _log(logging.INFO, line, details=list(more))
    else:
        _print(line, *more)


def failed(message: object, *more: object, hint: str = "") -> None:
    """The same of an error, with the next thing to type."""
    if structured():
        _log(logging.ERROR, message, details=list(more), hint=hint)
    else:
        _print(f"{PROGRAM}: {message}", *filter(None, [*more, hint]))


def defect(message: str, error: BaseException, *, hint: str = "") -> None:
    """Where an error came from and what kind it is, without its words: they could quote a value."""
    import traceback

    kind = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    places = [(f.filename.rpartition("/")[2], f.lineno, f.name) for f in frames]
    if structured():
        told = [f'  File "{file}", line {line}, in {name}' for file, line, name in places]
        stack = "\n".join(["Traceback (most recent call last):", *told, kind])
        _log(logging.CRITICAL, f"{message}: {kind}", hint=hint, stack_trace=stack)
    else:
        failed(
            message, *(f"{file}:{line} in {name}" for file, line, name in places), kind, hint=hint
        )


def event(name: str, level: int, message: str, **fields: object) -> None:
    """Something that happened, for whoever counts or alerts; a person is told in the report."""
    if structured():
        logging.getLogger(PROGRAM).log(level, "%s", message, extra={"event": name, **fields})


def execution() -> dict[str, str]:
    """Which task of which execution of a Cloud Run job this is; empty elsewhere."""
    return {name: value for name, told in EXECUTION.items() if (value := os.environ.get(told))}


def write(lines: Iterable[str]) -> None:
    """Put lines on standard error as they are, if anybody is left to read them."""
    try:
        sys.stderr.write("\n".join([*lines, ""]))
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)


def listen(verbosity: str) -> None:
    """
    Show our own log from a level on. Those of libraries stay unheard: they quote what they read.
    """
    quiet.hush()
    logging.getLogger().handlers = [logging.NullHandler()]
    logger = logging.getLogger(OURS)
    logger.handlers = logging.getLogger(PROGRAM).handlers or [_Notices()]
    logger.setLevel(verbosity.upper())


def _log(level: int, message: object, **fields: object) -> None:
    told = {name: value for name, value in fields.items() if value}
    logging.getLogger(PROGRAM).log(level, "%s", message, extra=told)


def _print(line: object, *more: object) -> None:
    write([legible(line), *(f"  {legible(m)}" for m in more)])


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _print(f"{record.levelname.lower()}: {record.getMessage()}")
