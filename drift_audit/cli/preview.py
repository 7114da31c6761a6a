"""`drift-audit preview`: what a command of gcloud would do, before it does it."""

from __future__ import annotations

from typing import Any

import click

from drift_audit.cli import options
from drift_audit.cli.comparison import compared
from drift_audit.cli.output import deliver, finish, parse_output
from drift_audit.cli.trail import begin

NOT_ASKED: dict[str, Any] = {
    "service": (),
    "inputs": (),
    "kinds": (),
    "projects_file": None,
    "check_access": False,
}
"""Flags of a comparison that a command of gcloud answers itself."""


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
@options.audit_age
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
    from drift_audit.cli import gcloud
    from drift_audit.cli.planned import planned

    trail = begin("preview")
    tried = gcloud.command(words)
    outputs = [parse_output(o) for o in given["outputs"]]
    report = compared(
        given | NOT_ASKED,
        lambda read: planned(tried, read.sealed_for(reference, ""), reference),
    )
    trail.tell(report)
    finish(deliver(report, outputs, given, gate=True))
