"""`drift-audit doctor`: what stands between this machine and a complete audit."""

from __future__ import annotations

from typing import Any

import click

from drift_audit.cli import checks, options
from drift_audit.cli.output import finish, show
from drift_audit.cli.progress import progress
from drift_audit.cli.subject import Scope
from drift_audit.diagnosis import Diagnosis
from drift_audit.errors import ExitCode


@click.command(short_help="Tell what an audit lacks, and the command that fixes it.")
@options.places
@options.kinds
@options.account
@options.config
@options.store
@options.read_limits
@options.text_or_json
@options.color
@options.talk
def command(**given: Any) -> None:
    """
    Tell what an audit lacks: policy, baselines, their key, credentials, and in each project its
    regions and the permissions of the account. Each that is missing comes with the command that
    fixes it; permissions that only a careless account holds are warned of.

    Ends with what an audit would: 2 for a wrong policy, 4 for a refused baseline or key, 3 where
    something needed is missing or could not be asked for, else 0.

    \b
    drift-audit doctor --project=shop-prod
    drift-audit doctor --project=shop-prod --region=europe-west1 --read-limits --format=json
    """
    policy, first = checks.policy(given["config"], no_config=given["no_config"])
    baselines, kept = checks.store(given["store"])
    local = [first, *checks.patterns(policy), *kept, checks.key(baselines)]
    with progress(given["progress"], quiet=given["quiet"]) as tell:
        scope = Scope.given(policy, {**given, "service": (), "inputs": ()}, tell)
        # google's clients are loaded only now: what lies on this machine needs none of them
        from drift_audit.cli import access

        live = access.checks(scope, read_limits=given["read_limits"])
        diagnosis = Diagnosis.of([*local, *live])
    show(diagnosis, "diagnosis", given)
    finish(ExitCode(diagnosis.exit_code))
