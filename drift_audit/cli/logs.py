"""
Structured logs: everything that is said on standard error as JSON, one object on each line, in the
fields that Cloud Logging takes for its own (`ux-ecosystem.md` §9.1).
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Mapping
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from drift_audit.cli.notice import NOTICE, OURS, PROGRAM, defect, execution, listen, write
from drift_audit.renderer.encode import legible

LABELS = "logging.googleapis.com/labels"
STACK = "stack_trace"

LONGEST = 10_000
"""Characters of one text. Cloud Logging takes 256 KiB for a whole entry."""


def speak() -> None:
    """Say everything as JSON from now on."""
    logging.addLevelName(NOTICE, "NOTICE")
    program = logging.getLogger(PROGRAM)
    program.handlers = [_Lines(execution())]
    program.setLevel(logging.DEBUG)
    program.propagate = False
    logging.getLogger(OURS).propagate = False
    listen("warning")
    warnings.showwarning = _warned
    sys.excepthook = lambda _kind, error, _frames: _uncaught(error)
    sys.unraisablehook = lambda given: _uncaught(given.exc_value)
    threading.excepthook = lambda given: _uncaught(given.exc_value)


class _Lines(logging.Handler):
    """Writes records to standard error, as JSON."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        super().__init__()
        self.formatter = _Formatter(
            ["levelname", "message", "name"],
            rename_fields={"levelname": "severity", "name": "logger"},
            timestamp="time",
            static_fields={LABELS: dict(labels)} if labels else {},
        )

    def emit(self, record: logging.LogRecord) -> None:
        # an exception would quote what it is about
        record.exc_info = record.exc_text = record.stack_info = None
        write([self.format(record)])


class _Formatter(JsonFormatter):
    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """The same with nothing in it that a terminal or a CI system would obey."""
        return {k: v if k == STACK else _inert(v) for k, v in log_data.items()}


def _inert(value: Any) -> Any:
    if isinstance(value, str):
        text = legible(value[:LONGEST])
        more = len(value) - LONGEST
        return f"{text}... ({more} more characters)" if more > 0 else text
    if isinstance(value, Mapping):
        return {_inert(k): _inert(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_inert(one) for one in value]
    return value


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A library's warning: its kind and place. Its words could quote what it was given."""
    place = f"{filename.rpartition('/')[2]}:{lineno}"
    told = "%s: %s, not told here: --log-format=text shows it"
    logging.getLogger(PROGRAM).warning(told, place, category.__name__)


def _uncaught(error: BaseException | None) -> None:
    """What nobody caught, on whichever thread."""
    defect("an error that nothing caught", error or Exception())
