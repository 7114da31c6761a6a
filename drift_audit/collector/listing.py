"""
Lists, page by page, to their honest end.

The library's pager keeps only the last `unreachable`, follows a repeated token for ever and lets
duplicates through (`threats-and-promises.md` §0, §2.2), so pages are walked here, as raw protobuf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
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


def items(listing: Listing, budget: Budget) -> Iterator[Message]:
    """
    Every item of a list. One that comes twice is dropped; one that comes again and has changed is
    read again, and comes again.

    Raises Unanswered where the list breaks off, and Missing where there is none.
    """
    known: dict[int, int] = {}  # hashes: the names of a long history would outweigh its pages
    for page in _pages(listing, budget):
        for place in getattr(page, "unreachable", ()):
            listing.unreachable(place)
        for message in getattr(page, listing.field):
            name, version = hash(message.name), hash((getattr(message, "uid", ""), message.etag))
            if name not in known:
                known[name] = version
                yield message
            elif known[name] != version:
                known[name] = version
                yield listing.again(message.name)


def _pages(listing: Listing, budget: Budget) -> Iterator[Message]:
    """
    Pages to the last one. A token that the server no longer takes starts the list anew, once: what
    comes again is dropped above.
    """
    first = _page(listing, budget, "", 1)
    if not first.next_page_token:
        yield first
        return
    # a thread of its own: one of a pool whose others wait for it may never get its turn
    ahead = ThreadPoolExecutor(1, "page")
    try:
        yield from _followed(listing, budget, first, ahead)
    except Stale:
        yield from _followed(listing, budget, _page(listing, budget, "", 1), ahead)
    finally:
        ahead.shutdown(wait=False, cancel_futures=True)  # who gives up waits for no page


def _followed(
    listing: Listing, budget: Budget, page: Message, ahead: Executor
) -> Iterator[Message]:
    """
    A page and those that follow it, each asked for while the one before is worked on.

    An empty page with a token goes on; a token that comes twice does not.
    """
    tokens: set[str] = set()
    for number in range(2, PAGES + 2):
        token = page.next_page_token
        if not token:
            yield page
            return
        if token in tokens or number > PAGES:
            yield page
            break
        tokens.add(token)
        following = ahead.submit(_page, listing, budget, token, number)
        yield page
        page = following.result()
    raise Unanswered(
        "the list repeats a page"
        if page.next_page_token in tokens
        else f"the list goes on after {PAGES} pages"
    )


def _page(listing: Listing, budget: Budget, token: str, number: int) -> Message:
    request = type(listing.request)(listing.request)
    request.page_token = token
    what = f"list {listing.what}, page {number}"
    pager = budget.call(what, listing.method, request, listing.quota)
    first = next(pager.pages)
    return type(first).pb(first)
