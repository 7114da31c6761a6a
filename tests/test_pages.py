"""Lists that misbehave: the page loop ends, and says what it did not see."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.cloud import run_v2

from drift_audit.collector.api import Api
from drift_audit.collector.budget import ATTEMPTS, Budget
from drift_audit.collector.connection import Connection
from drift_audit.collector.gather import Gatherer
from drift_audit.collector.listing import PAGES
from drift_audit.collector.parents import Wanted
from drift_audit.inventory import NoMemory
from tests.builders import sealer
from tests.worlds import PLACE

NAME = "projects/shop/locations/europe-west1"


class Pages(grpc.GenericRpcHandler):
    """A server whose lists misbehave: it answers every list with the next of some pages."""

    def __init__(self, pages):
        self.pages, self.asked, self.lock = pages, 0, threading.Lock()

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(
            self.handle,
            request_deserializer=run_v2.ListServicesRequest.pb().FromString,
            response_serializer=lambda reply: reply.SerializeToString(),
        )

    def handle(self, request, context):
        with self.lock:
            page = self.pages[min(self.asked, len(self.pages) - 1)]
            self.asked += 1
        if isinstance(page, grpc.StatusCode):
            context.abort(page, "cnry-server-message")
        if page == "hang":
            threading.Event().wait(5)
        reply = run_v2.ListServicesResponse.pb()(next_page_token=page.get("next", ""))
        reply.unreachable.extend(page.get("unreachable", ()))
        for name in page.get("services", ()):
            reply.services.add(name=f"{NAME}/services/{name}").template.containers.add(image="i")
        return reply


def listed(*pages, seconds=60.0):
    """What a list of some pages comes to: services found, places and reasons unseen, calls made."""
    handler = Pages(list(pages))
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        address = f"127.0.0.1:{port}"
        budget = Budget(time.monotonic, seconds, sleep=lambda _: None)
        with ThreadPoolExecutor(2) as executor:
            api = Api(Connection(address, address), budget)
            family = api.families["service"]
            gatherer = Gatherer(
                api, PLACE, family, Wanted(("*",), lambda _: True), sealer(), executor, NoMemory()
            )
            found = [p.resource.identity.service for p in gatherer._listed({}).values()]
        return found, [u.reason for u in gatherer._found.unseen], handler.asked
    finally:
        server.stop(None)


def test_pages_are_followed_to_the_end():
    """An empty page with a token is no end."""
    found, unseen, _ = listed({"services": ["a"], "next": "1"}, {"next": "2"}, {"services": ["b"]})

    assert (found, unseen) == (["a", "b"], [])


def test_repeated_token():
    """A token that comes twice would go on for ever: the list ends as unseen."""
    found, unseen, asked = listed({"services": ["a"], "next": "1"})

    assert (found, unseen, asked) == (["a"], ["the list repeats a page"], 2)


def test_cycle_of_tokens():
    """Two pages that follow each other for ever end the list too, as unseen."""
    found, unseen, asked = listed(
        {"services": ["a"], "next": "1"}, {"services": ["b"], "next": "2"}, {"next": "1"}
    )

    assert (found, unseen, asked) == (["a", "b"], ["the list repeats a page"], 3)


def test_expired_token():
    """A token that is no longer taken starts the list anew, and what came before comes once."""
    first, last = {"services": ["a"], "next": "1"}, {"services": ["b"]}
    found, unseen, _ = listed(first, grpc.StatusCode.INVALID_ARGUMENT, first, last)

    assert (found, unseen) == (["a", "b"], [])


def test_token_that_expires_again():
    """A list that has to be started anew twice is not whole."""
    first, stale = {"services": ["a"], "next": "1"}, grpc.StatusCode.INVALID_ARGUMENT
    found, unseen, _ = listed(first, stale, first, stale)

    assert (found, unseen) == (["a"], ["the service answered INVALID_ARGUMENT"])


@pytest.mark.parametrize(
    ("code", "attempts"),
    [
        (grpc.StatusCode.UNAVAILABLE, ATTEMPTS),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ATTEMPTS),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ATTEMPTS),
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.PERMISSION_DENIED, 1),
        (grpc.StatusCode.ABORTED, 1),
    ],
)
def test_attempts(code, attempts):
    """What may come right is tried again, so many times; nothing else is."""
    _, unseen, asked = listed(code)

    assert (len(unseen), asked) == (1, attempts)


def test_one_failure_is_got_over():
    """A page that comes at the second attempt is a page."""
    found, unseen, _ = listed(grpc.StatusCode.UNAVAILABLE, {"services": ["a"]})

    assert (found, unseen) == (["a"], [])


def test_endless_tokens():
    """A list that always has another page is given up after more pages than any list has."""
    found, unseen, asked = listed(*({"next": str(n)} for n in range(PAGES + 9)))

    assert (found, unseen) == ([], [f"the list goes on after {PAGES} pages"])
    assert asked == PAGES


def test_unreachable_on_any_page():
    """What the API could not reach is unseen, on whichever page it says so."""
    _, unseen, _ = listed({"unreachable": ["x"], "next": "1"}, {"unreachable": ["y"]})

    assert unseen == ["the API could not reach it"] * 2


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "permission denied"),
        (grpc.StatusCode.UNAUTHENTICATED, "the credentials were not accepted"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "the quota is used up"),
        (grpc.StatusCode.INTERNAL, "the service answered INTERNAL"),
        (grpc.StatusCode.NOT_FOUND, "no such project or region"),
    ],
)
def test_failed_page(code, reason):
    """A page that fails keeps what came before it, and says why in our words, not the server's."""
    found, unseen, _ = listed({"services": ["a"], "next": "1"}, code)

    assert (found, unseen) == (["a"], [reason])


def test_hanging_server():
    """A server that does not answer is given up when the time is over."""
    _, unseen, _ = listed("hang", seconds=0.5)

    assert unseen == ["no answer in time"]


def test_large_page():
    """A page beyond gRPC's own limit of four megabytes arrives."""
    names = [f"s{n:061}" for n in range(40_000)]
    found, unseen, _ = listed({"services": names})

    assert (len(found), unseen) == (40_000, [])


def test_service_with_an_odd_name():
    """A service whose name is none is unseen, and does not end the list."""
    found, unseen, _ = listed({"services": ["a", "b/c"]})

    assert found == ["a"]
    assert unseen == ["wrong-kind: not the name of a service, worker pool, job or revision"]
