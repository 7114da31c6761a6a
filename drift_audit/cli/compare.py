"""`drift-audit compare`: one service, two revisions."""

from __future__ import annotations

from typing import Any

import click

from drift_audit.cli import options
from drift_audit.cli.comparison import compared
from drift_audit.cli.output import deliver, finish, parse_output
from drift_audit.cli.trail import begin


@click.command(short_help="Compare two revisions of one service, live or from files.")
@click.argument("reference", required=False)
@click.argument("candidate", default="LATEST")
@options.scope
@options.policy
@options.detect
@options.fail_on
@options.store
@options.check_access
@options.audit_age
@options.output
@options.metrics
@options.talk
def command(reference: str | None, candidate: str, **given: Any) -> None:
    """
    Compare a CANDIDATE with a REFERENCE, revisions of one service.

    Each is a file (before.yaml, revisions.json#api-00611-cr5, plan.json#SERVICE, -), the name of a
    revision, KNOWN_GOOD, SERVING, LATEST, tag:NAME, or ~N for N revisions before the candidate.
    Without them the newest revision is compared with the last known good one, else with the one
    that serves.

    \b
    drift-audit compare before.yaml after.yaml
    drift-audit compare SERVING plan.json#api --project=shop
    drift-audit compare KNOWN_GOOD tag:candidate --service=api --project=shop
    drift-audit compare ~1 --service=api --input=revisions.json
    drift-audit compare --service=api --store=gs://audits/prod --max-audit-age=26h
    """
    trail = begin("compare", given["metrics_file"])
    outputs = [parse_output(o) for o in given["outputs"]]
    report = compared(
        given, lambda words: words.sealed_for(reference, candidate).sides(reference, candidate)
    )
    trail.tell(report)
    finish(deliver(report, outputs, given, gate=True))
