"""Settings of the revision, its containers and the service."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache

from drift_audit import names
from drift_audit.finding import Severity
from drift_audit.rules.engine import Case, Hit, change_rule, rule
from drift_audit.rules.env import REMEMBERED
from drift_audit.rules.meaning import OTHERWISE, sentence

WEIGHTS = {
    "service.binary_authorization*": Severity.HIGH,
    "unknown.*": Severity.LOW,
    "service.unknown.*": Severity.LOW,
    "image": Severity.INFO,
    "image_digest": Severity.INFO,
    "source": Severity.INFO,
    "label.*": Severity.INFO,
    "annotation.*": Severity.INFO,
    "launch_stage": Severity.INFO,
    "service.launch_stage": Severity.INFO,
    "service.label.*": Severity.INFO,
    "service.annotation.*": Severity.INFO,
    "service.description": Severity.INFO,
}
"""
How much a change of a setting matters; `medium` for the others. An image changes at every deploy.
"""


@change_rule("setting-changed", Severity.MEDIUM)
def setting_changed(case: Case) -> Iterator[Hit]:
    """
    A setting is not what it was in the reference revision.

    No rule of its own tells what the change of this setting means. It can break a service as surely
    as a lost key, and no log line names it.

    Fix: set it as the reference had it, in a new revision, or promote the revision if it was meant.
    """
    for change in case.told_by(OTHERWISE):
        yield Hit(change.at, sentence(change), weight(str(change.at.setting)))


def weight(setting: str) -> Severity:
    """How much a change of that setting matters by default."""
    matching = (severity for glob, severity in WEIGHTS.items() if fnmatchcase(setting, glob))
    return next(matching, Severity.MEDIUM)


is_placeholder = lru_cache(REMEMBERED)(names.is_placeholder)


@rule("image-unpinned", Severity.LOW)
def image_unpinned(case: Case) -> Iterator[Hit]:
    """
    An image is named by a tag and not by its digest.

    Whoever moves the tag changes what the next deploy runs, and nobody can tell from the revision
    which code a container started with.

    Fix: deploy the image by digest.
    """
    for setting in case.candidate.settings:
        if setting.name == "image" and "@sha256:" not in str(setting.value):
            at = case.candidate.address.at(setting.container, setting="image")
            yield Hit(at, f"{setting.value} is not pinned to a digest")


@rule("setting-placeholder", Severity.MEDIUM)
def setting_placeholder(case: Case) -> Iterator[Hit]:
    """
    A setting holds a placeholder.

    A template was not rendered: Cloud Run refuses such a file, or takes the placeholder as it
    stands.

    Fix: render the template before the deploy.
    """
    for setting in case.candidate.all_settings:
        told = (
            f"{setting.name}: {setting.value}" if isinstance(setting.value, str) else setting.name
        )
        if is_placeholder(told):
            at = case.candidate.address.at(setting.container, setting=setting.name)
            yield Hit(at, f"{told} holds a placeholder")


@rule("field-unknown", Severity.LOW)
def field_unknown(case: Case) -> Iterator[Hit]:
    """
    The configuration holds a field that this version does not know.

    It is sealed and compared as a whole, but no rule understands it.

    Fix: update drift-audit; if the field stays unknown, report it.
    """
    for setting in case.candidate.all_settings:
        name = setting.name.removeprefix("service.")
        if name.startswith("unknown."):
            at = case.candidate.address.at(setting.container, setting=setting.name)
            yield Hit(at, f"{name.removeprefix('unknown.')} is not a field we know")
