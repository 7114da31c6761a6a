"""
The command: starts the program and turns how it ended into an exit code.

Only the standard library is imported before the command line is known, so that help is fast.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from drift_audit.errors import CommandError, DriftAuditError, ExitCode

HELP_WIDTH = 80


class Terminated(BaseException):
    """SIGTERM arrived."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    gc.disable()  # what is imported now stays to the end: `_run` takes it out of every collection
    _open_closed_streams()
    _lock_down()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        code = _say("interrupted", ExitCode.INTERRUPTED)
    except Terminated:
        code = _say("terminated", ExitCode.TERMINATED)
    except DriftAuditError as error:
        code = _say(str(error), error.code, error.hint)
    except Exception as error:  # a defect of ours: no value may reach the terminal
        code = _say(_defect(error), ExitCode.DEFECT, "please report this with the lines above")
    if code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        _leave(code)
    sys.exit(int(code))


def _leave(code: int) -> NoReturn:
    """End at once: the interpreter would wait for calls that are under way, and they may hang."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _open_closed_streams() -> None:
    """
    Put something in place of the standard streams that the caller closed.

    Nobody reads what is said on standard error then; a report printed to standard output fails, as
    it must: it did not arrive.
    """
    modes = {"stdin": os.O_RDONLY, "stdout": os.O_RDONLY, "stderr": os.O_WRONLY}
    for number, (name, mode) in enumerate(modes.items()):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, mode), number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def _lock_down() -> None:
    """
    Keep plain values in this process: google's libraries may not write responses to the terminal,
    nor the system what is in memory to a disk.

    The variable turns on structured logging of whole responses (`threats-and-promises.md` §0).
    """
    os.environ.pop("GOOGLE_SDK_PYTHON_LOGGING_SCOPE", None)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with suppress(ImportError, OSError, ValueError):  # not every platform has limits
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _run(arguments: list[str]) -> int:
    import click

    from drift_audit.cli import cli

    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)  # snapshots have no cycles: looking for them took a third
    gc.enable()
    try:
        code = cli.main(
            arguments, prog_name="drift-audit", standalone_mode=False, terminal_width=_width()
        )
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        message = error.format_message().removesuffix(".")
        context = getattr(error, "ctx", None)
        hint = f"see: {context.command_path} --help" if context else ""
        raise CommandError(message[:1].lower() + message[1:], hint=hint) from None
    return int(code or 0)


def _width() -> int:
    """The columns of help. Click asks shutil, which loads four archive formats first."""
    try:
        columns = os.get_terminal_size().columns
    except OSError:
        columns = HELP_WIDTH
    return max(40, min(columns, HELP_WIDTH) - 2)


def _say(message: str, code: ExitCode, hint: str = "") -> ExitCode:
    from drift_audit.cli.notice import notice

    first, *more = message.splitlines()
    notice(f"drift-audit: {first}", *filter(None, [*more, hint]))
    return code


def _defect(error: Exception) -> str:
    """Where it happened and what kind it was, without the message: that could quote anything."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{f.filename.rpartition('/')[2]}:{f.lineno} in {f.name}" for f in frames]
    return "\n".join(["a defect in drift-audit", *places, type(error).__name__])


if __name__ == "__main__":
    main()
