"""
The fault campaign: whatever goes wrong between us and the API, an audit says what is true, or ends
as incomplete and names what it did not see (`threats-and-promises.md` §2.2).
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import pytest

from drift_audit.emulator.faults import CODES, KINDS, PAGING, REFUSING, RETRY_INFO, Fault
from tests import watch
from tests.campaign import SLOW, VERSION, Ran, Stage, broken, play, positions
from tests.naive import Naive
from tests.worlds import world

TOWN = """
page: 2
numbers: {shop: "123456789012"}
secrets:
  - project: shop
    name: jwt
    versions: {1: destroyed, 2: disabled, 3: enabled, 4: enabled, 5: enabled}
    aliases: {prod: 3}
    rotates: {next: 2026-03-01T00:00:00Z}
  - {project: shop, name: db, versions: {1: enabled, 2: enabled}, expires: 2026-02-01T00:00:00Z}
  - {project: shop, name: mail, versions: {1: enabled}}
  - {project: other, name: cert, versions: {1: enabled}, expires: 2026-03-01T00:00:00Z}
services:
  - project: shop
    region: europe-west1
    service: api
    traffic: [{to: api-00002-b, percent: 100}, {to: LATEST, tag: candidate}]
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        by: one@example.com
        image: r/api:1
        env:
          LOG_LEVEL: info
          JWT: {secret: jwt, version: "3"}
          FLOATS: {secret: jwt}
          ALIAS: {secret: jwt, version: prod}
          DB: {secret: db, version: "1"}
          FAR: {secret: cert, version: "1", project: other}
        files: {/etc/key/tls: {secret: jwt, version: "1"}}
      - {name: api-00002-b, at: 2026-01-02T08:00:00Z, by: two@example.com, labels: {a: b}}
      - {name: api-00003-c, at: 2026-01-03T08:00:00Z, env: {LOG_LEVEL: debug}}
      - {name: api-00004-d, at: 2026-01-04T08:00:00Z, env: {JWT: null, FLOATS: null, DB: null}}
      - {name: api-00005-e, at: 2026-01-05T08:00:00Z, env: {NEW: {secret: gone}}}
  - project: shop
    region: europe-west1
    service: pay
    revisions:
      - name: pay-00001-a
        at: 2026-01-01T08:00:00Z
        image: r/pay
        env: {MAIL: {secret: mail}}
  - project: shop
    region: europe-west1
    service: web
    revisions:
      - {name: web-00001-a, at: 2026-01-01T08:00:00Z, image: r/web, env: {EMPTY: ""}}
worker_pools:
  - project: shop
    region: europe-west1
    worker_pool: mailer
    revisions:
      - name: mailer-00001-a
        at: 2026-01-01T08:00:00Z
        image: r/mailer
        env: {MAIL: {secret: mail, version: "1"}}
jobs:
  - project: shop
    region: europe-west1
    job: nightly
    at: 2026-01-01T08:00:00Z
    image: r/n
    env: {JWT: {secret: jwt, version: "2"}}
"""
"""A deploy lost keys of a service; most lists have several pages."""

QUIET = """
page: 2
locations: {shop: [asia-east1, europe-west1, us-central1]}
secrets: [{project: shop, name: jwt, versions: {1: enabled, 2: enabled}}]
services:
  - project: shop
    region: asia-east1
    service: api
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        image: r/api
        env: {JWT: {secret: jwt, version: "2"}}
  - project: shop
    region: us-central1
    service: web
    revisions: [{name: web-00001-a, at: 2026-01-01T08:00:00Z, image: r/web}]
"""
"""Nothing is wrong in it, in any of three regions that are to be found out."""

STAGES = {
    "listed": Stage(world(TOWN, page=2)),
    "named": Stage(world(TOWN, page=2), services=("api", "mailer", "nightly")),
    "regions": Stage(world(QUIET, page=2), regions=()),
}

RPCS = {
    "listed": (
        "Services/ListServices",
        "Revisions/ListRevisions",
        "Revisions/GetRevision",
        "WorkerPools/ListWorkerPools",
        "Jobs/ListJobs",
        "SecretManagerService/ListSecrets",
        "SecretManagerService/GetSecret",
        "SecretManagerService/ListSecretVersions",
        "SecretManagerService/GetSecretVersion",
    ),
    "named": (
        "Services/GetService",
        "WorkerPools/GetWorkerPool",
        "Jobs/GetJob",
        "Revisions/GetRevision",
    ),
    "regions": ("Locations/ListLocations",),
}
"""What is made to fail in each stage; those of the first are all that are asked there."""

LISTS = tuple(sorted({rpc for rpcs in RPCS.values() for rpc in rpcs if "/List" in rpc}))

CERTAIN = frozenset({*CODES, RETRY_INFO, *REFUSING})
"""Kinds that every call can meet."""

ONE_PAGE = ("Jobs/ListJobs", "WorkerPools/ListWorkerPools")

NEVER = {
    *((kind, rpc) for kind in ("early-end", "permuted-pages", "expired-token") for rpc in ONE_PAGE),
    *(("unreachable", rpc) for rpc in LISTS if rpc != "Services/ListServices"),
    *(
        ("generation-bump", f"SecretManagerService/{method}")
        for method in ("GetSecret", "ListSecretVersions", "GetSecretVersion")
    ),
}
"""
What has no effect: a last page cannot end early, one item has no order, a first page has no token
to be too old, only the list of services can say what it could not reach, and no secret deploys.
"""


@functools.cache
def truth(stage: str) -> Ran:
    """What an audit says where nothing goes wrong."""
    return play(STAGES[stage])


def scheduled(stage: str, rpc: str, kind: str) -> list[Fault]:
    """One kind of fault at the first, middle and last call of an rpc: once, and from there on."""
    lasting = (False,) if kind in REFUSING else (False, True)
    places = positions(truth(stage).calls)[rpc]
    return [Fault(rpc, nth, kind, always=always) for nth in places for always in lasting]


CASES = [
    (stage, rpc, kind)
    for stage, rpcs in RPCS.items()
    for rpc in rpcs
    for kind in sorted(KINDS)
    if (kind not in PAGING or rpc in LISTS) and (kind, rpc) not in NEVER
]


def test_nothing_goes_wrong_by_itself():
    """Without faults every stage is seen whole, and asks for all that is made to fail in it."""
    exits = {stage: truth(stage).report.exit_code for stage in STAGES}
    asked = {stage: set(truth(stage).calls) for stage in STAGES}

    assert exits == {"listed": 10, "named": 10, "regions": 0}
    assert [u for stage in STAGES for u in truth(stage).report.unseen] == []
    assert asked["listed"] == set(RPCS["listed"])
    assert all(set(RPCS[stage]) <= asked[stage] for stage in STAGES)


def test_size_of_the_campaign():
    """The single faults that must all take effect are many."""
    certain = [f for case in CASES if case[2] in CERTAIN for f in scheduled(*case)]

    assert len(certain) >= 600


@pytest.mark.parametrize(("stage", "rpc", "kind"), CASES)
def test_single_faults(stage, rpc, kind):
    """
    One fault at the first, middle or last call of an rpc, once or from there on: what is said is
    true, or incomplete with all that is missing named. Every fault took effect, but for kinds that
    some positions cannot meet; those do not count.
    """
    plan = scheduled(stage, rpc, kind)
    with ThreadPoolExecutor(6 if kind in SLOW else 1) as beside:
        rans = list(beside.map(lambda fault: play(STAGES[stage], [fault]), plan))
    met = [(fault, ran) for fault, ran in zip(plan, rans, strict=True) if ran.fired]
    watch.seen[watch.FAULTS] += len(met)

    assert len(met) == len(plan) if kind in CERTAIN else met
    assert {str(f): wrong for f, ran in met if (wrong := broken(truth(stage), ran))} == {}


NAIVELY = ("Services/ListServices", "Revisions/ListRevisions", "Revisions/GetRevision", VERSION)
"""What the naive collector asks."""


@pytest.mark.parametrize("rpc", NAIVELY)
def test_control_naive_collector(rpc):
    """The same faults turn the campaign red where a collector trusts what it is told."""
    alone = Stage(STAGES["listed"].world.but(worker_pools=(), jobs=()), expecting=False)
    naive = play(alone, collector=Naive)
    kinds = [k for k in KINDS - SLOW if (k not in PAGING or rpc in LISTS) and (k, rpc) not in NEVER]
    schedule = [Fault(rpc, positions(naive.calls)[rpc][1], kind, always=True) for kind in kinds]
    wrong = [ran for f in schedule if broken(naive, ran := play(alone, [f], collector=Naive))]

    assert naive.report.exit_code == 10
    assert len(wrong) >= 15, sorted(f.kind for ran in wrong for f in ran.fired)
