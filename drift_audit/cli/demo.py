"""`drift-audit demo`: the founding incident, over real gRPC, without a cloud."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from pathlib import Path

import click

from drift_audit.cli.echo import echo
from drift_audit.cli.output import finish
from drift_audit.errors import ExitCode
from drift_audit.seal import SealKey

NOW = dt.datetime(2025, 9, 15, 6, 0, tzinfo=dt.UTC)
"""The morning after: the demo is the same at any time."""

KEY = SealKey(hashlib.sha256(b"the values of the demo are no secrets").digest(), lasting=True)
"""What the baselines of the example are sealed with."""

FORMATS = {"html": "report.html", "markdown": "report.md", "json": "report.json"}


@click.command(short_help="Audit a built-in example over real gRPC and write its report.")
@click.option(
    "-d",
    "--directory",
    default=".",
    metavar="DIR",
    show_default=True,
    help="Where to write the report.",
)
@click.option("--real-exit", is_flag=True, help="End with the code of the audit, 10, instead of 0.")
def command(directory: str, real_exit: bool) -> None:
    """
    Audit the founding incident: two services and 32 revisions, played by the local emulator.

    Writes report.html, report.md and report.json, prints the verdict, and ends with 0: a first look
    must not fail.

    \b
    drift-audit demo
    drift-audit demo --directory=out --real-exit
    """
    from drift_audit import files
    from drift_audit.audit import Audit
    from drift_audit.cli.subject import sealer
    from drift_audit.collector.budget import Budget
    from drift_audit.collector.cloud_run import CloudRun, Where
    from drift_audit.collector.connection import Connection
    from drift_audit.emulator.server import Emulator
    from drift_audit.emulator.world import load_world
    from drift_audit.policy import FILE, read_policy
    from drift_audit.renderer import renderer
    from drift_audit.renderer.encode import visible
    from drift_audit.store.baselines import Baselines
    from drift_audit.store.folder import Folder

    example = files.shipped("templates") / "demo"
    policy = read_policy((example / FILE).read_text())
    where = Where(policy.scope.projects, policy.scope.regions)
    seal = sealer(policy, (), without_literals=False, key=KEY)
    with Emulator(load_world(str(example / "world.yaml"))) as emulator:
        connection = Connection(emulator.address, emulator.address)
        source = CloudRun(where, seal, Budget(time.monotonic), connection)
        store = Baselines(Folder(str(files.shipped("baselines"))))
        report = Audit(policy=policy, now=NOW, fail_on=policy.fail_on).of(source, store)
    paths = {kind: str(Path(directory) / name) for kind, name in FORMATS.items()}
    for kind, path in paths.items():
        files.write(path, renderer(kind)(report))
    echo(f"{report.verdict}: {visible(report.headline)}\n")
    echo("".join(f"wrote {path}\n" for path in paths.values()))
    echo(f"open {paths['html']} in a browser, or: drift-audit render {paths['json']}\n")
    finish(ExitCode(report.exit_code) if real_exit else ExitCode.CLEAN)
