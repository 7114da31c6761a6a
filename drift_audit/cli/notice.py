"""Lines for the person at the terminal, on standard error."""

from __future__ import annotations

import os
import sys

from drift_audit.renderer.encode import visible


def notice(line: object, *more: object) -> None:
    """
    One line and what belongs to it, with nothing in them that a terminal would obey.

    Where nobody is left to read it the run goes on: the exit code still tells.
    """
    lines = [visible(line), *(f"  {visible(m)}" for m in more)]
    lines = [visible(line), *(f"  {visible(m)}" for m in more)]
    try:
        sys.stderr.writelines(f"{text}\n" for text in lines)
        sys.stderr.flush()
    except OSError:
        # the interpreter would try to flush the rest once more at its end, and fail aloud
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
