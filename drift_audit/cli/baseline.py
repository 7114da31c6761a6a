"""`drift-audit baseline`: the revisions that a person called good."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from drift_audit.cli import keys, options
from drift_audit.cli.echo import echo
from drift_audit.cli.notice import notice
from drift_audit.cli.output import now
from drift_audit.cli.progress import progress
from drift_audit.cli.subject import Scope, find_policy, open_store, sealer, secret_depth
from drift_audit.errors import CommandError, InputError, StoreError
from drift_audit.renderer.encode import visible

if TYPE_CHECKING:
    from drift_audit.binding import SecretReference


@click.group(short_help="List, show and promote baselines.")
def command() -> None:
    """
    Baselines: the snapshots that audits compare with.

    \b
    drift-audit baseline promote --service=api --reason="release 42"
    drift-audit baseline list
    """


@command.command("list")
@options.store
def list_(store: str) -> None:
    """
    List the baselines of the store.

    \b
    drift-audit baseline list --store=baselines
    """
    kept = open_store(store)
    number = 0
    for at in kept.addresses():
        if (baseline := kept.read(at)) is not None:
            number += 1
            echo(visible(f"{at} {baseline.snapshot.revision}: {baseline.why}") + "\n")
    if not number:
        notice(f"no baselines in {store}")


@command.command(short_help="Print one baseline.")
@click.argument("service", metavar="PROJECT/REGION/SERVICE")
@options.store
def show(service: str, store: str) -> None:
    """
    Print one baseline: what the service was when it was promoted. Plain values are sealed.

    \b
    drift-audit baseline show shop/europe-west1/api
    """
    from drift_audit.snapshot import Address

    parts = service.split("/")
    if len(parts) != 3:
        raise click.BadParameter("give PROJECT/REGION/SERVICE")
    at = Address(project=parts[0], region=parts[1], service=parts[2])
    baseline = open_store(store).read(at)
    if baseline is None:
        raise StoreError(f"{store} has no baseline of {service}", hint="drift-audit baseline list")
    echo(baseline.text())


@command.command(short_help="Make a revision the baseline of its service.")
@click.argument("revision", default="SERVING")
@options.scope
@options.policy
@options.store
@options.check_access
@click.option("--reason", required=True, help="Why this revision is known to be good.")
@click.option("--by", help="Who says so. [the user of the machine]")
@options.talk
def promote(revision: str, reason: str, by: str | None, **given: Any) -> None:
    """
    Make a revision the baseline of its service: the one that serves, or the one that is named.

    A revision that is not as the policy requires, or that was not read whole, is refused.

    \b
    drift-audit baseline promote --service=api --reason="release 42"
    drift-audit baseline promote before.json --project=shop --reason="release 41"
    """
    from drift_audit.cli.revisions import Words
    from drift_audit.rules.schema import violations
    from drift_audit.store.baseline import promotion

    if not reason.strip() or (by is not None and not by.strip()):
        raise CommandError("--reason and --by must say something")
    policy = find_policy(given["config"], no_config=given["no_config"])
    bare = given["without_literals"]
    key = None if bare else keys.for_storing(quiet=given["quiet"])
    seal = sealer(policy, given["reveal"], without_literals=bare, key=key)
    store = open_store(given["store"], create=True)
    with progress(given["progress"], quiet=given["quiet"]) as tell:
        scope = Scope.given(policy, given, tell)
        words = Words(scope, seal, store, lambda _: True, depth=secret_depth(given))
        snapshot = words.one(revision)
    if snapshot.identity.project.isdecimal():
        raise StoreError(
            f"{snapshot.address}: the project is known by its number alone", hint="give --project"
        )
    if snapshot.identity.planned:
        raise InputError(f"{revision}: what is only planned is not known to be good")
    if broken := violations(snapshot, policy, now().date()):
        raise StoreError(
            f"{snapshot.revision} is not as the policy requires: {'; '.join(broken)}",
            hint="promote a revision that is, or correct the policy",
        )
    unread = [f"{missed.where}: {missed.reason}" for missed in snapshot.seen.unseen]
    unread += [f"{ref} was not seen" for _, ref in snapshot.references if _unseen(ref)]
    if unread:
        raise InputError(f"{snapshot.revision} was not read whole: {unread[0]}")
    if snapshot.status.ready is False:
        notice(f"{snapshot.revision} is not Ready: {snapshot.status.ready_reason}".rstrip(": "))
    for ref in dict.fromkeys(ref for _, ref in snapshot.references if ref.gone):
        notice(f"{snapshot.revision} reads {ref}, which is {ref.version_state}")
    at = snapshot.address
    baseline = promotion(
        snapshot,
        store.read(at),
        by=_user() if by is None else by,
        at=now(),
        reason=reason,
        waivers=[waiver.id for waiver in policy.waiver if waiver.concerns(at)],
    )
    path = store.write(baseline)
    echo(f"{visible(snapshot.revision)} is the baseline of {at}: {path}\n")


def _unseen(ref: SecretReference) -> bool:
    return ref.version_state == "unseen"


def _user() -> str:
    """The user of the machine; a container may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise CommandError("nobody is logged in here", hint="give --by=NAME") from None
