"""
How many reads an API is sent in a time, so that an audit leaves room for everybody's deploys.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pyrate_limiter import InMemoryBucket, Rate, RateItem

from drift_audit.names import Paced

MILLI = 1000


class Quota(NamedTuple):
    """What a call is counted against: an API, a project and, for Cloud Run, a region."""

    api: Paced
    project: str
    region: str = ""


CLOUD_RUN: Paced = "cloud-run"
SECRET_MANAGER: Paced = "secret-manager"
RESOURCE_MANAGER: Paced = "resource-manager"
SQL_ADMIN: Paced = "sql-admin"
VPC_ACCESS: Paced = "vpc-access"

PER_MINUTE: Mapping[Paced, int] = {
    CLOUD_RUN: 2_700,
    SECRET_MANAGER: 300,
    RESOURCE_MANAGER: 300,
    SQL_ADMIN: 60,
    VPC_ACCESS: 60,
}
"""
Reads a minute for each quota: below the 3,000 that Cloud Run grants a project and region, and half
of what Secret Manager grants a project (`cloud-run-api.md` §3, §0). The path to Cloud SQL that is
built in spends the quota of the Admin API while services scale (§8): an audit leaves it to them.
"""


class Pace:
    """
    Counts calls by quota in a sliding window: no window ever holds more than is allowed.

    `clock` tells seconds, monotonically. `rates` say what a window, in seconds, holds of an API
    where that is not what it is by itself. Safe to share between threads.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        rates: Mapping[Paced, int] | None = None,
        window: float = 60.0,
    ) -> None:
        self._clock, self._rates, self._window = clock, {**PER_MINUTE, **(rates or {})}, window
        self._lock = threading.Lock()
        self._buckets: dict[Quota, InMemoryBucket] = {}

    def take(self, quota: Quota) -> float:
        """Take one call. 0 when it may be sent now, else the seconds until it is worth asking."""
        at = int(self._clock() * MILLI)
        with self._lock:
            bucket = self._buckets.get(quota) or self._bucket(quota)
            bucket.leak(at)
            item = RateItem(quota.api, at)
            if bucket.put(item):
                return 0.0
            wait = bucket.waiting(item)
        assert isinstance(wait, int)
        return max(wait, 1) / MILLI

    def _bucket(self, quota: Quota) -> InMemoryBucket:
        window = int(self._window * MILLI)
        self._buckets[quota] = InMemoryBucket([Rate(self._rates[quota.api], window)])
        return self._buckets[quota]
