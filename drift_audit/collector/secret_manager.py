"""
Asks Secret Manager what the secrets are that revisions read. Metadata only: there is no code here
that could ask for a payload, and the account needs no permission to read one. (The sealing key, if
it is kept there, is read by `drift_audit.collector.key_secret` and nothing else.)

Calls grow with the secrets, never with the references: one list of the secrets of a project, and
one call for each secret that is read, whether it is read in one version or in many.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from itertools import repeat
from typing import Any

from google.cloud import secretmanager_v1 as sm

from drift_audit import names
from drift_audit.binding import VersionState
from drift_audit.collector import granted
from drift_audit.collector.budget import Budget, Missing, Unanswered
from drift_audit.collector.listing import Listing, Message, items
from drift_audit.collector.pace import SECRET_MANAGER, Quota
from drift_audit.collector.secret_versions import Asked, Secret, Version
from drift_audit.snapshot import Unseen

_STATES: dict[int, VersionState] = {
    sm.SecretVersion.State.ENABLED: "enabled",
    sm.SecretVersion.State.DISABLED: "disabled",
    sm.SecretVersion.State.DESTROYED: "destroyed",
}

READING = frozenset(
    {"roles/secretmanager.secretAccessor", "roles/secretmanager.admin", "roles/owner"}
)
"""The roles of Google that may read a payload (`cloud-run-api.md` §5.3)."""

PAGE_SIZE = 25_000
"""The most that a page holds (`cloud-run-api.md` §5.1)."""

SEVERAL = 2
"""A list pays from so many on: of the secrets of a project, and of the versions of a secret."""


def _name(secret: Secret) -> str:
    return f"projects/{secret[0]}/secrets/{secret[1]}"


class SecretManager:
    """
    Resolves what revisions ask for, each once in a run, into `known`. What could not be asked
    collects in `unseen`, the numbers of projects that answers give away in `numbers`, and who may
    read the secrets, where that was asked, in `readers`.
    """

    def __init__(
        self, client: sm.SecretManagerServiceClient, budget: Budget, executor: Executor
    ) -> None:
        self._client, self._budget, self._executor = client, budget, executor
        self._metadata: dict[Secret, Message | None] = {}
        self._projects: dict[str, dict[str, Message]] = {}
        self._listed: dict[Secret, dict[int, Version]] = {}
        self._gone: set[Secret] = set()
        self.known: dict[Asked, Version] = {}
        self.unseen: list[Unseen] = []
        self.numbers: dict[str, str] = {}
        self.readers: dict[Secret, frozenset[str]] = {}

    def resolve(self, asked: Iterable[Asked], *, more_to_come: bool = False) -> Iterable[int]:
        """
        Look up what is not known yet. Yields how many of the secrets are done, as they are.

        Where more versions of the same secrets will be asked for, all of them are listed at once.
        """
        wanted: dict[Secret, list[str]] = {}
        for project, secret, version in asked:
            if (project, secret, version) not in self.known:
                wanted.setdefault((project, secret), []).append(version)
        self._read_metadata(wanted)
        listing = repeat(more_to_come)
        answers = self._executor.map(self._versions, wanted.keys(), wanted.values(), listing)
        for done, (place, found) in enumerate(zip(wanted, answers, strict=True), 1):
            self.known |= {(*place, version): told for version, told in found.items()}
            yield done

    def look_at_policies(self, asked: Iterable[Asked]) -> None:
        """
        Read who may read the secrets, by their own policies, into `readers`. Each once in a run.
        """
        wanted = sorted({(project, secret) for project, secret, _ in asked} - self.readers.keys())
        found = zip(wanted, self._executor.map(self._members, wanted), strict=True)
        self.readers |= {secret: members for secret, members in found if members is not None}

    def _members(self, secret: Secret) -> frozenset[str] | None:
        """
        Who has a role that reads payloads, without a condition; None where that cannot be seen.
        """
        name, quota = _name(secret), Quota(SECRET_MANAGER, secret[0])
        method = self._client.get_iam_policy
        try:
            return granted.members(name, READING, method, quota, self._budget)
        except Missing:
            return None  # that it is not there is told of its versions
        except Unanswered as error:
            self.unseen.append(Unseen(where=f"readers of secret {name}", reason=str(error)))
            return None

    # Secrets

    def _read_metadata(self, wanted: Iterable[Secret]) -> None:
        """What the secrets themselves say: aliases, and when they expire or are rotated."""
        by_project: dict[str, list[Secret]] = {}
        for secret in wanted:
            if secret not in self._metadata:
                by_project.setdefault(secret[0], []).append(secret)
        several = [
            project
            for project, own in by_project.items()
            if len(own) >= SEVERAL and project not in self._projects
        ]
        self._projects |= zip(several, self._executor.map(self._list, several), strict=True)
        for project, own in by_project.items():
            found = self._projects.get(project, {})
            self._metadata |= {secret: found[secret[1]] for secret in own if secret[1] in found}
        # what a list did not say is asked for by name: it may have been denied, or cut short
        missing = [s for own in by_project.values() for s in own if s not in self._metadata]
        self._metadata |= zip(missing, self._executor.map(self._get, missing), strict=True)

    def _list(self, project: str) -> dict[str, Message]:
        """The secrets of a project by name; as far as they may be listed."""
        listing = Listing(
            what=f"secrets of projects/{project}",
            method=self._client.list_secrets,
            request=sm.ListSecretsRequest(parent=f"projects/{project}", page_size=PAGE_SIZE),
            field="secrets",
            quota=Quota(SECRET_MANAGER, project),
            again=lambda name: self._secret(name, project),
        )
        found: dict[str, Message] = {}
        try:
            for message in items(listing, self._budget):
                self._learn(project, message.name)
                found[message.name.rpartition("/")[2]] = message
        except (Unanswered, Missing):
            return found  # each is asked for by name, which may be allowed, and is told if not
        return found

    def _get(self, secret: Secret) -> Message | None:
        """One secret, None where it is not there, or may not be seen, which is told."""
        try:
            return self._secret(_name(secret), secret[0])
        except Missing:
            self._gone.add(secret)
        except Unanswered as error:
            self._veiled(secret, str(error))
        return None

    def _veiled(self, secret: Secret, reason: str) -> None:
        where = f"expiry and aliases of secret {_name(secret)}"
        self.unseen.append(Unseen(where=where, reason=reason))

    def _secret(self, name: str, project: str) -> Message:
        quota = Quota(SECRET_MANAGER, project)
        request = sm.GetSecretRequest(name=name)
        reply = self._budget.call(f"get {name}", self._client.get_secret, request, quota)
        message = type(reply).pb(reply)
        self._learn(project, message.name)
        return message

    # Versions

    def _versions(self, secret: Secret, asked: list[str], more_to_come: bool) -> dict[str, Version]:
        """The versions of one secret that are asked for."""
        if secret not in self._listed and (more_to_come or len(asked) >= SEVERAL):
            self._listed[secret] = self._list_versions(secret)
        listed = self._listed.get(secret, {})
        aliases = getattr(self._metadata.get(secret), "version_aliases", {})
        found: dict[str, Version] = {}
        for version in asked:
            number = _meant(version, listed, aliases)
            known = listed.get(number) if number is not None else None
            found[version] = known or self._get_version(secret, version)
        if secret in self._gone and any(v.state != "not-found" for v in found.values()):
            self._veiled(secret, "it was said not to exist, and its versions do")
        return found

    def _list_versions(self, secret: Secret) -> dict[int, Version]:
        name = _name(secret)
        listing = Listing(
            what=f"versions of {name}",
            method=self._client.list_secret_versions,
            request=sm.ListSecretVersionsRequest(parent=name, page_size=PAGE_SIZE),
            field="versions",
            quota=Quota(SECRET_MANAGER, secret[0]),
            again=lambda version: self._version(secret, version),
        )
        found: dict[int, Version] = {}
        try:
            for message in items(listing, self._budget):
                known = self._told(secret, message) if message.state in _STATES else None
                if known is not None and known.number is not None:
                    found[known.number] = known
        except (Unanswered, Missing):
            return {}  # each version is asked for by name, and told if that fails
        return found

    def _get_version(self, secret: Secret, version: str) -> Version:
        name = f"{_name(secret)}/versions/{version}"
        try:
            return self._told(secret, self._version(secret, name))
        except Missing:
            return Version(None, "not-found")
        except Unanswered as error:
            self.unseen.append(Unseen(where=f"secret {name}", reason=str(error)))
            return Version(None, "unseen")

    def _version(self, secret: Secret, name: str) -> Message:
        quota = Quota(SECRET_MANAGER, secret[0])
        request = sm.GetSecretVersionRequest(name=name)
        reply = self._budget.call(f"get {name}", self._client.get_secret_version, request, quota)
        return type(reply).pb(reply)

    def _told(self, secret: Secret, message: Message) -> Version:
        """A version as it stands, with what its secret says of its time."""
        self._learn(secret[0], message.name)
        number = message.name.rpartition("/")[2]
        state = _STATES.get(message.state, "unseen")
        if state == "unseen":
            where = f"secret {_name(secret)}/versions/{number}"
            self.unseen.append(Unseen(where=where, reason="in a state we do not know"))
        metadata = self._metadata.get(secret)
        return Version(
            number=int(number) if names.VERSION_NUMBER.fullmatch(number) else None,
            state=state,
            created=_instant(message, "create_time"),
            destroyed=_instant(message, "scheduled_destroy_time"),
            expires=_instant(metadata, "expire_time"),
            rotates=_instant(getattr(metadata, "rotation", None), "next_rotation_time"),
        )

    def _learn(self, project: str, answered: str) -> None:
        """Take the number of a project from the name that an answer has (§5.1)."""
        number = answered.split("/")[1:2]
        if number and number[0].isdecimal() and not project.isdecimal():
            self.numbers[project] = number[0]


def _meant(version: str, listed: Mapping[int, Version], aliases: Mapping[str, int]) -> int | None:
    """
    The number that a version stands for. `latest` is the one created last, whatever its state (§0).
    """
    if version == "latest":
        return max(listed, default=None)
    return int(version) if names.is_pinned(version) else aliases.get(version)


def _instant(message: Any, field: str) -> dt.datetime | None:
    """A time of a message, None where it is not set or is no time."""
    if message is None or not message.HasField(field):
        return None
    try:
        found: dt.datetime = getattr(message, field).ToDatetime(dt.UTC)
    except ValueError:
        return None
    return found
