"""
What a run may spend: time, calls and attempts. Everything that is sent goes through `Budget.call`.

No call waits for ever, and no run does. What may come right is tried again (`UNAVAILABLE`, a quota
that the server says is used up, no answer in time), with growing waits and jitter, as long as the
run has time; everything else is final at once. Google's clients retry none of these where we call
them (`threats-and-promises.md` §0).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from drift_audit.collector.pace import Pace, Quota

CALL_SECONDS = 30.0
RUN_SECONDS = 900.0

ATTEMPTS = 5
AGAIN = 500
"""Attempts beyond the first that a run makes in all: an API that is down is not hammered."""

Reply = TypeVar("Reply")

_log = logging.getLogger(__name__)


class Unanswered(Exception):
    """
    A call ended without an answer. The text says why, in our words: a server's could hold
    anything.
    """


class Missing(Exception):
    """The server answered that there is no such thing."""


class Stale(Unanswered):
    """The server did not understand the request: for a list, its page token may have expired."""


class _Again(Unanswered):
    """The same call may succeed later, `wait` seconds from now at the earliest."""

    def __init__(self, reason: str, wait: float, *, slowly: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.slowly = wait, slowly


class Budget:
    """
    The time, calls and attempts of one run, shared by its threads.

    `clock` tells seconds, monotonically, and `sleep` waits; `attempt` is how long one attempt may
    take.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        seconds: float = RUN_SECONDS,
        *,
        attempt: float = CALL_SECONDS,
        pace: Pace | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep, self._attempt = clock, sleep, attempt
        self._end = clock() + seconds
        self._pace = pace or Pace(clock)
        self._again = AGAIN
        self.latency = attempt
        """Seconds of the quickest call so far."""

    def call(self, what: str, method: Callable[..., Reply], request: object, quota: Quota) -> Reply:
        """
        Send one request through a method of google's clients; `what` names it in the log.

        Raises Missing when the thing does not exist, Stale when the request was not understood,
        Unanswered for every other failure.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(_Again),
            wait=_wait,
            stop=self._no_more,
            sleep=self._sleep,
            reraise=True,
        )
        reply: Reply = retrying(self._once, what, method, request, quota)
        return reply

    @property
    def left(self) -> float:
        """Seconds that the run still has."""
        return self._end - self._clock()

    def _once(
        self, what: str, method: Callable[..., Reply], request: object, quota: Quota
    ) -> Reply:
        self._wait_turn(quota)
        begun, left = self._clock(), self.left
        if left <= 0:
            raise Unanswered("the time of the run is used up")
        try:
            reply = method(request=request, timeout=min(left, self._attempt), retry=None)
        except NotFound:
            _log.debug("%s: not found", what)
            raise Missing from None
        except GoogleAPICallError as error:
            ours = _ours(error)
            _log.debug("%s: %s", what, ours)
            raise ours from None
        took = self._clock() - begun
        self.latency = min(self.latency, took)
        _log.debug("%s: %.0f ms", what, 1000 * took)
        return reply

    def _wait_turn(self, quota: Quota) -> None:
        """Wait until the quota has room. Raises Unanswered when the run has no time for that."""
        while wait := self._pace.take(quota):
            if wait >= self.left:
                raise Unanswered("the time of the run is used up waiting for the quota")
            self._sleep(wait)

    def _no_more(self, state: RetryCallState) -> bool:
        """Tell whether a failed call is given up: too often, or too late to wait once more."""
        if stop_after_attempt(ATTEMPTS)(state) or state.upcoming_sleep >= self.left:
            return True
        self._again -= 1
        return self._again < 0


_SOON = wait_random_exponential(multiplier=0.5, max=10)
_LATER = wait_random_exponential(multiplier=4, max=60)
"""A quota is one of a minute: waits that are shorter only spend more of it."""


def _wait(state: RetryCallState) -> float:
    """Seconds until the next attempt: what the server asked for, and jitter on top."""
    error: Any = state.outcome.exception() if state.outcome else None
    if error.wait:
        return float(error.wait) + _SOON(state)
    return _LATER(state) if error.slowly else _SOON(state)


NOT_ACCEPTED = "the credentials were not accepted"
DENIED = "permission denied"

_REASONS = {
    "PERMISSION_DENIED": DENIED,
    "UNAUTHENTICATED": NOT_ACCEPTED,
    "DEADLINE_EXCEEDED": "no answer in time",
    "UNAVAILABLE": "the service cannot be reached",
    "RESOURCE_EXHAUSTED": "the quota is used up",
}

_NOT_FROM_THE_SERVER = {
    "RESOURCE_EXHAUSTED": ("larger than max", "the answer is larger than this client takes"),
    "UNAVAILABLE": (
        "Getting metadata from plugin failed",
        "the credentials could not be refreshed",
    ),
}
"""
What gRPC itself reports under a code of the server, and the words it uses: it comes again each
time.
"""


def _ours(error: GoogleAPICallError) -> Unanswered:
    """The same failure in our words, and whether another attempt makes sense."""
    name = error.grpc_status_code.name if error.grpc_status_code else type(error).__name__
    sign, local = _NOT_FROM_THE_SERVER.get(name, ("", ""))
    if sign and sign in str(error.message):
        return Unanswered(local)
    reason = _REASONS.get(name, f"the service answered {name}")
    if name in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        return _Again(reason, _asked_for(error))
    if name == "RESOURCE_EXHAUSTED":
        return _Again(reason, _asked_for(error), slowly=True)
    return Stale(reason) if name == "INVALID_ARGUMENT" else Unanswered(reason)


def _asked_for(error: GoogleAPICallError) -> float:
    """Seconds that the server wants us to wait, 0 where it does not say."""
    for detail in error.details or ():
        delay: Any = getattr(detail, "retry_delay", None)
        if isinstance(detail, RetryInfo) and isinstance(delay, Duration):
            return max(0.0, delay.seconds + delay.nanos / 1e9)
    return 0.0
