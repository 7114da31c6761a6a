"""`drift-audit audit`: everything in scope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from drift_audit.cli import options
from drift_audit.cli.nights import aged, keep_part, refuse_outputs, run_name, shard
from drift_audit.cli.output import deliver, ended, finish, now, parse_output
from drift_audit.cli.progress import progress
from drift_audit.cli.stores import open_archive, open_histories, open_ledger, open_store
from drift_audit.cli.subject import (
    Scope,
    find_patterns,
    find_policy,
    notes,
    open_limits,
    open_source,
    sealer,
    secret_depth,
    threshold,
)
from drift_audit.cli.trail import begin
from drift_audit.policy import POOL

if TYPE_CHECKING:
    from drift_audit.audit import Audit
    from drift_audit.part import Part, Shard
    from drift_audit.store import Store


@click.command(short_help="Audit every service in scope against its last known good.")
@options.scope
@options.policy
@options.detect
@options.fail_on
@options.store
@click.option(
    "--require-baseline", is_flag=True, help="End with 4 where there is nothing to compare with."
)
@click.option(
    "--full",
    is_flag=True,
    help="Read everything, also what has not changed since the last audit with this store.",
)
@options.check_access
@options.read_limits
@options.night
@options.output
@options.metrics
@options.talk
def command(**given: Any) -> None:
    """
    Audit every service in scope against its last known good and the policy.

    \b
    drift-audit audit --project=shop-prod --region=europe-west1 -o report.html
    drift-audit audit --input=revisions.json --input=service.json --fail-on=never
    drift-audit audit --night --store=gs://audits/prod
    """
    trail = begin("audit", given["metrics_file"])
    mine = shard(given["shard"])
    run = run_name(given["run"], mine) if given["night"] or not mine.whole else ""
    if not mine.whole:
        refuse_outputs(given)
    outputs = [parse_output(o) for o in given["outputs"]]
    audit, store, part = _part(given, mine, run)
    if not mine.whole:
        trail.part()
        finish(keep_part(part, run, given["store"]))
    report, written = audit.conclude([part], store), True
    if given["night"]:
        report, written = aged(report, run, given["store"])
    trail.tell(report)
    finish(ended(deliver(report, outputs, given), written=written))


def _part(given: Mapping[str, Any], mine: Shard, run: str) -> tuple[Audit, Store, Part]:
    """What falls to this process, read and judged; and what the rest is done with."""
    from drift_audit.audit import Audit
    from drift_audit.kept import NoKeeper
    from drift_audit.past import NoPast

    policy = find_policy(given["config"], no_config=given["no_config"])
    patterns = find_patterns(policy, detect=given["detect"])
    bare, limited = given["without_literals"], given["read_limits"]
    numbers = POOL if limited else ()
    seal = sealer(
        policy, given["reveal"], without_literals=bare, patterns=patterns, numbers=numbers
    )
    with progress(given["progress"], quiet=given["quiet"]) as tell:
        scope = replace(Scope.given(policy, given, tell), shard=mine, run=run)
        store = open_store(given["store"])
        archive = open_archive(given["store"], seal, full=given["full"])
        ledger = open_ledger(given["store"])
        histories = None if bare else open_histories(given["store"])
        source = open_source(scope, seal, archive, secret_depth(given))
        audit = Audit(
            policy=policy,
            now=now(),
            fail_on=threshold(policy, given["fail_on"]),
            require_baseline=given["require_baseline"],
            notes=[*notes(given, patterns), *scope.told],
            asked=scope.asked,
            patterns=seal.patterns,
            pasts=ledger or NoPast(),
            kept=histories or NoKeeper(),
            limits=open_limits(scope) if limited else None,
        )
        part = audit.part(source, store, mine)
        if archive is not None:
            archive.keep(source.remember())
        for earlier in (ledger, histories):
            if earlier is not None:
                earlier.keep()
    return audit, store, part
