"""
What earlier audits saw of a service and Cloud Run does not tell on another day: which revisions
served traffic.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Protocol

from pydantic import AwareDatetime

from drift_audit.frozen import Frozen
from drift_audit.snapshot import Address, Snapshot

MOST = 20
"""Revisions of a service that are remembered: those that were seen to serve last."""


class Served(Frozen):
    """
    A revision that answered requests when an audit looked, and when that was so last.

    A service that is created anew may give its revisions the same names; the uid tells them apart.
    """

    revision: str
    uid: str
    created: AwareDatetime | None = None
    last: AwareDatetime

    @property
    def day(self) -> dt.date:
        """The day on which it was seen to serve last, in UTC."""
        return self.last.astimezone(dt.UTC).date()

    def rolled_back(self, served: Iterable[Served]) -> bool:
        """Tell whether its traffic went back to an older revision: one served when it did not."""
        return any(one.last > self.last and _by_age(one) < _by_age(self) for one in served)


class Past(Frozen):
    """What earlier audits saw of one service. `served` stands newest first."""

    service: Address
    served: tuple[Served, ...] = ()

    def then(self, now: dt.datetime, serving: Iterable[Snapshot]) -> Past:
        """The same after one more audit, which saw some revisions serve."""
        seen = [
            Served(
                revision=revision.revision,
                uid=revision.identity.uid,
                created=revision.identity.create_time,
                last=now,
            )
            for revision in serving
            if revision.identity.uid
        ]
        here = {one.uid for one in seen}
        kept = sorted(
            [*seen, *(one for one in self.served if one.uid not in here)],
            key=lambda one: one.last,
            reverse=True,
        )
        return self.but(served=tuple(sorted(kept[:MOST], key=_by_age, reverse=True)))

    def of_those(self, there: Collection[str]) -> Past:
        """The same without revisions that do not exist any more; those that do are told by uid."""
        return self.but(served=tuple(one for one in self.served if one.uid in there))


def _by_age(served: Served) -> tuple[dt.datetime, str]:
    return served.created or dt.datetime.min.replace(tzinfo=dt.UTC), served.revision


class Pasts(Protocol):
    """What earlier audits saw, by service."""

    def of(self, service: Address) -> Past | None:
        """What they saw of a service; None where none is remembered."""

    def note(self, past: Past) -> None:
        """Remember what has been seen by now of a service."""


class NoPast:
    """Nothing is remembered, before and after."""

    def of(self, service: Address) -> Past | None:  # noqa: ARG002
        """Nothing."""
        return None

    def note(self, past: Past) -> None:
        """It is not kept."""
