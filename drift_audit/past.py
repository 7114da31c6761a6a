"""
What earlier audits saw of a service, and Cloud Run does not tell on another day: which revisions
served traffic, what was found, and which waivers there were.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from drift_audit.frozen import Frozen, Instant
from drift_audit.snapshot import Address, Snapshot

MOST = 20
"""Revisions of a service that are remembered: those that were seen to serve last."""


class Served(Frozen):
    """
    A revision that answered requests when an audit looked, and when that was so last.

    A service that is created anew may give its revisions the same names; the uid tells them apart.
    It was `rolled_back` where an audit after that saw older ones serve alone.
    """

    revision: str
    uid: str
    created: Instant | None = None
    last: Instant
    rolled_back: bool = False

    @property
    def day(self) -> dt.date:
        """The day on which it was seen to serve last, in UTC."""
        return self.last.astimezone(dt.UTC).date()

    def after(self, serving: Sequence[Served]) -> Served:
        """The same after an audit that saw others serve, and not this one."""
        back = bool(serving) and all(_by_age(one) < _by_age(self) for one in serving)
        return self.but(rolled_back=True) if back else self


class Seen(Frozen):
    """Findings or waivers, by their ids, that have been there in every audit since a time."""

    since: Instant
    ids: tuple[str, ...]


class Past(Frozen):
    """
    What earlier audits saw of one service, the first of them at `since`.

    `served` stands newest first. `findings` and `waivers` are those that the last audit saw.
    """

    service: Address
    since: Instant | None = None
    served: tuple[Served, ...] = ()
    findings: tuple[Seen, ...] = ()
    waivers: tuple[Seen, ...] = ()

    def came_together(self, finding: str, waivers: Iterable[str]) -> bool:
        """
        Tell whether a finding and all the waivers that cover it were seen for the first time by the
        same audit: one before, or the one under way. Of the very first audit nobody can tell.
        """
        found = _since(self.findings).get(finding)
        first = _since(self.waivers)
        known = found is not None and found == self.since
        return not known and all(first.get(waiver) == found for waiver in waivers)

    def then(
        self,
        now: dt.datetime,
        serving: Iterable[Snapshot] = (),
        findings: Iterable[str] = (),
        waivers: Iterable[str] = (),
    ) -> Past:
        """The same after one more audit, with what it saw."""
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
            [*seen, *(one.after(seen) for one in self.served if one.uid not in here)],
            key=lambda one: one.last,
            reverse=True,
        )
        return self.but(
            since=self.since or now,
            served=tuple(sorted(kept[:MOST], key=_by_age, reverse=True)),
            findings=_seen(findings, self.findings, now),
            waivers=_seen(waivers, self.waivers, now),
        )

    def of_those(self, there: Collection[str]) -> Past:
        """The same without revisions that do not exist any more; those that do are told by uid."""
        return self.but(served=tuple(one for one in self.served if one.uid in there))


def _since(seen: Iterable[Seen]) -> dict[str, dt.datetime]:
    return {id: one.since for one in seen for id in one.ids}


def _seen(ids: Iterable[str], before: Iterable[Seen], now: dt.datetime) -> tuple[Seen, ...]:
    """What is there now, by the time since when it has been."""
    known, by_time = _since(before), dict[dt.datetime, list[str]]()
    for id in sorted(set(ids)):
        by_time.setdefault(known.get(id, now), []).append(id)
    return tuple(Seen(since=at, ids=tuple(found)) for at, found in sorted(by_time.items()))


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
