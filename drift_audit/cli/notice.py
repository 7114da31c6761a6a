"""Lines for the person at the terminal, on standard error."""

from __future__ import annotations

import logging
import os
import sys

from drift_audit import quiet
from drift_audit.renderer.encode import legible


def notice(line: object, *more: object) -> None:
    """
    One line and what belongs to it, with nothing in them that a terminal would obey.

    Where nobody is left to read it the run goes on: the exit code still tells.
    """
    lines = [legible(line), *(f"  {legible(m)}" for m in more)]
    try:
        sys.stderr.write("\n".join([*lines, ""]))
        sys.stderr.flush()
    except OSError:
        # the interpreter would try to flush the rest once more at its end, and fail aloud
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def listen(verbosity: str) -> None:
    """
    Show our own log from a level on. Those of libraries stay unheard: they quote what they read.
    """
    quiet.hush()
    logging.getLogger().handlers = [logging.NullHandler()]
    logger = logging.getLogger("drift_audit")
    logger.handlers = [_Notices()]
    logger.setLevel(verbosity.upper())


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        notice(f"{record.levelname.lower()}: {record.getMessage()}")
