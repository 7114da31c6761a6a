"""`drift-audit schema`: what an application's own settings require, and the shapes of documents."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drift_audit.cli import options
from drift_audit.cli.echo import echo
from drift_audit.cli.notice import notice
from drift_audit.errors import CommandError, ExitCode, InputError

if TYPE_CHECKING:
    from drift_audit.app_schema import AppSchema

DOCUMENTS = {
    "report": "drift_audit.report:Report",
    "snapshot": "drift_audit.snapshot:Snapshot",
    "history": "drift_audit.timeline:Timeline",
    "kept-keys": "drift_audit.kept:KeptKeys",
    "baseline": "drift_audit.store.baseline:StoredBaseline",
    "diagnosis": "drift_audit.diagnosis:Diagnosis",
    "policy": "drift_audit.policy:Policy",
    "required-keys": "drift_audit.app_schema:AppSchema",
    "world": "drift_audit.emulator.world:World",
}

SCRIPT = Path(__file__).parents[1] / "schema_export.py"

PATIENCE = 120


@click.group(short_help="What an application's own settings require; JSON Schemas.")
def command() -> None:
    """
    The variables that an application's own settings require, and the JSON Schemas of what
    drift-audit reads and writes.

    \b
    drift-audit schema export app.settings:Settings -o required-keys.json
    drift-audit schema check required-keys.json --input=service.yaml
    drift-audit schema show report
    """


@command.command(short_help="Write down which variables an application requires.")
@click.argument("settings", metavar="MODULE:CLASS", required=False)
@click.option(
    "--python",
    metavar="PATH",
    default=sys.executable,
    help="The interpreter of the application. [the one that runs drift-audit]",
)
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=PATIENCE,
    show_default=True,
    metavar="SECONDS",
    help="Time for the application to be imported.",
)
@click.option("-o", "--output", metavar="FILE", help="Write to a file instead of standard output.")
@click.option(
    "--print-script", is_flag=True, help="Print the script that does it, for another place."
)
def export(settings: str | None, *, print_script: bool, **given: Any) -> None:
    """
    Write down which variables a class made of pydantic_settings.BaseSettings reads, and which it
    cannot start without: names, and no value. Importing the application runs its code.

    A script does it that needs nothing of drift-audit, in this folder, and with the interpreter of
    the application, which has pydantic-settings 2.

    \b
    drift-audit schema export app.settings:Settings --python=.venv/bin/python -o required-keys.json
    drift-audit schema export --print-script | docker run -i IMAGE python - app.settings:Settings
    """
    if print_script != (settings is None):
        hint = "drift-audit schema export app.settings:Settings"
        raise CommandError("give either MODULE:CLASS or --print-script", hint=hint)
    if settings is None:
        echo(SCRIPT.read_text(encoding="utf-8"))
        return
    from drift_audit import files
    from drift_audit.app_schema import read_schema

    data = _exported(given["python"], settings, given["timeout"])
    schema = read_schema(data, settings)
    if given["output"]:
        files.write(given["output"], data.decode())
    else:
        echo(data.decode())
    notice(f"{settings}: {schema.summary}")
    if schema.other_sources:
        notice(f"{settings} has other sources too: what no variable gives may come from there")
    for field in schema.elsewhere:
        notice(f"{field} is required, and no variable sets it")


def _exported(python: str, settings: str, seconds: int) -> bytes:
    """The document, as the script prints it. Raises CommandError and InputError."""
    # the application has no business with the key that seals baselines
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DRIFT_AUDIT_")}
    try:
        done = subprocess.run(  # noqa: S603  # the user's own interpreter, without a shell
            [python, str(SCRIPT), settings],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{settings} was not imported within {seconds} seconds") from None
    except OSError as error:
        from drift_audit import files

        raise CommandError(f"cannot run {python}: {files.reason(error)}") from None
    says, _, hint = done.stderr.decode(errors="replace").strip().partition("\n")
    if done.returncode == ExitCode.REFUSED:
        raise InputError(says, hint=hint)
    if done.returncode == ExitCode.USAGE:
        there = ", or name its interpreter with --python" if hint.startswith("run it") else ""
        raise CommandError(says, hint=f"{hint}{there}")
    if done.returncode:
        raise CommandError(
            f"{python} ended with {done.returncode} on the way to {settings}",
            hint="it takes Python 3.8 or newer",
        )
    return done.stdout


@command.command(short_help="Hold what an application requires against services.")
@click.argument("schema", metavar="FILE")
@click.option("--container", metavar="NAME", help="Where the application is. [where requests go]")
@options.scope
@options.config
@options.fail_on
@options.output
@options.talk
def check(schema: str, container: str | None, **given: Any) -> None:
    """
    Hold what an application requires, a file or - for standard input, against the services in
    scope: each revision in use, by the keys it holds. Nothing is compared.

    Severities and waivers are those of the policy; what else it requires is left out.

    \b
    drift-audit schema check required-keys.json --project=shop-prod --service=api
    drift-audit schema check required-keys.json --input=service.yaml --format=json
    """
    from drift_audit.audit import Audit
    from drift_audit.cli import keys
    from drift_audit.cli.output import deliver, finish, now, parse_output
    from drift_audit.cli.progress import progress
    from drift_audit.cli.subject import (
        Scope,
        find_policy,
        notes,
        open_source,
        schema_file,
        threshold,
    )
    from drift_audit.cli.trail import begin
    from drift_audit.policy import ServicePolicy
    from drift_audit.rules import RULES
    from drift_audit.rules.schema import DECLARED
    from drift_audit.seal import Sealer

    trail = begin("schema check")
    outputs = [parse_output(o) for o in given["outputs"]]
    app = schema_file(schema)
    policy = find_policy(given["config"], no_config=given["no_config"])
    entry = ServicePolicy(container=container, schema=app)
    seal = Sealer(keys.for_one_run(), keep=False)
    flags = {**given, "without_literals": False}  # they are not needed: nothing is left out
    with progress(given["progress"], quiet=given["quiet"]) as tell:
        scope = Scope.given(policy, given, tell)
        audit = Audit(
            policy=policy.but(service=(entry,)),
            now=now(),
            fail_on=threshold(policy, given["fail_on"]),
            notes=[*_about(schema, app), *notes(flags, None), *scope.told],
            asked=scope.asked,
            rules=[RULES[id] for id in DECLARED],
        )
        report = audit.of(open_source(scope, seal, secrets="names"), None)
    trail.tell(report)
    finish(deliver(report, outputs, given))


def _about(path: str, schema: AppSchema) -> Iterator[str]:
    """What a report on a schema must say of it."""
    yield f"{path}: {schema.summary}"
    if schema.other_sources:
        yield "the settings have other sources too: what is absent here may come from there"


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
