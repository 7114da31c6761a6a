"""What a command prints and writes: the report to standard output and to files."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import click

from drift_audit import files
from drift_audit.cli.echo import echo
from drift_audit.cli.notice import failed
from drift_audit.errors import CommandError, ExitCode, OutputError
from drift_audit.finding import Severity
from drift_audit.headline import number
from drift_audit.renderer import FORMATS, SUFFIXES, renderer
from drift_audit.report import Report, exit_code


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


def deliver(report: Report, outputs: Sequence[Output], flags: Mapping[str, Any]) -> ExitCode:
    """
    Write every output, then print the report as `options.output` says, and tell how the run ended.

    An output that cannot be written is told on standard error and is part of the code; the others
    are written all the same.
    """
    shown = from_severity(report, Severity[flags["min_severity"].upper()])
    format, color = flags["format_"], flags["color"]
    failures: list[OutputError] = []
    for output in outputs:
        try:
            write(output, renderer(output.format)(report if output.format == "json" else shown))
        except OutputError as error:
            failures.append(error)
    try:
        echo(_text(shown, color) if format == "text" else _page(report, shown, format))
    except OutputError as error:
        failures.append(error)
    for failure in failures:
        failed(failure)
    told = ExitCode(report.exit_code)
    if failures and told in (ExitCode.CLEAN, ExitCode.DRIFT):
        return exit_code(complete=True, written=False, drift=told is ExitCode.DRIFT)
    return told


def _page(report: Report, shown: Report, format: str) -> str:
    return renderer(format)(report if format == "json" else shown)


def _text(report: Report, color: str) -> str:
    from drift_audit.renderer.text import render

    return render(report, color=wants_color(color), width=columns())


def columns() -> int:
    """The width of text on standard output: that of the terminal, within reason."""
    from drift_audit.renderer.text import WIDTH

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


def from_severity(report: Report, lowest: Severity) -> Report:
    """The report with the findings below a severity left out of pages; counts and verdict stay."""
    hidden = sum(not f.severity >= lowest for f in report.all_findings)
    if not hidden:
        return report
    services = tuple(
        s.but(findings=tuple(f for f in s.findings if f.severity >= lowest))
        for s in report.services
    )
    verb = "is" if hidden == 1 else "are"
    note = f"{number(hidden, 'finding')} below {lowest.word} {verb} not shown"
    return report.but(
        services=services,
        findings=tuple(f for f in report.findings if f.severity >= lowest),
        notes=(*report.notes, note),
    )


def now() -> dt.datetime:
    """The time of the run; SOURCE_DATE_EPOCH, in seconds, makes it repeatable."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        try:
            return dt.datetime.fromtimestamp(int(epoch), dt.UTC)
        except (ValueError, OverflowError, OSError):
            raise CommandError("SOURCE_DATE_EPOCH is not a number of seconds") from None
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def finish(code: ExitCode) -> None:
    """End the command with a code."""
    raise click.exceptions.Exit(int(code))
