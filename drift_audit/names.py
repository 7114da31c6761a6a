"""
What the names of Cloud Run and Secret Manager look like, and what an unfilled placeholder looks
like.

A name that passes here is safe as a path component, in a resource name and on a command line.
Nothing is normalised: a name either matches code point by code point or it does not.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, get_args

SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
"""Services, revisions, regions, worker pools (RFC 1035 labels, at most 63 characters)."""

PLACE = re.compile(rf"{SERVICE.pattern}(\.(job|worker-pool))?")
"""A service, or a job or worker pool under the name that tells it from a service."""

PROJECT = re.compile(r"[a-z0-9]([-a-z0-9.:]{0,61}[a-z0-9])?")
"""A project id, with or without a domain (`example.com:shop`), or a project number."""

ENV = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""The names of variables that Kubernetes, and so the Knative form of Cloud Run, allows."""

SECRET = re.compile(r"[A-Za-z0-9_-]{1,255}")
SECRET_PATH = re.compile(
    rf"projects/(?P<project>{PROJECT.pattern})/secrets/(?P<secret>{SECRET.pattern})"
)

VERSION_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
"""`latest` has this shape too; aliases must start with a letter (`cloud-run-api.md` §5.1)."""

VERSION_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
LAST_VERSION = 2**63 - 1

PLACEHOLDER = re.compile(
    r"\$\{[^{}]*+\}"  # ${VAR}, also ${VAR:-default}
    r"|\$\([A-Za-z_]\w*\)"  # $(VAR): Kubernetes expands it, Cloud Run does not
    r"|\$[A-Z_][A-Z0-9_]+\b"  # $VAR
    r"|%[A-Z_][A-Z0-9_]*%"  # %VAR%
    r"|\{\{(?:(?!\{\{|\}\}).)*+\}\}"  # {{ var }}: no text is looked through twice
    r"|<[A-Za-z][A-Za-z0-9_ -]*+>"  # <VAR>
    r"|\b(?:PROJECT_(?:ID|NUMBER|NAME)|(?:SERVICE|REGION|IMAGE)_NAME|IMAGE_(?:URL|TAG))\b"
    r"|\bYOUR(?:_[A-Z0-9]+)+\b"
    r"|\b(?:PROJECT|REGION|LOCATION)(?=[-./:])|(?<=[-./:])(?:PROJECT|REGION|LOCATION)\b",
    re.ASCII | re.DOTALL,
)
"""The styles of real templates (`real-shapes.md`). A word in capitals alone may be a value."""

_MAYBE = re.compile(r"[$%{<]|[A-Z]{4}")
"""What every one of them holds: most texts need no closer look."""

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_CAPITALS = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)


EVERYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})
"""Members of a policy that are anybody, with or without an account."""

INVOKERS = "service.invokers"
"""The setting that holds who may invoke a service: what is no part of a deploy."""

NOBODY = "nobody"
"""Stands for the members of a policy that has none."""

Kind = Literal["service", "worker-pool", "job"]
"""What holds a configuration. A job has no revisions: its one snapshot is how it is set now."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Paced = Literal["cloud-run", "secret-manager", "resource-manager", "sql-admin", "vpc-access"]
"""An API whose reads are counted by the minute."""

PACED: tuple[Paced, ...] = get_args(Paced)


def place(kind: str, name: str) -> str:
    """
    What tells one place in a region from another: jobs and worker pools may be called as services.
    """
    return name if kind == "service" else f"{name}.{kind}"


def taken_apart(place: str) -> tuple[str, str]:
    """The name and the kind of what `place` names."""
    name, _, kind = place.partition(".")
    return name, kind or "service"


Environment = Literal["production", "staging", "development"]
"""What services of one kind are kept apart by."""

_ENVIRONMENTS: dict[str, Environment] = {
    **dict.fromkeys(("production", "prod", "prd"), "production"),
    **dict.fromkeys(("staging", "stage", "stg"), "staging"),
    **dict.fromkeys(("development", "dev"), "development"),
}


def environment(text: str) -> Environment | None:
    """The environment that a name has as one of its words; None if it has none, or several."""
    words = re.split(r"[^a-z0-9]+", text.lower())
    found = {_ENVIRONMENTS[word] for word in words if word in _ENVIRONMENTS}
    return found.pop() if len(found) == 1 else None


def is_glob(text: str) -> bool:
    """Tell whether a text may match several names, and is not one itself."""
    return not {"*", "?", "["}.isdisjoint(text)


def is_placeholder(text: str) -> bool:
    """Tell whether some part of the text was meant to be filled in by a template."""
    return _MAYBE.search(text) is not None and PLACEHOLDER.search(text) is not None


def is_unfilled(name: str) -> bool:
    """Tell the same of a name that must be lower case: there any word in capitals is one."""
    return is_placeholder(name) or _CAPITALS.fullmatch(name) is not None


def whole_number(text: str) -> int | None:
    """
    A whole number that somebody wrote out, None for anything else. Nothing that is counted has more
    than nine digits, and of thousands Python makes no number.
    """
    return int(text) if _NUMBER.fullmatch(text) else None


def is_version(text: str) -> bool:
    """Tell whether Cloud Run can read this as a secret version: `latest`, a number, or an alias."""
    if VERSION_NUMBER.fullmatch(text):
        return 0 < int(text) <= LAST_VERSION
    return VERSION_ALIAS.fullmatch(text) is not None


def is_floating(version: str) -> bool:
    """Tell whether the version is `latest` or an alias, which another payload can be put behind."""
    return not version or VERSION_ALIAS.fullmatch(version) is not None


def is_pinned(version: str) -> bool:
    """Tell whether the version is a plain number, which can never mean another payload."""
    return bool(VERSION_NUMBER.fullmatch(version)) and not version.startswith("0")


def skeleton(text: str) -> str:
    """
    What a name looks like to a reader: two names that look alike have the same skeleton.

    Case, spaces, invisible characters, full-width forms and letters of other alphabets that look
    like Latin ones are folded away. Only for telling a near miss, never for matching.
    """
    seen = "".join(c for c in text if unicodedata.category(c)[0] not in "CZ")
    if not seen.isascii():
        from confusable_homoglyphs.confusables import confusables_data  # 0.9 MB: rarely needed

        folded = unicodedata.normalize("NFKC", seen)
        seen = "".join(_latin(c, confusables_data) for c in folded)
    return seen.casefold()


def _latin(char: str, confusables: dict[str, list[dict[str, str]]]) -> str:
    """The ASCII letter that a character can be taken for, else the character."""
    if char.isascii():
        return char
    lookalikes = (entry["c"] for entry in confusables.get(char, ()))
    return next((c for c in lookalikes if c.isascii()), char)
