"""
What a rule found, and what it could not look at.

A finding holds names and states, never values. Its identity is the rule and the address, without
revision and value: waivers, blame and "new since last night" all go by it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import operator
from enum import Enum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from drift_audit.binding import Moment
from drift_audit.frozen import Frozen, Instant
from drift_audit.snapshot import Address


class Severity(Enum):
    """How much a finding matters, from info to critical."""

    INFO = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    @property
    def word(self) -> str:
        """As it is written everywhere: `high`."""
        return self.name.lower()

    def __ge__(self, other: Severity) -> bool:
        return self.value >= other.value

    @property
    def raised(self) -> Severity:
        """One step up, where there is one."""
        return Severity(min(self.value + 1, Severity.CRITICAL.value))


WORDS = tuple(s.word for s in Severity)
NEVER = "never"


def _severity(given: Any) -> Any:
    if isinstance(given, Severity):
        return given
    if given not in WORDS:
        raise ValueError(f"not one of {', '.join(WORDS)}")
    return Severity[given.upper()]


def _threshold(given: Any) -> Any:
    if given is None or given == NEVER:
        return None
    if given not in WORDS and not isinstance(given, Severity):
        raise ValueError(f"not one of {NEVER}, {', '.join(WORDS)}")
    return _severity(given)


SeverityWord = Annotated[
    Severity,
    BeforeValidator(_severity),
    PlainSerializer(lambda s: s.word, return_type=str),
    WithJsonSchema({"enum": list(WORDS)}),
]
"""A severity that is written as a word."""

Threshold = Annotated[
    Severity | None,
    BeforeValidator(_threshold),
    PlainSerializer(lambda s: s.word if s else NEVER, return_type=str),
    WithJsonSchema({"enum": [NEVER, *WORDS]}),
]
"""The severity that fails a run; `never` (None) for an audit that only reports."""


class First(Frozen):
    """
    The deploy that made a change: who, when and with what, as far as the revision says.

    `certain` is False when the revisions before it are gone, so that it may have happened earlier.
    `client` is what the deploying tool claims to be.
    """

    revision: str
    previous: str = ""
    creator: str = ""
    client: str = ""
    create_time: Instant | None = None
    certain: bool = True


class Cause(Frozen):
    """What probably made a change, and why we think so. A hint: no finding depends on it."""

    command: str
    because: str


class Remedy(Frozen):
    """
    How to put it back: a gcloud command that restores, and one that rolls back.

    Values never stand in a command: a literal is named by a placeholder, and `note` says where to
    read it. Empty where no command can be given.
    """

    restore: str = ""
    rollback: str = ""
    note: str = ""


class Waived(Frozen):
    """
    Who accepted a finding, why, and until when.

    A waiver is `new` where the same audit saw it and the finding for the first time: nobody can
    have seen the finding open.
    """

    owner: str
    reason: str
    until: dt.date
    new: bool = False


class Finding(Frozen):
    """
    One thing a rule says about one address.

    `before` and `after` are states (`absent`, `empty`, `literal`, `secret`, `unreadable`), or the
    values of a setting, which are not secrets. `since` is when an audit of these nights saw it
    first; None where no earlier ones are known of.
    """

    rule: str
    severity: SeverityWord
    address: Address
    says: str
    before: str | int | bool | None = None
    after: str | int | bool | None = None
    first_seen: First | None = None
    cause: Cause | None = None
    remedy: Remedy | None = None
    waived: Waived | None = None
    since: Moment = None

    def is_new(self, now: dt.datetime) -> bool:
        """Whether the audit of that time saw it first, as far as earlier ones are known of."""
        return self.since == now

    @property
    def id(self) -> str:
        """The same for the same rule and address in every run."""
        place = f"{self.rule} {self.address}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(place).hexdigest()[:16]

    @property
    def order(self) -> tuple[int, str, str]:
        """Sort key: most severe first, then by rule and address."""
        return -self.severity.value, self.rule, str(self.address)


Mark = Annotated[bool, Field(exclude_if=operator.not_)]
"""What is written down only where it is so."""


class Known(Frozen):
    """
    A finding of a night, and since when there is one.

    `carried` says that it is one of a night before, which this one, being incomplete, may not have
    seen; `waived` that its owner accepted it.
    """

    id: str
    rule: str
    severity: SeverityWord
    address: Address
    says: str
    since: Instant
    carried: Mark = False
    waived: Mark = False

    @property
    def order(self) -> tuple[int, str, str]:
        """Sort key: as that of findings."""
        return -self.severity.value, self.rule, str(self.address)


class Skip(Frozen):
    """
    A judgement that was not made, and why.

    `blocking` says that what was missing is in scope: the verdict is then incomplete. A skip that
    is not blocking belongs to evidence that nobody offered, such as secret versions beside two
    files.
    """

    what: str
    service: Address | None = None
    reason: str
    blocking: bool
