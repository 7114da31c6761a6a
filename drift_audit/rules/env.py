"""Keys: lost, gained, emptied, renamed, repeated, misspelled; and values that look wrong."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from drift_audit import names
from drift_audit.binding import (
    Binding,
    Empty,
    LiteralValue,
    Mount,
    SecretReference,
    Source,
    is_blank,
)
from drift_audit.finding import Severity
from drift_audit.rules.engine import Case, Hit, change_rule, rule
from drift_audit.seal import BY_PATTERN, CREDENTIAL
from drift_audit.snapshot import Address

REMEMBERED = 10_000
"""
Names that were looked at are remembered up to here: those of one organisation are few, and every
revision repeats them. Values never are.
"""

environment_of = lru_cache(REMEMBERED)(names.environment)

MOST_NAMED = 3
"""Keys that may be the new name of one that left are named up to here."""


def told(source: Source) -> str:
    """Where a value comes from, for a sentence."""
    match source:
        case SecretReference():
            return f"bound to {source}"
        case LiteralValue():
            return "a plain value"
        case Empty():
            return "empty"
    return "unreadable"


@change_rule("key-lost", Severity.HIGH)
def key_lost(case: Case) -> Iterator[Hit]:
    """
    A key that the reference revision had is gone.

    The application starts without it: it falls back to a default, answers 403, or fails at the
    first request that needs it. Cloud Run still calls the revision Ready.

    Fix: restore the key from the binding that the reference had, in a new revision.
    """
    for at, binding in case.lost:
        severity = case.raised_if_required(at, Severity.HIGH)
        yield Hit(at, f"{at.key} is gone; it was {told(binding.source)}", severity)


@change_rule("key-added", Severity.INFO)
def key_added(case: Case) -> Iterator[Hit]:
    """
    A key has appeared that the reference revision did not have.

    Usually meant. Worth a look when nobody announced it, or when another key left at the same time.

    Fix: promote the revision as the new baseline, or remove the key.
    """
    for at, binding in case.gained:
        yield Hit(at, f"{at.key} is new; it is {told(binding.source)}")


@change_rule("key-emptied", Severity.HIGH)
def key_emptied(case: Case) -> Iterator[Hit]:
    """
    A key is still there, but its value is empty or blank.

    An empty variable passes every check that only asks whether the name exists, and most
    applications read it as absent.

    Fix: set the value or bind the secret again, in a new revision.
    """
    for at, before, after in case.rebound:
        if is_blank(after.source) and not is_blank(before.source):
            severity = case.raised_if_required(at, Severity.HIGH)
            yield Hit(at, f"{at.key} is empty now; it was {told(before.source)}", severity)


@change_rule("key-filled", Severity.INFO)
def key_filled(case: Case) -> Iterator[Hit]:
    """
    A key that was empty in the reference revision has a value now.

    Usually a repair. It is told so that no difference goes without a word.

    Fix: promote the revision as the new baseline, or empty the key again.
    """
    for at, before, after in case.rebound:
        has_value = after.state in ("literal", "secret") and not is_blank(after.source)
        if is_blank(before.source) and has_value:
            yield Hit(at, f"{at.key} was empty; it is {told(after.source)}")


@change_rule("key-state-changed", Severity.INFO)
def key_state_changed(case: Case) -> Iterator[Hit]:
    """
    A key or a mounted file comes from elsewhere than in the reference revision, and nobody can
    say what that means.

    It became unreadable, or readable, or one kind of emptiness became another.

    Fix: look at it in both revisions.
    """
    for change in case.changes:
        match change.before, change.after:
            case (Binding() as before, Binding() as after) | (Mount() as before, Mount() as after):
                states = before.state, after.state
                both_blank = is_blank(before.source) and is_blank(after.source)
                if "unreadable" in states or (both_blank and before.state != after.state):
                    says = f"was {told(before.source)} and is {told(after.source)} now"
                    yield Hit(change.at, f"{change.at.name} {says}")


@change_rule("literal-changed", Severity.MEDIUM)
def literal_changed(case: Case) -> Iterator[Hit]:
    """
    A plain value is not what it was in the reference revision.

    A timeout, a flag or a URL can change how a service behaves as much as new code does.

    Fix: accept it by promoting the revision, or set the value of the reference revision again.
    """
    for change in case.changes:
        match change.before, change.after:
            case Binding(source=LiteralValue() as before), Binding(source=LiteralValue() as after):
                if "digest" in change.parts and is_blank(before) == is_blank(after):
                    yield Hit(change.at, f"the plain value of {_changed(change.at, before, after)}")


def _changed(at: Address, before: LiteralValue, after: LiteralValue) -> str:
    if before.clear is not None and after.clear is not None:
        return f"{at.key} changed from {before.clear} to {after.clear}"
    return f"{at.key} changed"


@rule("key-duplicated", Severity.MEDIUM)
def key_duplicated(case: Case) -> Iterator[Hit]:
    """
    A key stands more than once in one container.

    Cloud Run takes the last entry and says nothing. Whoever edits the first one changes nothing.

    Fix: remove all entries of the key but one.
    """
    for binding in case.candidate.bindings:
        if binding.shadowed:
            times = len(binding.shadowed) + 1
            at = case.candidate.address.at(binding.container, key=binding.key)
            yield Hit(at, f"{binding.key} stands {times} times; the last one wins")


@change_rule("key-deduplicated", Severity.INFO)
def key_deduplicated(case: Case) -> Iterator[Hit]:
    """
    A key that stood more than once in the reference revision stands there once, or fewer times.

    A repair, if the entry that was left is the one that used to win.

    Fix: promote the revision as the new baseline.
    """
    for at, before, after in case.rebound:
        if len(before.shadowed) > len(after.shadowed):
            yield Hit(at, f"{at.key} stood {len(before.shadowed) + 1} times")


@change_rule("key-renamed", Severity.HIGH)
def key_renamed(case: Case) -> Iterator[Hit]:
    """
    A key left and another one appeared that reads the same secret.

    The application still asks for the old name unless its code was changed in the same deploy.

    Fix: bind the secret under the name that the application reads, or deploy the code that reads
    the new one.
    """
    readers: dict[str, list[tuple[str, SecretReference]]] = {}
    for place, gained in case.gained:
        if isinstance(gained.source, SecretReference):
            readers.setdefault(gained.source.resource, []).append((place.name, gained.source))
    for at, lost in case.lost:
        secret = lost.source.resource if isinstance(lost.source, SecretReference) else ""
        others = (reader for reader in readers.get(secret, ()) if reader[0] != at.key)
        alike = [f"{key} reads the same secret {ref}" for key, ref in islice(others, MOST_NAMED)]
        if alike:
            says = f"{at.key} left, and {', and '.join(alike)}"
            yield Hit(at, says, case.raised_if_required(at, Severity.HIGH))


@change_rule("key-moved", Severity.HIGH)
def key_moved(case: Case) -> Iterator[Hit]:
    """
    A key left its container and appeared in another one of the same revision.

    Containers do not share variables: the one that read the key starts without it.

    Fix: set the key in the container that reads it, in a new revision.
    """
    for at, _ in case.lost:
        boxes = [place.container for place, _ in case.gained if place.key == at.key]
        if boxes:
            says = f"{at.key} left the container, and container {', '.join(boxes)} has it now"
            yield Hit(at, says, case.raised_if_required(at, Severity.HIGH))


@rule("key-reserved", Severity.MEDIUM)
def key_reserved(case: Case) -> Iterator[Hit]:
    """
    A key has a name that Cloud Run sets itself.

    The platform tells the container its port and what it belongs to under that name. What is set
    here is refused, ignored, or stands in the way of what the container needs to know.

    Fix: remove the key; the port is a setting of the container.
    """
    for binding in case.candidate.bindings:
        if is_reserved(binding.key):
            at = case.candidate.address.at(binding.container, key=binding.key)
            yield Hit(at, f"{binding.key} is a name that Cloud Run sets itself")


@rule("environment-mixed", Severity.HIGH)
def environment_mixed(case: Case) -> Iterator[Hit]:
    """
    The service belongs to one environment, and a key or its secret is named for another.

    With the signing key of staging, production accepts the tokens of staging; with the database of
    production, a test deletes real rows. Names alone say which environment is meant.

    Fix: bind the secret of the service's own environment, or name its environment in the policy.
    """
    own = case.environment
    if own is None:
        return
    for item, ref in case.candidate.references:
        named = (ref.secret, ref.project, item.name)
        other = next((found for name in named if (found := environment_of(name))), None)
        if other not in (None, own):
            yield Hit(
                case.at(item), f"{item.name} reads {ref}, named for {other}; the service is {own}"
            )


@rule("key-lookalike", Severity.HIGH)
def key_lookalike(case: Case) -> Iterator[Hit]:
    """
    A required key is missing, and a key that only looks like it is there.

    A letter of another alphabet, an invisible character, a trailing space or another case makes a
    different name. Reviewers do not see it, and the application does not find its key.

    Fix: remove the lookalike and set the key under its exact name.
    """
    for at, _, _, item, others in case.required:
        if item is not None:
            continue
        here = [b.key for b in case.candidate.bindings if b.container == at.container]
        looks = {names.skeleton(key) for key in (at.name, *others)}
        alike = [key for key in here if names.skeleton(key) in looks]
        if alike:
            verb = "looks" if len(alike) == 1 else "look"
            yield Hit(at, f"{at.key} is missing, and {', '.join(alike)} only {verb} like it")


@rule("key-name-odd", Severity.MEDIUM)
def key_name_odd(case: Case) -> Iterator[Hit]:
    """
    The name of a key holds characters that names of variables do not have.

    Mostly the remains of a quoting or splitting accident: a space, a comma or an equals sign that
    became part of the name. No application asks for such a name.

    Fix: remove the key and set the one that was meant.
    """
    for binding in case.candidate.bindings:
        if not is_variable(binding.key):
            at = case.candidate.address.at(binding.container, key=binding.key)
            yield Hit(at, f"{binding.key} is not a name that an application can ask for")


RESERVED = frozenset({"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"})
RESERVED_FAMILIES = ("CLOUD_RUN_", "X_GOOGLE_")
"""What the platform sets in each container of a service or a job."""


@lru_cache(REMEMBERED)
def is_variable(key: str) -> bool:
    """Tell whether an application can ask for a key of that name."""
    return names.ENV.fullmatch(key) is not None


@lru_cache(REMEMBERED)
def is_reserved(key: str) -> bool:
    """Tell whether a key has a name that the platform sets."""
    return key in RESERVED or key.startswith(RESERVED_FAMILIES)


TRAITS = {
    "edge-whitespace": "begins or ends with a space or a line break",
    "control-character": "holds a control character",
    "invisible": "holds an invisible character",
    "quoted": "stands in quotes that are part of it",
    "delimited": "begins with a delimiter that gcloud should have taken off",
    "joined": "holds what looks like the next key and its value",
    "bidi": "holds a character that reverses the direction of text",
    "over-limit": "is longer than the 32768 bytes that Cloud Run takes",
}


@rule("value-odd", Severity.MEDIUM)
def value_odd(case: Case) -> Iterator[Hit]:
    """
    A plain value holds something that cannot be seen, or stray white space.

    A line break at the end of a token, a zero-width space in a URL: the value looks right in every
    console and is wrong in every comparison.

    Fix: set the value again without the character, for instance from a file.
    """
    for at, value in case.odd:
        if odd := [TRAITS[trait] for trait in value.traits if trait in TRAITS]:
            yield Hit(at, f"the value of {at.name} {', '.join(odd)}")


@rule("value-placeholder", Severity.MEDIUM)
def value_placeholder(case: Case) -> Iterator[Hit]:
    """
    A value is a placeholder or an unexpanded reference.

    Cloud Run does not expand references such as a dollar sign with braces: the application gets
    them as they stand. A value that says it must be changed was not.

    Fix: render the template before the deploy, or set the real value.
    """
    for at, value in case.odd:
        if "placeholder" in value.traits:
            severity = Severity.HIGH if case.policy.requires(at) else Severity.MEDIUM
            yield Hit(at, f"the value of {at.name} is a placeholder", severity)


SIGNS = {
    "name": "its name",
    "password": "the password in it",
    "shape": "its shape",
    "randomness": "its randomness",
}
"""What gives a credential away, for a sentence; a pattern of a library goes by its own name."""


@rule("credential-in-plain", Severity.MEDIUM)
def credential_in_plain(case: Case) -> Iterator[Hit]:
    """
    A plain value looks like a credential.

    Everyone who may view the project can read the plain values of a revision, and revisions keep
    them for ever.

    Fix: move the value to Secret Manager, bind the key to it, and rotate the credential.
    """
    for at, value in case.odd:
        if CREDENTIAL in value.traits:
            says = f"{at.name} looks like a credential{_by(value)} and is a plain value"
            yield Hit(at, says)


def _by(value: LiteralValue) -> str:
    """What gave it away; nothing for a value that was sealed by an earlier version."""
    signs = [words for sign, words in SIGNS.items() if f"{CREDENTIAL}-by-{sign}" in value.traits]
    kinds = (t.removeprefix(BY_PATTERN) for t in value.traits if t.startswith(BY_PATTERN))
    told = [*signs, *(f"the pattern {kind}" for kind in kinds)]
    return f" by {' and '.join(told)}" if told else ""
