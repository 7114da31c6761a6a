"""Worlds for tests, and the emulator that plays them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import yaml

from drift_audit import strict
from drift_audit.collector.api import Location
from drift_audit.collector.budget import Budget
from drift_audit.collector.cloud_run import CloudRun, Depth, Where
from drift_audit.collector.connection import Connection
from drift_audit.emulator.server import Emulator
from drift_audit.emulator.world import World, read_world
from drift_audit.inventory import Memory
from drift_audit.seal import Sealer
from drift_audit.snapshot import Kind
from tests import watch
from tests.builders import sealer
from tests.command import SEALED

SHOP = """
numbers: {shop: "123456789012"}
secrets:
  - {project: shop, name: jwt, versions: {1: destroyed, 2: disabled, 3: enabled}, aliases: {prod: 2}}
  - {project: other, name: db, versions: {1: enabled}}
  - {project: shop, name: empty}
services:
  - project: shop
    region: europe-west1
    service: api
    labels: {team: api}
    traffic: [{to: api-00002-b, percent: 100}, {to: api-00003-c, tag: candidate}]
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        by: one@example.com
        image: r/api@sha256:0000000000000000000000000000000000000000000000000000000000000001
        connector: projects/shop/locations/europe-west1/connectors/c1
        cloud_sql: ["shop:europe-west1:db"]
        env:
          LOG_LEVEL: info
          JWT: {secret: jwt, version: "3"}
          FLOATS: {secret: jwt}
          ALIAS: {secret: jwt, version: prod}
          FAR: {secret: db, version: "1", project: other}
        files: {/etc/key/tls: {secret: jwt, version: "1"}}
        sidecars: [{name: proxy, image: r/proxy, env: {A: x}}]
        container: app
      - name: api-00002-b
        at: 2026-01-02T08:00:00Z
        by: two@example.com
        labels: {commit-sha: 0123456789abcdef}
      - name: api-00003-c
        at: 2026-01-03T08:00:00Z
        env: {JWT: null, NEW: {secret: gone}}
        ready: false
  - project: shop
    region: europe-west1
    service: web
    revisions:
      - {name: web-00001-a, at: 2026-01-01T08:00:00Z, image: r/web, env: {EMPTY: ""}}
"""

PLACE = Location("shop", "europe-west1")


@contextmanager
def playing_document(document: dict[str, Any]) -> Iterator[Emulator]:
    """An emulator that plays a world given as a document."""
    with Emulator(read_world(document, "world")) as emulator:
        yield emulator


def world(text: str = SHOP, **more: Any) -> World:
    """A world from YAML, with some fields set."""
    return read_world(
        strict.load(text)[0] | strict.load(yaml.safe_dump(more or {"page": 100}))[0], "world"
    )


def source(
    emulator: Emulator,
    *,
    place: Location = PLACE,
    services: tuple[str, ...] = (),
    kinds: tuple[Kind, ...] = ("service",),
    seal: Sealer | None = None,
    seconds: float = 60,
    memory: Memory | None = None,
    secrets: Depth = "versions",
) -> CloudRun:
    """
    The live collector, pointed at an emulator; it waits for nothing between two attempts. A place
    without a region is all of a project.
    """
    connection = Connection(emulator.address, emulator.address, emulator.rest)
    budget = Budget(time.monotonic, seconds, sleep=lambda _: None)
    where = Where([place.project], list(filter(None, [place.region])), services, kinds)
    seal = seal or sealer()
    return CloudRun(where, seal, budget, connection, memory=memory, secrets=secrets)


@contextmanager
def playing(
    text: str = SHOP,
    *,
    watched: bool = True,
    total: Counter[str] = watch.seen,
    key: str = "",
    **more: Any,
) -> Iterator[Emulator]:
    """
    An emulator that plays a world. Its clients must not write, ask for payloads, or wait for ever,
    unless they are not ours: `watched` says so. `key` names the one payload that they may read.
    """
    with Emulator(world(text, **more)) as emulator:
        watching = watch.over(emulator, total, key) if watched else nullcontext()
        with watching:
            yield emulator


def reached(emulator: Emulator) -> dict[str, str]:
    """What points the command at an emulator."""
    hosts = {"CLOUD_RUN_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST"}
    rest = {"CLOUD_RUN_EMULATOR_REST_HOST": emulator.rest}
    return {**SEALED, **dict.fromkeys(hosts, emulator.address), **rest}
