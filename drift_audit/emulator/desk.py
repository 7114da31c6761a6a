"""
Answers calls, whichever front they came through: counts them, refuses what the world denies, and
lets the schedule of faults have its way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

import grpc

from drift_audit.emulator.annotations import LOCATION
from drift_audit.emulator.faults import PAGING, RETRY_INFO, TRANSPORT, Fault, Schedule
from drift_audit.emulator.paging import Page, Walk
from drift_audit.emulator.state import State, copy
from drift_audit.emulator.status import Refusal, denied, invalid
from drift_audit.emulator.world import World
from drift_audit.errors import CommandError

Kind = Literal["read", "write", "payload"]

UNKNOWN_FIELD = b"\xfa\x3f\x07unknown"
"""Field number 1023 of the wire format, which no message has."""

RETRY_AFTER = 0.2


@dataclass(frozen=True)
class Call:
    """
    One call that came: its method, whether the client would have given up waiting (None over HTTP,
    which does not tell), what it was for, whether there is such a method here, and the name of the
    resource that it was about.
    """

    method: str
    deadline: bool | None
    kind: Kind = "read"
    served: bool = True
    about: str = ""


@dataclass(frozen=True)
class Asked:
    """
    A request of what HTTP alone serves: the full v2 name of what it is about, or of the location it
    is to be looked for in.
    """

    name: str
    page_size: int = 0
    page_token: str = ""
    selector: str = ""
    body: Any = None


@dataclass(frozen=True)
class Rpc:
    """
    One method: the message it is asked with and the answer to it. That of a list is all there is,
    of which `paged` makes a reply. One that is `open` answers even for what the world denies.
    """

    request: Any
    answer: Callable[[Any], Any]
    paged: Callable[[Page], Any] | None = None
    kind: Kind = "read"
    open: bool = False


@dataclass(frozen=True)
class Answer:
    """A reply, and what is to happen to it on its way."""

    reply: Any
    faults: tuple[Fault, ...] = ()


class Desk:
    """
    The methods of all services by name. Raises CommandError for a fault that could never happen.
    """

    def __init__(
        self, world: World, state: State, rpcs: Mapping[str, Rpc], faults: Sequence[Fault]
    ) -> None:
        self.calls: list[Call] = []
        self.rpcs = rpcs
        self.schedule = Schedule(faults)
        self._world, self._state = world, state
        for fault in faults:
            self._possible(fault)

    def _possible(self, fault: Fault) -> None:
        if fault.rpc not in self.rpcs:
            near = get_close_matches(fault.rpc, self.rpcs, 1) or ["Services/ListServices"]
            hint = f"rpcs are written like {near[0]}"
            raise CommandError(f"the fault {fault} is of an rpc that is not served", hint=hint)
        if fault.kind in PAGING and self.rpcs[fault.rpc].paged is None:
            raise CommandError(f"the fault {fault} is one of lists, and the rpc is none")

    def answer(self, method: str, request: Any, *, deadline: bool | None) -> Answer:
        """
        The reply to one call, with the faults that its front has to carry out. Raises Refusal.
        """
        rpc = self.rpcs[method]
        self.calls.append(Call(method, deadline, rpc.kind, about=asked_of(request)))
        due = self.schedule.due(method)
        for fault in due:
            self._refuse(fault, request)
        if not rpc.open and self._world.denies(name := asked_of(request)):
            raise denied(name)
        found = rpc.answer(request)
        reply = self._page(rpc, request, found, due) if rpc.paged else found
        for fault in due:
            if fault.kind == "unknown-field":
                reply = _with_unknown(reply)
                self.schedule.fire(fault)
            elif fault.kind == "generation-bump" and self._moved_on(method, request):
                self.schedule.fire(fault)
        return Answer(reply, tuple(f for f in due if f.kind in TRANSPORT))

    def _moved_on(self, method: str, request: Any) -> bool:
        return self._state.redeploy(asked_of(request), method.partition("/")[0])

    def unserved(self, method: str, *, reads: bool) -> None:
        """Count a call that nothing answers: whoever tries to write is found out all the same."""
        self.calls.append(Call(method, None, "read" if reads else "write", served=False))

    def _refuse(self, fault: Fault, request: Any) -> None:
        """End the call with the code that a fault gives it. Raises Refusal."""
        if fault.code:
            self.schedule.fire(fault)
            after = RETRY_AFTER if fault.kind == RETRY_INFO else 0
            message = "Request had invalid authentication credentials"
            if fault.kind != "expired-credential":
                message = f"{fault.code} was scheduled for this call"
            raise Refusal(grpc.StatusCode[fault.code], message, after)
        if fault.kind == "expired-token" and request.page_token:
            self.schedule.fire(fault)
            raise invalid("page_token has expired")

    def _page(self, rpc: Rpc, request: Any, found: Sequence[Any], due: Sequence[Fault]) -> Any:
        assert rpc.paged is not None
        most = self._world.page
        if request.page_size < 0:
            raise invalid("page_size cannot be negative")
        walk = Walk(found, request.page_token, min(request.page_size or most, most))
        page = walk.page()
        assert page is not None
        for fault in due:
            if fault.kind == "unreachable":
                wrong = _unreachable(page, asked_of(request), rpc)
            else:
                wrong = walk.page(fault.kind) if fault.kind in PAGING else None
            if wrong is not None:
                self.schedule.fire(fault)
                page = wrong
        if page.stale:
            page = replace(page, items=(*page.items[:-1], _as_before(page.items[-1])))
        return rpc.paged(page)


def asked_of(request: Any) -> str:
    """The name of the resource that a request is about."""
    fields = ("name", "parent", "resource")
    return next((str(v) for field in fields if (v := getattr(request, field, ""))), "")


def _unreachable(page: Page, parent: str, rpc: Rpc) -> Page | None:
    """The page with its location said not to have answered, where the reply can say so."""
    assert rpc.paged is not None
    if parent.endswith("/locations/-"):  # of all locations, the one that comes last in the page
        places = [item["metadata"]["labels"][LOCATION] for item in page.items]
        kept = [item for item, at in zip(page.items, places, strict=True) if at != places[-1]]
        return replace(page, items=kept, unreachable=(places[-1],)) if places else None
    told = replace(page, unreachable=(parent,))
    reply = rpc.paged(told)
    can = "unreachable" in reply if isinstance(reply, dict) else hasattr(reply, "unreachable")
    return told if can else None


def _as_before(item: Any) -> Any:
    """An item as it was before it changed: the same with another etag."""
    if isinstance(item, dict):
        found = deepcopy(item)
        holder, field = found.get("metadata", found), "resourceVersion"
        holder[field if field in holder else "displayName"] += "-before"
        return found
    return copy(item, etag=f"{item.etag}-before")


def _with_unknown(reply: Any) -> Any:
    """The reply with a field that nobody knows, in each of the resources that it lists."""
    if isinstance(reply, dict):
        found = deepcopy(reply)
        for item in found.get("items", [found]):
            item["field1023"] = "unknown"
        return found
    found = copy(reply)
    items = [v for f, v in found.ListFields() if f.is_repeated and f.message_type is not None]
    for item in items[0] if hasattr(found, "next_page_token") and items else [found]:
        item.MergeFromString(UNKNOWN_FIELD)
    return found
