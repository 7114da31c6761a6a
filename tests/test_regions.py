"""The regions of a project: all that the API names, or none and the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from drift_audit.collector import regions
from drift_audit.collector.api import Location
from drift_audit.collector.budget import Budget
from drift_audit.collector.connection import Connection
from drift_audit.snapshot import Unseen
from tests.command import run
from tests.worlds import playing, playing_document, reached, source

WHERE = "regions of projects/shop"
LIST = "Locations/ListLocations"


def asked(address, project="shop"):
    """What the API of a local server says of a project."""
    rest = Connection(rest_emulator=address).rest()
    return regions.of(project, rest, Budget(lambda: 0.0, sleep=lambda _: None))


@contextmanager
def saying(*pages: bytes, status: int = 200) -> Iterator[str]:
    """A server that gives one page after another, whatever it is asked; the last one for ever."""
    left = list(pages)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def page(*names, token=""):
    listed = [{"locationId": name} for name in names]
    return json.dumps({"locations": listed, "nextPageToken": token}).encode()


def test_regions_are_those_that_the_api_names():
    """Every page is read, and the names come sorted and once each."""
    named = ("us-east1", "europe-west1", "asia-east1", "us-west1")
    with playing(page=1, locations={"shop": named}) as emulator:
        found = asked(emulator.rest)
        calls = [c.method for c in emulator.calls]

    assert found == tuple(sorted(named))
    assert calls == [LIST] * 4


def test_every_project_is_asked_for_its_own():
    """Projects may have different regions; each is listed where it has them."""
    services = [
        {"project": p, "region": r, "service": "api", "revisions": [{"name": "api-1", "at": "2026-01-01T00:00:00Z", "image": "i"}]}
        for p, r in (("shop", "us-east1"), ("web", "us-west1"))
    ]  # fmt: skip
    with playing_document({"services": services}) as emulator:
        live = source(emulator, place=Location("shop", ""))
        inventory = live.collect()

    assert inventory.scope.regions == ("us-east1",)
    assert inventory.scope.regions_found
    assert (inventory.locations, inventory.listed) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (f"{LIST}:1:PERMISSION_DENIED", "permission denied"),
        (f"{LIST}:1:UNAUTHENTICATED", "the credentials were not accepted"),
        (f"{LIST}:1:NOT_FOUND", "there is no such project"),
        (f"{LIST}:1:INTERNAL", "the service answered INTERNAL"),
        (f"{LIST}:1+:RESOURCE_EXHAUSTED", "the quota is used up"),
        (f"{LIST}:1+:UNAVAILABLE", "the service cannot be reached"),
        (f"{LIST}:1+:reset", "the service cannot be reached"),
        (f"{LIST}:1:truncated", "the service answered DATA_LOSS"),
        (f"{LIST}:1:repeated-token", "the list repeats a page"),
        (f"{LIST}:1:token-cycle", "the list repeats a page"),
        (f"{LIST}:2:expired-token", "the service answered INVALID_ARGUMENT"),
    ],
)
def test_list_that_goes_wrong_is_unseen(fault, reason):
    """Regions that cannot be had whole are unseen, with the reason; half a list is none."""
    named = ("a1", "b1", "c1")
    with playing(page=1, locations={"shop": named}, faults=[fault]) as emulator:
        found = asked(emulator.rest)
        fired = emulator.fired

    assert fired
    assert found == Unseen(where=WHERE, reason=reason)


@pytest.mark.parametrize("fault", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "reset-midway"])
def test_list_that_goes_wrong_once_is_read(fault):
    """What may come right is tried again."""
    faults = [f"{LIST}:1:{fault}"]
    with playing(page=1, locations={"shop": ("a1", "b1")}, faults=faults) as emulator:
        found = asked(emulator.rest)
        fired = emulator.fired

    assert fired
    assert found == ("a1", "b1")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the service answered DATA_LOSS"),
        (b"<html>", "the service answered DATA_LOSS"),
        (b"[]", "the service answered DATA_LOSS"),
        (b"\xff\xfe", "the service answered DATA_LOSS"),
        (b"{}", "none were named"),
        (b'{"locations": null}', "none were named"),
        (b'{"locations": 7}', "a region without a name"),
        (b'{"locations": {"locationId": "a1"}, "nextPageToken": ""}', None),
        (b'{"locations": ["a1"]}', "a region without a name"),
        (b'{"locations": [{}]}', "a region without a name"),
        (b'{"locations": [{"locationId": "../x"}]}', "a region without a name"),
        (b'{"locations": [{"locationId": ["a1"]}]}', "a region without a name"),
    ],
)
def test_answers_that_are_none(body, reason):
    """What is no list of regions is unseen; nothing of it becomes a path or a name."""
    with saying(body) as address:
        found = asked(address)

    assert found == (("a1",) if reason is None else Unseen(where=WHERE, reason=reason))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, "permission denied"),
        (302, "the service answered UNKNOWN"),
        (418, "the service answered UNKNOWN"),
    ],
)
def test_status_that_is_no_answer(status, reason):
    """Whatever is not 200 is no answer, and no redirection is followed."""
    with saying(page("a1"), status=status) as address:
        found = asked(address)

    assert found == Unseen(where=WHERE, reason=reason)


def test_list_without_an_end():
    """A list that never ends is given up."""
    with saying(*(page("a1", token=f"t{n}") for n in range(2_100))) as address:
        found = asked(address)

    assert found == Unseen(where=WHERE, reason="the list goes on after 2000 pages")


def test_nobody_listens():
    """A server that is not there is unseen."""
    assert asked("127.0.0.1:1") == Unseen(where=WHERE, reason="the service cannot be reached")


def test_project_without_regions_is_incomplete(tmp_path):
    """A project whose regions cannot be had leaves the audit of the others incomplete."""
    faults = [f"{LIST}:1:PERMISSION_DENIED"]
    with playing(faults=faults) as emulator:
        ran = run("audit", "--project=shop", cwd=tmp_path, env=reached(emulator))

    assert ran.code == 3
    assert f"not seen {WHERE}: permission denied" in ran.told
    assert "shop; no regions, as Cloud Run names them" in ran.told
    assert "nothing was audited" in ran.told


def test_emulator_without_http(tmp_path):
    """Where the emulator's HTTP address is not told, regions have to be named, and that is said."""
    with playing() as emulator:
        env = {**reached(emulator), "CLOUD_RUN_EMULATOR_REST_HOST": ""}
        ran = run("audit", "--project=shop", cwd=tmp_path, env=env)
        named = run("audit", "--project=shop", "--region=europe-west1", cwd=tmp_path, env=env)

    assert ran.code == 3
    assert ran.err.splitlines() == [
        "drift-audit: CLOUD_RUN_EMULATOR_REST_HOST is not set, so regions cannot be asked for",
        "  give --region",
    ]
    assert "1 of 1 locations listed" in named.told


@pytest.mark.parametrize("found", [True, False])
def test_pages_say_which_regions_and_how(tmp_path, found):
    """Every page names the regions, and whether Cloud Run or the user named them."""
    narrowed = [] if found else ["--region=europe-west1"]
    told = "as Cloud Run names them" if found else "as configured"
    outputs = [f"-o{name}" for name in ("r.json", "r.html", "r.md", "r.txt")]
    with playing(locations={"shop": ("europe-west1", "us-east1")}) as emulator:
        run("audit", "--project=shop", *narrowed, *outputs, cwd=tmp_path, env=reached(emulator))
    report = json.loads((tmp_path / "r.json").read_text())
    pages = [
        " ".join((tmp_path / f"r.{kind}").read_text().split()) for kind in ("html", "txt", "md")
    ]
    named = ", ".join(["europe-west1", *(["us-east1"] if found else [])])

    assert report["scope"]["regions_found"] is found
    assert report["scope"]["regions"] == named.split(", ")
    assert [f"{named}, {told}" in page for page in pages[:2]] == [True, True]
    assert told in pages[2]
