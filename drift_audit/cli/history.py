"""`drift-audit history`: which deploy did what to a key."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from drift_audit.cli import keys as sealing
from drift_audit.cli import options
from drift_audit.cli.options import flat
from drift_audit.cli.output import finish, now, show
from drift_audit.cli.progress import progress
from drift_audit.cli.stores import demanded_histories, open_histories, open_ledger, open_store
from drift_audit.cli.subject import Scope, find_policy, open_source, sealer
from drift_audit.errors import CommandError, ExitCode, InputError, SourceError
from drift_audit.inventory import Scope as Asked

if TYPE_CHECKING:
    from drift_audit.audit import Source
    from drift_audit.history import KnownGood
    from drift_audit.inventory import Inventory, Service
    from drift_audit.kept import KeptKeys
    from drift_audit.past import Past
    from drift_audit.policy import Policy
    from drift_audit.store import Store
    from drift_audit.store.histories import Histories
    from drift_audit.timeline import Timeline


@click.command(short_help="Tell which deploy set, changed and lost each key.")
@click.argument("service")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@options.places
@options.kinds
@options.inputs
@options.account
@options.policy
@options.store
@click.option(
    "--kept",
    is_flag=True,
    help="Ask the store alone, of all services that SERVICE matches; a glob may.",
)
@options.text_or_json
@options.color
@options.talk
def command(service: str, keys: tuple[str, ...], **given: Any) -> None:
    """
    Follow the keys of one SERVICE through all its revisions: when each appeared, changed, was
    bound elsewhere and left, in which revision, by whom.

    Each KEY is a glob on the names of variables, the paths of mounted secrets, and settings.
    Without one, all variables and files are shown that some deploy changed.

    Revisions that audits with the store have kept, and that exist no more, are told too. With
    --kept nothing else is: of every service that SERVICE matches, there or not, without network
    or credentials. What is kept is believed by whoever has the sealing key.

    \b
    drift-audit history api --project=shop-prod --region=europe-west1
    drift-audit history api JWT_SECRET_KEY "vpc.*" --input=revisions.json
    drift-audit history --kept "*" JWT_SECRET_KEY --store=gs://audits/prod
    """
    from drift_audit.kept import deleted
    from drift_audit.timeline import timeline

    if given["kept"]:
        finish(_tell_kept(service, keys, given))
    policy = find_policy(given["config"], no_config=given["no_config"])
    # what is kept is sealed with the lasting key, and nothing else can be held against it
    histories = None if given["inputs"] else open_histories(given["store"])
    seal = sealer(
        policy,
        given["reveal"],
        without_literals=given["without_literals"],
        key=sealing.for_one_run() if histories is None else sealing.for_this_run(),
    )
    with progress(given["progress"], quiet=given["quiet"]) as tell:
        scope = Scope.given(policy, {**given, "service": ((service,),)}, tell)
        store, source = open_store(given["store"]), open_source(scope, seal, secrets="names")
        whole, inventory = _whole(service, source, histories)
    ledger = open_ledger(given["store"])
    past = ledger.of(whole.address) if ledger else None
    kept, unread = histories.of(whole.address) if histories is not None else ([], [])
    gone, untold = deleted(whole, kept)
    unseen = [
        *inventory.unseen,
        *whole.unseen,
        *(u for r in (*whole.revisions, *gone) for u in r.seen.unseen),
        *unread,
        *untold,
    ]
    known = _known_good(whole, store, past, policy)
    told = timeline(whole, keys, known=known, past=past, deleted=gone, unseen=unseen)
    if missing := [key for key in keys if not _holds(told, key)]:
        raise CommandError(
            f"no revision of {whole.address} has {', '.join(missing)}",
            hint=f"drift-audit history {service} lists what deploys changed",
        )
    show(told, "timeline", given)
    finish(ExitCode.INCOMPLETE if unseen else ExitCode.CLEAN)


def _whole(service: str, source: Source, histories: Histories | None) -> tuple[Service, Inventory]:
    """The one service, there or not, with its history; and what was seen on the way to it."""
    inventory = source.collect()
    found = [one for one in inventory.services if one.kind != "job"]
    if not found and histories is not None:
        inventory, found = _as_kept(histories, inventory)
    if len(found) != 1:
        raise _not_one(service, found, inventory)
    return (source.chain(found[0]) if found[0].revisions else found[0]), inventory


def _tell_kept(service: str, keys: tuple[str, ...], given: dict[str, Any]) -> ExitCode:
    """Print what the store alone tells."""
    if given["inputs"]:
        raise CommandError("--kept asks the store, and --input names files")
    asked = Asked(projects=flat(given["project"]), regions=flat(given["region"]))
    told = _search(demanded_histories(given["store"]), asked, service, keys)
    show(told, "kept", given)
    return ExitCode.INCOMPLETE if told.unseen else ExitCode.CLEAN


def _search(histories: Histories, asked: Asked, service: str, keys: Sequence[str]) -> KeptKeys:
    """
    What deploys did to keys in the services in scope, from their indexes alone. Raises InputError
    where nothing is kept of any.
    """
    from drift_audit.kept import together
    from drift_audit.snapshot import Address

    told = []
    for project, region in histories.places():
        home = Address(project=project, region=region)
        if asked.covers(home):
            index, unseen = histories.index((project, region))
            found = index.search(home, service, keys)
            told.append(found.but(unseen=(*unseen, *found.unseen)))
    found = together(told)
    if not found.services and not found.unseen:
        hint = "an audit with this store keeps what it reads"
        raise InputError(f"no revision is kept of {service}", hint=hint)
    return found


def _as_kept(histories: Histories, found: Inventory) -> tuple[Inventory, list[Service]]:
    """
    The services that are there no more and of which revisions are kept; that they were not found
    is told then.
    """
    from drift_audit.inventory import Service, absent
    from drift_audit.names import taken_apart
    from drift_audit.snapshot import Address

    gone = []
    for project, region in histories.places():
        for name in histories.index((project, region))[0].counts:
            if found.scope.covers(Address(project=project, region=region, service=name)):
                bare, kind = taken_apart(name)
                one = Service(project=project, region=region, service=bare, complete=True)
                gone.append(one.but(kind=kind))
    known = absent([one.service for one in gone], ())
    others = tuple(missed for missed in found.unseen if missed not in known)
    return (found.but(unseen=others), gone) if not others else (found, [])


def _known_good(service: Service, store: Store, past: Past | None, policy: Policy) -> KnownGood:
    """What an audit would hold the newest revision against."""
    from drift_audit.history import KnownGood, last_known_good
    from drift_audit.rules.schema import violations

    if service.newest is None:  # a service is known by what was read of it, or is no more
        return KnownGood(None, "the service exists no more", "none")
    stored, today = store.read(service.address, service.uid), now().date()
    return last_known_good(
        service,
        service.newest,
        baseline=stored.reference if stored else None,
        past=past,
        violations=lambda revision: violations(revision, policy, today),
        chain=lambda whole: whole,
    )


def _not_one(
    service: str, found: Sequence[Service], inventory: Inventory
) -> CommandError | InputError | SourceError:
    """Why there is no one service to tell of."""
    if not found and inventory.unseen:
        missed = inventory.unseen[0]
        return SourceError(f"{missed.where}: {missed.reason}")
    if inventory.services and not found:
        return CommandError(
            f"{service} is a job, and a job has no revisions",
            hint="drift-audit audit compares it with its baseline",
        )
    if not found:
        return InputError(f"there is no service {service} in scope", hint="see --project, --region")
    places = ", ".join(str(one.address) for one in found)
    return CommandError(f"{service} names several: {places}", hint="give --region or --kind")


def _holds(told: Timeline, key: str) -> bool:
    return any(fnmatchcase(line.at.name, key) for line in told.lines)
