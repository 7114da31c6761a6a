"""
The baselines of a store: `PROJECT/REGION/SERVICE.json` holds the one that counts, `_history` every
promotion there ever was.

A promotion keeps the baseline that it replaces, replaces it, and keeps itself. So whoever is killed
in between leaves nothing that the next promotion does not mend, and a baseline that is older than
its history was put back by somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from drift_audit import names
from drift_audit.errors import StoreError
from drift_audit.snapshot import UNKNOWN, Address
from drift_audit.store.baseline import StoredBaseline, read_baseline
from drift_audit.store.home import Conflict, Home

HISTORY = "_history/"
"""No project is called so."""

RESTORE = "restore the file from git or an older generation, or promote the revision again"


class Baselines:
    """The baselines in a home. All calls raise StoreError for what is damaged or out of place."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._kept: dict[str, dict[str, list[int]]] = {}

    def read(self, service: Address, uid: str = "") -> StoredBaseline | None:
        """
        The baseline of a service, or None if none was ever promoted. A service without a full name
        has none; one that has another uid than that which was promoted was created anew.
        """
        if UNKNOWN in (service.project, service.region, service.service):
            return None
        path = _path(service)
        newest = max(self._sequences(service), default=0)
        found = self._load(path, service)
        there = found.sequence if found else 0
        if newest > there:
            where = self._home.where(path)
            told = f"is that of promotion {there}" if there else "is gone"
            raise StoreError(f"{where}: {told}, and its history goes to {newest}", hint=RESTORE)
        if found and uid and found.service_uid not in (None, uid):
            where = self._home.where(path)
            told = f"of a service that was deleted; {service} was created anew"
            raise StoreError(f"{where}: {told}", hint="promote a revision of the new service")
        return found

    def write(self, baseline: StoredBaseline) -> str:
        """
        Put a baseline in place of the one it follows; tells where. One that is there already is
        written no second time. Raises Conflict where another promotion came first.
        """
        at = baseline.snapshot.address
        path = _path(at)
        there = self._home.read(path)
        before = read_baseline(there.data, self._home.where(path)) if there else None
        if before is not None:
            self._keep(before)
        if before is None or before.sha256 != baseline.sha256:
            if (before.sha256 if before else "") != baseline.previous:
                raise _overtaken(self._home.where(path), before)
            over = there.generation if there else None
            self._home.write(path, baseline.text().encode(), over=over)
            self._keep(baseline)
        return self._home.where(path)

    def addresses(self) -> Iterator[Address]:
        """Every service that has a baseline, by project, region and name."""
        for project in self._folders("", names.PROJECT):
            for region in self._folders(f"{project}/", names.SERVICE):
                for name in self._home.names(f"{project}/{region}/"):
                    service, dot, suffix = name.rpartition(".")
                    if dot and suffix == "json" and names.PLACE.fullmatch(service):
                        yield Address(project=project, region=region, service=service)

    def services(self) -> list[Address]:
        """Those, and every one that had a baseline once, by address."""
        known = set(self.addresses())
        for project in self._folders(HISTORY, names.PROJECT):
            for region in self._folders(f"{HISTORY}{project}/", names.SERVICE):
                folder = f"{HISTORY}{project}/{region}/"
                known |= {
                    Address(project=project, region=region, service=service)
                    for service in self._kept_below(folder)
                }
        return sorted(known, key=str)

    def history(self, service: Address) -> list[StoredBaseline]:
        """
        Every promotion of a service, the oldest first. Raises StoreError where one is missing,
        damaged, or does not follow the one before it.
        """
        found: list[StoredBaseline] = []
        numbers = self._sequences(service)
        kept = self._home.read_all([_kept_path(service, number) for number in numbers])
        for number in range(1, max(numbers, default=0) + 1):
            path = _kept_path(service, number)
            where, stored = self._home.where(path), kept.get(path)
            if stored is None:
                raise StoreError(f"{where}: missing: promotion {number} is not kept", hint=RESTORE)
            one = _of(service, read_baseline(stored.data, where), where)
            if one.sequence != number:
                raise StoreError(f"{where}: holds promotion {one.sequence}", hint=RESTORE)
            if one.previous != (found[-1].sha256 if found else ""):
                raise StoreError(f"{where}: does not follow promotion {number - 1}", hint=RESTORE)
            found.append(one)
        return found

    def verify(self, service: Address) -> StoredBaseline:
        """
        The baseline of a service after all that is kept of it was held against each other. Raises
        StoreError for the first thing that is wrong.
        """
        baseline, path = self.read(service), self._home.where(_path(service))
        if baseline is None:
            raise StoreError(f"{path}: there is no baseline")
        history = self.history(service)
        if not history:
            raise StoreError(f"{path}: no promotion of it is kept", hint=RESTORE)
        last = history[-1]
        if last.sequence + 1 == baseline.sequence and last.sha256 == baseline.previous:
            hint = "promote the same revision again, which ends it"
            raise StoreError(f"{path}: its promotion was not ended", hint=hint)
        if last != baseline:
            raise StoreError(f"{path}: is not the baseline that its history tells", hint=RESTORE)
        return baseline

    def _folders(self, below: str, grammar: re.Pattern[str]) -> Iterator[str]:
        for name in self._home.names(below):
            if name.endswith("/") and grammar.fullmatch(name[:-1]):
                yield name[:-1]

    def _load(self, path: str, service: Address) -> StoredBaseline | None:
        stored = self._home.read(path)
        if stored is None:
            return None
        where = self._home.where(path)
        return _of(service, read_baseline(stored.data, where), where)

    def _sequences(self, service: Address) -> Sequence[int]:
        """The promotions of a service that are kept, as they were when first asked for."""
        return self._kept_below(_folder(service)).get(service.service, [])

    def _kept_below(self, folder: str) -> dict[str, list[int]]:
        if folder not in self._kept:
            found: dict[str, list[int]] = {}
            for name in self._home.names(folder):
                service, _, number = name.removesuffix(".json").rpartition(".")
                if name.endswith(".json") and number.isascii() and number.isdecimal():
                    found.setdefault(service, []).append(int(number))
            self._kept[folder] = {service: sorted(n) for service, n in found.items()}
        return self._kept[folder]

    def _keep(self, baseline: StoredBaseline) -> None:
        """Keep a promotion for ever; one that is kept already must be the same."""
        at = baseline.snapshot.address
        path = _kept_path(at, baseline.sequence)
        data = baseline.text().encode()
        self._kept.pop(_folder(at), None)
        try:
            self._home.write(path, data, over=None)
        except Conflict:
            stored = self._home.read(path)
            if stored is None or stored.data != data:
                where = self._home.where(path)
                raise StoreError(f"{where}: tells of another promotion", hint=RESTORE) from None


def _of(service: Address, baseline: StoredBaseline, where: str) -> StoredBaseline:
    """A baseline that belongs to its place. Raises StoreError."""
    if baseline.snapshot.address != service:
        raise StoreError(f"{where}: is the baseline of {baseline.snapshot.address}", hint=RESTORE)
    return baseline


def _overtaken(where: str, by: StoredBaseline | None) -> Conflict:
    what = f"{by.snapshot.revision} was {by.why}" if by else "it was removed"
    hint = "compare with it, then promote again"
    return Conflict(f"{where}: another promotion came first: {what}", hint=hint)


def _path(service: Address) -> str:
    """Where a baseline lies; only names that fit their grammar become part of a path."""
    grammars = (
        (service.project, names.PROJECT),
        (service.region, names.SERVICE),
        (service.service, names.PLACE),
    )
    if not all(grammar.fullmatch(name) for name, grammar in grammars):
        raise StoreError(
            f"{service} does not name project, region and service",
            hint="give --project and --region",
        )
    return f"{service.project}/{service.region}/{service.service}.json"


def _folder(service: Address) -> str:
    return f"{HISTORY}{_path(service).rpartition('/')[0]}/"


def _kept_path(service: Address, sequence: int) -> str:
    return f"{_folder(service)}{service.service}.{sequence:06}.json"
