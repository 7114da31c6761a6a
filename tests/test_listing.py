"""The page loop by itself: what it asks for, what it gives, and how it ends. `test_pages.py` has a server."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument, NotFound, PermissionDenied
from google.cloud import run_v2, secretmanager

from drift_audit.collector.budget import Budget, Missing, Stale, Unanswered
from drift_audit.collector.listing import PAGES, Listing, items
from drift_audit.collector.pace import CLOUD_RUN, Pace, Quota
from tests.test_budget import Clock

QUOTA = Quota(CLOUD_RUN, "shop", "europe-west1")
STALE, DENIED = InvalidArgument("cnry"), PermissionDenied("cnry")


class Pager:
    """What google's client gives for one list: pages, of which the first is there."""

    def __init__(self, page):
        self.pages = iter([page])


class Client:
    """A method of google's client that answers each call with the next of some pages, or fails."""

    def __init__(self, *pages):
        self.pages, self.asked, self.parents = pages, [], []

    def __call__(self, request, timeout, retry):
        page = self.pages[min(len(self.asked), len(self.pages) - 1)]
        self.asked.append(request.page_token)
        self.parents.append(request.parent)
        if isinstance(page, Exception):
            raise page
        return Pager(page)


def service(name, etag="e", uid="u"):
    return run_v2.Service(name=name, etag=etag, uid=uid)


def page(*names, token="", unreachable=()):
    services = [service(name) if isinstance(name, str) else name for name in names]
    return run_v2.ListServicesResponse(
        services=services, next_page_token=token, unreachable=unreachable
    )


def budget(**options):
    clock = Clock()
    return Budget(clock, 10**6, sleep=clock.wait, pace=Pace(clock, {CLOUD_RUN: 10**5}), **options)


def listing(client, unreachable=lambda _: None):
    request = run_v2.ListServicesRequest(parent="projects/shop/locations/x")
    return Listing(
        "services of shop",
        client,
        request,
        "services",
        QUOTA,
        lambda name: run_v2.Service.pb(service(name, "again")),
        unreachable,
    )


def listed(client, **more):
    """What a list comes to: names with etags, and how it broke off."""
    found: list[tuple[str, str]] = []
    try:
        found.extend((m.name, m.etag) for m in items(listing(client, **more), budget()))
    except (Unanswered, Missing) as error:
        return found, error
    return found, None


def test_every_page_is_asked_for_once():
    """Each page is asked for with the token of the one before, for the same parent; empty ones too."""
    client = Client(page("a", "b", token="1"), page(token="2"), page("c"))
    asked = listing(client)

    assert [message.name for message in items(asked, budget())] == ["a", "b", "c"]
    assert client.asked == ["", "1", "2"]
    assert client.parents == ["projects/shop/locations/x"] * 3
    assert asked.request.page_token == ""


def test_pages_are_named_in_the_log(caplog):
    """The log tells which page of what was asked for, counted from one, anew when the list is."""
    caplog.set_level(logging.DEBUG, "drift_audit.collector.budget")
    listed(Client(page("a", token="1"), page(token="2"), STALE, page("a", token="1"), page("b")))

    assert [record.getMessage() for record in caplog.records] == [
        "list services of shop, page 1: 0 ms",
        "list services of shop, page 2: 0 ms",
        "list services of shop, page 3: the service answered INVALID_ARGUMENT",
        "list services of shop, page 1: 0 ms",
        "list services of shop, page 2: 0 ms",
    ]


def test_threads_are_named_for_who_looks_at_a_run_that_hangs(caplog):
    """The first page is asked for where it is wanted, those ahead by a thread that is called so."""
    caplog.set_level(logging.DEBUG, "drift_audit.collector.budget")
    listed(Client(page("a", token="1"), page("b", token="2"), page("c")))

    assert [record.threadName for record in caplog.records] == ["MainThread", "page_0", "page_0"]


def test_items_that_come_twice():
    """What comes again is dropped, on the same page and on a later one."""
    client = Client(page("a", "a", "b", token="1"), page("b", "a", "c"))

    assert listed(client) == ([("a", "e"), ("b", "e"), ("c", "e")], None)


def test_items_that_changed_meanwhile():
    """What comes again and is another one, or was changed, is read again each time it was."""
    changed = [service("a", "f"), service("a", "f"), service("b", uid="v"), service("a", "e")]
    client = Client(page("a", "b", token="1"), page(*changed))

    assert listed(client) == (
        [("a", "e"), ("b", "e"), ("a", "again"), ("b", "again"), ("a", "again")],
        None,
    )


def test_items_without_an_id_of_their_own():
    """Lists whose items have no uid and whose pages tell of nothing unreachable are lists too."""
    secrets = [secretmanager.Secret(name="a", etag=etag) for etag in ("e", "e", "f")]
    client = Client(secretmanager.ListSecretsResponse(secrets=secrets))
    request = secretmanager.ListSecretsRequest(parent="projects/shop")
    again = secretmanager.Secret.pb(secretmanager.Secret(name="a", etag="again"))
    asked = Listing("secrets", client, request, "secrets", QUOTA, lambda _: again)

    assert [message.etag for message in items(asked, budget())] == ["e", "again"]


def test_places_that_were_not_reached():
    """What a page could not reach is heard before its items, on every page, also where nobody listens."""
    heard: list[str] = []
    pages = page("a", token="1", unreachable=["x", "y"]), page(unreachable=["z"])

    assert listed(Client(*pages), unreachable=heard.append)[1] is None
    assert heard == ["x", "y", "z"]
    Listing("x", Client(), None, "services", QUOTA, len).unreachable("z")


@pytest.mark.parametrize("pages", [[page("a", token="1")], [page("a", token="1"), page("b", token="2"), page("c", token="1")]])  # fmt: skip
def test_tokens_that_come_twice(pages):
    """The page that repeats a token is the last one that is asked for, and counts."""
    client = Client(*pages)
    found, error = listed(client)

    assert [name for name, _ in found] == [s.name for p in pages for s in p.services]
    assert (type(error), str(error)) == (Unanswered, "the list repeats a page")
    assert client.asked == ["", *(p.next_page_token for p in pages)][: max(len(pages), 2)]


class Endless(Client):
    """A list of so many pages, with nothing on them."""

    def __init__(self, pages):
        super().__init__()
        self.last = pages

    def __call__(self, request, timeout, retry):
        self.asked.append(request.page_token)
        number = len(self.asked)
        return Pager(page(token=str(number) if number < self.last else ""))


def test_longest_list():
    """A list may have so many pages, and one that has more is given up when those were read."""
    whole, endless = Endless(PAGES), Endless(PAGES + 1)
    _, error = listed(whole)
    _, broken = listed(endless)

    assert error is None
    assert len(whole.asked) == len(endless.asked) == PAGES
    assert (type(broken), str(broken)) == (Unanswered, f"the list goes on after {PAGES} pages")


@pytest.mark.parametrize(
    ("pages", "names", "raised", "asked"),
    [
        ([DENIED], [], Unanswered, [""]),
        ([NotFound("x")], [], Missing, [""]),
        ([STALE], [], Stale, [""]),
        ([page("a", token="1"), DENIED], ["a"], Unanswered, ["", "1"]),
        ([page("a", token="1"), STALE, page("a", "b")], ["a", "b"], None, ["", "1", ""]),
        ([page("a", token="1"), STALE, STALE], ["a"], Stale, ["", "1", ""]),
        ([page("a", token="1"), STALE, page("b", token="1"), STALE], ["a", "b"], Stale, ["", "1", "", "1"]),
    ],
)  # fmt: skip
def test_how_a_list_breaks_off(pages, names, raised, asked):
    """What came before a failure was given; only a token that is no longer taken starts anew, once."""
    client = Client(*pages)
    found, error = listed(client)

    assert [name for name, _ in found] == names
    assert type(error) is (raised or type(None))
    assert client.asked == asked


class Waiting(Client):
    """A client whose second page comes when somebody says so, or after a time."""

    def __init__(self, *pages):
        super().__init__(*pages)
        self.second, self.go, self.over = (threading.Event() for _ in range(3))

    def __call__(self, request, timeout, retry):
        if request.page_token:
            self.second.set()
            self.go.wait(2)
            self.over.set()
        return super().__call__(request, timeout, retry)


def test_next_page_is_asked_for_ahead():
    """A page is asked for while the one before is worked on."""
    client = Waiting(page("a", token="1"), page("b"))
    found = items(listing(client), budget())

    assert next(found).name == "a"
    assert client.second.wait(2)
    client.go.set()
    assert [message.name for message in found] == ["b"]


def test_who_gives_up_waits_for_no_page():
    """A list that nobody reads on is left at once, whatever is still on its way."""
    client = Waiting(page("a", token="1"), page("b"))
    found: Any = items(listing(client), budget())
    next(found)
    client.second.wait(2)
    found.close()

    assert not client.over.is_set()
    client.go.set()


def test_pages_are_counted():
    """Each page is a call of its quota."""
    clock = Clock()
    paced = Budget(clock, 10**6, sleep=clock.wait, pace=Pace(clock, {CLOUD_RUN: 1}, 60.0))
    list(items(listing(Client(page("a", token="1"), page("b"))), paced))

    assert sum(clock.waits) == pytest.approx(60, abs=0.1)
