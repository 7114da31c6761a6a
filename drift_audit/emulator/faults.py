"""
What goes wrong, and when: the n-th call of one rpc, once or from then on.

A schedule is a list of faults, written `RPC:N[+]:KIND`: `Services/ListServices:2:UNAVAILABLE` is
the second list alone, `Services/ListServices:2+:UNAVAILABLE` every list from the second on. What
took effect is recorded, so that a test can tell a client that survived from a fault that never
was.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from drift_audit import names

CODES = frozenset(
    """
    CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS
    PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED
    INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED
    """.split()
)

RETRY_INFO = "RESOURCE_EXHAUSTED with RetryInfo"

PAGING = frozenset(
    """
    empty-page repeated-token token-cycle duplicated-page permuted-pages changed-duplicate
    early-end unreachable expired-token
    """.split()
)
"""Faults of lists: `cloud-run-api.md` §3, and what clients that trust a server do not expect."""

TRANSPORT = frozenset("reset reset-midway hang slow-drip truncated oversize".split())
"""Faults of the way from here to the client."""

RELAYED = frozenset("reset reset-midway slow-drip".split())
"""Faults of the connection itself, below gRPC."""

REFUSING = {"permission-flip": "PERMISSION_DENIED", "expired-credential": "UNAUTHENTICATED"}
"""Faults that last: from that call on, the one rpc or all of them are refused with a code."""

KINDS = frozenset(
    {*CODES, RETRY_INFO, *PAGING, *TRANSPORT, *REFUSING, "generation-bump", "unknown-field"}
)


@dataclass(frozen=True)
class Fault:
    """One fault: which call of which rpc, what happens, and whether to all calls after it too."""

    rpc: str
    nth: int = 1
    kind: str = "UNAVAILABLE"
    always: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind}")
        if self.nth < 1:
            raise ValueError("calls are counted from 1")

    @classmethod
    def parse(cls, text: str) -> Self:
        """A fault from `RPC:N[+]:KIND`. Raises ValueError."""
        rpc, _, rest = text.partition(":")
        nth, _, kind = rest.partition(":")
        number = names.whole_number(nth.removesuffix("+"))
        if not (rpc and kind) or number is None:
            raise ValueError("a fault is written RPC:N:KIND, or RPC:N+:KIND for all from the N-th")
        return cls(rpc, number, kind, always=nth.endswith("+"))

    def __str__(self) -> str:
        return f"{self.rpc}:{self.nth}{'+' if self.always else ''}:{self.kind}"

    @property
    def code(self) -> str:
        """The status that it gives every call; empty where the call is answered."""
        if self.kind == RETRY_INFO:
            return "RESOURCE_EXHAUSTED"
        return REFUSING.get(self.kind, self.kind if self.kind in CODES else "")

    def strikes(self, rpc: str, count: int, counts: Counter[str]) -> bool:
        """Tell whether it is the turn of this call, the `count`-th of its rpc."""
        if self.kind == "expired-credential":  # whoever has no credential has none for any rpc
            return counts[self.rpc] >= self.nth
        lasting = self.always or self.kind in REFUSING
        return rpc == self.rpc and (count == self.nth or (lasting and count > self.nth))


class Schedule:
    """Counts calls by rpc and tells which faults they meet. `fired` lists those with an effect."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.fired: list[Fault] = []
        self._faults = tuple(faults)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def due(self, rpc: str) -> tuple[Fault, ...]:
        """Count one call, and give the faults whose turn it is."""
        with self._lock:
            self._counts[rpc] += 1
            count = self._counts[rpc]
            return tuple(f for f in self._faults if f.strikes(rpc, count, self._counts))

    def fire(self, fault: Fault) -> None:
        """Record that a fault took effect."""
        self.fired.append(fault)
