"""
Lists, page by page, to their honest end.

The library's pager keeps only the last `unreachable`, follows a repeated token for ever and lets
duplicates through (`threats-and-promises.md` §0, §2.2), so pages are walked here, as raw protobuf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from drift_audit.collector.budget import Budget, Stale, Unanswered
from drift_audit.collector.pace import Quota

PAGE_SIZE = 500
"""Larger pages cost memory and save nothing (`performance.md` §2.1); a server may give less."""

PAGES = 2_000
"""More than any list can have: one that goes on after that many pages is not going to end."""

Message = Any
"""A raw protobuf message: its classes are made at run time."""


@dataclass(frozen=True)
class Listing:
    """
    One list: what it is of, how a page is asked for, the field of a page that holds the items, and
    how one of them is read again. `unreachable` hears what a page says it could not reach.
    """

    what: str
    method: Callable[..., Any]
    request: Any
    field: str
    quota: Quota
    again: Callable[[str], Message]
    unreachable: Callable[[str], None] = lambda _: None


def items(listing: Listing, budget: Budget, executor: Executor) -> Iterator[Message]:
    """
    Every item of a list. One that comes twice is dropped; one that comes again and has changed is
    read again, and comes again.

    Raises Unanswered where the list breaks off, and Missing where there is none.
    """
    known: dict[int, int] = {}  # hashes: the names of a long history would outweigh its pages
    for page in _pages(listing, budget, executor):
        for message in getattr(page, listing.field):
            name, version = hash(message.name), hash((getattr(message, "uid", ""), message.etag))
            if name not in known:
                known[name] = version
                yield message
            elif known[name] != version:
                known[name] = version
                yield listing.again(message.name)


def _pages(listing: Listing, budget: Budget, executor: Executor) -> Iterator[Message]:
    """
    Pages to the last one, each asked for while the one before is worked on.

    An empty page with a token goes on; a token that comes twice does not. A token that the server
    no longer takes starts the list anew, once: what comes again is dropped above.
    """
    asked = _ask(listing, budget, executor, "", 1)
    tokens: set[str] = set()
    fresh = True
    for number in range(2, PAGES + 2):
        try:
            page = asked.result()
        except Stale:
            if not tokens or not fresh:
                raise
            fresh = False
            tokens.clear()
            asked = _ask(listing, budget, executor, "", number)
            continue
        for place in getattr(page, "unreachable", ()):
            listing.unreachable(place)
        token = page.next_page_token
        going_round = token in tokens
        if token and not going_round and number <= PAGES:
            asked = _ask(listing, budget, executor, token, number)
        yield page
        if not token:
            return
        if going_round:
            raise Unanswered("the list repeats a page")
        tokens.add(token)
    raise Unanswered(f"the list goes on after {PAGES} pages")


def _ask(
    listing: Listing, budget: Budget, executor: Executor, token: str, number: int
) -> Future[Message]:
    request = type(listing.request)(listing.request)
    request.page_token = token
    return executor.submit(_page, listing, budget, request, number)


def _page(listing: Listing, budget: Budget, request: Any, number: int) -> Message:
    what = f"list {listing.what}, page {number}"
    pager = budget.call(what, listing.method, request, listing.quota)
    first = next(pager.pages)
    return type(first).pb(first)
