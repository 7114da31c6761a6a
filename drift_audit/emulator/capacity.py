"""
Cloud SQL instances and VPC connectors, described as their APIs do (`cloud-run-api.md` §8), over
HTTP alone: that of Cloud SQL has no other front.
"""

from __future__ import annotations

from drift_audit.emulator.deployed import Json
from drift_audit.emulator.desk import Asked, Rpc
from drift_audit.emulator.reached import WorldConnector, WorldDatabase
from drift_audit.emulator.status import not_found
from drift_audit.emulator.world import World

THROUGHPUT = 100
"""Mbps that the API tells for each instance of a connector, whatever its machines are."""


def rpcs(world: World) -> dict[str, Rpc]:
    """The methods by name: one instance, or one connector, by its own name."""
    here = _Capacity(world)
    return {
        "SqlInstancesService/Get": Rpc(Asked, here.instance),
        "VpcAccessService/GetConnector": Rpc(Asked, here.connector),
    }


class _Capacity:
    def __init__(self, world: World) -> None:
        self._world = world
        self._databases = {one.name: one for one in world.databases}
        self._connectors = {one.name: one for one in world.connectors}

    def instance(self, asked: Asked) -> Json:
        """One instance."""
        one = self._databases.get(self._named(asked.name))
        if one is None:
            raise not_found(f"The Cloud SQL instance {asked.name}")
        return _instance(one)

    def connector(self, asked: Asked) -> Json:
        """One connector."""
        one = self._connectors.get(self._named(asked.name))
        if one is None:
            raise not_found(f"Connector {asked.name}")
        return _connector(one)

    def _named(self, name: str) -> str:
        """A full name with the id of its project, whether it was asked for by id or by number."""
        _, project, rest = name.split("/", 2)
        return f"projects/{self._world.project(project)}/{rest}"


def _instance(one: WorldDatabase) -> Json:
    settings: Json = {
        "kind": "sql#settings",
        "tier": one.tier,
        "edition": one.edition,
        "activationPolicy": one.activation,
        "settingsVersion": "1",
    }
    if one.flags:
        settings["databaseFlags"] = [{"name": n, "value": v} for n, v in one.flags.items()]
    if one.pooling:
        settings["connectionPoolConfig"] = {"connectionPoolingEnabled": True}
    found: Json = {
        "kind": "sql#instance",
        "name": one.database,
        "project": one.project,
        "region": one.region,
        "connectionName": f"{one.project}:{one.region}:{one.database}",
        "databaseVersion": one.engine,
        "backendType": "SECOND_GEN",
        "instanceType": _type(one),
        "state": one.state,
        "settings": settings,
    }
    if one.primary:
        inside = ":" in one.primary
        found["masterInstanceName"] = one.primary if inside else f"{one.project}:{one.primary}"
    if one.nodes:
        found["nodeCount"] = one.nodes
    return found


def _type(one: WorldDatabase) -> str:
    if one.nodes:
        return "READ_POOL_INSTANCE"
    return "READ_REPLICA_INSTANCE" if one.primary else "CLOUD_SQL_INSTANCE"


def _connector(one: WorldConnector) -> Json:
    found: Json = {
        "name": one.name,
        "network": one.network,
        "ipCidrRange": one.range,
        "state": one.state,
        "machineType": one.machine_type,
        "minThroughput": one.min_instances * THROUGHPUT,
    }
    if one.max_instances is not None:
        found |= {"minInstances": one.min_instances, "maxInstances": one.max_instances}
        found["maxThroughput"] = one.max_instances * THROUGHPUT
    return found
