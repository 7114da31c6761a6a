"""
How to put it back: gcloud commands that know the types.

gcloud refuses to bind a secret to a key that still is a plain value, unless the same command
removes it first; the other direction takes two deploys (`cloud-run-api.md` §6.1). No command
holds a value: a plain one is written as (VALUE), which no shell takes, and the note says where it
stands. What a shell or gcloud could read as something else gets no flag, nor does what can no
longer be had; the note names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from drift_audit.binding import Binding, Empty, LiteralValue, Mount, SecretReference, VersionState
from drift_audit.differ import Change, Item, Place, items, place_of
from drift_audit.finding import Remedy
from drift_audit.inventory import Service
from drift_audit.snapshot import UNKNOWN, Setting, Snapshot

Flag = tuple[str, str]

Versions = Mapping[tuple[str, str], VersionState | None]
"""How secret versions stand now, by secret and version as gcloud spells them."""

VALUE = "(VALUE)"

_SAFE = re.compile(r"[A-Za-z0-9_./:@-]+", re.ASCII)

SETTING_FLAGS = {
    "service_account": "--service-account",
    "vpc.connector": "--vpc-connector",
    "vpc.egress": "--vpc-egress",
    "cpu": "--cpu",
    "memory": "--memory",
    "concurrency": "--concurrency",
    "timeout_seconds": "--timeout",
    "scaling.min_instances": "--min-instances",
    "scaling.max_instances": "--max-instances",
    "service.ingress": "--ingress",
}

JOB_FLAGS = {
    **{name: SETTING_FLAGS[name] for name in ("service_account", "cpu", "memory")},
    **{name: SETTING_FLAGS[name] for name in ("vpc.connector", "vpc.egress")},
    "timeout_seconds": "--task-timeout",
    "tasks": "--tasks",
    "parallelism": "--parallelism",
    "max_retries": "--max-retries",
}
"""The same for jobs, where some are called otherwise."""

COMMANDS = {
    "service": ("gcloud run services update", "gcloud run services update-traffic"),
    "worker-pool": (
        "gcloud beta run worker-pools update",
        "gcloud beta run worker-pools update-instance-split",
    ),
    "job": ("gcloud run jobs update", ""),
}
"""What updates a service, pool or job, and what sends its work to another revision."""


@dataclass(frozen=True)
class Ground:
    """
    What a remedy stands on: the revision to go back to, the one that is there, its service with
    the revisions that were found of it, and how the secret versions of the reference stand now.
    """

    reference: Snapshot
    candidate: Snapshot
    service: Service
    versions: Versions = field(default_factory=dict)

    @property
    def newest(self) -> Snapshot:
        """What an update starts from."""
        return self.service.newest or self.candidate

    @cached_property
    def now(self) -> Mapping[Place, Item]:
        """What the newest revision holds, by place."""
        return items(self.newest)

    def state(self, secret: SecretReference) -> VersionState | None:
        """How the version that a secret of the reference resolved to stands now."""
        return self.versions.get((secret.resource, _version(secret)))

    def gone(self, secret: SecretReference) -> bool:
        """Whether that version can be read no more."""
        return secret.but(version_state=self.state(secret)).gone


def pinned(reference: Snapshot) -> Snapshot:
    """The reference asking for the exact versions it resolved to, not looked up yet."""

    def exact(ref: SecretReference) -> SecretReference:
        return ref.but(version=_version(ref), resolved=None, version_state=None)

    return reference.but(
        bindings=tuple(
            b.but(source=exact(b.source)) if isinstance(b.source, SecretReference) else b
            for b in reference.bindings
        ),
        mounts=tuple(m.but(source=exact(m.source)) for m in reference.mounts),
    )


def remedy(changes: Sequence[Change], ground: Ground) -> Remedy | None:
    """
    One command that restores all that the changes took away, and one that rolls back.

    None for two services that are not the same: what one has is no remedy for the other.
    """
    if ground.reference.address != ground.candidate.address or not changes:
        return None
    undone = [(change, list(_flags(change, ground))) for change in changes]
    restore = _update(undone, ground.candidate)
    rollback = _rollback(changes, ground)
    return Remedy(
        restore=restore,
        rollback=rollback,
        note="; ".join(_notes(undone, ground, restore=bool(restore))),
    )


def _flags(change: Change, ground: Ground) -> Iterator[Flag]:
    """The flags that make one address what it was; none where no flag does."""
    if change.at.container not in {"", *(c.name for c in ground.newest.containers)}:
        return
    name, place = change.at.name, place_of(change.at)
    of_settings = JOB_FLAGS if ground.candidate.identity.kind == "job" else SETTING_FLAGS
    there = getattr(ground.now.get(place), "source", None) if place else None
    match change.before:
        case (
            Binding(source=SecretReference() as secret) | Mount(source=SecretReference() as secret)
        ):
            if ground.gone(secret) or not _safe(name, secret.resource, _version(secret)):
                return
            if isinstance(there, LiteralValue | Empty):
                yield "--remove-env-vars", name
            yield "--update-secrets", f"{name}={secret.resource}:{_version(secret)}"
        case Binding(source=LiteralValue()) if _safe(name):
            # from a secret it takes two deploys, with a revision between them that lacks the key
            if not isinstance(there, SecretReference):
                yield "--update-env-vars", f"{name}={VALUE}"
        case Setting(value=str() | int() as value) if name in of_settings:
            if _safe(str(value)) and (name, value) != ("service_account", "default"):
                yield of_settings[name], str(value)
        case Setting() if name.startswith("cloud_sql.") and _safe(name):
            yield "--add-cloudsql-instances", name.removeprefix("cloud_sql.")
        case None if name.startswith("cloud_sql.") and _safe(name):
            yield "--remove-cloudsql-instances", name.removeprefix("cloud_sql.")
        case None if name == "vpc.connector":
            yield "--clear-vpc-connector", ""


def _safe(*words: str) -> bool:
    return all(_SAFE.fullmatch(word) for word in words)


def _version(secret: SecretReference) -> str:
    """What a secret is pinned to: the number it resolved to, else what was asked for."""
    return str(secret.resolved or secret.asked)


def _notes(
    undone: list[tuple[Change, list[Flag]]], ground: Ground, *, restore: bool
) -> Iterator[str]:
    """What must be known before the commands are run."""
    if any(VALUE in value for _, flags in undone for _, value in flags):
        where = "the baseline of the job"
        if ground.candidate.identity.kind != "job":
            where = f"revision {ground.reference.revision}"
        yield f"{VALUE} stands for the plain value in {where}"
    secrets = [
        source
        for change, _ in undone
        if isinstance(source := getattr(change.before, "source", None), SecretReference)
    ]
    for secret in dict.fromkeys(secrets):
        spec = f"{secret.resource}@{_version(secret)}"
        if ground.gone(secret):
            yield f"{spec} is {ground.state(secret)} now"
        elif ground.state(secret) == "unseen":
            yield f"whether {spec} can still be read is not known"
        elif secret.floating and secret.resolved:
            yield f"{secret} stood for {secret.resolved} and is pinned to it"
    if without := dict.fromkeys(change.at.name for change, flags in undone if not flags):
        yield f"not put back: {', '.join(without)}"
    if reason := _cannot_start(ground):
        yield f"no rollback: {ground.reference.revision} {reason}"
    if restore:
        yield from _what_else_happens(ground)


def _what_else_happens(ground: Ground) -> Iterator[str]:
    """An update starts from the newest revision, and traffic may not follow it."""
    service, newest = ground.service, ground.newest
    if newest.revision != ground.candidate.revision:
        yield f"the command starts from {newest.revision}, the newest revision"
    if service.traffic and not any(t.latest and t.percent for t in service.traffic):
        yield "traffic is pinned: send it to the new revision afterwards"


def _update(undone: Iterable[tuple[Change, list[Flag]]], candidate: Snapshot) -> str:
    """One update with the flags of every container merged, or nothing."""
    merged: dict[str, dict[str, list[str]]] = {}
    for change, flags in undone:
        for flag, value in flags:
            merged.setdefault(change.at.container, {}).setdefault(flag, []).append(value)
    if not merged:
        return ""
    words = [COMMANDS[candidate.identity.kind][0], *_place(candidate)]
    for container in sorted(merged):
        if container and len(candidate.containers) > 1:
            words.append(f"--container={container}")
        words += [
            f"{flag}={','.join(values)}".removesuffix("=")
            for flag, values in sorted(merged[container].items())
        ]
    return " ".join(words)


def _rollback(changes: Sequence[Change], ground: Ground) -> str:
    """Send everything to the reference, where that is another revision and still there."""
    service, name = ground.service, ground.reference.identity.revision
    there = not service.complete or service.revision(name) is not None
    in_revision = any(not (c.at.setting or "").startswith("service.") for c in changes)
    itself = name in ("", ground.candidate.identity.revision)
    if itself or not there or not in_revision or _cannot_start(ground):
        return ""
    command = COMMANDS[ground.candidate.identity.kind][1]
    return " ".join([command, *_place(ground.candidate), f"--to-revisions={name}=100"])


def _cannot_start(ground: Ground) -> str:
    """Why new instances of the reference would not come up, as far as is known."""
    as_found = ground.service.revision(ground.reference.identity.revision) or ground.reference
    if as_found.status.ready is False:
        return "is not Ready"
    gone = [ref for _, ref in ground.reference.references() if ground.gone(ref)]
    return f"reads {gone[0].resource}@{_version(gone[0])}" if gone else ""


def _place(candidate: Snapshot) -> list[str]:
    """Service, project and region; capitals stand for what the input did not name."""
    who = candidate.identity
    project = who.project if who.project != UNKNOWN else "(PROJECT)"
    region = who.region if who.region != UNKNOWN else "(REGION)"
    return [who.service, f"--project={project}", f"--region={region}"]
