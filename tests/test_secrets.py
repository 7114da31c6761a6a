"""Secrets as Secret Manager tells them: numbers, states and times, by as few calls as possible."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter

import pytest

from drift_audit.binding import SecretReference
from drift_audit.collector.api import Location
from drift_audit.snapshot import Snapshot
from tests.command import run
from tests.worlds import playing_document, reached, source

PLACE = Location("shop", "r1")
NUMBER = "123456789012"
LIST, GET = "SecretManagerService/ListSecrets", "SecretManagerService/GetSecret"
VERSIONS, VERSION = f"{GET[:21]}ListSecretVersions", f"{GET[:21]}GetSecretVersion"

JWT = {
    "project": "shop", "name": "jwt", "versions": {"1": "destroyed", "2": "disabled", "3": "enabled"},
    "aliases": {"prod": 2, "old": 1},
}  # fmt: skip
DB = {"project": "shop", "name": "db", "versions": {"1": "enabled"}}


def world(env, *, secrets=(JWT, DB), **more):
    """A service with such an environment."""
    revision = {"name": "api-1", "at": "2026-01-01T08:00:00Z", "image": "i", "env": env}
    one = {"project": "shop", "region": "r1", "service": "api", "revisions": [revision]}
    return {"numbers": {"shop": NUMBER}, "services": [one], "secrets": list(secrets), **more}


def asks(secret, version="latest", **more):
    return {"secret": secret, "version": version, **more}


def collected(played):
    """The references of the service by key, what was not seen, and the calls for secrets."""
    with playing_document(played) as emulator:
        inventory = source(emulator, place=PLACE).collect()
        calls = Counter(c.method for c in emulator.calls if "Secret" in c.method)
    [api] = inventory.services
    return {b.key: b.source for b in api.revisions[0].bindings}, inventory.unseen, calls


ALL = {"A": asks("jwt", "1"), "B": asks("jwt", "2"), "C": asks("jwt"), "D": asks("jwt", "prod")}
MEANT = {"A": (1, "destroyed"), "B": (2, "disabled"), "C": (3, "enabled"), "D": (2, "disabled")}


def states(found):
    return {key: (ref.resolved, ref.version_state) for key, ref in found.items()}


def test_versions_of_one_secret_by_one_list():
    """Numbers, latest and aliases are resolved by one list of the versions, however many ask."""
    found, unseen, calls = collected(world(ALL))

    assert states(found) == MEANT
    assert unseen == ()
    assert calls == {GET: 1, VERSIONS: 1}


@pytest.mark.parametrize("key", sorted(ALL))
def test_one_version_by_one_get(key):
    """A secret that is read in one version alone costs one call for it, with the same outcome."""
    found, _, calls = collected(world({key: ALL[key]}))

    assert states(found) == {key: MEANT[key]}
    assert calls == {GET: 1, VERSION: 1}


@pytest.mark.parametrize("version", ["9", "nobody"])
def test_version_that_is_not_there(version):
    """A version or alias that the list does not hold is asked for by name, and told as not found."""
    found, unseen, calls = collected(world({**ALL, "E": asks("jwt", version)}))

    assert (found["E"].resolved, found["E"].version_state) == (None, "not-found")
    assert unseen == ()
    assert calls[VERSION] == 1


def test_calls_grow_with_secrets():
    """One list of the secrets of a project, and one call for each secret that is read."""
    secrets = [
        {"project": "shop", "name": f"s{n}", "versions": {"1": "enabled"}} for n in range(40)
    ]
    env = {f"K{n}": asks(f"s{n % 20}", "1") for n in range(60)}
    _, _, calls = collected(world(env, secrets=secrets, page=100))

    assert calls == {LIST: 1, VERSION: 20}


def test_project_by_number_and_by_id():
    """A secret that is asked for under the project's number is the project's own."""
    found, unseen, _ = collected(
        world({"A": asks("jwt", "3", project=NUMBER), "B": asks("jwt", "3")})
    )

    assert found["A"] == found["B"] == SecretReference(secret="jwt", version="3", resolved=3, version_state="enabled")  # fmt: skip
    assert unseen == ()


TIMES = {"created": "2025-12-01T00:00:00Z", "expires": "2026-09-01T00:00:00Z", "rotates": {"next": "2026-08-01T12:00:00Z"}, "scheduled": {"3": "2026-07-01T00:00:00.5Z"}}  # fmt: skip


@pytest.mark.parametrize("keys", [["C"], ["A", "C"]], ids=["get", "list"])
@pytest.mark.parametrize("several", [False, True])
def test_times_of_a_secret(keys, several):
    """When a version was made and is destroyed, and when its secret expires and is rotated, whichever call tells it."""
    env = {key: ALL[key] for key in keys} | ({"DB": asks("db")} if several else {})
    found, _, _ = collected(world(env, secrets=[{**JWT, **TIMES}, DB]))

    assert found["C"].destroyed_at == dt.datetime(2026, 7, 1, 0, 0, 0, 500_000, tzinfo=dt.UTC)
    assert found["C"].expires_at == dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
    assert found["C"].created_at == dt.datetime(2025, 12, 1, tzinfo=dt.UTC)
    assert found["C"].rotates_at == dt.datetime(2026, 8, 1, 12, tzinfo=dt.UTC)
    if "A" in keys:
        assert (found["A"].destroyed_at, found["A"].expires_at) == (None, found["C"].expires_at)


def test_times_are_stored(tmp_path):
    """A stored snapshot holds the times that there are, and no word of those that there are not."""
    played = world({"C": ALL["C"], "DB": asks("db")}, secrets=[{**JWT, **TIMES}, DB])
    with playing_document(played) as emulator:
        scope = ["--project=shop", "--region=r1"]
        ran = run("snapshot", *scope, cwd=tmp_path, env=reached(emulator))
    [stored] = json.loads(ran.out)
    sources = {b["key"]: b["source"] for b in stored["bindings"]}
    times = {"created_at", "destroyed_at", "expires_at", "rotates_at"}

    assert ran.code == 0
    assert times <= sources["C"].keys()
    assert times & sources["DB"].keys() == set()
    assert Snapshot.model_validate_json(json.dumps(stored)).keys["", "C"].source.expires_at


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        (f"{LIST}:1+:PERMISSION_DENIED", {LIST: 1, GET: 2, VERSIONS: 1, VERSION: 1}),
        (f"{LIST}:1:early-end", {LIST: 1, GET: 1, VERSIONS: 1, VERSION: 1}),
        (f"{VERSIONS}:1+:PERMISSION_DENIED", {LIST: 2, VERSIONS: 1, VERSION: 5}),
        (f"{VERSIONS}:1+:repeated-token", {LIST: 2, VERSIONS: 2, VERSION: 5}),
    ],
)
def test_list_that_is_denied_or_short(fault, calls):
    """What a list may not tell, or leaves out, is asked for by name: nothing is unseen for it."""
    env = {**ALL, "DB": asks("db", "1")}
    found, unseen, made = collected(world(env, faults=[fault], page=1))

    assert states(found) == {**MEANT, "DB": (1, "enabled")}
    assert unseen == ()
    assert {name: made[name] for name in calls if name != VERSIONS} == {
        name: count for name, count in calls.items() if name != VERSIONS
    }


def test_secret_whose_metadata_may_not_be_read():
    """Who may read versions and not their secret is told what is missing: times and aliases."""
    found, unseen, _ = collected(world(ALL, faults=[f"{GET}:1+:PERMISSION_DENIED"]))

    assert states(found) == MEANT
    assert [(u.where, u.reason) for u in unseen] == [
        ("expiry and aliases of secret projects/shop/secrets/jwt", "permission denied")
    ]


def test_history_costs_one_list_of_secrets():
    """Every revision may read other secrets: those of a project are listed once all the same."""
    secrets = [
        {"project": "shop", "name": f"s{n}", "versions": {"1": "enabled"}} for n in range(120)
    ]
    revisions = [
        {"name": f"api-{n:05}", "at": f"2026-01-01T{n // 60:02}:{n % 60:02}:00Z", "image": "i", "env": {"A": asks(f"s{n}", "1")}}
        for n in range(120)
    ]  # fmt: skip
    one = {"project": "shop", "region": "r1", "service": "api", "revisions": revisions}
    with playing_document({"page": 500, "services": [one], "secrets": secrets}) as emulator:
        snapshots = list(source(emulator, place=PLACE).every())
        calls = Counter(c.method for c in emulator.calls)

    assert [s.keys["", "A"].source.version_state for s in snapshots] == ["enabled"] * 120
    assert calls[LIST] == 1
    assert calls[VERSIONS] + calls[VERSION] == 120
