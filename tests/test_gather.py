"""What a location holds is looked at twice, and what one list leaves out another call brings."""

from __future__ import annotations

import json

import pytest

from drift_audit.collector import regions
from drift_audit.collector.api import Location
from drift_audit.collector.budget import Budget
from drift_audit.collector.connection import Connection
from drift_audit.inventory import NoMemory
from drift_audit.snapshot import Snapshot, Unseen
from tests.builders import HOME
from tests.command import SEALED, run
from tests.worlds import playing_document, source

PLACE = Location("shop", "r1")
PARENT = "projects/shop/locations/r1/services"
NAMES = [f"s{n:02}" for n in range(20)]
LIST, GET = "Services/ListServices", "Revisions/GetRevision"


def deployed(name, *envs):
    made = [
        {"name": f"{name}-{n}", "at": f"2026-01-0{n}T08:00:00Z", "image": "i", "env": env}
        for n, env in enumerate(envs or [{}], 1)
    ]
    return {"project": "shop", "region": "r1", "service": name, "revisions": made}


def collected(*faults, services=None, **more):
    """What is found in twenty services, five on a page; the faults fire, or there was no test."""
    services = [deployed(name) for name in NAMES] if services is None else services
    world = {"page": 5, "services": services, "faults": list(faults), **more}
    with playing_document(world) as emulator:
        inventory = source(emulator, place=PLACE).collect()
        calls = [c.method for c in emulator.calls]
        assert {str(f) for f in emulator.fired} == set(faults)
    return inventory, calls


def test_control_twenty_services():
    """Where nothing goes wrong, twenty services are found by two looks and one sweep."""
    inventory, calls = collected()

    assert [s.service for s in inventory.services] == NAMES
    assert (calls.count(LIST), calls.count(GET)) == (8, 0)


def test_sweep_finds_what_the_list_left_out():
    """Services that the first list did not name show in the list of all revisions."""
    inventory, calls = collected(f"{LIST}:1:early-end")

    assert [s.service for s in inventory.services] == NAMES
    assert [s.revisions[0].revision for s in inventory.services] == [f"{n}-1" for n in NAMES]
    assert inventory.unseen == ()
    assert calls.count("Services/GetService") >= 15


def test_sweep_that_breaks_off():
    """What a sweep did not bring is got by its name."""
    inventory, calls = collected("Revisions/ListRevisions:2:PERMISSION_DENIED")

    assert [s.service for s in inventory.services] == NAMES
    assert inventory.unseen == ()
    assert calls.count(GET) == 15


def test_second_look_that_is_short():
    """A second list that ends early makes nothing disappear: each is asked for by its name."""
    inventory, _ = collected(f"{LIST}:5:early-end")

    assert [s.service for s in inventory.services] == NAMES
    assert inventory.unseen == ()


def test_second_look_that_fails():
    """Without a second look the services stay, and that nobody could look again is told."""
    inventory, _ = collected(f"{LIST}:5:PERMISSION_DENIED")

    assert [s.service for s in inventory.services] == NAMES
    assert [u.where for u in inventory.unseen] == ["services of projects/shop/locations/r1"]


@pytest.mark.parametrize(
    ("fault", "unseen"),
    [
        (f"{GET}:1:generation-bump", []),
        (f"{GET}:1+:generation-bump", ["it was changed while it was read, twice"]),
    ],
)
def test_deploy_between_two_looks(fault, unseen):
    """What was deployed meanwhile is read again, once; what moves again by then is told."""
    inventory, _ = collected(fault, services=[deployed("api")])
    [api] = inventory.services

    assert api.newest.identity.revision.startswith("api-00002-")
    assert [u.reason for u in inventory.unseen] == unseen


def test_stream_of_more_services_than_are_read_at_a_time():
    """However many services there are, each comes once and in order."""
    world = {"services": [deployed(f"s{n:02}", {}, {}) for n in range(40)]}
    with playing_document(world) as emulator:
        found = list(source(emulator, place=PLACE).every())

    assert [s.revision for s in found] == [f"s{n:02}-{i}" for n in range(40) for i in (2, 1)]


def test_revision_that_cannot_be_taken_apart():
    """One revision that Cloud Run cannot have produced is unseen, and the others stream."""
    bad = {"X": {"secret": "../x"}}
    with playing_document({"services": [deployed("api", bad, {"X": None})]}) as emulator:
        found = list(source(emulator, place=PLACE).every())

    assert [s.revision for s in found if isinstance(s, Snapshot)] == ["api-2"]
    assert [u.where for u in found if isinstance(u, Unseen)] == [
        f"revision {PARENT}/api/revisions/api-1"
    ]


def test_every_revision_of_files(tmp_path):
    """Files hold what they hold: every revision of them is what they have."""
    documents = [{"name": f"{PARENT}/api", "template": {"containers": [{"image": "i"}]}}]
    (tmp_path / "api.json").write_text(json.dumps(documents))
    every = ["snapshot", "--all-revisions", "--input=api.json", "--service=api,gone"]
    ran = run(*every, cwd=tmp_path, env=SEALED)

    assert (ran.code, len(json.loads(ran.out))) == (3, 1)
    assert ran.err == "not seen: service gone: was asked for and not found\n"


def test_first_run_remembers_nothing():
    """The memory of a first run holds nothing, and has nothing to forget."""
    memory = NoMemory()

    assert memory.recall(HOME) is None
    assert list(memory.services("shop", "r1")) == []
    with pytest.raises(AssertionError):
        memory.forget(HOME)


def test_credentials_that_cannot_be_refreshed(tmp_path, monkeypatch):
    """Regions that are asked for with credentials that nobody renews are unseen."""
    path = tmp_path / "adc.json"
    person = {
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
    }
    path.write_text(json.dumps({**person, "token_uri": "http://127.0.0.1:1/"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    rest = Connection().rest()

    assert regions.of("shop", rest, Budget(lambda: 0.0, sleep=lambda _: None)) == Unseen(
        where="regions of projects/shop", reason="the credentials were not accepted"
    )


def test_regions_that_take_too_long():
    """A list of regions that does not answer in time is unseen."""
    fault = "Locations/ListLocations:1+:hang"
    with playing_document({"faults": [fault]}) as emulator:
        rest = Connection(rest_emulator=emulator.rest).rest()
        budget = Budget(lambda: 0.0, attempt=0.2, sleep=lambda _: None)
        found = regions.of("shop", rest, budget)

    assert found == Unseen(where="regions of projects/shop", reason="no answer in time")
