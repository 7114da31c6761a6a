"""
What one comparison came to, as the report tells it: states and names of secrets, no value.
"""

from __future__ import annotations

from drift_audit import names
from drift_audit.binding import SecretReference, State
from drift_audit.differ import Change, Item, state_of
from drift_audit.finding import Finding, Remedy
from drift_audit.frozen import Frozen, Instant
from drift_audit.history import How
from drift_audit.snapshot import Address, Kind, Label, Setting, Snapshot

Side = str | int | bool


class ReportedChange(Frozen):
    """
    One difference, judged or not: in a container, one of key, mount and setting.

    `before` and `after` are states, or the values of a setting; the sources name secrets, never
    values.
    """

    container: str = ""
    key: str | None = None
    mount: str | None = None
    setting: str | None = None
    before: Side
    after: Side
    before_source: str = ""
    after_source: str = ""
    parts: tuple[str, ...] = ()


class RevisionFacts(Frozen):
    """Who made a revision, when, with what, and how it stood when we looked."""

    revision: str
    create_time: Instant | None = None
    creator: str = ""
    client: str = ""
    labels: tuple[Label, ...] = ()
    ready: bool | None = None
    percent: int = 0
    tags: tuple[str, ...] = ()

    @property
    def deployed(self) -> bool:
        """Whether it is a revision, and neither a job nor a template that none was made of."""
        return not self.revision.startswith("(")


class Stretch(Frozen):
    """
    A revision of a history, or several that follow each other and are told as one, from `revision`
    to `last`; `create_time` is that of the first, `percent` the traffic of all.
    """

    revision: str
    last: str = ""
    count: int = 1
    create_time: Instant | None = None
    percent: int = 0


class Run(Frozen):
    """A state, and for how many stretches on end no deploy did anything to it."""

    state: State
    stretches: int


class KeyLine(Frozen):
    """One key or mounted file over the stretches; each run but the first begins with a change."""

    container: str = ""
    key: str | None = None
    mount: str | None = None
    runs: tuple[Run, ...]


class KeyHistory(Frozen):
    """
    What became of the keys and files of a service since the reference, oldest first: states, and no
    value. `unchanged` counts those that no deploy did anything to; `complete` says that no revision
    is missing.
    """

    complete: bool
    stretches: tuple[Stretch, ...]
    lines: tuple[KeyLine, ...]
    unchanged: int = 0


class ServiceReport(Frozen):
    """
    One service: what was compared with what, what differs, and what that means.

    `history` is there where deploys changed keys or files; reports of older versions have none.
    """

    project: str
    region: str
    service: str
    kind: Kind = "service"
    reference: str | None
    candidate: str
    reference_why: str
    reference_how: How | None = None
    passed_over: tuple[str, ...] = ()
    reference_facts: RevisionFacts | None = None
    candidate_facts: RevisionFacts
    changes: tuple[ReportedChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    remedy: Remedy | None = None
    history: KeyHistory | None = None
    ignored: tuple[str, ...] = ()

    @property
    def address(self) -> Address:
        """The address of the service, worker pool or job."""
        place = names.place(self.kind, self.service)
        return Address(project=self.project, region=self.region, service=place)


def reported(change: Change) -> ReportedChange:
    """A change as the report tells it: states and names of secrets, no value."""
    return ReportedChange(
        container=change.at.container,
        key=change.at.key,
        mount=change.at.mount,
        setting=change.at.setting,
        before=state_of(change.before),
        after=state_of(change.after),
        before_source=_secret(change.before),
        after_source=_secret(change.after),
        parts=tuple(sorted(change.parts)),
    )


def _secret(item: Item | None) -> str:
    if item is None or isinstance(item, Setting):
        return ""
    return str(item.source) if isinstance(item.source, SecretReference) else ""


def facts(snapshot: Snapshot) -> RevisionFacts:
    """What the report tells of a revision besides its configuration."""
    who, status = snapshot.identity, snapshot.status
    return RevisionFacts(
        revision=snapshot.revision,
        create_time=who.create_time,
        creator=who.creator,
        client=" ".join(filter(None, (who.client, who.client_version))),
        labels=who.labels,
        ready=status.ready,
        percent=status.percent,
        tags=status.tags,
    )
