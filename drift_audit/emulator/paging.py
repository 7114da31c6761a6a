"""
Pages of a list, and lists that go wrong.

A token says all there is to know of where a list goes on, so that nothing has to be remembered
between two pages: `from-4` is the fifth item and what follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drift_audit.emulator.status import invalid

_TOKEN = re.compile(
    r"(?P<way>from|again|loop|this|that|jump)-(?P<start>\d{1,9})(-(?P<next>\d{1,9}))?"
)


@dataclass(frozen=True)
class Page:
    """
    One page: its items, the token of the next page, how many items there are in all, places that
    are said not to have answered, and whether the last item is shown as it was before it changed.
    """

    items: Sequence[Any]
    token: str
    total: int = 0
    unreachable: tuple[str, ...] = ()
    stale: bool = False


def listing(response: Any, field: str) -> Callable[[Page], Any]:
    """How a page becomes the reply of a list, whose items stand in that field."""

    def paged(page: Page) -> Any:
        reply = response.pb()(next_page_token=page.token)
        getattr(reply, field).extend(page.items)
        if hasattr(reply, "total_size"):
            reply.total_size = page.total
        if page.unreachable and hasattr(reply, "unreachable"):
            reply.unreachable.extend(page.unreachable)
        return reply

    return paged


@dataclass(frozen=True)
class Walk:
    """Where a client is in a list: the items, the token it sent, and how many it may get."""

    found: Sequence[Any]
    token: str
    size: int

    def page(self, kind: str = "") -> Page | None:
        """
        The page that was asked for; with a fault of paging, what it makes of the page, and None
        where it makes nothing of it.

        Raises Refusal for a token that was not given out.
        """
        asked = _TOKEN.fullmatch(self.token or "from-0")
        if asked is None:
            raise invalid("page_token is not valid")
        start, way = int(asked["start"]), asked["way"]
        if kind:
            return self._wrong(kind, start)
        items = self._at(start)
        if way == "loop":
            return Page(items, self.token, len(self.found))
        if way in _TURN:
            return Page(items, f"{_TURN[way]}-{start}", len(self.found))
        following = int(asked["next"]) if asked["next"] else start + self.size
        return Page(items, self._next(following), len(self.found))

    def _at(self, start: int) -> Sequence[Any]:
        return self.found[start : start + self.size]

    def _next(self, start: int) -> str:
        return f"from-{start}" if start < len(self.found) else ""

    def _wrong(self, kind: str, start: int) -> Page | None:
        items, end = self._at(start), start + self.size
        match kind:
            case "empty-page":
                return Page((), f"again-{start}")
            case "repeated-token":
                return Page(items, f"loop-{start}")
            case "token-cycle":
                return Page(items, f"this-{start}")
            case "duplicated-page":
                return Page(items, f"again-{start}")
            case "permuted-pages" if end < len(self.found):
                return Page(self._at(end), f"jump-{start}-{end + self.size}")
            case "permuted-pages" if len(items) > 1:
                return Page(items[::-1], "")
            case "changed-duplicate" if items:
                return Page(items, f"again-{start + len(items) - 1}", stale=True)
            case "early-end" if end < len(self.found):
                return Page(items, "")
        return None


_TURN = {"this": "that", "that": "this"}
