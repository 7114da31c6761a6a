"""`drift-audit seal`: the key that plain values are sealed with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drift_audit import files, names
from drift_audit.cli import keys, options
from drift_audit.cli.baseline import user
from drift_audit.cli.echo import echo
from drift_audit.cli.notice import notice
from drift_audit.cli.output import now
from drift_audit.cli.progress import Tell, progress
from drift_audit.cli.stores import open_home
from drift_audit.cli.subject import Scope, find_policy, open_source
from drift_audit.errors import CommandError, InputError, StoreError
from drift_audit.headline import number
from drift_audit.names import KINDS
from drift_audit.renderer.encode import visible
from drift_audit.seal import NO_KEY, Rekeying, SealKey

if TYPE_CHECKING:
    from drift_audit.audit import Source
    from drift_audit.inventory import Inventory, Service
    from drift_audit.policy import Policy
    from drift_audit.snapshot import Address
    from drift_audit.store.baseline import StoredBaseline
    from drift_audit.store.baselines import Baselines


@click.group(short_help="Seal every baseline of a store with a new key.")
def command() -> None:
    """
    The key that plain values are sealed with.

    \b
    drift-audit seal rotate --new-key-file=new.key
    """


@command.command(short_help="Seal every baseline of a store with a new key.")
@click.option(
    "--new-key-file",
    "path",
    metavar="FILE",
    required=True,
    help="The new key; created if nothing is there.",
)
@options.store
@options.inputs
@options.account
@options.config
@click.option("--by", help="Who rotates. [the user of the machine]")
@click.option("--dry-run", is_flag=True, help="Tell what would be done; write nothing.")
@options.talk
def rotate(path: str, by: str | None, **given: Any) -> None:
    """
    Seal every baseline of the store with a new key.

    A seal cannot be opened: the revision of each baseline is read again, and its values are held
    against the seals of the key in use. Where all are the same, the baseline is promoted once more
    as it was, under the new key. One whose revision is gone, or holds other values, is left and
    told by name, and the command ends with 4. What is sealed with the new key is passed by, so the
    command can be repeated. Afterwards put the new key where the old one was.

    \b
    drift-audit seal rotate --new-key-file=new.key --dry-run
    drift-audit seal rotate --new-key-file=new.key
    """
    from drift_audit.store.baselines import Baselines
    from drift_audit.store.histories import Histories
    from drift_audit.store.ledger import Ledger

    if by is not None and not by.strip():
        raise CommandError("--by must say something")
    old = keys.find()
    if old is None:
        raise StoreError("there is no key in use", hint=f"it is looked for in {keys.where()}")
    policy = find_policy(given["config"], no_config=given["no_config"])
    home, who = open_home(given["store"]), user() if by is None else by
    dry = given["dry_run"]
    turn = _Turn(Baselines(home), old, _new_key(path, dry=dry), who, dry=dry)
    with progress(given["progress"], quiet=given["quiet"]) as tell:
        for project, found in turn.outdated().items():
            turn.again(found, _scope(project, found, policy, given, tell))
    if turn.left:
        raise StoreError(
            f"{number(turn.left, 'baseline')} left as before",
            hint="promote a revision of each when the new key is in use, or repeat the command",
        )
    if not turn.met:
        notice(f"no baselines in {given['store']}")
    elif not dry:
        Ledger(home, old).hand_over(turn.new)
        Histories(home, old).hand_over(turn.new)
        notice(f"from now on use the key in {path} instead of {keys.where()}")


@dataclass
class _Turn:
    """The baselines of a store on their way from one key to another."""

    store: Baselines
    old: SealKey
    new: SealKey
    by: str
    dry: bool
    met: int = 0
    left: int = 0

    def outdated(self) -> dict[str, list[StoredBaseline]]:
        """The baselines that the key in use has sealed, by project; the others are told."""
        found: dict[str, list[StoredBaseline]] = {}
        for at in self.store.services():
            self.met += 1
            try:
                baseline = self.store.read(at)
                if baseline is not None and self._outdated(at, baseline):
                    found.setdefault(at.project, []).append(baseline)
            except StoreError as error:
                self._leave(at, str(error))
        return found

    def _outdated(self, at: Address, baseline: StoredBaseline) -> bool:
        ids = baseline.sealed_with
        if ids == {self.old.id(at)} != {self.new.id(at)}:
            return True
        if not ids:
            _tell(at, "holds no sealed value")
        elif ids == {self.new.id(at)}:
            if not self.dry:
                self.store.write(baseline)  # ends one that was cut off
            _tell(at, "is sealed with the new key already")
        else:
            self._leave(at, "is sealed with a key that is neither the one in use nor the new")
        return False

    def again(self, baselines: Iterable[StoredBaseline], scope: Scope) -> None:
        """Read the revisions of the baselines of a project again, and seal what they hold."""
        seal = Rekeying(self.old, self.new)
        source = open_source(scope, seal, secrets="names")
        inventory = source.collect()
        services = {service.address: service for service in inventory.services}
        for baseline in baselines:
            at = baseline.snapshot.address
            service = services.get(at)
            lack = _lack(baseline, service, source) if service else _missed(at, inventory)
            again = baseline.resealed(seal.seals, by=self.by, at=now())
            if lack or again is None:
                self._leave(at, lack or "holds other values now")
                continue
            try:
                if not self.dry:
                    self.store.write(again)
            except StoreError as error:
                self._leave(at, str(error))
            else:
                _tell(at, f"{'would be' if self.dry else 'is'} sealed with the new key")

    def _leave(self, at: Address, why: str) -> None:
        self.left += 1
        _tell(at, f"left: {why}")


def _tell(at: Address, what: str) -> None:
    echo(f"{visible(f'{at}: {what}')}\n")


def _scope(
    project: str,
    baselines: Iterable[StoredBaseline],
    policy: Policy,
    flags: Mapping[str, Any],
    tell: Tell,
) -> Scope:
    """Where the baselines of a project come from."""
    places = [one.snapshot.address for one in baselines]
    apart = [names.taken_apart(at.service) for at in places]
    return Scope(
        projects=(project,),
        regions=tuple(sorted({at.region for at in places})),
        services=tuple(sorted({name for name, _ in apart})),
        kinds=tuple(kind for kind in KINDS if kind in {kind for _, kind in apart}),
        inputs=tuple(flags["inputs"]),
        timeout=flags["timeout"],
        pace={**policy.pace, **dict(flags["pace"])},
        impersonate=flags["impersonate"],
        progress=tell,
    )


def _lack(baseline: StoredBaseline, service: Service, source: Source) -> str:
    """Why the revision of a baseline cannot be read again; empty when it was."""
    was = baseline.snapshot.identity
    if baseline.service_uid and service.uid and baseline.service_uid != service.uid:
        return "the service was deleted and created anew"
    if not was.revision:
        return ""  # a job, or a manifest, has none: its values speak for it
    found = service.revision(was.revision) or source.chain(service).revision(was.revision)
    if found is None:
        return f"{was.revision} is gone"
    other = was.uid and found.identity.uid and was.uid != found.identity.uid
    return f"{was.revision} is another revision of that name" if other else ""


def _missed(at: Address, inventory: Inventory) -> str:
    """Why a service was not read."""
    name, _ = names.taken_apart(at.service)
    of_it = [u for u in inventory.unseen if u.where.rpartition("/")[2] in (name, at.region)]
    missed = next(iter(of_it), None)
    return f"{missed.where}: {missed.reason}" if missed else "the service is not there"


def _new_key(path: str, *, dry: bool) -> SealKey:
    """The key in a file, which is created where nothing is. Raises StoreError and OutputError."""
    if os.path.lexists(path):
        try:
            data = files.read(str(keys.target(Path(path))))
            return SealKey.parse(data.decode("ascii", "replace"))
        except InputError as error:
            raise StoreError(f"the new key: {error}") from None
        except ValueError:
            raise StoreError(f"the new key: {path}: {NO_KEY}") from None
    key = keys.fresh(lasting=True)
    if not dry:
        keys.keep(key, path)
    return key
