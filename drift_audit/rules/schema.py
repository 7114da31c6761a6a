"""What the policy requires of each service, held against the candidate alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from drift_audit.binding import Binding, LiteralValue, SecretReference, is_blank
from drift_audit.finding import Severity
from drift_audit.policy import Policy
from drift_audit.rules.engine import RULES, Case, Hit, judge, rule
from drift_audit.rules.waivers import waive
from drift_audit.snapshot import Address, Snapshot

REQUIRED = ("key-missing", "key-wrong-source", "key-not-pinned", "key-pattern-mismatch")
"""The rules about what the policy requires of keys."""


def violations(snapshot: Snapshot, policy: Policy, today: dt.date) -> list[str]:
    """
    What the policy requires of a revision's keys, does not find, and does not waive on that day, a
    sentence for each. It makes a baseline unfit.
    """
    found, _ = judge(Case(candidate=snapshot, policy=policy), [RULES[id] for id in REQUIRED])
    return [f.says for f in waive(found, policy, today) if f.waived is None]


@rule("key-missing", Severity.CRITICAL)
def key_missing(case: Case) -> Iterator[Hit]:
    """
    A key that the policy requires is not there, or is empty.

    The service was declared to need it. A key of the same name in another container, or mounted
    as a file, does not count: the application does not look there.

    Fix: bind the key in a new revision, or drop it from the policy if it is no longer needed.
    """
    for at, _ in case.required:
        binding = case.after.get(("key", at.container, at.name))
        if not isinstance(binding, Binding):
            yield Hit(at, f"{at.key} is required and absent")
        elif is_blank(binding.source):
            yield Hit(at, f"{at.key} is required and empty")


@rule("key-wrong-source", Severity.HIGH)
def key_wrong_source(case: Case) -> Iterator[Hit]:
    """
    A required key does not come from where the policy wants it.

    A credential that must come from Secret Manager stands as a plain value, or the other way round.

    Fix: remove the key and bind it as the policy says, in one command.
    """
    for at, requirement in case.required:
        binding = case.after.get(("key", at.container, at.name))
        if isinstance(binding, Binding) and not is_blank(binding.source):
            wanted = requirement.source
            if wanted not in ("any", binding.state) and binding.state in ("literal", "secret"):
                yield Hit(at, f"{at.key} must come as {wanted} and comes as {binding.state}")


@rule("key-not-pinned", Severity.MEDIUM)
def key_not_pinned(case: Case) -> Iterator[Hit]:
    """
    A required key follows an alias, and the policy wants a pinned version.

    What it reads can change without a new revision.

    Fix: bind the number of the version that is meant.
    """
    for at, requirement in case.required:
        match case.after.get(("key", at.container, at.name)):
            case Binding(source=SecretReference() as ref) if requirement.pinned and not ref.pinned:
                yield Hit(at, f"{at.key} must be pinned and follows {ref}")


@rule("key-pattern-mismatch", Severity.HIGH)
def key_pattern_mismatch(case: Case) -> Iterator[Hit]:
    """
    The revealed value of a required key does not have the shape that the policy asks for.

    The application will read something it was not written for.

    Fix: set a value that fits, or correct the pattern in the policy.
    """
    for at, requirement in case.required:
        match case.after.get(("key", at.container, at.name)):
            case Binding(source=LiteralValue(clear=str() as clear)) if not requirement.fits(clear):
                yield Hit(at, f"the value of {at.key} does not fit the pattern of the policy")


@rule("key-retired", Severity.LOW)
def key_retired(case: Case) -> Iterator[Hit]:
    """
    A key is set that the policy calls retired.

    Nothing reads it any more. It stays in every revision, and one day somebody believes it.

    Fix: remove the key in a new revision.
    """
    for at in _matching(case, case.policy.retired(case.candidate.address)):
        yield Hit(at, f"{at.key} is set, and the policy calls it retired")


@rule("key-forbidden", Severity.MEDIUM)
def key_forbidden(case: Case) -> Iterator[Hit]:
    """
    A key is set that the policy forbids.

    A debug switch, a key of another environment, or one that was retired and still steers the code.

    Fix: remove the key in a new revision.
    """
    for at in _matching(case, case.policy.forbidden(case.candidate.address)):
        yield Hit(at, f"{at.key} is set, and the policy forbids it")


def _matching(case: Case, globs: Collection[str]) -> Iterator[Address]:
    """Where the candidate has a key that one of some globs matches."""
    for binding in case.candidate.bindings if globs else ():
        if any(fnmatchcase(binding.key, glob) for glob in globs):
            yield case.candidate.address.at(binding.container, key=binding.key)
