"""
What the policy, and the application's own schema, require of a service, held against the candidate
alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from drift_audit.app_schema import AppSchema, Held
from drift_audit.binding import Binding, LiteralValue, SecretReference
from drift_audit.finding import Severity
from drift_audit.policy import Policy
from drift_audit.rules.engine import RULES, Case, Hit, judge, rule
from drift_audit.rules.env import is_reserved
from drift_audit.rules.waivers import waive
from drift_audit.rules.wanted import declared
from drift_audit.snapshot import Address, Snapshot

REQUIRED = ("key-missing", "key-wrong-source", "key-not-pinned", "key-pattern-mismatch")
"""The rules about what the policy requires of keys."""

DECLARED = (
    *("key-missing", "key-presumably-missing", "key-wrong-source", "key-lookalike"),
    *("key-ambiguous", "key-undeclared"),
    *("nothing-audited", "not-seen", "service-missing"),
)
"""The rules about what an application's schema requires, and about what was not seen."""


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
    A key that the policy, or the application's own schema, requires is not there, or is empty.

    The service was declared to need it. A key of the same name in another container, or mounted as
    a file where the application does not read files, does not count: it does not look there.

    Fix: bind the key in a new revision, or drop it from the policy if it is no longer needed.
    """
    for want in case.required:
        if want.lack:
            yield Hit(want.at, f"{want.at.name} is required and {want.lack}")


@rule("key-presumably-missing", Severity.MEDIUM)
def key_presumably_missing(case: Case) -> Iterator[Hit]:
    """
    A key that is named for a secret, and that the application has no value for itself, is not
    there, or is empty.

    The application starts without it. Most then refuse every request that needs the secret, and
    some accept what nobody signed.

    Fix: bind the key in a new revision, or say in the schema whether it is required: yes or no.
    """
    for want in case.wanted:
        if want.need == "presumably" and want.lack:
            yield Hit(want.at, f"{want.at.name} is presumably required and {want.lack}")


@rule("key-wrong-source", Severity.HIGH)
def key_wrong_source(case: Case) -> Iterator[Hit]:
    """
    A key does not come from where the policy, or the application's own schema, wants it.

    A credential that must come from Secret Manager stands as a plain value, or the other way round.

    Fix: remove the key and bind it as the policy says, in one command.
    """
    for want in case.wanted:
        source, comes = want.requirement.source, want.item.state if want.item else ""
        if not want.lack and source not in ("any", comes) and comes in ("literal", "secret"):
            yield Hit(want.at, f"{want.at.name} must come as {source} and comes as {comes}")


@rule("key-not-pinned", Severity.MEDIUM)
def key_not_pinned(case: Case) -> Iterator[Hit]:
    """
    A required key follows an alias, and the policy wants a pinned version.

    What it reads can change without a new revision.

    Fix: bind the number of the version that is meant.
    """
    for at, _, requirement, item, _ in case.required:
        match item:
            case Binding(source=SecretReference() as ref) if requirement.pinned and not ref.pinned:
                yield Hit(at, f"{at.key} must be pinned and follows {ref}")


@rule("key-pattern-mismatch", Severity.HIGH)
def key_pattern_mismatch(case: Case) -> Iterator[Hit]:
    """
    The revealed value of a required key does not have the shape that the policy asks for.

    The application will read something it was not written for.

    Fix: set a value that fits, or correct the pattern in the policy.
    """
    for at, _, requirement, item, _ in case.required:
        match item:
            case Binding(source=LiteralValue(clear=str() as clear)) if not requirement.fits(clear):
                yield Hit(at, f"the value of {at.key} does not fit the pattern of the policy")


@rule("key-ambiguous", Severity.INFO)
def key_ambiguous(case: Case) -> Iterator[Hit]:
    """
    Several keys are set that the application takes for one and the same setting.

    It reads one of them. Whoever changes another one changes nothing.

    Fix: keep the key that counts, and remove the others.
    """
    for box, schema in declared(case.candidate, case.policy):
        held = Held(schema, case.candidate, box)
        for key in schema.keys:
            first, *others = dict.fromkeys(b.key for b in held.named(key.names)) or [""]
            if others:
                chance = schema.fold(first) == schema.fold(others[0])
                counts = "which one counts is left to chance" if chance else f"{first} counts"
                says = f"{', '.join([first, *others])} are one setting; {counts}"
                yield Hit(case.candidate.address.at(box, key=first), says)


@rule("key-undeclared", Severity.INFO)
def key_undeclared(case: Case) -> Iterator[Hit]:
    """
    A key is set that the application's settings do not read.

    Something else in the container may read it. If nothing does, it is misspelled, or left from a
    setting that is gone: whoever changes it changes nothing.

    Fix: remove the key or correct its name, or export the schema again if the settings changed.
    """
    home, read = case.candidate.address, dict[str, list[AppSchema]]()
    for box, schema in declared(case.candidate, case.policy):
        read.setdefault(box, []).append(schema)
    if not read:
        return
    said = {want.at for want in case.wanted}
    told = (*case.policy.retired(home), *case.policy.forbidden(home))
    for binding in case.candidate.bindings:
        at, schemas = home.at(binding.container, key=binding.key), read.get(binding.container)
        known = at in said or is_reserved(at.name) or any(fnmatchcase(at.name, g) for g in told)
        if schemas and not known and not any(schema.reads(at.name) for schema in schemas):
            yield Hit(at, f"{at.name} is set, and the application's settings do not read it")


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
