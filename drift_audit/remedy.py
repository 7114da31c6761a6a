"""
How to put it back: gcloud commands that know the types.

gcloud refuses to bind a secret to a key that still is a plain value, unless the same command
removes it first; the other direction takes two deploys (`cloud-run-api.md` §6.1), the first of
which serves nobody. No command holds a value, and none prints one: a plain value is written as
(VALUE), which no shell takes, and the note says where it stands. What a shell or gcloud could read
as something else gets no flag, nor does what can no longer be had; the note names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from drift_audit.binding import (
    Binding,
    Empty,
    LiteralValue,
    Mount,
    SecretReference,
    Source,
    VersionState,
)
from drift_audit.differ import Change, Item, Place, items, place_of, state_of
from drift_audit.finding import Remedy
from drift_audit.inventory import Service
from drift_audit.names import EVERYBODY, INVOKERS, NOBODY
from drift_audit.snapshot import UNKNOWN, Kind, Setting, Snapshot


class Flag(NamedTuple):
    """
    A flag of gcloud and one of its values, empty for one that takes none. One that is `before` the
    others stands in a deploy of its own.
    """

    name: str
    value: str = ""
    before: bool = False


Versions = Mapping[tuple[str, str], VersionState | None]
"""How secret versions stand now, by secret and version as gcloud spells them."""

VALUE = "(VALUE)"

NUMBER = "(NUMBER)"
"""Stands for the number of a project of which only the id is known."""

_SAFE = re.compile(r"[A-Za-z0-9_./:@-]+", re.ASCII)

SETTING_FLAGS = {
    "service_account": "--service-account",
    "vpc.connector": "--vpc-connector",
    "vpc.network": "--network",
    "vpc.subnetwork": "--subnet",
    "vpc.tags": "--network-tags",
    "vpc.egress": "--vpc-egress",
    "execution_environment": "--execution-environment",
    "encryption_key": "--key",
    "cpu": "--cpu",
    "memory": "--memory",
    "concurrency": "--concurrency",
    "timeout_seconds": "--timeout",
    "scaling.min_instances": "--min-instances",
    "scaling.max_instances": "--max-instances",
    "service.ingress": "--ingress",
    "service.scaling.min_instances": "--min",
}

SWITCHES = {
    "cpu_idle": "cpu-throttling",
    "startup_cpu_boost": "cpu-boost",
    "session_affinity": "session-affinity",
    "service.invoker_iam_disabled": "no-invoker-iam-check",
}
"""What is on or off, by the flag that says on; all of the revision or its service as a whole."""

CLEARED = {
    "vpc.connector": "--clear-vpc-connector",
    **dict.fromkeys(("vpc.network", "vpc.subnetwork", "vpc.tags"), "--clear-network"),
    "encryption_key": "--clear-key",
}
"""What takes away a setting that the reference does not have."""

JOB_FLAGS = {
    **{name: SETTING_FLAGS[name] for name in ("service_account", "cpu", "memory")},
    **{name: flag for name, flag in SETTING_FLAGS.items() if name.startswith("vpc.")},
    "encryption_key": "--key",
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
    `numbers` are those of other projects, as far as they are known: gcloud takes nothing else.
    """

    reference: Snapshot
    candidate: Snapshot
    service: Service
    versions: Versions = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)

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

    def spelled(self, secret: SecretReference) -> str:
        """A secret as gcloud takes it: one of another project by the number of that."""
        project = secret.project
        if not project or project.isdecimal():
            return secret.resource
        number = self.numbers.get(project) or secret.project_number or NUMBER
        return f"projects/{number}/secrets/{secret.secret}"

    def gone(self, secret: SecretReference) -> bool:
        """Whether that version can be read no more."""
        return secret.but(version_state=self.state(secret)).gone


def pinned(reference: Snapshot) -> Snapshot:
    """The reference asking for the exact versions it resolved to, not looked up yet."""

    def exact(source: Source) -> Source:
        if not isinstance(source, SecretReference):
            return source
        return source.but(version=_version(source), resolved=None, version_state=None)

    return reference.but(
        bindings=tuple(b.but(source=exact(b.source)) for b in reference.bindings),
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
    restore = " && ".join(_commands(undone, ground))
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
    if change.at.setting is not None:
        yield from _of_setting(change.at.setting, change.before, ground.candidate.identity.kind)
        return
    name, place = change.at.name, place_of(change.at)
    there = getattr(ground.now.get(place), "source", None) if place else None
    match change.before:
        case (
            Binding(source=SecretReference() as secret) | Mount(source=SecretReference() as secret)
        ):
            if ground.gone(secret) or not _safe(name, secret.resource, _version(secret)):
                return
            if isinstance(there, LiteralValue | Empty):
                yield Flag("--remove-env-vars", name)
            yield Flag("--update-secrets", f"{name}={ground.spelled(secret)}:{_version(secret)}")
        case Binding(source=LiteralValue()) if _safe(name):
            if isinstance(there, SecretReference):
                yield Flag("--remove-secrets", name, before=True)
            yield Flag("--update-env-vars", f"{name}={VALUE}")


def _of_setting(name: str, before: Item | None, kind: Kind) -> Iterator[Flag]:
    """The flag that makes a setting what it was; none where there is no such flag."""
    of_settings = JOB_FLAGS if kind == "job" else SETTING_FLAGS
    value = before.value if isinstance(before, Setting) else None
    if name.startswith("cloud_sql.") and _safe(name):
        verb = "remove" if before is None else "add"
        yield Flag(f"--{verb}-cloudsql-instances", name.removeprefix("cloud_sql."))
    elif name in SWITCHES and isinstance(value, bool) and kind == "service":
        flag = SWITCHES[name] if value else f"no-{SWITCHES[name]}"
        yield Flag(f"--{flag.removeprefix('no-no-')}")
    elif name in of_settings and isinstance(value, str | int):
        if _safe(str(value)) and (name, value) != ("service_account", "default"):
            yield Flag(of_settings[name], str(value))
    elif name in CLEARED and before is None:
        yield Flag(CLEARED[name])


def _safe(*words: str) -> bool:
    return all(_SAFE.fullmatch(word) for word in words)


def _version(secret: SecretReference) -> str:
    """What a secret is pinned to: the number it resolved to, else what was asked for."""
    return str(secret.resolved or secret.asked)


def _notes(
    undone: list[tuple[Change, list[Flag]]], ground: Ground, *, restore: bool
) -> Iterator[str]:
    """What must be known before the commands are run."""
    if any(VALUE in flag.value for _, flags in undone for flag in flags):
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
        if NUMBER in ground.spelled(secret):
            describe = f"gcloud projects describe {secret.project} --format='value(projectNumber)'"
            yield f"{NUMBER} stands for the number of {secret.project}: {describe}"
        spec = f"{secret.resource}@{_version(secret)}"
        if ground.gone(secret):
            yield f"{spec} is {ground.state(secret)} now"
        elif ground.state(secret) == "unseen":
            yield f"whether {spec} can still be read is not known"
        elif secret.floating and secret.resolved:
            yield f"{secret} stood for {secret.resolved} and is pinned to it"
    left = (c for c, flags in undone if not flags and c.at.setting != INVOKERS)
    left = (c for c in left if (c.at.setting, c.before) != ("vpc.egress", None))  # goes along
    if without := dict.fromkeys(change.at.name for change in left):
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
    if _pinned(service):
        yield "traffic is pinned: send it to the new revision afterwards"


def _commands(undone: Iterable[tuple[Change, list[Flag]]], ground: Ground) -> Iterator[str]:
    """
    One update with the flags of every container merged, or nothing. What must be gone before comes
    first, in a deploy that serves nobody, and then traffic has to be told to follow again.
    """
    kind, place = ground.candidate.identity.kind, _place(ground.candidate)
    update, send = COMMANDS[kind]
    flags = [(change.at.container, flag) for change, found in undone for flag in found]
    first = [(box, flag) for box, flag in flags if flag.before]
    if first:
        hidden = (
            [] if kind == "job" else ["--no-promote" if kind == "worker-pool" else "--no-traffic"]
        )
        yield " ".join([update, *place, *hidden, *_merged(first, ground.newest)])
    if flags:
        rest = [(box, flag) for box, flag in flags if not flag.before]
        yield " ".join([update, *place, *_merged(rest, ground.newest)])
    if first and kind != "job" and not _pinned(ground.service):
        yield " ".join([send, *place, "--to-latest"])
    for change, _ in undone:
        if change.at.setting == INVOKERS:
            yield from _policy(change, place)


def _policy(change: Change, place: Sequence[str]) -> Iterator[str]:
    """One command for each member of the policy that has to come back, or to go."""
    sides = (change.before, change.after)  # it is compared only where both tell it
    before, after = (set(str(state_of(side)).split(", ")) - {NOBODY} for side in sides)
    for verb, members in (("add", before - after), ("remove", (after - before) & EVERYBODY)):
        for member in sorted(members):
            if _safe(member):
                words = [f"gcloud run services {verb}-iam-policy-binding", *place]
                yield " ".join([*words, f"--member={member}", "--role=roles/run.invoker"])


def _merged(flags: Iterable[tuple[str, Flag]], newest: Snapshot) -> Iterator[str]:
    """The words for flags by container: those of the whole revision first, each flag once."""
    merged: dict[str, dict[str, list[str]]] = {}
    for container, flag in flags:
        whole = flag.name.removeprefix("--").removeprefix("no-") in SWITCHES.values()
        at = merged.setdefault("" if whole else container, {})
        if flag.value not in at.setdefault(flag.name, []):
            at[flag.name].append(flag.value)
    for container, told in sorted(merged.items()):
        if container and len(newest.containers) > 1:
            yield f"--container={container}"
        for name, values in sorted(told.items()):
            yield f"{name}={','.join(values)}".removesuffix("=")


def _pinned(service: Service) -> bool:
    """Whether requests go to revisions by name, so that none comes to a new one."""
    return bool(service.traffic) and not any(t.latest and t.percent for t in service.traffic)


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
    gone = [ref for _, ref in ground.reference.references if ground.gone(ref)]
    return f"reads {gone[0].resource}@{_version(gone[0])}" if gone else ""


def _place(candidate: Snapshot) -> list[str]:
    """Service, project and region; capitals stand for what the input did not name."""
    who = candidate.identity
    project = who.project if who.project != UNKNOWN else "(PROJECT)"
    region = who.region if who.region != UNKNOWN else "(REGION)"
    return [who.service, f"--project={project}", f"--region={region}"]
