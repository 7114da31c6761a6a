"""`drift-audit schema`: the shapes of our documents."""

from __future__ import annotations

from importlib import import_module

import click

from drift_audit.cli.echo import echo

DOCUMENTS = {
    "report": "drift_audit.report:Report",
    "snapshot": "drift_audit.snapshot:Snapshot",
    "history": "drift_audit.timeline:Timeline",
    "baseline": "drift_audit.store.baseline:StoredBaseline",
    "diagnosis": "drift_audit.diagnosis:Diagnosis",
    "policy": "drift_audit.policy:Policy",
    "world": "drift_audit.emulator.world:World",
}


@click.group(short_help="Print the JSON Schema of a document.")
def command() -> None:
    """
    The JSON Schemas of what drift-audit reads and writes.

    \b
    drift-audit schema show report
    """


@command.command()
@click.argument("document", type=click.Choice(list(DOCUMENTS)))
def show(document: str) -> None:
    """
    Print the JSON Schema of a document.

    \b
    drift-audit schema show report > report.schema.json
    """
    from drift_audit.renderer.json import canonical

    module, _, name = DOCUMENTS[document].partition(":")
    echo(canonical(getattr(import_module(module), name).model_json_schema()))
