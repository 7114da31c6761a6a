"""
Reads what people have: gcloud's v1 JSON and YAML, v2 JSON, manifests from git, plans and states of
Terraform, Cloud Asset Inventory, secret versions, and our own snapshots. Every document is read or
refused; none is skipped in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from pydantic import ValidationError

from drift_audit import files, strict
from drift_audit.collector import terraform
from drift_audit.collector.instance import Withheld
from drift_audit.collector.knative import is_knative, resource
from drift_audit.collector.nodes import Object
from drift_audit.collector.resources import Resource, from_v2, is_v2, join
from drift_audit.collector.secret_versions import (
    VERSION_NAME,
    Asked,
    Version,
    asked_by,
    project_numbers,
    spelled,
    take_version,
    with_versions,
)
from drift_audit.errors import InputError
from drift_audit.inventory import Evidence, Inventory, Remembered, Scope, Service, Twins, absent
from drift_audit.names import Kind
from drift_audit.seal import Sealer
from drift_audit.snapshot import UNKNOWN, Address, Identity, Snapshot, Unseen
from drift_audit.strict import Node, Path, Refused

SUFFIXES = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class Origin:
    """Where a resource was read: the file and the document in it. Turns a refusal into one line."""

    file: str
    document: int = 0
    text: str = field(default="", repr=False)

    def error(self, refused: Refused) -> InputError:
        """The refusal with file and line, and nothing of what stands there."""
        line = refused.line or strict.line_of(self.text, self.document, refused.path)
        where = f"{self.file}:{line}" if line else self.file
        return InputError(f"{where}: {refused}", hint=refused.hint)


@dataclass(frozen=True)
class Documents:
    """
    What one file holds. `withheld` are services that it speaks of and does not show, `coming` the
    secrets that it creates; `listed` says that it holds a list, so that nothing is known to be
    missing.
    """

    resources: list[tuple[Origin, Resource]] = field(default_factory=list)
    snapshots: list[tuple[Origin, Snapshot]] = field(default_factory=list)
    versions: dict[Asked, Version] = field(default_factory=dict)
    withheld: list[Withheld] = field(default_factory=list)
    coming: set[tuple[str, str]] = field(default_factory=set)
    unseen: list[Unseen] = field(default_factory=list)
    listed: bool = False

    def named(self, project: str, region: str) -> Documents:
        """The same, with a project and region for what the file leaves out."""
        filled = [(origin, r.named(project, region)) for origin, r in self.resources]
        return replace(self, resources=filled)

    def within(self, asked: Scope) -> Documents:
        """
        Of all that it holds, what was asked for: files may name projects and regions otherwise, or
        not at all. What they withhold in another region is something else.
        """
        named = asked.but(projects=(), regions=())
        here = (UNKNOWN, *asked.regions)
        return replace(
            self,
            resources=[one for one in self.resources if named.covers(one[1].identity.address)],
            snapshots=[one for one in self.snapshots if named.covers(one[1].address)],
            withheld=[
                one
                for one in self.withheld
                if named.covers(one.identity.address)
                and (not asked.regions or one.identity.region in here)
            ],
        )

    @property
    def notes(self) -> list[str]:
        """What a report must say of where its services came from."""
        return [note for _, one in self.resources for note in one.notes]

    @property
    def identities(self) -> list[Identity]:
        """What the file describes."""
        return [s.identity for _, s in self.snapshots] + [r.identity for _, r in self.resources]

    @property
    def spoken_of(self) -> list[Identity]:
        """What the file describes, and what it names without describing it."""
        return [*self.identities, *(one.identity for one in self.withheld)]

    @property
    def services(self) -> tuple[str, ...]:
        """The names of the services that the file speaks of."""
        return tuple(sorted({who.service for who in self.identities}))

    @property
    def place(self) -> tuple[str, str]:
        """The project and region that the file names; empty where it does not."""
        found = ((who.project, who.region) for who in self.identities)
        project, region = next(found, (UNKNOWN, UNKNOWN))
        return project.removeprefix(UNKNOWN), region.removeprefix(UNKNOWN)


def acquainted(documents: Sequence[Documents]) -> list[Documents]:
    """
    The same, with one name for each project: where some of them tell its id and its number, all of
    them know both.
    """
    numbers = _numbers(documents)
    ids = {number: name for name, number in numbers.items()}
    return [
        replace(one, resources=[(origin, r.knowing(numbers, ids)) for origin, r in one.resources])
        for one in documents
    ]


def _numbers(documents: Iterable[Documents]) -> dict[str, str]:
    """The numbers of projects by id, as far as the documents tell both."""
    return project_numbers(who for one in documents for who in one.identities)


def _versions(documents: Iterable[Documents]) -> dict[Asked, Version]:
    """The secret versions of all documents. Of several that are the latest, the highest is."""
    found: dict[Asked, Version] = {}
    for asked, version in (item for one in documents for item in one.versions.items()):
        known = found.get(asked)
        if known is None or (known.number or 0) <= (version.number or 0):
            found[asked] = version
    return found


def read(path: str) -> Documents:
    """
    Read one file, or standard input for `-`.

    Raises InputError with file, line and rule, never with what stands there.
    """
    return parse(files.read(path), "stdin" if path == files.STDIN else path)


def parse(data: bytes, name: str) -> Documents:
    """The same of what a file of that name holds."""
    try:
        terraform.check(data)
        text = strict.decode(data)
        documents = strict.load(text)
    except Refused as refused:
        raise Origin(name).error(refused) from None
    found = Documents(listed=any(isinstance(d, list) or _list_keys(d) for d in documents))
    for i, document in enumerate(documents):
        origin = Origin(name, i, text)
        try:
            for path_, item in _items(document, (), name, found):
                _take(item, path_, origin, found)
        except Refused as refused:
            raise origin.error(refused) from None
        except ValidationError:
            raise InputError(f"{name}: bad-snapshot: not a snapshot of this version") from None
    return found


def _list_keys(doc: Node) -> list[str]:
    """The fields that hold items, when a document is a list."""
    if not isinstance(doc, dict):
        return []
    if str(doc.get("kind")).endswith("List") or set(doc) == {"items"}:
        return ["items"]
    keys = ("services", "revisions", "workerPools", "jobs", "versions", "assets")
    return [k for k in keys if isinstance(doc.get(k), list) and "kind" not in doc]


def _items(doc: Node, path: Path, file: str, found: Documents) -> Iterable[tuple[Path, Node]]:
    """
    The single resources of a document, in lists however deep; notes what a list says is missing.
    """
    if isinstance(doc, list):
        for i, item in enumerate(doc):
            yield from _items(item, (*path, i), file, found)
    elif keys := _list_keys(doc):
        one = Object(doc, path)
        if one.inside("metadata").doc.get("continue") or doc.get("nextPageToken"):
            reason = "the list goes on after the last item of the file"
            found.unseen.append(Unseen(where=file, reason=reason))
        for name in one.texts("unreachable"):
            reason = "did not answer when the file was made"
            found.unseen.append(Unseen(where=f"region {name}", reason=reason))
        for key in keys:
            yield from _items(one.items(key), (*path, key), file, found)
    else:
        yield path, doc


def _take(doc: Node, path: Path, origin: Origin, found: Documents) -> None:
    """Add one resource to what was found. Raises Refused for what is none."""
    if not isinstance(doc, dict):
        raise _not_ours(path)
    one = Object(doc, path)
    if one.text("document").startswith("drift-audit/"):
        whole = strict.plain(doc)
        snapshot = Snapshot.model_validate_json(json.dumps(whole.get("snapshot", whole)))
        found.snapshots.append((origin, snapshot))
    elif "asset_type" in doc or "assetType" in doc:
        _take(*_asset(one), origin, found)
    elif name := VERSION_NAME.fullmatch(one.text("name")):
        take_version(name, doc, path, found.versions)
    elif is_knative(doc):
        found.resources.append((origin, resource(doc, path)))
    elif is_v2(doc):
        found.resources.append((origin, from_v2(doc, path)))
    elif terraform.is_terraform(doc):
        shown = terraform.read(doc, path, origin.file)
        found.resources.extend((origin, one) for one in shown.resources)
        found.withheld.extend(shown.withheld)
        found.coming.update(shown.coming)
        found.unseen.extend(shown.unseen)
    else:
        raise _not_ours(path)


def _not_ours(path: Path) -> Refused:
    return Refused(
        "wrong-kind",
        "neither a Cloud Run resource nor a snapshot",
        path=path,
        hint="expected the output of gcloud run ... --format=json, yaml or export, "
        "or of terraform show -json",
    )


def _asset(one: Object) -> tuple[Node, Path]:
    """A Cloud Asset Inventory record holds the resource in `resource.data`."""
    kind = one.text("asset_type" if "asset_type" in one.doc else "assetType")
    if not kind.startswith("run.googleapis.com/"):
        raise Refused("wrong-kind", "an asset that is not of Cloud Run", path=one.path)
    if one.flag("deleted"):
        raise Refused("wrong-kind", "an asset that was deleted", path=one.path)
    inner = one.inside("resource")
    return inner.doc.get("data"), (*inner.path, "data")


def _may_be_in(scope: Scope, who: Identity) -> bool:
    """Whether a service lies in scope; one whose name is not known yet may have any."""
    named = scope.but(services=()) if who.service == UNKNOWN else scope
    return named.covers(who.address)


class _Parts:
    """The documents of one service: at most one of the service itself, and its revisions."""

    def __init__(self) -> None:
        self._parent: tuple[Origin, Resource] | None = None
        self._revisions: dict[str, tuple[Origin, Resource]] = {}
        self._listed = False
        self._snapshots: dict[str, Snapshot] = {}

    def add(self, origin: Origin, res: Resource, *, listed: bool) -> None:
        """Take one document; a second one of the same thing is refused."""
        if res.parent is not None:
            if self._parent is not None:
                reason = f"duplicate-service: {res.identity.service} is described twice"
                hint = "compare the two with drift-audit compare, or give one of them"
                raise InputError(f"{origin.file}: {reason}", hint=hint)
            self._parent = origin, res
            return
        name = res.identity.revision
        known = self._revisions.get(name, (origin, res))[1]
        if (known.identity, known.template) != (res.identity, res.template):
            reason = f"duplicate-revision: {name} is described twice, and differently"
            raise InputError(f"{origin.file}: {reason}")
        self._revisions[name] = origin, res
        self._listed = self._listed or listed

    def keep(self, origin: Origin, snapshot: Snapshot) -> None:
        """Take one of our own snapshots; a second one of the same revision must be the same."""
        if self._snapshots.setdefault(snapshot.revision, snapshot) != snapshot:
            reason = f"duplicate-revision: {snapshot.revision} is described twice, and differently"
            raise InputError(f"{origin.file}: {reason}")

    def service(
        self, sealer: Sealer, versions: Mapping[Asked, Version], numbers: Mapping[str, str]
    ) -> Service:
        """Seal the revisions and join them under their service. Raises InputError."""
        parent = self._parent[1] if self._parent else None
        read = list(self._snapshots.values())
        origin = self._parent[0] if self._parent else Origin("inputs")
        try:
            traffic = parent.traffic if parent else ()
            for where, res in self._revisions.values():
                origin = where
                read.append((res.of(parent) if parent else res).snapshot(sealer, traffic))
            origin = self._parent[0] if self._parent else origin
            found = join(parent, read, sealer, complete=self._listed)
        except Refused as refused:
            raise origin.error(refused) from None
        revisions = (with_versions(r, versions, numbers) for r in found.revisions)
        return found.but(revisions=tuple(revisions))


class Files:
    """
    A source whose services come from files that were read already. `services` are globs; other
    services, and those of other kinds, are left out.
    """

    def __init__(
        self,
        documents: Sequence[Documents],
        sealer: Sealer,
        services: Sequence[str] = (),
        kinds: Sequence[Kind] = (),
    ) -> None:
        self._documents, self._sealer = documents, sealer
        self._services, self._kinds = services, kinds

    def collect(self) -> Inventory:
        """
        What the files hold, joined by service, and what they do not show. Raises InputError when
        they contradict each other.
        """
        parts: dict[Address, _Parts] = {}
        documents = acquainted(self._documents)
        versions, numbers = self._known
        for one in documents:
            for origin, res in one.resources:
                at = res.identity.address
                parts.setdefault(at, _Parts()).add(origin, res, listed=one.listed)
            for origin, snapshot in one.snapshots:
                parts.setdefault(snapshot.address, _Parts()).keep(origin, snapshot)
        scope = Scope(source="files", services=tuple(self._services), kinds=tuple(self._kinds))
        wanted = [at for at in sorted(parts, key=str) if scope.covers(at)]
        joined = tuple(parts[at].service(self._sealer, versions, numbers) for at in wanted)
        missed = [u for one in documents for u in one.unseen]
        withheld = [one for d in documents for one in d.withheld]
        missed += [w.unseen for w in withheld if _may_be_in(scope, w.identity)]
        there = {who.service for one in documents for who in one.spoken_of}
        return Inventory(
            scope=scope,
            services=joined,
            unseen=(*missed, *absent(self._services, there)),
            evidence=frozenset({Evidence.SECRET_VERSIONS} if versions else ()),
            twins=tuple(Twins(mark=mark, places=places) for mark, places in self._sealer.twins()),
            secrets=frozenset(spelled(asked_by(r for s in joined for r in s.revisions))),
        )

    def chain(self, service: Service) -> Service:
        """The same service: files hold what they hold."""
        return service

    def every(self) -> Iterator[Snapshot | Unseen]:
        """Every revision that the files hold, and what they lack."""
        return self.collect().contents()

    def remember(self) -> Iterable[Remembered]:
        """Nothing: files are read whole each time."""
        return ()

    def resolve(self, snapshot: Snapshot) -> Snapshot:
        """The same snapshot, with the secret versions that files tell of."""
        return with_versions(snapshot, *self._known)

    @cached_property
    def _known(self) -> tuple[dict[Asked, Version], dict[str, str]]:
        return _versions(self._documents), _numbers(self._documents)
