"""
Which calls to make for the revisions of a location: the rule, written down.

A sweep reads every revision of the location in one list, page by page; gets read the wanted ones,
one call each. The plan with fewer calls is taken: calls are what the quota counts, and what deploys
need too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

PAGE = 100
"""What a page is expected to hold: how many a server gives at most is not documented (§3)."""

KEPT = 1_000
"""Revisions that Cloud Run keeps of a service at most; older ones are deleted (§3)."""


class Plan(NamedTuple):
    """How the revisions of a location are read, and the calls that each way is expected to take."""

    way: Literal["sweep", "gets"]
    sweep: int
    gets: int

    def __str__(self) -> str:
        return f"{self.way} (a sweep takes about {self.sweep} calls, gets take {self.gets})"


def plan(wanted: int, generations: Iterable[int]) -> Plan:
    """
    The cheaper plan for so many wanted revisions. A service has at most as many revisions as its
    generation says, as every one of them is a change of the service.
    """
    kept = sum(min(max(generation, 1), KEPT) for generation in generations)
    sweep = -(-kept // PAGE)
    return Plan("sweep" if sweep < wanted else "gets", sweep, wanted)
