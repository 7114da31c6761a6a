"""
One run of one side: what it took, what it asked the server, and whether its answer was right.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Self

SECRET_CALLS = frozenset({"ListSecrets", "GetSecret", "ListSecretVersions", "GetSecretVersion"})
OTHER_KINDS = frozenset({"ListWorkerPools", "ListJobs"})


@dataclass(frozen=True)
class Record:
    """
    Seconds, megabytes and calls. `wrong` says why the answer does not count, if so. `stored` are
    the bytes of a store, `canonical` those of the same snapshots as JSON, `filtered` the
    milliseconds of a filter, where a side tells them.
    """

    wall: float
    cpu: float
    rss: float
    imports_rss: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)
    bound: int = 0
    rejected: int = 0
    most_in_flight: int = 0
    without_deadline: int = 0
    wrong: str = ""
    stored: int = 0
    canonical: int = 0
    filtered: float = 0.0

    @property
    def sent(self) -> int:
        """All calls."""
        return sum(self.calls.values())

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """A record from JSON; what it does not know is left out."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in document.items() if name in known})


def bound(facts: dict[str, Any], page: int, calls: dict[str, int], *, remembers: bool) -> int:
    """
    The fewest calls that service by service reading can do with.

    Pages of services, the pages of every service that changed (at first: of all), pages of secrets,
    the versions of every distinct secret, and one list of each other kind that was asked for.
    """
    services, revisions = facts["services"], facts["revisions"]
    changed = facts["touched"] if remembers else services
    each = -(-(revisions // services + remembers) // page)
    secrets = 1 + facts["secrets"] if SECRET_CALLS & calls.keys() else 0
    others = len(OTHER_KINDS & calls.keys())
    return int(-(-services // page) + changed * each + secrets + others)
