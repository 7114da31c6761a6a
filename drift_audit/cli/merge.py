"""`drift-audit merge`: the parts of a run as one report."""

from __future__ import annotations

from typing import Any

import click

from drift_audit.cli import options
from drift_audit.cli.nights import aged, run_name
from drift_audit.cli.output import deliver, ended, finish, now, parse_output
from drift_audit.cli.stores import open_parts, open_store
from drift_audit.cli.subject import find_policy
from drift_audit.cli.trail import begin
from drift_audit.errors import StoreError
from drift_audit.part import Shard


@click.command(short_help="Join the parts of a run into one report.")
@options.config
@options.store
@options.merged
@options.output
@options.metrics
@options.talk
def command(run: str | None, **given: Any) -> None:
    """
    Join the parts that audit --shard wrote, run the rules about several services, and keep the
    report in the store under its date.

    A part that is not there makes the report incomplete. Without --run, the run is joined that was
    begun last.

    \b
    drift-audit merge --store=gs://audits/prod
    """
    from drift_audit.audit import Audit

    trail = begin("merge", given["metrics_file"])
    outputs = [parse_output(o) for o in given["outputs"]]
    policy = find_policy(given["config"], no_config=given["no_config"])
    store = given["store"]
    kept = open_parts(store)
    name = run_name(run, Shard()) if run else kept.newest()
    parts = kept.read(name) if name else []
    if not parts or name is None:
        raise StoreError(
            f"{store} has no parts of {f'the run {run}' if run else 'a run'}",
            hint="drift-audit audit --shard=1/2 --run=NAME writes one",
        )
    audit = Audit(policy=policy, now=now())
    report, written = aged(audit.conclude(parts, open_store(store)), name, store)
    trail.tell(report)
    finish(ended(deliver(report, outputs, given), written=written))
