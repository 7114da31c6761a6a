"""
Made-up worlds under up to six faults at once, of any kind and anywhere: the law of the fault
campaign holds for each. Two thousand schedules, or twenty thousand, shared out over four tests.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from drift_audit.emulator.faults import KINDS, PAGING, Fault
from drift_audit.emulator.world import World, read_world
from tests import watch
from tests.campaign import SLOW, Stage, broken, play
from tests.naive import Naive

SCHEDULES = 20_000 if settings.get_current_profile_name() == "proof" else 2_000
TESTS = 4

many = settings(
    max_examples=SCHEDULES // TESTS,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

HOME = {"project": "shop", "region": "europe-west1"}
PLACE = "projects/shop/locations/europe-west1"

ENVS: list[dict[str, Any]] = [
    {},
    {"LOG": "info"},
    {"LOG": "debug", "JWT": {"secret": "jwt", "version": "2"}},
    {"JWT": {"secret": "jwt"}, "DB": {"secret": "db", "version": "1"}},
    {"JWT": {"secret": "jwt", "version": "prod"}, "GONE": {"secret": "gone"}},
    {"FAR": {"secret": "cert", "project": "other"}, "JWT": {"secret": "jwt", "version": "1"}},
]

SECRETS = [
    {
        "project": "shop", "name": "jwt", "aliases": {"prod": 2},
        "versions": {1: "destroyed", 2: "enabled", 3: "enabled"},
        "expires": "2026-03-01T00:00:00Z",
    },
    {"project": "shop", "name": "db", "versions": {1: "enabled", 2: "disabled"}},
    {"project": "shop", "name": "spare", "versions": {1: "enabled"}},
    {"project": "other", "name": "cert", "versions": {1: "enabled"}, "expires": "2026-02-01T00:00:00Z"},
]  # fmt: skip

DENIED = [
    f"{PLACE}/services/s0",
    f"{PLACE}/services/s1/revisions/s1-00001",
    f"{PLACE}/services/-",
    f"{PLACE}/workerPools/p0",
    "projects/shop/secrets/jwt",
    "projects/shop/secrets/db/versions",
    "projects/other",
]

RPCS = (
    "Services/ListServices", "Services/GetService", "Revisions/ListRevisions", "Revisions/GetRevision",
    "WorkerPools/ListWorkerPools", "Jobs/ListJobs", "SecretManagerService/ListSecrets",
    "SecretManagerService/GetSecret", "SecretManagerService/ListSecretVersions",
    "SecretManagerService/GetSecretVersion",
)  # fmt: skip


def revised(name: str, envs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Revisions with these variables, a day apart; what one does not have any more is taken away."""
    found, had = [], set[str]()
    for number, env in enumerate(envs, 1):
        at = dt.datetime(2026, 1, number, 8, tzinfo=dt.UTC).isoformat()
        whole = {**dict.fromkeys(had - env.keys()), **env}
        found.append({"name": f"{name}-{number:05}", "at": at, "image": "r/i", "env": whole})
        had = set(env)
    return found


NOTHING: st.SearchStrategy[list[str]] = st.just([])
histories = st.lists(st.sampled_from(ENVS), min_size=1, max_size=4)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Up to six services of up to four revisions, and what else a place holds."""
    services = []
    for number, envs in enumerate(draw(st.lists(histories, max_size=6))):
        serving = draw(st.integers(0, len(envs)))
        to = f"s{number}-{serving:05}" if serving else "LATEST"
        services.append(
            {
                **HOME, "service": f"s{number}", "revisions": revised(f"s{number}", envs),
                "traffic": [{"to": to, "percent": 100}],
            }
        )  # fmt: skip
    pools = [
        {**HOME, "worker_pool": f"p{number}", "revisions": revised(f"p{number}", envs)}
        for number, envs in enumerate(draw(st.lists(histories, max_size=2)))
    ]
    jobs = [
        {**HOME, "job": f"j{number}", "at": "2026-01-01T08:00:00Z", "image": "r/j", "env": env}
        for number, env in enumerate(draw(st.lists(st.sampled_from(ENVS), max_size=2)))
    ]
    document = {
        "page": draw(st.integers(1, 3)), "numbers": {"shop": "123456789012"},
        "services": services, "worker_pools": pools, "jobs": jobs, "secrets": SECRETS,
        "denied": draw(st.one_of(NOTHING, NOTHING, st.lists(st.sampled_from(DENIED), max_size=2))),
    }  # fmt: skip
    return read_world(document, "world")


SURVIVED = [
    "generation-bump", "early-end", "permuted-pages", "changed-duplicate", "unknown-field",
    "duplicated-page", "empty-page", "expired-token", "reset", "oversize", "UNAVAILABLE",
    "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED",
]  # fmt: skip
"""Kinds after which a run can still be whole: they come more often, or all would be incomplete."""


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """One fault of any kind that its rpc can meet."""
    rpc = draw(st.sampled_from(RPCS))
    kinds = [k for k in (*SURVIVED * 2, *sorted(KINDS)) if k not in PAGING or "/List" in rpc]
    always = draw(st.sampled_from([False, False, False, True]))
    return Fault(rpc, draw(st.integers(1, 5)), draw(st.sampled_from(kinds)), always=always)


schedules = st.lists(faults(), min_size=1, max_size=6)


def hold(world: World, schedule: list[Fault], services: tuple[str, ...] = ()) -> None:
    """Hold one schedule against what the world says without it, and without what is denied."""
    truth = play(Stage(world.but(denied=()), services=services))
    ran = play(Stage(world, services=services), schedule)
    watch.seen[watch.SCHEDULES] += 1

    assert broken(truth, ran) == []


@many
@given(worlds(), schedules)
def test_schedules(world, schedule):
    """What is said of a place is true, or incomplete with all that is missing named."""
    hold(world, schedule)


@many
@given(schedules, worlds())
def test_more_schedules(schedule, world):
    """The same, of other worlds."""
    hold(world, schedule)


@many
@given(worlds(), schedules)
def test_schedules_by_name(world, schedule):
    """The same, where services are asked for by name."""
    hold(world, schedule, tuple(s.service for s in world.services[:3]))


@many
@given(schedules, worlds())
def test_more_schedules_by_name(schedule, world):
    """The same, of other worlds."""
    hold(world, schedule, tuple(s.service for s in world.services[-2:]))


DEPLOYS = [
    (("s4-00001", 5), ("Revisions/ListRevisions",), ("s3", "s4")),
    (("LATEST", 1), ("Services/ListServices", "Services/GetService"), ()),
]
"""Deploys after a list was read, and one after all was: what was true before them may be told."""


@pytest.mark.parametrize(("serving", "rpcs", "asked"), DEPLOYS)
def test_deploys_beside_a_version_that_is_denied(serving, rpcs, asked):
    """A run tells what was true before the last deploy, also where it believes that a version is gone."""
    to, count = serving
    last = [ENVS[0], ENVS[2]] if count > 1 else [ENVS[2]]
    services = [
        {**HOME, "service": f"s{i}", "revisions": revised(f"s{i}", last if i == count - 1 else [{}]),
         "traffic": [{"to": to if i == count - 1 else "LATEST", "percent": 100}]}
        for i in range(count)
    ]  # fmt: skip
    document = {
        "page": 1,
        "numbers": {"shop": "123456789012"},
        "services": services,
        "secrets": SECRETS,
    }
    denied = Fault("SecretManagerService/GetSecretVersion", 1, "NOT_FOUND", always=False)
    deploys = [Fault(rpc, 1, "generation-bump", always=False) for rpc in rpcs]

    hold(read_world(document, "world"), [*deploys, denied], asked)


def test_unknown_field_beside_a_list_that_ends_early():
    """What neither of the two lets be held against the truth is left out, and the rest is held."""
    services = [
        {**HOME, "service": name, "revisions": revised(name, [{}])} for name in ("s0", "s1")
    ]
    world = read_world({"page": 1, "services": services}, "world")
    unknown = Fault("Services/ListServices", 1, "unknown-field", always=False)
    early = Fault("Revisions/ListRevisions", 1, "early-end", always=False)

    hold(world, [unknown, early])


def test_control_naive_collector():
    """A collector that trusts what it is told breaks the law under some of these schedules."""

    @settings(
        max_examples=100, deadline=None, database=None, derandomize=True, phases=[Phase.generate]
    )
    @given(worlds(), schedules)
    def holds(world, schedule):
        stage = Stage(world.but(denied=(), worker_pools=(), jobs=()), expecting=False)
        quick = [fault for fault in schedule if fault.kind not in SLOW]
        assert broken(play(stage, collector=Naive), play(stage, quick, Naive)) == []

    with pytest.raises(AssertionError):
        holds()
