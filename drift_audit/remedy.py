"""
How to put it back: gcloud commands that know the types.

gcloud refuses to bind a secret to a key that still is a plain value, unless the same command
removes it first; the other direction takes two deploys (`cloud-run-api.md` §6.1). No command
holds a value: a plain one is written as VALUE, and the note says where it stands. What a shell or
gcloud could read as something else gets no flag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from drift_audit.differ import Change
from drift_audit.finding import Remedy
from drift_audit.snapshot import (
    UNKNOWN,
    Binding,
    Empty,
    LiteralValue,
    Mount,
    SecretReference,
    Setting,
    Snapshot,
)

Flag = tuple[str, str]

_SAFE = re.compile(r"[A-Za-z0-9_./:@=-]+", re.ASCII)

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


def remedy(changes: Iterable[Change], reference: Snapshot, candidate: Snapshot) -> Remedy:
    """One command that restores all that the changes took away, and one that rolls back."""
    undone = [
        (change, [flag for flag in _flags(change) if _SAFE.fullmatch(flag[1])])
        for change in changes
    ]
    literal = any("VALUE" in value for _, flags in undone for _, value in flags)
    return Remedy(
        restore=_update(undone, candidate),
        rollback=_rollback(reference, candidate),
        note=f"VALUE stands for the plain value in revision {reference.revision}"
        if literal
        else "",
    )


def _flags(change: Change) -> list[Flag]:
    """The flags that make one address what it was."""
    match change.before:
        case Binding(source=SecretReference() as secret, key=key):
            return [*_clear_literal(change), ("--update-secrets", f"{key}={_spec(secret)}")]
        case Mount(source=SecretReference() as secret, path=path):
            return [("--update-secrets", f"{path}={_spec(secret)}")]
        case Binding(source=LiteralValue(), key=key):
            if isinstance(change.after, Binding) and change.after.state == "secret":
                return []  # takes two deploys, with a revision between them that lacks the key
            return [("--update-env-vars", f"{key}=VALUE")]
        case Setting(name=name, value=str() | int() as value) if name in SETTING_FLAGS:
            return [(SETTING_FLAGS[name], str(value))]
        case Setting(name=name) if name.startswith("cloud_sql."):
            return [("--add-cloudsql-instances", name.removeprefix("cloud_sql."))]
    return []


def _clear_literal(change: Change) -> list[Flag]:
    match change.after:
        case Binding(source=LiteralValue() | Empty(), key=key):
            return [("--remove-env-vars", key)]
    return []


def _spec(secret: SecretReference) -> str:
    """The secret as gcloud wants it, pinned to what the reference resolved to."""
    return f"{secret.resource}:{secret.resolved or secret.asked}"


def _update(undone: list[tuple[Change, list[Flag]]], candidate: Snapshot) -> str:
    """One `services update` with the flags of every container merged, or nothing."""
    merged: dict[str, dict[str, list[str]]] = {}
    for change, flags in undone:
        for flag, value in flags:
            merged.setdefault(change.at.container, {}).setdefault(flag, []).append(value)
    if not merged:
        return ""
    words = ["gcloud run services update", *_place(candidate)]
    for container in sorted(merged):
        if container and len(candidate.containers) > 1:
            words.append(f"--container={container}")
        words += [
            f"{flag}={','.join(values)}" for flag, values in sorted(merged[container].items())
        ]
    return " ".join(words)


def _rollback(reference: Snapshot, candidate: Snapshot) -> str:
    if reference.identity.revision in ("", candidate.identity.revision):
        return ""
    to = f"--to-revisions={reference.identity.revision}=100"
    return " ".join(["gcloud run services update-traffic", *_place(candidate), to])


def _place(candidate: Snapshot) -> list[str]:
    """Service, project and region; capitals stand for what the input did not name."""
    who = candidate.identity
    project = who.project if who.project != UNKNOWN else "PROJECT"
    region = who.region if who.region != UNKNOWN else "REGION"
    return [who.service, f"--project={project}", f"--region={region}"]
