"""What goes to standard output. Apart from the rest of it, so that help is fast."""

from __future__ import annotations

import os
import sys

from drift_audit.errors import OutputError


def echo(text: str) -> None:
    """Print to standard output, and know that it arrived. Raises OutputError."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        from drift_audit import files

        # the interpreter would try to flush the rest once more at its end, and fail aloud
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write to standard output: {files.reason(error)}") from None
