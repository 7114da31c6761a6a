"""`drift-audit compare`: one service, two revisions."""

from __future__ import annotations

from typing import Any

import click

from drift_audit.cli import options
from drift_audit.cli.output import deliver, finish, now, parse_output
from drift_audit.cli.progress import progress
from drift_audit.cli.subject import (
    Scope,
    find_patterns,
    find_policy,
    notes,
    open_ledger,
    open_store,
    sealer,
    secret_depth,
    threshold,
)


@click.command(short_help="Compare two revisions of one service, live or from files.")
@click.argument("reference", required=False)
@click.argument("candidate", default="LATEST")
@options.scope
@options.policy
@options.detect
@options.fail_on
@options.store
@options.check_access
@options.output
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
    """
    from drift_audit.audit import Audit
    from drift_audit.cli.revisions import Words
    from drift_audit.past import NoPast
    from drift_audit.rules.schema import violations

    outputs = [parse_output(o) for o in given["outputs"]]
    policy = find_policy(given["config"], no_config=given["no_config"])
    patterns = find_patterns(policy, detect=given["detect"])
    bare = given["without_literals"]
    seal = sealer(policy, given["reveal"], without_literals=bare, patterns=patterns)
    pasts = open_ledger(given["store"]) or NoPast()
    with progress(given["progress"], quiet=given["quiet"]) as tell:
        words = Words(
            scope=Scope.given(policy, given, tell),
            seal=seal,
            store=open_store(given["store"]),
            satisfies=lambda revision: not violations(revision, policy, now().date()),
            pasts=pasts,
            depth=secret_depth(given),
        )
        sides = words.sealed_for(reference, candidate).sides(reference, candidate)
        audit = Audit(
            policy=policy,
            now=now(),
            fail_on=threshold(policy, given["fail_on"]),
            notes=[*notes(given, patterns), *sides.notes],
            patterns=seal.patterns,
            pasts=pasts,
        )
        report = audit.compare(sides.inventory, sides.source, sides.pair)
    finish(deliver(report, outputs, given))
