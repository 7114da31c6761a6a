"""Bindings to Secret Manager: what is read, in which version, and whether it is still there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from drift_audit.binding import Binding, LiteralValue, Mount, SecretReference, is_blank
from drift_audit.differ import Change, pair_containers
from drift_audit.finding import Severity
from drift_audit.inventory import Evidence
from drift_audit.rules.engine import Case, Hit, change_rule, rule
from drift_audit.rules.settings import is_placeholder

Swap = tuple[Change, SecretReference, SecretReference]


def swaps(case: Case) -> Iterator[Swap]:
    """Changes where both sides read a secret, in a key or in a mounted file."""
    for change in case.changes:
        before, after = (getattr(item, "source", None) for item in (change.before, change.after))
        if isinstance(before, SecretReference) and isinstance(after, SecretReference):
            yield change, before, after


@change_rule("binding-downgraded", Severity.CRITICAL)
def binding_downgraded(case: Case) -> Iterator[Hit]:
    """
    A key that was bound to a secret is a plain value now.

    The value can be read by everyone who may view the project, does not follow the secret when it
    is rotated, and may not be the right one.

    Fix: remove the plain value and bind the secret again in one command, then rotate the secret.
    """
    for at, before, after in case.rebound:
        match before.source, after.source:
            case SecretReference() as secret, LiteralValue() as value if not is_blank(value):
                yield Hit(at, f"{at.key} was bound to {secret} and is a plain value now")


@change_rule("binding-upgraded", Severity.INFO)
def binding_upgraded(case: Case) -> Iterator[Hit]:
    """
    A key that was a plain value is bound to a secret now.

    An improvement. The old value is still readable in the older revisions.

    Fix: promote the revision as the new baseline, and rotate the credential that stood in plain.
    """
    for at, before, after in case.rebound:
        match before.source, after.source:
            case LiteralValue() as value, SecretReference() as secret if not is_blank(value):
                yield Hit(at, f"{at.key} was a plain value and is bound to {secret} now")


@change_rule("secret-retargeted", Severity.HIGH)
def secret_retargeted(case: Case) -> Iterator[Hit]:
    """
    A key or a mounted file reads another secret than in the reference revision.

    The application gets a different credential under the same name. Tokens signed by one service
    are then refused by another.

    Fix: bind the secret of the reference again, or promote the revision if the move was meant.
    """
    for change, before, after in swaps(case):
        if "secret" in change.parts:
            severity = case.raised_if_required(change.at, Severity.HIGH)
            says = f"{change.at.name} was bound to {before} and is bound to {after} now"
            yield Hit(change.at, says, severity)


@change_rule("secret-project-changed", Severity.HIGH)
def secret_project_changed(case: Case) -> Iterator[Hit]:
    """
    A key or a mounted file reads a secret of the same name in another project.

    The text of the binding can be the very same: an alias in the annotation
    run.googleapis.com/secrets decides which project is meant.

    Fix: point the binding, or the alias, at the project of the reference again.
    """
    for change, before, after in swaps(case):
        if "project" in change.parts and "secret" not in change.parts:
            severity = case.raised_if_required(change.at, Severity.HIGH)
            says = f"{change.at.name} was bound to {before} and is bound to {after} now"
            yield Hit(change.at, says, severity)


@change_rule("version-unpinned", Severity.MEDIUM)
def version_unpinned(case: Case) -> Iterator[Hit]:
    """
    A secret version that was pinned to a number follows an alias now.

    A new version of the secret then reaches new instances without a deploy, while running ones keep
    the old value: two values inside one revision.

    Fix: pin the version that the alias stands for today, in a new revision.
    """
    for change, before, after in swaps(case):
        if "version" in change.parts and before.pinned and after.floating:
            severity = case.raised_if_required(change.at, Severity.MEDIUM)
            says = f"{change.at.name} was pinned to {before} and follows {after.asked} now"
            yield Hit(change.at, says, severity)


@change_rule("version-moved", Severity.MEDIUM)
def version_moved(case: Case) -> Iterator[Hit]:
    """
    A binding reads another version of its secret than in the reference revision.

    After a rotation this is meant. A lower number than before, or a version that moved without a
    deploy because the binding follows an alias, is not.

    Fix: confirm the rotation and promote the revision, or pin the version of the reference.
    """
    for change, before, after in swaps(case):
        if change.parts & {"secret", "project"} or (before.pinned and after.floating):
            continue
        if "version" in change.parts:
            yield Hit(change.at, f"{change.at.name} moved from {before} to {after}")
        elif "resolved" in change.parts:
            moved = f"from {before.resolved} to {after.resolved}"
            yield Hit(change.at, f"{after} moved {moved} under {change.at.name}")


@rule("version-floating", Severity.LOW)
def version_floating(case: Case) -> Iterator[Hit]:
    """
    A binding follows `latest` or an alias instead of a version number.

    What it reads can change without a new revision. Google recommends a pinned version for
    variables.

    Fix: bind the number of the version that is meant.
    """
    for item, ref in case.candidate.references:
        if ref.floating and ref.version:
            yield Hit(case.at(item), f"{item.name} follows {ref}")


@rule("version-newer-than-revision", Severity.MEDIUM, Evidence.SECRET_VERSIONS)
def version_newer_than_revision(case: Case) -> Iterator[Hit]:
    """
    A binding follows an alias, and the version it stands for is newer than the revision.

    A variable is read when an instance starts. Instances that started before the rotation hold the
    old value, later ones the new: requests to one revision are answered in two ways.

    Fix: deploy a new revision, with the number of the version that is meant.
    """
    made = case.candidate.identity.create_time
    for item, ref in case.candidate.references:
        later = ref.created_at and made and ref.created_at > made
        if later and ref.floating and isinstance(item, Binding):
            says = f"{item.name} reads {_exactly(ref)}, created on {ref.created_at:%Y-%m-%d}"
            yield Hit(case.at(item), f"{says}, after the revision")


KEYS_OF_KUBERNETES = frozenset(
    "password passwd username user token key api-key apikey value data secret url uri host".split()
)
"""What a reference to a secret of Kubernetes names where one of Cloud Run has a version."""


@rule("version-misread", Severity.HIGH)
def version_misread(case: Case) -> Iterator[Hit]:
    """
    The version of a binding is a word that a secret of Kubernetes has as a key.

    On Cloud Run the field `key` of a reference is the version of the secret: there is no version of
    that name unless somebody gave a version such an alias.

    Fix: bind the number of the version, or latest, under a secret that holds this value alone.
    """
    for item, ref in case.candidate.references:
        if ref.version.lower() in KEYS_OF_KUBERNETES and ref.version_state != "enabled":
            says = f"{item.name} asks for version {ref.version} of {ref.resource}"
            yield Hit(case.at(item), f"{says}, which reads like a key of a Kubernetes secret")


@rule("version-odd", Severity.MEDIUM)
def version_odd(case: Case) -> Iterator[Hit]:
    """
    The version of a binding is missing, or a number with leading zeros.

    It is not certain what Cloud Run reads there: nothing is normalised, here or in this audit.

    Fix: bind the version number without zeros.
    """
    for item, ref in case.candidate.references:
        if not ref.version or ref.version.startswith("0"):
            yield Hit(
                case.at(item),
                f"{item.name} asks {ref.resource} for version {ref.version or '(none)'}",
            )


@rule("version-disabled", Severity.CRITICAL, Evidence.SECRET_VERSIONS)
def version_disabled(case: Case) -> Iterator[Hit]:
    """
    A bound secret version is disabled.

    Running instances keep the value they started with, so nothing breaks until the next cold start.
    Then no new instance comes up.

    Fix: enable the version again, or bind an enabled one in a new revision.
    """
    for item, ref in case.candidate.references:
        if ref.version_state == "disabled":
            yield Hit(case.at(item), f"{item.name} reads {_exactly(ref)}, which is disabled")


@rule("version-destroyed", Severity.CRITICAL, Evidence.SECRET_VERSIONS)
def version_destroyed(case: Case) -> Iterator[Hit]:
    """
    A bound secret version is destroyed.

    Running instances keep the value they started with, so nothing breaks until the next cold start.
    Then no new instance comes up, and the payload is gone for good.

    Fix: add a new version to the secret and bind it in a new revision.
    """
    for item, ref in case.candidate.references:
        if ref.version_state == "destroyed":
            yield Hit(case.at(item), f"{item.name} reads {_exactly(ref)}, which is destroyed")


@rule("version-destruction-scheduled", Severity.HIGH, Evidence.SECRET_VERSIONS)
def version_destruction_scheduled(case: Case) -> Iterator[Hit]:
    """
    A bound secret version is going to be destroyed.

    It can be had back until the day, and never after it. Then no new instance comes up.

    Fix: enable the version again, or bind another one in a new revision, before the day.
    """
    for item, ref in case.candidate.references:
        if ref.destroyed_at is not None and ref.version_state != "destroyed":
            day = f"{ref.destroyed_at:%Y-%m-%d}"
            yield Hit(
                case.at(item), f"{item.name} reads {_exactly(ref)}, which is destroyed on {day}"
            )


SOON = dt.timedelta(days=30)
VERY_SOON = dt.timedelta(days=7)
"""How long before its end a secret is told of, and how long before it is urgent."""


@rule("secret-expiring", Severity.MEDIUM, Evidence.SECRET_VERSIONS)
def secret_expiring(case: Case) -> Iterator[Hit]:
    """
    A bound secret expires within thirty days.

    On that day Secret Manager deletes it with all its versions, and no new instance comes up.

    Fix: remove or move the expiry of the secret, or bind another one before the day.
    """
    for item, ref in case.candidate.references:
        if ref.expires_at is None or ref.gone:
            continue
        left = ref.expires_at.date() - case.today
        if left <= SOON:
            severity = Severity.HIGH if left <= VERY_SOON else Severity.MEDIUM
            says = f"{item.name} reads {ref.resource}, which expires on {ref.expires_at:%Y-%m-%d}"
            yield Hit(case.at(item), says, severity)


@rule("secret-not-found", Severity.CRITICAL, Evidence.SECRET_VERSIONS)
def secret_not_found(case: Case) -> Iterator[Hit]:
    """
    A bound secret, version or alias does not exist.

    The next instance that starts fails, whatever the running ones still hold.

    Fix: create the secret or the version, or correct the name in a new revision.
    """
    for item, ref in case.candidate.references:
        if ref.version_state == "not-found":
            yield Hit(case.at(item), f"{item.name} reads {ref}, which does not exist")


@rule("secret-access-unproven", Severity.MEDIUM)
def secret_access_unproven(case: Case) -> Iterator[Hit]:
    """
    The policy of a bound secret does not let the service account of the revision read it.

    A role on the project or above may still grant it: that cannot be seen from the secret. If
    nothing does, no new instance starts.

    Fix: grant roles/secretmanager.secretAccessor on the secret to the service account, or make sure
    that the project does.
    """
    for item, ref in case.candidate.references:
        if ref.access == "not-proven":
            yield Hit(
                case.at(item), f"nothing on {ref.resource} itself lets the service read {item.name}"
            )


def _exactly(ref: SecretReference) -> str:
    """The reference with the number that an alias stands for."""
    follows = ref.resolved is not None and not ref.pinned
    return f"{ref} (version {ref.resolved})" if follows else str(ref)


@rule("secret-cross-project", Severity.INFO)
def secret_cross_project(case: Case) -> Iterator[Hit]:
    """
    A binding reads a secret of another project.

    Often meant, and easy to get wrong: the other project decides who may read the secret and when
    its versions are destroyed.

    Fix: keep it if it is meant; else bind the secret of the service's own project.
    """
    for item, ref in case.candidate.references:
        if ref.project:
            yield Hit(case.at(item), f"{item.name} reads {ref}")


@rule("secret-name-unfilled", Severity.HIGH)
def secret_name_unfilled(case: Case) -> Iterator[Hit]:
    """
    The name of a bound secret is a placeholder.

    A template was not rendered: no secret of that name exists.

    Fix: render the template before the deploy.
    """
    for item, ref in case.candidate.references:
        if is_placeholder(ref.resource):
            yield Hit(case.at(item), f"{item.name} reads {ref}, whose name is a placeholder")


@change_rule("secret-mount-lost", Severity.HIGH)
def secret_mount_lost(case: Case) -> Iterator[Hit]:
    """
    A file that a secret put into the container is gone.

    The application finds no file where it reads its key or certificate.

    Fix: mount the secret again at the same path, in a new revision.
    """
    for change in case.changes:
        if isinstance(change.before, Mount) and change.after is None:
            yield Hit(change.at, f"{change.at.mount} is gone; it held {change.before.source}")


@change_rule("secret-mount-added", Severity.INFO)
def secret_mount_added(case: Case) -> Iterator[Hit]:
    """
    A secret is mounted as a file that the reference revision did not have.

    Usually meant. It is told so that no difference goes without a word.

    Fix: promote the revision as the new baseline, or remove the mount.
    """
    for change in case.changes:
        if isinstance(change.after, Mount) and change.before is None:
            yield Hit(change.at, f"{change.at.mount} is new; it holds {change.after.source}")


@change_rule("secret-mount-mode-changed", Severity.LOW)
def secret_mount_mode_changed(case: Case) -> Iterator[Hit]:
    """
    A mounted secret has other file permissions than in the reference revision.

    A process that runs as another user may no longer read the file, or one that should not may.

    Fix: set the mode of the reference again, or promote the revision.
    """
    for change in case.changes:
        if "mode" in change.parts and change.before is not None and change.after is not None:
            yield Hit(change.at, f"{change.at.mount} has other file permissions")


@change_rule("secret-consumer-added", Severity.MEDIUM)
def secret_consumer_added(case: Case) -> Iterator[Hit]:
    """
    A container reads a secret that only other containers read before.

    A sidecar that holds the signing key of the service can sign in its name.

    Fix: remove the binding if the container does not need the secret.
    """
    if case.reference is None:
        return
    called = pair_containers(case.reference, case.candidate)
    readers: dict[str, set[str]] = {}
    for item, ref in case.reference.references:
        readers.setdefault(ref.resource, set()).add(called[item.container])
    for item, ref in case.candidate.references:
        if item.container not in readers.get(ref.resource, {item.container}):
            box = f"container {item.container}" if item.container else "the only container"
            yield Hit(case.at(item), f"{box} did not read {ref.resource} before")
