"""
Which calls to make for the revisions of a location: the rule, written down.

A sweep reads every revision of the location in one list, page after page; gets read the wanted ones
alone, one call each, many beside each other. The plan that is over sooner is taken, as long as it
leaves most of the quota to others: with a server far away that is often the gets, with one nearby
the sweep.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

PAGE = 100
"""What a page is expected to hold: how many a server gives at most is not documented (§3)."""

KEPT = 1_000
"""Revisions that Cloud Run keeps of a service at most; older ones are deleted (§3)."""

MOST_GETS = 1_350
"""Half of what a location is sent in a minute: a sweep is kinder to the quota than more."""

OWN_TIME = 0.0005
"""Seconds that a call costs this process, whatever the server takes (`performance.md` §2.1)."""


class Plan(NamedTuple):
    """How the revisions of a location are read, and what each way is expected to take."""

    way: Literal["sweep", "gets"]
    pages: int
    gets: int
    latency: float

    def __str__(self) -> str:
        expected = f"a sweep takes about {self.pages} calls one after the other, gets {self.gets}"
        return f"{self.way} ({expected}, at {1000 * self.latency:.0f} ms for a call)"


def plan(wanted: int, generations: Iterable[int], latency: float, beside: int) -> Plan:
    """
    The better plan for so many wanted revisions, where a call takes `latency` seconds and `beside`
    of them run beside each other.

    A service has at most as many revisions as its generation says, as every one of them is a change
    of the service.
    """
    kept = sum(min(max(generation, 1), KEPT) for generation in generations)
    pages = -(-kept // PAGE)
    sweeping = pages * (latency + OWN_TIME)
    getting = -(-wanted // beside) * latency + wanted * OWN_TIME
    sweep = wanted > MOST_GETS or (pages < wanted and sweeping < getting)
    return Plan("sweep" if sweep else "gets", pages, wanted, latency)
