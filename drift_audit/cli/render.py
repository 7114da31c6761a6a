"""`drift-audit render`: a stored report as any format, or all nights of a store as one page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import click
from click.core import ParameterSource

from drift_audit import files
from drift_audit.cli import options
from drift_audit.cli.notice import notice
from drift_audit.cli.output import Output, deliver, finish, parse_output, write
from drift_audit.cli.stored import stored_report
from drift_audit.cli.stores import BUCKET, open_nights
from drift_audit.errors import CommandError, OutputError, StoreError
from drift_audit.store.nights import FOLDER

PAGE = "index.html"


@click.command(short_help="Render a stored report again, or all nights of a store as one page.")
@click.argument("report", metavar="[REPORT]", required=False)
@options.store
@options.output_or_site
@click.pass_context
def command(context: click.Context, /, report: str | None, store: str, **given: Any) -> None:
    """
    Render a stored report: a file, an object in a bucket, or - for standard input. Nothing is
    collected; the exit code is the report's.

    With --format=site, make one page of all nights that the store keeps. It is written beside
    them, as _nights/index.html, or to the file that -o names; the exit code is 0 when it was.

    \b
    drift-audit render report.json -o report.html
    drift-audit render report.json --format=markdown
    drift-audit render --format=site --store=gs://audits/prod
    """
    outputs = [parse_output(o) for o in given["outputs"]]
    source = context.get_parameter_source
    typed = {n for n in context.params if source(n) is ParameterSource.COMMANDLINE}
    if given["format_"] != options.SITE:
        finish(deliver(stored_report(_named(report, typed)), outputs, given))
    if report is not None:
        raise CommandError(
            "a site is made of a store, not of a report",
            hint="drift-audit render --format=site --store=DIR",
        )
    if "min_severity" in typed:
        raise CommandError("--min-severity: a site shows every severity")
    if any(output.format != "html" for output in outputs):
        raise CommandError("a site is HTML", hint="-o index.html")
    _site(store, outputs)


def _named(report: str | None, typed: set[str]) -> str:
    if report is None:
        raise CommandError(
            "no report to render",
            hint="drift-audit render report.json, or --format=site for the nights of a store",
        )
    if "store" in typed:
        raise CommandError(
            "--store is for a site: a report is a file",
            hint=f"drift-audit render {report}, or --format=site --store=DIR",
        )
    return report


def _site(store: str, outputs: Sequence[Output]) -> None:
    """Write the page of all nights. Raises StoreError without any, OutputError where it cannot."""
    from drift_audit.renderer.course import courses
    from drift_audit.renderer.site import render

    nights = open_nights(store)
    found = courses(nights.kept())
    if not found:
        raise StoreError(f"{store} has no nights", hint="drift-audit audit --night keeps one")
    for output in outputs:
        write(output, render(found, _way(store, output)))
    if not outputs:
        try:
            notice(f"wrote {nights.put(PAGE, render(found))}")
        except StoreError as error:
            raise OutputError(str(error), hint=error.hint) from None


def _way(store: str, output: Output) -> str:
    """How a page that lies elsewhere leads to the nights of a folder; a bucket has no such way."""
    if store.startswith(BUCKET) or output.path == files.STDIN:
        return ""
    way = os.path.relpath(f"{store}/{FOLDER}", PurePath(output.path).parent)
    return f"{way}/" if way != "." else ""
