"""`drift-audit render`: a stored report as any format."""

from __future__ import annotations

from typing import Any

import click

from drift_audit.cli import options
from drift_audit.cli.output import deliver, finish, parse_output
from drift_audit.errors import InputError

LIMIT = 256 * 2**20
"""Reports of large fleets are larger than the exports they come from."""


@click.command(short_help="Render a stored report again, without collecting anything.")
@click.argument("report", metavar="REPORT")
@options.output
def command(report: str, **given: Any) -> None:
    """
    Render a stored report, a file or - for standard input. No network; the exit code is the
    report's.

    \b
    drift-audit render report.json -o report.html
    drift-audit render report.json --format=markdown
    """
    from pydantic import ValidationError

    from drift_audit import files
    from drift_audit.report import Report

    outputs = [parse_output(o) for o in given["outputs"]]
    data = files.read(report, limit=LIMIT)
    try:
        stored = Report.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{report}: bad-report: not a report of this version: {where}",
            hint="drift-audit audit -o report.json writes one",
        ) from None
    finish(deliver(stored, outputs, given))
