"""What goes to standard output. Apart from the rest of it, so that help is fast."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from drift_audit.errors import OutputError


def echo(text: str) -> None:
    """Print to standard output, and know that it arrived. Raises OutputError."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        from drift_audit import files

        silence(sys.stdout)
        raise OutputError(f"cannot write to standard output: {files.reason(error)}") from None


def silence(stream: TextIO) -> None:
    """Send a stream nowhere: the interpreter flushes it once more at its end, and fails aloud."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
