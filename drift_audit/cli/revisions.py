"""
What a word for a revision means: a file, a name, `KNOWN_GOOD`, `SERVING`, `LATEST`, `tag:NAME`,
`~N`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from drift_audit import files, names
from drift_audit.audit import Pair, Source
from drift_audit.cli import keys
from drift_audit.cli.subject import Scope, open_source
from drift_audit.collector.exports import SUFFIXES, Documents, Files, acquainted
from drift_audit.collector.secret_versions import without_versions
from drift_audit.errors import CommandError, InputError, SourceError, StoreError
from drift_audit.history import KnownGood, last_known_good
from drift_audit.inventory import LATEST, Inventory, Service, by_age
from drift_audit.past import NoPast, Pasts
from drift_audit.seal import Sealer
from drift_audit.snapshot import Snapshot
from drift_audit.store import Store

if TYPE_CHECKING:
    from drift_audit.collector.cloud_run import Depth

KNOWN_GOOD = "KNOWN_GOOD"
SERVING = "SERVING"

_RESERVED = re.compile(r"LATEST|SERVING|KNOWN_GOOD|~[0-9]*|tag:.*", re.DOTALL)
"""Words that are never files; a file of such a name is given as ./NAME."""

_FULL_NAME = re.compile(
    r"projects/([^/]+)/locations/([^/]+)/(?:services|workerPools)/([^/]+)/revisions/([^/]+)"
)


@dataclass(frozen=True)
class Sides:
    """The two revisions of a comparison, and where the candidate came from."""

    inventory: Inventory
    source: Source
    pair: Pair
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Words:
    """
    Reads words for revisions.

    `scope` says where to look, `seal` seals what is read, `violations` tells what a revision lacks
    of what the policy requires, and `pasts` what earlier audits saw. Everything raises
    CommandError, InputError, StoreError or SourceError.
    """

    scope: Scope
    seal: Sealer
    store: Store
    violations: Callable[[Snapshot], Collection[str]]
    pasts: Pasts = field(default_factory=NoPast)
    depth: Depth = "versions"

    def sides(self, reference: str | None, candidate: str) -> Sides:
        """Both revisions. Without a reference: the known good one, else the one that serves."""
        if reference and is_file(reference) and is_file(candidate):
            return self._two_files(reference, candidate)
        read_now = [self._documents(w) for w in (reference, candidate) if w and is_file(w)]
        inventory, source, service = self._subject(reference, candidate)
        inventory = _with_unseen(inventory, read_now)
        place = service.project, service.region
        if is_file(candidate):
            documents = self._documents(candidate).named(*place)
            chosen = self._one(candidate, documents)[2]
            if not (chosen.identity.revision or chosen.identity.create_time):
                chosen = source.resolve(chosen.as_planned)
                chosen = without_versions(chosen, documents.coming)
        else:
            chosen, service = self._revision(candidate, service, source, None)
            chosen = chosen.but(service=chosen.service or service.settings)
        pair = self.against(reference, service, source, chosen)
        found = pair.known.snapshot
        named = reference not in (None, KNOWN_GOOD) and not is_file(str(reference))
        same = found is not None and found.revision == chosen.revision
        if named and same and not is_file(candidate):
            raise _itself(f"{reference} and {candidate} are both {chosen.revision}")
        return Sides(inventory, source, pair, notes=_notes(read_now))

    def against(
        self, reference: str | None, service: Service, source: Source, candidate: Snapshot
    ) -> Pair:
        """
        A candidate with the reference that a word means: without one, the known good one. What is
        planned is held against the service as it is set now too.
        """
        refused = None
        if reference and is_file(reference):
            place = service.project, service.region
            found = self._one(reference, self._documents(reference).named(*place))[2]
            return Pair(service, candidate, KnownGood(found, _named(reference)))
        if reference in (None, KNOWN_GOOD):
            demanded = reference is not None
            known, refused = self._known_good(service, candidate, source, demanded=demanded)
        else:
            found, service = self._revision(str(reference), service, source, candidate)
            known = KnownGood(found, _named(reference))
        if candidate.identity.planned and known.snapshot and known.snapshot.service is None:
            as_set_now = known.snapshot.but(service=service.settings)
            known = replace(known, snapshot=as_set_now)
        return Pair(service, candidate, known, refused)

    def one(self, word: str) -> tuple[Snapshot, Service]:
        """One revision, as its service is set now, and the service."""
        if is_file(word):
            named = self._documents(word).named(self.scope.project, self.scope.region)
            _, service, found = self._one(word, named)
            return found, service
        _, source, service = self._subject(word)
        found, service = self._revision(word, service, source, None)
        return found.but(service=service.settings), service

    def _documents(self, word: str) -> Documents:
        """
        What a file holds, or of a file that holds several services what `FILE#SERVICE` and the
        flags mean.
        """
        path, _, name = word.partition("#")
        whole = self.scope.reader.read(path)
        asked = self.scope.asked
        if name in {who.address.service for who in whole.spoken_of}:
            service, kind = names.taken_apart(name)
            asked = asked.but(services=(service,), kinds=(kind,))
        meant = whole.within(asked)
        if meant.withheld:
            _check_shown(meant, path)
        return meant

    def sealed_for(self, reference: str | None, candidate: str) -> Words:
        """
        The same with a key for this run alone, unless something stored is looked at.

        Lasting seals hold within one project, region and service, and files of one service may name
        those differently, or not at all.
        """
        words = [word for word in (reference, candidate) if word]
        read_now = [self._documents(word) for word in words if is_file(word)]
        stored = any(d.snapshots for d in (*read_now, *self.scope.documents))
        if stored or reference is None or KNOWN_GOOD in words:
            return self
        return replace(self, seal=self.seal.with_key(keys.for_one_run()))

    def _two_files(self, reference: str, candidate: str) -> Sides:
        if _same_file(reference, candidate):
            raise _itself(f"{reference} is on both sides")
        documents = acquainted([self._documents(reference), self._documents(candidate)])
        projects = sorted(filter(None, (d.place[0] for d in documents)), key=str.isdecimal)
        regions = filter(None, (d.place[1] for d in documents))
        project = self.scope.project or next(iter(projects), "")
        region = self.scope.region or next(regions, "")
        there, here = (d.named(project, region) for d in documents)
        _, _, against = self._one(reference, there)
        inventory, service, chosen = self._one(candidate, here)
        known = KnownGood(against, _named(reference))
        taken = dict.fromkeys(p for p in projects if p.isdecimal() and p != project)
        numbers = (f"project {number} is taken for {project}" for number in taken)
        return Sides(
            _with_unseen(inventory, documents),
            Files([here], self.seal),
            Pair(service, chosen, known),
            notes=(*numbers, *_notes(documents)),
        )

    def _one(self, word: str, documents: Documents) -> tuple[Inventory, Service, Snapshot]:
        """The one revision that a file, `FILE#REVISION` or `FILE#SERVICE`, means."""
        path, _, fragment = word.partition("#")
        inventory = Files([documents], self.seal).collect()
        service = _only(inventory, path)
        inventory = inventory.but(unseen=())  # others were not asked for here
        if fragment and fragment != service.address.service:
            found = service.revision(fragment)
            if found is None:
                raise InputError(f"{path}: no revision {fragment}", hint=_names(service))
        else:
            found = service.newest
            if found is None or (len(service.revisions) > 1 and not service.latest_created):
                number = len(service.revisions)
                raise InputError(f"{path}: holds {number} revisions", hint=_names(service, path))
        return inventory, service, _now(found, service)

    def _subject(self, *words: str | None) -> tuple[Inventory, Source, Service]:
        """The one service that words other than files are about."""
        scope = self.scope
        for word in filter(None, words):
            if full := _FULL_NAME.fullmatch(word):
                scope = _narrowed(scope, *full.groups()[:3])
            elif is_file(word):
                scope = _found_in(scope, self._documents(word))
        source = open_source(scope, self.seal, secrets=self.depth)
        inventory = source.collect()
        if not inventory.services and inventory.unseen:
            missed = inventory.unseen[0]
            raise SourceError(f"{missed.where}: {missed.reason}")
        return inventory, source, _only(inventory, "the scope")

    def _revision(
        self, word: str, service: Service, source: Source, candidate: Snapshot | None
    ) -> tuple[Snapshot, Service]:
        """The revision a word names, and the service with as much of its history as that took."""
        if word == LATEST and service.newest is not None:
            return _now(service.newest, service), service
        if word == KNOWN_GOOD:
            stored = self.store.read(service.address, service.uid)
            if stored is None:
                raise _no_known_good(service, "no baseline was promoted")
            return stored.snapshot, service
        if service.kind == "job" and word != SERVING:
            raise InputError(
                f"{service.address} is a job and has no revisions: {word} names none",
                hint="LATEST is how it is set now, KNOWN_GOOD its baseline",
            )
        name = _name(word, service)
        if name and (found := service.revision(name)):
            return _now(found, service), service
        whole = source.chain(service)
        if word.startswith("~"):
            return source.resolve(_before(word, whole, candidate)), whole
        found = whole.revision(name)
        if found is None:
            raise InputError(f"{service.address} {_lack(word, name)}", hint=_names(whole))
        return _now(source.resolve(found), whole), whole

    def _known_good(
        self, service: Service, candidate: Snapshot, source: Source, *, demanded: bool
    ) -> tuple[KnownGood, Snapshot | None]:
        """
        The known good revision, and the baseline that was not taken because it is unfit. One that
        is demanded is known to be good, and does not only serve now.
        """
        stored = self.store.read(service.address, service.uid)
        known = last_known_good(
            service,
            candidate,
            baseline=stored.reference if stored else None,
            past=self.pasts.of(service.address),
            violations=self.violations,
            chain=source.chain,
        )
        refused = stored.snapshot if stored and known.how != "promoted" else None
        good = known.how == "promoted" or (known.how == "served" and not refused)
        if known.snapshot is None or (demanded and not good):
            reasons = "; ".join(known.passed_over) or "no baseline was promoted"
            raise _no_known_good(service, reasons)
        return known, refused


def is_file(word: str) -> bool:
    """
    Tell whether a word means a file: `-`, a path with a known suffix, or something that is there.
    """
    if _RESERVED.fullmatch(word):
        return False
    path = _path(word)
    return path == files.STDIN or path.endswith(SUFFIXES) or files.is_there(path)


def _notes(documents: Iterable[Documents]) -> tuple[str, ...]:
    return tuple(note for one in documents for note in one.notes)


def _with_unseen(inventory: Inventory, documents: Iterable[Documents]) -> Inventory:
    """The inventory with what the files that were named do not show."""
    missed = (unseen for one in documents for unseen in one.unseen)
    return inventory.but(unseen=tuple(dict.fromkeys((*inventory.unseen, *missed))))


def _check_shown(documents: Documents, path: str) -> None:
    """Refuse a file that speaks of one service and does not show it, or of others besides."""
    places = {who.address.service for who in documents.spoken_of}
    if len(places) > 1:
        told = f"{path} speaks of {len(places)} services: {', '.join(sorted(places))}"
        raise InputError(told, hint=f"name one as {path}#SERVICE")
    missed = documents.withheld[0].unseen
    raise InputError(f"{path}: {missed.where}: {missed.reason}")


def _narrowed(scope: Scope, project: str, region: str, service: str) -> Scope:
    """The scope of one full name. Raises CommandError where it contradicts what else was asked."""
    asked = scope.asked
    elsewhere = (
        (asked.projects and project not in asked.projects and not project.isdecimal())
        or (asked.regions and region not in asked.regions)
        or (asked.services and service not in asked.services)
    )
    if elsewhere:
        raise CommandError(
            f"{project}/{region}/{service} is not where the other words and flags look",
            hint="two services can be compared as exported files",
        )
    narrowed = asked.but(projects=(project,), regions=(region,), services=(service,))
    return replace(
        scope, projects=(project,), regions=(region,), services=(service,), asked=narrowed
    )


def _found_in(scope: Scope, documents: Documents) -> Scope:
    """The scope, with what a file describes where nothing else says what and where that is."""
    project, region = documents.place
    if not scope.projects and project and not project.isdecimal():
        regions = scope.regions or ((region,) if region else ())
        scope = replace(scope, projects=(project,), regions=regions)
    return scope if scope.services else scope.of(*documents.services)


def _no_known_good(service: Service, reasons: str) -> StoreError:
    return StoreError(
        f"{service.address} has no known good revision: {reasons}",
        hint="drift-audit baseline promote, or name the reference",
    )


def _lack(word: str, name: str) -> str:
    """What is the matter with a word that names no revision that was read."""
    if not name:
        return f"does not tell which revision {word} is"
    if word == SERVING or word.startswith("tag:"):
        return f"has {name} as {word}, which was not among what was read"
    return f"has no revision {name}"


def _same_file(one: str, other: str) -> bool:
    """Tell whether two words mean one revision of one file, however its path is written."""
    (path, _, name), (other_path, _, other_name) = one.partition("#"), other.partition("#")
    return name == other_name and files.is_same(path, other_path)


def _itself(what: str) -> CommandError:
    return CommandError(
        f"{what}: a revision never differs from itself",
        hint="drift-audit compare REFERENCE CANDIDATE",
    )


def _named(word: str | None) -> str:
    """Why a reference was chosen when it was named; of a file only its name."""
    return f"named as {PurePath(word or '').name}"


def _path(word: str) -> str:
    return word.partition("#")[0]


def _only(inventory: Inventory, where: str) -> Service:
    if len(inventory.services) == 1:
        return inventory.services[0]
    places = [s.address.service for s in inventory.services]
    kinds = {s.kind for s in inventory.services}
    raise InputError(
        f"{where} holds {len(places)} services: {', '.join(places) or 'none'}",
        hint="give --service and --kind" if len(kinds) > 1 else "give --service",
    )


def _names(service: Service, path: str = "") -> str:
    names = [r.identity.revision for r in service.revisions if r.identity.revision]
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"name one as {path}#REVISION: {shown}" if path else f"there are: {shown}"


def _name(word: str, service: Service) -> str:
    """The name of the revision that a word means, as far as the service tells it."""
    if word == SERVING:
        return next(iter(service.serving), "")
    if word.startswith("tag:"):
        tag = word.removeprefix("tag:")
        if not tag:
            raise CommandError(f"{word} names no tag", hint="for instance tag:candidate")
        target = next((t for t in service.traffic if t.tag == tag), None)
        if target is None:
            raise InputError(f"{service.address} has no tag {tag}")
        return target.revision
    full = _FULL_NAME.fullmatch(word)
    return full[4] if full else word


def _before(word: str, service: Service, candidate: Snapshot | None) -> Snapshot:
    """N revisions before the candidate, or before the newest one."""
    steps = names.whole_number(word.removeprefix("~") or "1")
    chain = sorted(service.revisions, key=by_age)
    start = candidate or service.newest
    told = [r.identity.revision for r in chain]
    if steps is None or start is None or start.identity.revision not in told:
        raise InputError(f"{word} does not name a revision of {service.address}")
    at = told.index(start.identity.revision) - steps
    if at < 0:
        raise InputError(f"{service.address} has only {len(chain)} revisions", hint=_names(service))
    return chain[at]


def _now(snapshot: Snapshot, service: Service) -> Snapshot:
    """The newest revision stands for the service as it is set now."""
    newest = service.newest is not None and service.newest.revision == snapshot.revision
    return snapshot.but(service=service.settings) if newest and service.settings else snapshot
