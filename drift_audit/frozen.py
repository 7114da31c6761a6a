"""
What every value of the program is: closed, and never changed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
)


class Frozen(BaseModel):  # noqa: PLW1641  # pydantic hashes what is frozen
    """A closed value: no field may be added or changed, and no error quotes what stood in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    def __eq__(self, other: object) -> bool:
        """Of one type, with equal fields; what was derived from them does not count."""
        if self.__class__ is not other.__class__:
            return False
        return self.__dict__ == other.__dict__ or super().__eq__(other)

    def but(self, **changed: Any) -> Self:
        """The same with some fields changed, and without what was derived from the old ones."""
        changed_copy = self.model_copy(update=changed)
        for derived in changed_copy.__dict__.keys() - type(self).model_fields.keys():
            del changed_copy.__dict__[derived]
        return changed_copy


class Entry(Frozen):
    """Part of the policy file. TOML has no tuples, so lists are taken for them."""

    model_config = ConfigDict(strict=False)


ANOTHER = "(another name)"
"""What stands for a name in a document that is no field of ours: it could be anything."""


def place_in(error: ValidationError, whole: str) -> str:
    """
    Where the first fault of a document is, in dots, by the names of our own fields alone: pydantic
    quotes those that a document has besides. `whole` is said where it is no field.
    """
    ours = {name for one in _below(Frozen) for name in one.model_fields}
    parts = error.errors(include_input=False, include_url=False)[0]["loc"]
    told = (str(p) if isinstance(p, int) or p in ours else ANOTHER for p in parts)
    return ".".join(told) or whole


def _below(model: type[Frozen]) -> Iterator[type[Frozen]]:
    for one in model.__subclasses__():
        yield one
        yield from _below(one)


Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
"""What a person writes into such a file."""


def is_unset(value: object) -> bool:
    """For `exclude_if`: a field that is written down only where it says something."""
    return not value


def _on_the_calendar(at: dt.datetime) -> dt.datetime:
    try:
        at.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("a time that UTC has none for") from None
    return at


Instant = Annotated[AwareDatetime, AfterValidator(_on_the_calendar)]
"""A time, as it was written; pages tell it in UTC, so that there must be one there too."""
