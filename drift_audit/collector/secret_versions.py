"""
What Secret Manager says of the secrets that revisions read. Metadata only: no payload is ever
asked for.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from drift_audit import names
from drift_audit.binding import Access, Binding, Mount, SecretReference, Source, VersionState
from drift_audit.collector.nodes import Object
from drift_audit.snapshot import UNKNOWN, Identity, Snapshot
from drift_audit.strict import Node, Path, Refused


@dataclass(frozen=True)
class Version:
    """
    A secret version as it stood: the number that was meant, if it is known, and its state; when it
    was created and is going to be destroyed, when its secret expires, and when that is rotated
    next.
    """

    number: int | None
    state: VersionState
    created: dt.datetime | None = None
    destroyed: dt.datetime | None = None
    expires: dt.datetime | None = None
    rotates: dt.datetime | None = None


Secret = tuple[str, str]
"""Project and name, as a revision spells them."""

Readers = Mapping[Secret, frozenset[str]]
"""Who may read a secret by its own policy."""

NOBODY_LOOKED: Readers = {}

Holder = TypeVar("Holder", Binding, Mount)

Asked = tuple[str, str, str]
"""Project, secret and version as a revision asks for them; the project is never empty."""


def asked(identity: Identity, ref: SecretReference) -> Asked:
    """What a reference of a revision asks for, with the revision's own project filled in."""
    return ref.project or identity.project, ref.secret, ref.asked


def asked_by(snapshots: Iterable[Snapshot]) -> list[Asked]:
    """Everything that some revisions read, once each, sorted."""
    return sorted({asked(s.identity, ref) for s in snapshots for _, ref in s.references})


def spelled(asked: Iterable[Asked]) -> Iterator[str]:
    """What was asked for, each as one name."""
    return (f"{project}/{secret}@{version}" for project, secret, version in asked)


def project_numbers(known: Iterable[Identity]) -> dict[str, str]:
    """Numbers of projects by their ids, from everything that tells both."""
    return {
        who.project: who.project_number
        for who in known
        if who.project_number and who.project not in (UNKNOWN, who.project_number)
    }


def without_versions(snapshot: Snapshot, secrets: Collection[Secret] | None = None) -> Snapshot:
    """
    The snapshot as its revision alone tells it: what secrets stand for can change any day.

    With `secrets` only what it reads of those is taken back.
    """

    def bare(source: Source) -> Source:
        if not isinstance(source, SecretReference):
            return source
        if secrets is not None and asked(snapshot.identity, source)[:2] not in secrets:
            return source
        return SecretReference(project=source.project, secret=source.secret, version=source.version)

    return snapshot.but(
        bindings=tuple(b.but(source=bare(b.source)) for b in snapshot.bindings),
        mounts=tuple(m.but(source=bare(m.source)) for m in snapshot.mounts),
    )


def with_versions(
    snapshot: Snapshot,
    versions: Mapping[Asked, Version],
    numbers: Mapping[str, str],
) -> Snapshot:
    """
    The snapshot with what is known of each version it reads; others stay not looked at.

    `numbers` are those of projects by id: Secret Manager names projects by number (§5.1), so a
    secret is the service's own, and its version known, under either name.
    """
    [found] = all_with_versions([snapshot], versions, numbers)
    return found


def all_with_versions(
    snapshots: Sequence[Snapshot],
    versions: Mapping[Asked, Version],
    numbers: Mapping[str, str],
    readers: Readers = NOBODY_LOOKED,
) -> list[Snapshot]:
    """
    The same for several. Bindings that the snapshots share, the very same objects, they share after
    it too.
    """
    done: dict[tuple[int, str, str, str], Binding | Mount] = {}

    def resolved(who: Identity, account: str, holder: Holder) -> Holder:
        if not isinstance(holder.source, SecretReference):
            return holder
        place = id(holder), who.project, who.project_number, account
        if place not in done:
            source = _known(who, holder.source, versions, numbers)
            if readers:
                source = source.but(access=_access(who, source, account, readers))
            done[place] = holder if source is holder.source else holder.but(source=source)
        return cast("Holder", done[place])

    found = []
    for snapshot in snapshots:
        who = snapshot.identity
        if not who.project_number and who.project in numbers:
            who = who.but(project_number=numbers[who.project])
        account = _account(who, snapshot) if readers else ""
        bindings = tuple(resolved(who, account, b) for b in snapshot.bindings)
        mounts = tuple(resolved(who, account, m) for m in snapshot.mounts)
        found.append(snapshot.but(identity=who, bindings=bindings, mounts=mounts))
    return found


def _known(
    who: Identity,
    source: SecretReference,
    versions: Mapping[Asked, Version],
    numbers: Mapping[str, str],
) -> SecretReference:
    """What a binding reads, with what is known of its version."""
    if source.project and source.project == who.project_number:
        source = source.but(project="")
    project, secret, wanted = asked(who, source)
    by_number = numbers.get(project, project)
    version = versions.get((project, secret, wanted)) or versions.get((by_number, secret, wanted))
    if version is None:
        return source
    return source.but(
        project_number=numbers.get(source.project, ""),
        resolved=version.number,
        version_state=version.state,
        created_at=version.created,
        destroyed_at=version.destroyed,
        expires_at=version.expires,
        rotates_at=version.rotates,
    )


def _account(who: Identity, snapshot: Snapshot) -> str:
    """The service account of a revision, empty where that is the default of an unknown number."""
    account = str(snapshot.setting("service_account") or "default")
    if account != "default":
        return account
    number = who.project_number
    return f"{number}-compute@developer.gserviceaccount.com" if number else ""


def _access(
    who: Identity, source: SecretReference, account: str, readers: Readers
) -> Access | None:
    """What the policy of a secret says of an account; None where it was not read."""
    project, secret, _ = asked(who, source)
    found = readers.get((project, secret))
    if found is None or not account:
        return None
    granted = names.EVERYBODY | {f"serviceAccount:{account}"}
    return "granted" if found & granted else "not-proven"


VERSION_NAME = re.compile(
    r"projects/(?P<project>[^/]+)/secrets/(?P<secret>[^/]+)/versions/(?P<number>[0-9]{1,18})"
)
_STATES: dict[str, VersionState] = {
    "1": "enabled",
    "ENABLED": "enabled",
    "2": "disabled",
    "DISABLED": "disabled",
    "3": "destroyed",
    "DESTROYED": "destroyed",
}


def take_version(
    name: re.Match[str], doc: dict[str, Node], path: Path, versions: dict[Asked, Version]
) -> None:
    """
    One line of `gcloud secrets versions list`. The highest number is what `latest` means (§5.1).
    """
    one = Object(doc, path)
    state = _STATES.get(one.text("state"))
    if state is None:
        raise Refused("wrong-kind", "a secret version without a state", path=path)
    created, destroyed = one.instant("createTime"), one.instant("scheduledDestroyTime")
    version = Version(int(name["number"]), state, created=created, destroyed=destroyed)
    secret = name["project"], name["secret"]
    versions[*secret, name["number"]] = version
    latest = versions.get((*secret, "latest"))
    if latest is None or (latest.number or 0) < int(name["number"]):
        versions[*secret, "latest"] = version
