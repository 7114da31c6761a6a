"""
What a Cloud SQL instance or a VPC connector takes, as far as its API tells it.

Nothing is assumed: what neither a flag nor Google's documentation says is None, with the reason.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from drift_audit import names
from drift_audit.frozen import Frozen
from drift_audit.snapshot import UNKNOWN, Snapshot, Unseen

_NAME = r"(?P<name>[a-z][-a-z0-9]{0,97})"
_PROJECT = rf"(?P<project>{names.PROJECT.pattern})"
_REGION = rf"(?P<region>{names.SERVICE.pattern})"
_INSTANCE = re.compile(f"{_PROJECT}:{_REGION}:{_NAME}")
_CONNECTOR = re.compile(f"projects/{_PROJECT}/locations/{_REGION}/connectors/{_NAME}")

_BY_MEMORY = (
    *((120.0, 1_000), (60.0, 800), (30.0, 600), (15.0, 500), (7.5, 400), (6.0, 200), (3.75, 100)),
    *((1.7, 50), (0.5, 25)),
)
"""The default max_connections of PostgreSQL, from so many GB on (`cloud-run-api.md` §8)."""

_SHARED = {"db-f1-micro": 0.6, "db-g1-small": 1.7}
_CUSTOM = re.compile(r"db-custom-[0-9]{1,3}-(?P<mb>[0-9]{3,7})", re.ASCII)
_SERIES = re.compile(r"(?P<series>db-[a-zA-Z0-9-]+?)-(?P<cpus>[0-9]{1,3})", re.ASCII)
_GB_PER_CPU = {
    "db-n1-standard": 3.75,
    "db-n1-highmem": 6.5,
    "db-perf-optimized-N": 8.0,
    "db-c4a-highmem": 8.0,
}
"""Memory of the machine series that Cloud SQL documents; that of the others is not known here."""

POSTGRES, SQL_SERVER = "POSTGRES_", "SQLSERVER_"
READ_POOL = "READ_POOL_INSTANCE"
STOPPED = "NEVER"

_ON_THE_WAY = frozenset({"PENDING_CREATE", "MAINTENANCE", "REPAIRING", "CREATING"})
_AT_WORK = frozenset({"", "RUNNABLE", "ONLINE_MAINTENANCE", "READY", "UPDATING"})
"""States in which instances and connectors work; those before them in time, or for a time."""


class Limit(NamedTuple):
    """How many connections an instance takes, and why; None, and why not."""

    most: int | None
    because: str


class Trouble(NamedTuple):
    """Why something does not work, for a sentence, and whether that passes by itself."""

    says: str
    passing: bool = False


class SqlInstance(Frozen):
    """
    A Cloud SQL instance, by PROJECT:REGION:NAME.

    `flag` is max_connections, or what SQL Server has in its place, as it was set; `primary` what it
    is a replica of, None where it is none or where that could not be read.
    """

    name: str
    exists: bool = True
    engine: str = ""
    tier: str = ""
    type: str = ""
    flag: int | None = None
    pooled: bool = False
    state: str = ""
    activation: str = ""
    replica: bool = False
    primary: SqlInstance | None = None

    @property
    def limit(self) -> Limit:
        """The connections it takes from all clients together."""
        if self.pooled:
            return Limit(None, "managed connection pooling is on")
        if self.type == READ_POOL:
            return Limit(None, "it is a pool of several nodes")
        if self.flag is not None:
            return Limit(self.flag, "as its flag says")
        if not self.engine.startswith(POSTGRES):
            named = "user connections" if self.engine.startswith(SQL_SERVER) else "max_connections"
            return Limit(None, f"{self.engine or 'its engine'} has no flag {named} set")
        return self._default

    @property
    def _default(self) -> Limit:
        """
        The default of PostgreSQL: that of the largest instance in the chain of primaries, as long
        as none of them was set to another (`cloud-run-api.md` §8).
        """
        sizes: list[float] = []
        for one in self._chain:
            if one.replica and one.primary is None:
                return Limit(None, "its primary is not known")
            if one.flag is not None:
                return Limit(None, f"its primary {one.name} has one of its own")
            size = memory(one.tier)
            if size is None:
                return Limit(None, f"the memory of {one.tier or 'its tier'} is not known")
            sizes.append(size)
        most = next((most for least, most in _BY_MEMORY if max(sizes) >= least), None)
        return Limit(most, f"the default for {max(sizes):g} GB")

    @property
    def _chain(self) -> list[SqlInstance]:
        return [self, *(self.primary._chain if self.primary else ())]  # noqa: SLF001  # its own kind

    @property
    def trouble(self) -> Trouble | None:
        """Why it takes no connections now, if it does not."""
        if not self.exists:
            return Trouble("does not exist")
        if self.activation == STOPPED:
            return Trouble("is stopped")
        return _in_state(self.state)


class VpcConnector(Frozen):
    """
    A VPC connector by its full name, and the instances of its own that it may have at most; None
    where it is told by throughput alone.
    """

    name: str
    exists: bool = True
    state: str = ""
    machine_type: str = ""
    max_instances: int | None = None

    @property
    def trouble(self) -> Trouble | None:
        """Why nothing goes through it now, if nothing does."""
        return _in_state(self.state) if self.exists else Trouble("does not exist")


class Limits(Frozen):
    """What was asked for, by name, and read, and what could not be read of it."""

    databases: tuple[SqlInstance, ...] = ()
    connectors: tuple[VpcConnector, ...] = ()
    asked: frozenset[str] = frozenset()
    unseen: tuple[Unseen, ...] = ()

    def database(self, name: str) -> SqlInstance | None:
        """An instance, if it was read."""
        return next((one for one in self.databases if one.name == name), None)

    def connector(self, name: str) -> VpcConnector | None:
        """A connector, if it was read."""
        return next((one for one in self.connectors if one.name == name), None)


def memory(tier: str) -> float | None:
    """Gigabytes of a tier, None where its name does not tell and nothing documents it."""
    if custom := _CUSTOM.fullmatch(tier):
        return int(custom["mb"]) / 1024
    series = _SERIES.fullmatch(tier)
    if series and series["series"] in _GB_PER_CPU:
        return _GB_PER_CPU[series["series"]] * int(series["cpus"])
    return _SHARED.get(tier)


def _in_state(state: str) -> Trouble | None:
    if state in _AT_WORK:
        return None
    return Trouble(f"is in the state {state}", passing=state in _ON_THE_WAY)


class Place(NamedTuple):
    """Where an instance or a connector is, taken from its name."""

    project: str
    region: str
    name: str


def instance_place(name: str) -> Place | None:
    """Where an instance is that is named PROJECT:REGION:NAME; None for what cannot be one."""
    return _place(_INSTANCE, name)


def connector_place(name: str) -> Place | None:
    """Where a connector is, by its full name; None for what cannot be one."""
    return _place(_CONNECTOR, name)


def _place(pattern: re.Pattern[str], name: str) -> Place | None:
    found = pattern.fullmatch(name)
    return Place(found["project"], found["region"], found["name"]) if found else None


def connector_of(snapshot: Snapshot) -> str:
    """
    The full name of the connector that a revision goes through, empty where it goes through none.
    One of a project that nobody names has its own name alone.
    """
    written, who = snapshot.setting("vpc.connector"), snapshot.identity
    if not isinstance(written, str) or "/" in written or UNKNOWN in (who.project, who.region):
        return str(written or "")
    return f"projects/{who.project}/locations/{who.region}/connectors/{written}"
