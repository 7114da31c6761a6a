"""
Resources in the v2 shape, whatever they came from, and the snapshots that are made of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from drift_audit import names
from drift_audit.collector import fields, nodes, normalise
from drift_audit.collector.fields import Unread
from drift_audit.collector.nodes import Object
from drift_audit.collector.normalise import Beside
from drift_audit.inventory import Service, TrafficTarget, by_age
from drift_audit.seal import Sealer
from drift_audit.snapshot import UNKNOWN, Identity, Kind, Setting, Snapshot, Unseen
from drift_audit.strict import Node, Path, Refused

Doc = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """
    One service, worker pool, job or revision. `template` is the revision's part; `parent` the part
    that changes without a new revision, None for a revision alone, with its place in the document
    and the fields of it that nobody knows. `shape` says which fields of the template are known;
    READ where another reader has told the unknown ones already; `notes` what a report must say of
    where it came from. What is printed of it holds no values.
    """

    identity: Identity
    template: Doc = field(repr=False)
    beside: Beside = field(default_factory=Beside)
    parent: Doc | None = field(default=None, repr=False)
    parent_path: Path = ()
    parent_unknown: Sequence[Unread] = ()
    conditions: Node = field(default=None, repr=False)
    shape: fields.Shape = fields.READ
    notes: Sequence[str] = ()

    def named(self, project: str, region: str) -> Resource:
        """
        The same, with a project and region for what its source left out or knows by number only.
        """
        who = self.identity
        if project and (who.project == UNKNOWN or who.project.isdecimal()):
            who = who.but(project=project)
        if region and who.region == UNKNOWN:
            who = who.but(region=region)
        return replace(self, identity=who)

    def knowing(self, numbers: Mapping[str, str], ids: Mapping[str, str]) -> Resource:
        """The same, with its project by id and by number where `numbers` and `ids` tell both."""
        who = self.identity
        project = ids.get(who.project, who.project)
        number = who.project_number or numbers.get(project, "")
        return replace(self, identity=who.but(project=project, project_number=number))

    def of(self, parent: Resource) -> Resource:
        """The same revision, with the project number that its service knows."""
        number = parent.identity.project_number or self.identity.project_number
        return replace(self, identity=self.identity.but(project_number=number))

    def service_level(self, sealer: Sealer) -> tuple[Setting, ...]:
        """What changes without a new revision, sealed. Raises Refused."""
        assert self.parent is not None
        return normalise.service_level(
            self.parent, self.identity, sealer, self.parent_unknown, self.parent_path
        )

    @property
    def traffic(self) -> tuple[TrafficTarget, ...]:
        """Where a service sends its requests; nothing comes to a job."""
        assert self.parent is not None
        if self.identity.kind == "job":
            return ()
        return normalise.traffic(self.parent, self.identity.revision, self.parent_path)

    def snapshot(self, sealer: Sealer, traffic: Sequence[TrafficTarget] = ()) -> Snapshot:
        """The revision, sealed. Raises Refused."""
        found = normalise.snapshot(
            self.template,
            self.identity,
            sealer,
            shape=self.shape,
            beside=self.beside,
            status=normalise.status(
                self.conditions, self.identity.revision, traffic, self.beside.root
            ),
        )
        return found.as_planned if self.identity.planned else found


def join(
    parent: Resource | None, revisions: Sequence[Snapshot], sealer: Sealer, *, complete: bool
) -> Service:
    """
    A service from what was read of it: itself, if it was, and some of its revisions.

    The template stands in for the newest revision when that one was not read. Whatever the service
    names and nobody read is unseen. Raises Refused.
    """
    ordered = sorted(revisions, key=by_age, reverse=True)
    if parent is None:
        who = ordered[0].identity
        return _service(who, revisions=tuple(ordered), complete=complete)
    assert parent.parent is not None
    who, targets = parent.identity, parent.traffic
    if who.revision not in {r.identity.revision for r in ordered}:
        ordered.insert(0, parent.snapshot(sealer, targets))
    ready = nodes.text(parent.parent.get("latestReadyRevision")).rpartition("/")[2]
    found = _service(
        who,
        uid=nodes.text(parent.parent.get("uid")),
        latest_created=who.revision,
        latest_ready=ready,
        traffic=targets,
        settings=parent.service_level(sealer),
        revisions=tuple(ordered),
        complete=complete,
    )
    return found.but(unseen=tuple(_unread(found)))


def _service(who: Identity, **known: Any) -> Service:
    return Service(
        project=who.project, region=who.region, service=who.service, kind=who.kind, **known
    )


def _unread(service: Service) -> Iterator[Unseen]:
    """
    What the service itself names: the revisions that serve, the newest one, the newest Ready one.
    """
    read = {r.identity.revision for r in service.revisions}
    for name in sorted(service.named - read):
        serves = "it serves and was not among what was read"
        named = "the service names it and it was not read"
        yield Unseen(where=f"revision {name}", reason=serves if name in service.serving else named)


_NAME = re.compile(
    r"projects/(?P<project>[^/]+)/locations/(?P<region>[^/]+)"
    r"/(?P<kind>services|workerPools|jobs)/(?P<service>[^/]+)(?:/revisions/(?P<revision>[^/]+))?"
)
_KINDS: dict[str, Kind] = {"services": "service", "workerPools": "worker-pool", "jobs": "job"}


def is_v2(doc: Node) -> bool:
    """Tell whether a document looks like a resource of the v2 API."""
    return isinstance(doc, dict) and str(doc.get("name")).startswith("projects/")


def from_v2(doc: Mapping[str, Any], path: Path = ()) -> Resource:
    """Take one v2 Service, WorkerPool, Job or Revision apart. Raises Refused for anything else."""
    one = Object(doc, path)
    name = _NAME.fullmatch(one.text("name"))
    if name is None:
        reason = "not the name of a service, worker pool, job or revision"
        raise Refused("wrong-kind", reason, path=(*path, "name"))
    identity = Identity(
        project=name["project"],
        project_number=_number(name["project"], name["service"], doc),
        region=name["region"],
        kind=_KINDS[name["kind"]],
        service=name["service"],
        uid=one.text("uid"),
    )
    generation = one.number("generation")
    if isinstance(generation, int):
        identity = identity.but(generation=generation)
    if name["revision"]:
        return _revision(one, identity.but(revision=name["revision"]))
    return _job(one, identity) if identity.kind == "job" else _parent(one, identity)


def _revision(one: Object, identity: Identity) -> Resource:
    return Resource(
        identity=identity.but(create_time=one.instant("createTime"), creator=one.text("creator")),
        template=dict(one.doc),
        beside=Beside(home=one.path, root=one.path),
        conditions=one.doc.get("conditions"),
        shape=fields.REVISION,
    )


def _parent(one: Object, identity: Identity) -> Resource:
    inner = one.inside("template")
    template = {"healthCheckDisabled": None, **inner.doc}
    revision = inner.text("revision")
    if names.is_placeholder(revision):
        revision = ""
    newest = one.text("latestCreatedRevision")
    shape = fields.SERVICE if identity.kind == "service" else fields.WORKER_POOL
    beside, unknown = _beside(one, shape, inner)
    return Resource(
        identity=identity.but(
            uid="",
            revision=revision or newest.rpartition("/")[2],
            **_claimed(one),
        ),
        template=template,
        beside=beside,
        parent={"healthCheckDisabled": template["healthCheckDisabled"], **one.doc},
        parent_path=one.path,
        parent_unknown=unknown,
    )


def _job(one: Object, identity: Identity) -> Resource:
    """A job as it is set now: what a task is, and how many there are."""
    execution = one.inside("template")
    task = execution.inside("template")
    beside, unknown = _beside(one, fields.JOB, task)
    return Resource(
        identity=identity.but(
            create_time=one.instant("updateTime"),
            creator=one.text("lastModifier"),
            **_claimed(one),
        ),
        template={**{name: execution.doc.get(name) for name in fields.EXECUTION}, **task.doc},
        beside=beside,
        parent=dict(one.doc),
        parent_path=one.path,
        parent_unknown=unknown,
        conditions=[one.doc.get("terminalCondition") or {}],
    )


def _claimed(one: Object) -> dict[str, str]:
    """What made a revision, as it called itself."""
    return {"client": one.text("client"), "client_version": one.text("clientVersion")}


def _beside(one: Object, shape: fields.Shape, inner: Object) -> tuple[Beside, Sequence[Unread]]:
    """What is beside the revision that stands inside a resource, and unknown fields elsewhere."""
    within, mine = fields.parted(one.doc, shape, inner.path[len(one.path) :])
    unknown = [u for u in within if not u.noise]
    ignored = [u.name for u in (*within, *mine) if u.noise]
    beside = Beside(home=one.path, root=inner.path, unknown=unknown, ignored=ignored)
    return beside, tuple(u for u in mine if not u.noise)


def _number(project: str, service: str, doc: Mapping[str, Any]) -> str:
    """The project number, where a name or a URL of the service gives it away."""
    if project.isdecimal():
        return project
    listed = doc.get("urls")
    return number_in_url(service, [doc.get("uri"), *(listed if isinstance(listed, list) else ())])


def number_in_url(service: str, urls: Iterable[Node]) -> str:
    """The project number in a URL of the form `https://SERVICE-NUMBER.REGION.run.app`, if any."""
    form = rf"https://{re.escape(service)}-([0-9]{{1,19}})\.[a-z0-9-]+\.run\.app"
    found = (re.fullmatch(form, str(url)) for url in urls)
    return next((m[1] for m in found if m), "")
