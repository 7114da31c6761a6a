"""
The shape of a loss names the command that probably made it.

gcloud's flags replace by kind: `--set-secrets` drops every other secret and keeps plain values,
`--set-env-vars` drops every other plain value and keeps secrets, `services replace` keeps only what
its file says; and gcloud refuses to turn one kind into the other in one step, unless a plain value
is removed in the same command (`cloud-run-api.md` §6, `peers-and-cases.md` §4.3). A hint, never
more: no finding depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from drift_audit.binding import Binding, LiteralValue, Mount, SecretReference
from drift_audit.differ import Change, Item, compare, items, place_of
from drift_audit.finding import Cause, First
from drift_audit.inventory import Service, by_age
from drift_audit.snapshot import Setting, Snapshot

FLAGS = "gcloud run deploy with"
REPLACE = "gcloud run services replace"

ACTION = "github-actions"
"""What the label `managed-by` says of google's own action for GitHub, whose inputs become flags."""

OVERWRITE = {
    "--set-secrets": "secrets_update_strategy: overwrite",
    "--set-env-vars": "env_vars_update_strategy: overwrite",
}
"""The inputs of that action that stand for flags that replace."""

RESET = {
    "service_account": "the service account",
    "vpc.": "the way into the VPC",
    "cloud_sql.": "a database",
}
"""Settings that no flag for variables touches, by how their names begin."""


class Causes:
    """
    The probable causes of what differs in one service. Of its revisions those are known that
    `service` holds; each step between two of them is looked at once.
    """

    def __init__(self, reference: Snapshot, service: Service, candidate: Snapshot) -> None:
        self._reference, self._candidate = reference, candidate
        known = {r.revision: r for r in (reference, *service.revisions, candidate)}
        self._chain = sorted(known.values(), key=by_age)
        self._known: Mapping[str, Snapshot] = known
        self._serving = service.serving
        self._of_step: dict[tuple[str, str], Cause | None] = {}

    def of(self, change: Change, first: First | None) -> Cause | None:
        """
        What probably made a key or a file go, or change its kind, in the deploy `first`. None where
        that is not known, where nothing points at one command, and for all other changes.
        """
        steps = self._step(first)
        if steps is None or change.at.setting is not None:
            return None
        before, after = steps
        if change.after is not None:
            cause = self._of_kind(change, before, after)
        else:
            step = before.revision, after.revision
            if step not in self._of_step:
                self._of_step[step] = probable_cause(before, after)
            cause = self._of_step[step]
        return cause and self._with_traffic(cause, after)

    def _step(self, first: First | None) -> tuple[Snapshot, Snapshot] | None:
        """What was there before a deploy and after it; of a job nothing is kept in between."""
        if self._candidate.identity.kind == "job":
            return self._reference, self._candidate
        if first is None or not first.previous:
            return None
        who = self._known[first.revision].identity
        if who.planned and not who.client:
            return None  # a file says what is to come, and not by what command
        return self._known[first.previous], self._known[first.revision]

    def _of_kind(self, change: Change, before: Snapshot, after: Snapshot) -> Cause | None:
        """Why a secret is a plain value now, or the reverse."""
        was, now = _kind(change.before), _kind(change.after)
        place = place_of(change.at)
        if place is None or not was or not now or was == now:
            return None
        there = items(before).get(place)
        if there is not None:  # it changed in one step
            if _kind(there) != "secret":
                return None  # which gcloud does too
            says = "gcloud refuses to turn a secret into a plain value in one step"
            return _through(before, after, f"{REPLACE}, the console or Terraform", says)
        removed, set_again = ("secrets", "env-vars") if was == "secret" else ("env-vars", "secrets")
        command = f"{FLAGS} --remove-{removed}, then with --update-{set_again}"
        return _through(before, after, command, f"{before.revision} did not have the key at all")

    def _with_traffic(self, cause: Cause, after: Snapshot) -> Cause:
        """The same, and that nobody is served by the deploy yet, where that is so."""
        if not self._serving or after.identity.revision in self._serving:
            return cause
        later = self._chain[self._chain.index(after) + 1 :]
        if {one.revision for one in later} & set(self._serving):
            return cause
        return cause.but(because=f"{cause.because}; all requests still go to {self._serving[0]}")


def probable_cause(before: Snapshot, after: Snapshot) -> Cause | None:
    """Read the shape of what one deploy lost. None where the shape fits no known command."""
    loss = _Loss.of(before, after)
    command, because = _shape(loss)
    if not command:
        return None
    if after.identity.kind == "job":
        command = command.replace("run deploy", "run jobs deploy").replace("services", "jobs")
    return _through(before, after, command, because)


@dataclass(frozen=True)
class _Loss:
    """How many keys and files of each kind are gone, whether some are left, and what else is."""

    secrets: int
    literals: int
    kept_secrets: bool
    kept_literals: bool
    besides: tuple[str, ...]

    @staticmethod
    def of(before: Snapshot, after: Snapshot) -> _Loss:
        """What one deploy lost."""
        changes = compare(before, after)
        told = (c for c in changes if c.after is None or _kind(c.after))  # not what was emptied
        went = [(_kind(c.before), _kind(c.after)) for c in told]
        kept = {_kind(b) for b in after.bindings}
        return _Loss(
            secrets=went.count(("secret", "")) + went.count(("secret", "plain value")),
            literals=went.count(("plain value", "")) + went.count(("plain value", "secret")),
            kept_secrets="secret" in kept,
            kept_literals="plain value" in kept,
            besides=tuple(dict.fromkeys(_reset(changes, after))),
        )


def _shape(loss: _Loss) -> tuple[str, str]:
    """The command that a loss looks like, and why; both empty where it looks like none."""
    if loss.secrets and loss.literals:
        if loss.besides:
            gone = ["plain values", "secrets", *loss.besides]
            return REPLACE, f"{', '.join(gone[:-1])} and {gone[-1]} are gone at once"
        flags = f"{FLAGS} --set-env-vars and --set-secrets, or services replace"
        return flags, "plain values and secrets are gone at once"
    if loss.secrets and loss.kept_literals:
        flag = "--set-secrets" if loss.kept_secrets else "--clear-secrets or --set-secrets"
        because = f"{_count(loss.secrets, 'secret')} gone, and every plain value kept"
        return f"{FLAGS} {flag}", because
    if loss.literals and loss.kept_secrets:
        flag = "--set-env-vars or --env-vars-file" if loss.kept_literals else "--clear-env-vars"
        because = f"{_count(loss.literals, 'plain value')} gone, and every secret kept"
        return f"{FLAGS} {flag}", because
    return "", ""


def _through(before: Snapshot, after: Snapshot, command: str, because: str) -> Cause:
    """A cause, with what it is called where the label says who deploys, and who did before."""
    labels = {label.name: label.value for label in after.identity.labels}
    if labels.get("managed-by") == ACTION:
        inputs = [given for flag, given in OVERWRITE.items() if flag in command]
        if inputs:
            because = f"{because}; for deploy-cloudrun that is {' and '.join(inputs)}"
    then, now = before.identity.client, after.identity.client
    if then and now and then != now:
        because = f"{because}; the client changed from {then} to {now}"
    return Cause(command=command, because=because)


def _reset(changes: Sequence[Change], after: Snapshot) -> Iterator[str]:
    """What else fell back to its default, or went."""
    for change in changes:
        name = change.at.setting or ""
        for beginning, words in RESET.items():
            fell = change.after is None or after.setting(name) == "default"
            if name.startswith(beginning) and fell and isinstance(change.before, Setting):
                yield words


def _kind(item: Item | None) -> str:
    """Whether a secret or a plain value fills it; empty for anything else."""
    if not isinstance(item, (Binding, Mount)):
        return ""
    if isinstance(item.source, SecretReference):
        return "secret"
    return "plain value" if isinstance(item.source, LiteralValue) else ""


def _count(number: int, word: str) -> str:
    return f"{number} {word} is" if number == 1 else f"{number} {word}s are"
