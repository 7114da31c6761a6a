"""
Reads what Cloud SQL instances and VPC connectors take: one GET for each that is asked for, and one
for each primary of a replica.

Cloud SQL's Admin API is served over REST alone: google's gRPC client of it meets a 404. Both are
asked with the session that is there anyway, and nothing else of an answer is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import quote

from drift_audit import names
from drift_audit.collector.budget import Budget, Missing, Unanswered
from drift_audit.collector.pace import SQL_ADMIN, VPC_ACCESS, Quota
from drift_audit.collector.rest import SQL_ADMIN as SQL_HOST
from drift_audit.collector.rest import VPC_ACCESS as VPC_HOST
from drift_audit.collector.rest import Question, Rest
from drift_audit.limits import (
    POSTGRES,
    READ_POOL,
    SQL_SERVER,
    Limits,
    Place,
    SqlInstance,
    VpcConnector,
    connector_place,
    instance_place,
)
from drift_audit.snapshot import Unseen

AT_ONCE = 8

PRIMARIES = 8
"""Instances that a chain of replicas may have; Cloud SQL allows fewer."""

FLAG = "max_connections"
FLAG_OF_SQL_SERVER = "user connections"


class LimitReader:
    """Asks for limits; what could not be read is unseen. `tell` hears of progress."""

    def __init__(
        self,
        rest: Rest,
        budget: Budget,
        tell: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self._rest, self._budget, self._tell = rest, budget, tell

    def read(self, databases: Collection[str], connectors: Collection[str]) -> Limits:
        """Instances by PROJECT:REGION:NAME, and connectors by their full names."""
        asked = [
            *(partial(self._instance, name) for name in sorted(set(databases))),
            *(partial(self._connector, name) for name in sorted(set(connectors))),
        ]
        found: list[SqlInstance | VpcConnector | Unseen] = []
        executor = ThreadPoolExecutor(AT_ONCE)
        try:
            for one in executor.map(lambda ask: ask(), asked):
                found.append(one)
                self._tell("limits", len(found), len(asked))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)  # who is stopped waits for none
        return Limits(
            databases=tuple(one for one in found if isinstance(one, SqlInstance)),
            connectors=tuple(one for one in found if isinstance(one, VpcConnector)),
            asked=frozenset((*databases, *connectors)),
            unseen=tuple(one for one in found if isinstance(one, Unseen)),
        )

    def _instance(self, name: str) -> SqlInstance | Unseen:
        what, place = f"Cloud SQL instance {name}", instance_place(name)
        if place is None:
            return Unseen(where=what, reason="not the name of an instance")
        try:
            read = self._described(place)
            if not _is(read, place):  # a name is given once in a project, in whatever region
                return SqlInstance(name=name, exists=False)
            return self._with_primary(_instance(name, read), place, read)
        except Missing:
            return SqlInstance(name=name, exists=False)
        except Unanswered as error:
            return Unseen(where=what, reason=str(error))

    def _described(self, place: Place) -> dict[str, Any]:
        """An instance as the API describes it. Raises Missing and Unanswered."""
        project, name = (quote(part, safe="") for part in (place.project, place.name))
        question = Question(SQL_HOST, f"/v1/projects/{project}/instances/{name}")
        what = f"get Cloud SQL instance {place.project}:{place.name}"
        return self._budget.call(what, self._rest.ask, question, Quota(SQL_ADMIN, place.project))

    def _with_primary(
        self, one: SqlInstance, place: Place, read: dict[str, Any], depth: int = 1
    ) -> SqlInstance:
        """The same with its primaries, where its limit depends on theirs. Raises Unanswered."""
        above = _text(read, "masterInstanceName")
        told_by_itself = one.flag is not None or one.pooled or one.type == READ_POOL
        if not above:
            return one
        if told_by_itself or not one.engine.startswith(POSTGRES) or depth >= PRIMARIES:
            return one.but(replica=True)
        project, _, name = above.rpartition(":")
        where = Place(project or place.project, "", name)
        try:
            told = self._described(where)
        except Missing:
            return one.but(replica=True)
        except Unanswered as error:
            raise Unanswered(f"its primary could not be read: {error}") from None
        primary = _instance(_text(told, "connectionName") or above, told)
        primary = self._with_primary(primary, where, told, depth + 1)
        return one.but(replica=True, primary=primary)

    def _connector(self, name: str) -> VpcConnector | Unseen:
        what, place = f"VPC connector {name}", connector_place(name)
        if place is None:
            return Unseen(where=what, reason="not the full name of a connector")
        question = Question(VPC_HOST, f"/v1/{quote(name)}")
        quota = Quota(VPC_ACCESS, place.project, place.region)
        try:
            read = self._budget.call(f"get {name}", self._rest.ask, question, quota)
            return _connector(name, place, read)
        except Missing:
            return VpcConnector(name=name, exists=False)
        except Unanswered as error:
            return Unseen(where=what, reason=str(error))


def _is(read: dict[str, Any], place: Place) -> bool:
    """Whether an answer is about the instance that was asked for, and not its namesake."""
    told = instance_place(_text(read, "connectionName"))
    if told is None:
        raise Unanswered("an answer that is no instance")
    return (told.region, told.name) == (place.region, place.name)


def _instance(name: str, read: dict[str, Any]) -> SqlInstance:
    """What is kept of an instance. Raises Unanswered."""
    settings = read.get("settings")
    if not isinstance(settings, dict):
        raise Unanswered("an answer that is no instance")
    pooling = settings.get("connectionPoolConfig")
    engine = _text(read, "databaseVersion")
    return SqlInstance(
        name=name,
        engine=engine,
        tier=_text(settings, "tier"),
        type=_text(read, "instanceType"),
        flag=_flag(settings, FLAG_OF_SQL_SERVER if engine.startswith(SQL_SERVER) else FLAG),
        pooled=isinstance(pooling, dict) and pooling.get("connectionPoolingEnabled") is True,
        state=_state(read),
        activation=_text(settings, "activationPolicy"),
    )


def _connector(name: str, place: Place, read: dict[str, Any]) -> VpcConnector:
    """What is kept of a connector. Raises Unanswered."""
    told = connector_place(_text(read, "name"))
    if told is None or (told.region, told.name) != (place.region, place.name):
        raise Unanswered("an answer that is no such connector")
    return VpcConnector(
        name=name,
        state=_state(read),
        machine_type=_text(read, "machineType"),
        max_instances=_number(read.get("maxInstances")),
    )


def _flag(settings: dict[str, Any], name: str) -> int | None:
    """The number of a flag, None where it is not set, or zero. Raises Unanswered for no number."""
    flags = settings.get("databaseFlags") or []
    if not isinstance(flags, list) or not all(isinstance(flag, dict) for flag in flags):
        raise Unanswered("an answer that is no instance")
    found = [flag.get("value") for flag in flags if flag.get("name") == name]
    if not found:
        return None
    number = _number(found[0])
    if number is None:
        raise Unanswered("a number of connections that is no number")
    return number or None


def _number(value: object) -> int | None:
    """A whole number, as JSON or as the text that protobuf makes of large ones."""
    return names.whole_number(str(value).strip())


def _text(read: dict[str, Any], field: str) -> str:
    """A field that holds text; empty where it holds none."""
    value = read.get(field)
    return value if isinstance(value, str) else ""


def _state(read: dict[str, Any]) -> str:
    """The state, empty where the API tells none."""
    told = _text(read, "state")
    return "" if told.endswith("UNSPECIFIED") else told
