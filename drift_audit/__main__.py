"""
The command: starts the program and turns how it ended into an exit code.

Only the standard library is imported before the command line is known, so that help is fast.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from drift_audit.errors import CommandError, DriftAuditError, ExitCode

HELP_WIDTH = 80

ON_CLOUD_RUN = ("CLOUD_RUN_JOB", "K_SERVICE")
"""Variables that Cloud Run sets for the tasks of jobs and the instances of services."""

Ending = Callable[[int], int]
"""What a command does last, however it ended: gets the exit code and gives the final one."""


class Terminated(BaseException):
    """SIGTERM arrived."""


class Interrupted(BaseException):
    """SIGINT arrived."""


SIGNALS = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}

_arrived: list[type[BaseException]] = []
"""
The signals that were not answered yet. A library may raise something else in place of what is
raised when one arrives: pydantic does so while it writes.
"""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    gc.disable()  # what is imported now stays to the end: `_run` takes it out of every collection
    _open_closed_streams()
    _lock_down()
    words = sys.argv[1:] if arguments is None else arguments
    code = _guarded(lambda: _whole(words))
    if code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        _leave(code)
    sys.exit(int(code))


def _whole(words: list[str]) -> int:
    """Run the command, and let it end. Here alone signals are exceptions: here they are caught."""
    endings: list[Ending] = []
    _on_signals(_arrive)
    try:
        code = _guarded(lambda: _run(words, endings))
        return _guarded(lambda: _end(endings, code)) if endings else code
    finally:
        _on_signals(signal.SIG_DFL)


def _guarded(act: Callable[[], int]) -> int:
    """The code that something ends with; whatever it raises is said, and has a code too."""
    try:
        return _answered(act)
    except (KeyboardInterrupt, Interrupted):
        if sys.stderr.isatty():
            with suppress(OSError):
                print(file=sys.stderr)  # after the ^C that the terminal shows
        return _say("interrupted", ExitCode.INTERRUPTED)
    except Terminated:
        return _say("terminated", ExitCode.TERMINATED)
    except DriftAuditError as error:
        return _say(str(error), error.code, error.hint)
    except Exception as error:  # a defect of ours: no value may reach the terminal
        from drift_audit.cli.notice import defect

        defect("a defect in drift-audit", error, hint="please report this with the lines above")
        return ExitCode.DEFECT


def _answered(act: Callable[[], int]) -> int:
    """Do it; a signal that arrives is what comes of it, whatever was made of its exception."""
    try:
        return act()
    finally:
        if _arrived:
            first = _arrived[0]
            _arrived.clear()
            raise first


def _end(endings: list[Ending], code: int) -> int:
    """Let each of those end that asked for it, once, whatever arrives meanwhile."""
    _on_signals(_pass_over)
    try:
        while endings:
            code = endings.pop()(code)
    finally:
        _on_signals(signal.SIG_DFL)
    return code


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

    The first variable turns on structured logging of whole responses (`threats-and-promises.md`
    §0). The last keeps pydantic from loading what any installed package offers to watch all that is
    validated with, which it also looks for at every start.
    """
    os.environ.pop("GOOGLE_SDK_PYTHON_LOGGING_SCOPE", None)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    with suppress(ImportError, OSError, ValueError):  # not every platform has limits
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _on_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Handle signals so from now on; one that the caller has everything ignore stays ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _arrive(number: int, frame: FrameType | None) -> NoReturn:
    error = SIGNALS[signal.Signals(number)]
    _arrived.append(error)
    raise error


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Not the system's own way to ignore: that would be taken for the caller's wish."""


def _wants_json(words: list[str]) -> bool:
    """
    Whether logs are structured. Asked before the command line is parsed: what is wrong with it is
    said in the same way. The option itself is declared, and checked, in `drift_audit.cli.options`.
    """
    chosen = os.environ.get("DRIFT_AUDIT_LOG_FORMAT", "")
    own = words[: words.index("--")] if "--" in words else words
    for word, following in zip(own, [*own[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if name == "--log-format":
            chosen = value if equals else following
    return chosen == "json" or (chosen != "text" and any(map(os.environ.get, ON_CLOUD_RUN)))


def _run(arguments: list[str], endings: list[Ending]) -> int:
    if _wants_json(arguments):
        from drift_audit.cli.logs import speak

        speak()
    import click

    from drift_audit.cli import cli

    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)  # snapshots have no cycles: looking for them took a third
    gc.enable()
    try:
        code = cli.main(
            arguments,
            prog_name="drift-audit",
            standalone_mode=False,
            terminal_width=_width(),
            obj=endings,
        )
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.exceptions.NoArgsIsHelpError as error:
        from drift_audit.cli.notice import structured

        if structured():
            raise CommandError("no command was given", hint="drift-audit --help") from None
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
    from drift_audit.cli.notice import failed

    first, *more = message.splitlines()
    failed(first, *more, hint=hint)
    return code


if __name__ == "__main__":
    main()
