"""`drift-audit baseline`: the revisions that a person called good."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from drift_audit.cli import keys, options
from drift_audit.cli.echo import echo
from drift_audit.cli.notice import notice
from drift_audit.cli.output import now
from drift_audit.cli.progress import progress
from drift_audit.cli.stores import BUCKET, open_store
from drift_audit.cli.subject import Scope, find_policy, sealer, secret_depth
from drift_audit.errors import CommandError, InputError, StoreError
from drift_audit.headline import number
from drift_audit.renderer.encode import visible

if TYPE_CHECKING:
    from drift_audit.binding import SecretReference
    from drift_audit.inventory import Service
    from drift_audit.policy import Policy
    from drift_audit.snapshot import Address, Snapshot
    from drift_audit.store.baselines import Baselines


@click.group(short_help="List, show, promote and verify baselines.")
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
    found = 0
    for at in kept.addresses():
        if (baseline := kept.read(at)) is not None:
            found += 1
            echo(visible(f"{at} {baseline.snapshot.revision}: {baseline.why}") + "\n")
    if not found:
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
    at = _address(service)
    baseline = open_store(store).read(at)
    if baseline is None:
        raise _none(store, service)
    echo(baseline.text())


@command.command(short_help="Hold what is kept of baselines against each other.")
@click.argument("services", metavar="[PROJECT/REGION/SERVICE]…", nargs=-1)
@options.store
def verify(services: tuple[str, ...], store: str) -> None:
    """
    Hold every baseline against its digest, its place and the promotions before it.

    One that was edited, cut off, put back to an older one, moved to another service or removed is
    told by name, and the command ends with 4.

    \b
    drift-audit baseline verify --store=baselines
    """
    kept = open_store(store)
    wrong: list[StoreError] = []
    wanted = [_address(service) for service in services] or kept.services()
    for at in wanted:
        try:
            baseline = kept.verify(at)
        except StoreError as error:
            wrong.append(error)
            echo(visible(f"{at}: refused") + "\n")
        else:
            echo(visible(f"{at}: ok, {number(baseline.sequence, 'promotion')}") + "\n")
    for other in wrong[1:]:
        notice(f"drift-audit: {other}")
    if wrong:
        raise wrong[0]
    if not wanted:
        notice(f"no baselines in {store}")


@command.command(short_help="Print the promotions of a service.")
@click.argument("service", metavar="PROJECT/REGION/SERVICE")
@options.store
def log(service: str, store: str) -> None:
    """
    Print every promotion of a service, the newest first: which revision, when, by whom and why.

    \b
    drift-audit baseline log shop/europe-west1/api
    """
    at = _address(service)
    history = open_store(store).history(at)
    if not history:
        raise _none(store, service)
    for one in reversed(history):
        echo(visible(f"{one.sequence} {one.snapshot.revision}: {one.why}") + "\n")
        for fact in one.known_good or ():
            echo(f"  {visible(fact)}\n")


def _none(store: str, service: str) -> StoreError:
    return StoreError(f"{store} has no baseline of {service}", hint="drift-audit baseline list")


def _address(service: str) -> Address:
    from drift_audit.snapshot import Address

    parts = service.split("/")
    if len(parts) != 3:
        raise click.BadParameter("give PROJECT/REGION/SERVICE")
    return Address(project=parts[0], region=parts[1], service=parts[2])


@command.command(short_help="Make a revision the baseline of its service.")
@click.argument("revision", default="SERVING")
@options.scope
@options.policy
@options.store
@options.check_access
@click.option("--reason", required=True, help="Why this revision is known to be good.")
@click.option("--by", help="Who says so. [the user of the machine]")
@click.option("--sha256", metavar="DIGEST", help="What was reviewed, as --dry-run prints it.")
@click.option("--dry-run", is_flag=True, help="Print what would be promoted, and its digest.")
@click.option(
    "--force-reason",
    metavar="TEXT",
    help="Why it is promoted although the policy asks for more; it is written down.",
)
@options.talk
def promote(revision: str, reason: str, by: str | None, **given: Any) -> None:
    """
    Make a revision the baseline of its service: the one that serves, or the one that is named.

    A revision that is not as the policy requires, or that was not read whole, is refused. In a
    bucket, where nobody reviews a change, --sha256 names what was reviewed.

    \b
    drift-audit baseline promote --service=api --reason="release 42"
    drift-audit baseline promote before.json --project=shop --reason="release 41"
    """
    from drift_audit.differ import compare
    from drift_audit.rules.schema import violations
    from drift_audit.store.baseline import content_digest, promotion

    forced = given["force_reason"]
    if not all(text is None or text.strip() for text in (reason, by, forced)):
        raise CommandError("--reason, --by and --force-reason must say something")
    policy = find_policy(given["config"], no_config=given["no_config"])
    snapshot, service, store = _read(revision, policy, given)
    at, broken = snapshot.address, violations(snapshot, policy, now().date())
    _check(snapshot, revision)
    if broken and forced is None:
        raise StoreError(
            f"{snapshot.revision} is not as the policy requires: {'; '.join(broken)}",
            hint="promote a revision that is, correct the policy, or give --force-reason",
        )
    before, digest = store.read(at), content_digest(snapshot)
    if given["dry_run"]:
        new = len(compare(before.snapshot, snapshot)) if before else None
        than = "there is no baseline" if new is None else f"{number(new, 'change')} to the baseline"
        echo(f"{visible(snapshot.revision)} of {at}: {than}\nsha256 {digest}\n")
        return
    _check_reviewed(snapshot, digest, given["sha256"], given["store"])
    baseline = promotion(
        snapshot,
        before,
        by=user() if by is None else by,
        at=now(),
        reason=reason,
        waivers=[waiver.id for waiver in policy.waiver if waiver.concerns(at)],
        service_uid=service.uid,
        known_good=_known_good(snapshot, policy, broken),
        forced=forced if broken else "",
        violates=broken,
    )
    known = before is not None and baseline.repeats(before)
    where = store.write(before if before and known else baseline)  # ends one that was cut off
    already = " already" if known else ""
    echo(f"{visible(snapshot.revision)} is the baseline of {at}{already}: {where}\n")


def _read(
    revision: str, policy: Policy, given: Mapping[str, Any]
) -> tuple[Snapshot, Service, Baselines]:
    """The revision that a word means, sealed as it is stored; its service; and the store."""
    from drift_audit.cli.revisions import Words

    bare = given["without_literals"]
    key = None if bare else keys.for_storing(quiet=given["quiet"])
    seal = sealer(policy, given["reveal"], without_literals=bare, key=key)
    store = open_store(given["store"], create=True)
    with progress(given["progress"], quiet=given["quiet"]) as tell:
        scope = Scope.given(policy, given, tell)
        words = Words(scope, seal, store, lambda _: (), depth=secret_depth(given))
        return *words.one(revision), store


def _check(snapshot: Snapshot, word: str) -> None:
    """Refuse what is not there, or was not read whole; tell what speaks against the rest."""
    who = snapshot.identity
    if who.project.isdecimal():
        raise StoreError(
            f"{snapshot.address}: the project is known by its number alone", hint="give --project"
        )
    if who.planned:
        raise InputError(f"{word}: what is only planned is not known to be good")
    unread = [f"{missed.where}: {missed.reason}" for missed in snapshot.seen.unseen]
    unread += [f"{ref} was not seen" for _, ref in snapshot.references if _unseen(ref)]
    if unread:
        raise InputError(f"{snapshot.revision} was not read whole: {unread[0]}")
    if snapshot.status.ready is False:
        notice(f"{snapshot.revision} is not Ready: {snapshot.status.ready_reason}".rstrip(": "))
    for ref in dict.fromkeys(ref for _, ref in snapshot.references if ref.gone):
        notice(f"{snapshot.revision} reads {ref}, which is {ref.version_state}")


def _check_reviewed(snapshot: Snapshot, digest: str, reviewed: str | None, store: str) -> None:
    """Refuse to promote what nobody has reviewed, or something else than was."""
    see = "drift-audit baseline promote --dry-run prints it"
    if reviewed is None and store.startswith(BUCKET):
        raise CommandError(
            "a promotion into a bucket names what was reviewed", hint=f"--sha256: {see}"
        )
    if reviewed not in (None, digest):
        raise StoreError(
            f"{snapshot.revision} is not what was reviewed: it has another digest", hint=see
        )


def _known_good(snapshot: Snapshot, policy: Policy, broken: Sequence[str]) -> list[str]:
    """What speaks for a revision besides the person who promotes it, as it stands now."""
    status, at = snapshot.status, snapshot.address
    required = {key for _, key, _ in policy.required(at)}
    resolved = [ref for _, ref in snapshot.references if ref.version_state == "enabled"]
    told = [
        (status.ready is True, "Cloud Run calls it Ready"),
        (status.percent > 0, f"it answers {status.percent} % of the requests"),
        (bool(required) and not broken, f"it has {number(len(required), 'required key')}"),
        (bool(resolved), f"{number(len(resolved), 'secret version')} it reads are enabled"),
    ]
    return [fact for holds, fact in told if holds]


def _unseen(ref: SecretReference) -> bool:
    return ref.version_state == "unseen"


def user() -> str:
    """The user of the machine; a container may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise CommandError("nobody is logged in here", hint="give --by=NAME") from None
