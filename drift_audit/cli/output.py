"""What a command prints and writes: the report to standard output and to files."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from drift_audit import files
from drift_audit.cli.echo import echo
from drift_audit.cli.notice import failed
from drift_audit.errors import CommandError, ExitCode, OutputError
from drift_audit.finding import Severity
from drift_audit.renderer import ANCHORED, FORMATS, ROOM, SUFFIXES, renderer
from drift_audit.renderer.cut import from_severity
from drift_audit.report import Report, exit_code

if TYPE_CHECKING:
    from drift_audit.cli.anchors import Checkout
    from drift_audit.frozen import Frozen

WHOLE = ("json", "html", "markdown", "text")
"""Formats in which a reader finds everything that is known."""


class Output(NamedTuple):
    """A format and where it goes."""

    format: str
    path: str


def parse_output(given: str) -> Output:
    """`PATH`, whose suffix tells the format, or `KIND=PATH`. Raises CommandError."""
    kind, equals, path = given.partition("=")
    format = kind if kind in FORMATS else SUFFIXES.get(f".{kind}")
    if equals and format and path:
        return Output(format, path)
    suffix = PurePath(given).suffix.lower()
    if suffix in SUFFIXES:
        return Output(SUFFIXES[suffix], given)
    raise CommandError(
        f"cannot tell the format of {given}",
        hint=f"end it in {', '.join(SUFFIXES)}, or say it first: json=PATH",
    )


def deliver(
    report: Report, outputs: Sequence[Output], flags: Mapping[str, Any], *, gate: bool = False
) -> int:
    """
    Write every output, then print the report as `options.output` says, and tell how the run ended.
    What a `gate` prints is short where the whole of it was written elsewhere.

    An output that cannot be written is told on standard error and is part of the code; the others
    are written all the same. Raises CommandError, at the end, for a format that has nothing to
    point at.
    """
    pages = _Pages(report, flags)
    failures: list[OutputError] = []
    refused: CommandError | None = None
    written: list[str] = []
    for output in outputs:
        try:
            write(output, pages.page(output.format))
            if output.format in WHOLE and output.path != files.STDIN:
                written.append(output.path)
        except OutputError as error:
            failures.append(error)
        except CommandError as error:
            refused = error
    try:
        format = flags["format_"]
        echo(pages.text(written, gate=gate) if format == "text" else pages.page(format))
    except OutputError as error:
        failures.append(error)
    except CommandError as error:
        refused = error
    for failure in failures:
        failed(failure)
    if refused:
        raise refused
    return ended(report.exit_code, written=not failures)


def ended(code: int, *, written: bool) -> int:
    """The code of a command after all it had to write: a loss changes a known verdict alone."""
    if code not in (ExitCode.CLEAN, ExitCode.DRIFT):
        return code
    return exit_code(complete=True, written=written, drift=code == ExitCode.DRIFT)


def show(document: Frozen, text: str, flags: Mapping[str, Any]) -> None:
    """
    Print a document as `options.text_or_json` and `color` say; `text` names the renderer of its
    kind. Raises OutputError.
    """
    if flags["format_"] == "json":
        echo(renderer("json")(document))
    else:
        echo(renderer(text)(document, color=wants_color(flags["color"]), width=columns()))


class _Pages:
    """One report in any format, as the flags of a command ask for it."""

    def __init__(self, report: Report, flags: Mapping[str, Any]) -> None:
        self._report, self._flags = report, flags
        self._shown = from_severity(report, Severity[flags["min_severity"].upper()])
        self._place = flags.get("place")

    def page(self, format: str) -> str:
        """The page as it is written. Raises CommandError where it has nothing to point at."""
        render = renderer(format)
        if format == "json":
            return render(self._report)
        if format == "markdown":
            return render(self._shown, budget=ROOM[self._place] if self._place else None)
        if format in ANCHORED:
            return render(self._shown, anchors=self._checkout)
        return render(self._shown)

    def text(self, written: Sequence[str], *, gate: bool) -> str:
        """The page for the terminal, with the files in which all of it was `written`."""
        from drift_audit.renderer.text import MOST, MOST_AT_A_GATE, render

        return render(
            self._shown,
            color=wants_color(self._flags["color"]),
            width=columns(),
            most=MOST_AT_A_GATE if gate and written else MOST,
            written=written,
        )

    @cached_property
    def _checkout(self) -> Checkout:
        from drift_audit.cli.anchors import checkout

        return checkout(self._flags)


def columns() -> int:
    """The width of text on standard output: that of the terminal, within reason."""
    from drift_audit.renderer.terminal import WIDTH

    width = min(WIDTH, os.get_terminal_size().columns) if sys.stdout.isatty() else WIDTH
    return max(40, width)


def wants_color(choice: str) -> bool:
    """
    Whether standard output gets colours. NO_COLOR and FORCE_COLOR count where nothing was chosen.
    """
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if force := os.environ.get("FORCE_COLOR"):
        return force != "0"
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def write(output: Output, text: str) -> None:
    """Write a page to its file, or to standard output. Raises OutputError."""
    if output.path == files.STDIN:
        echo(text)
    else:
        files.write(output.path, text)


def now() -> dt.datetime:
    """The time of the run; SOURCE_DATE_EPOCH, in seconds, makes it repeatable."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        try:
            return dt.datetime.fromtimestamp(int(epoch), dt.UTC)
        except (ValueError, OverflowError, OSError):
            raise CommandError("SOURCE_DATE_EPOCH is not a number of seconds") from None
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def finish(code: int) -> None:
    """End the command with a code."""
    raise click.exceptions.Exit(int(code))
