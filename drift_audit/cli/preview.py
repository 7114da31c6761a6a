"""`drift-audit preview`: what a command of gcloud would do, before it does it."""

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
    threshold,
)

TRIED = "gcloud tried the command on this machine: nothing was deployed"


@click.command(
    short_help="Tell what a command of gcloud would do, before it does it.",
    context_settings={"allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, metavar="-- gcloud run ...")
@click.option(
    "--reference",
    metavar="WORD",
    help="What to compare with, as compare takes it. [KNOWN_GOOD, else SERVING]",
)
@options.target
@options.account
@options.policy
@options.detect
@options.fail_on
@options.store
@options.output
@options.talk
def command(words: tuple[str, ...], reference: str | None, **given: Any) -> None:
    """
    Try a command of gcloud, and judge what it would deploy.

    The service is read from Cloud Run, and nothing else is done there. Your own gcloud runs the
    command against a local server, without credentials; what comes of it is compared and judged
    like any candidate. Deploys and updates of services and jobs can be tried, but for those that
    build from source.

    \b
    drift-audit preview -- gcloud run services update api --set-secrets=KEY=key:1
    drift-audit preview --reference=SERVING -- gcloud run services replace service.yaml
    """
    from drift_audit.audit import Audit
    from drift_audit.cli import gcloud
    from drift_audit.cli.planned import planned
    from drift_audit.cli.revisions import Words
    from drift_audit.past import NoPast
    from drift_audit.rules.schema import violations

    tried = gcloud.command(words)
    outputs = [parse_output(o) for o in given["outputs"]]
    policy = find_policy(given["config"], no_config=given["no_config"])
    patterns = find_patterns(policy, detect=given["detect"])
    bare = given["without_literals"]
    seal = sealer(policy, given["reveal"], without_literals=bare, patterns=patterns)
    pasts = open_ledger(given["store"]) or NoPast()
    flags = {**given, "service": (), "inputs": (), "kinds": (), "projects_file": None}
    with progress(given["progress"], quiet=given["quiet"]) as tell:
        read = Words(
            scope=Scope.given(policy, flags, tell),
            seal=seal,
            store=open_store(given["store"]),
            satisfies=lambda revision: not violations(revision, policy, now().date()),
            pasts=pasts,
        )
        sides = planned(tried, read.sealed_for(reference, ""), reference)
        audit = Audit(
            policy=policy,
            now=now(),
            fail_on=threshold(policy, given["fail_on"]),
            notes=[*notes(flags, patterns), TRIED],
            patterns=seal.patterns,
            pasts=pasts,
        )
        report = audit.compare(sides.inventory, sides.source, sides.pair)
    finish(deliver(report, outputs, given))
