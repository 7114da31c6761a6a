"""
Deadlines. No call waits for ever, and no run does: every call gets what is left, up to a limit.

This is where retries and pacing belong: everything that is sent goes through `call`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from google.api_core.exceptions import GoogleAPICallError, NotFound

CALL_SECONDS = 30.0
RUN_SECONDS = 900.0

Reply = TypeVar("Reply")

_log = logging.getLogger(__name__)


class Unanswered(Exception):
    """
    A call ended without an answer. The text says why, in our words: a server's could hold
    anything.
    """


class Missing(Exception):
    """The server answered that there is no such thing."""


class Budget:
    """The time of one run. `clock` tells seconds, monotonically."""

    def __init__(self, clock: Callable[[], float], seconds: float = RUN_SECONDS) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def call(self, what: str, method: Callable[..., Reply], request: object) -> Reply:
        """
        Send one request through a method of google's clients; `what` names it in the log.

        Raises Missing when the thing does not exist, Unanswered for every other failure.
        """
        begun = self._clock()
        left = self._end - begun
        if left <= 0:
            raise Unanswered("the time of the run is used up")
        try:
            reply = method(request=request, timeout=min(left, CALL_SECONDS), retry=None)
        except NotFound:
            _log.debug("%s: not found", what)
            raise Missing from None
        except GoogleAPICallError as error:
            reason = _reason(error)
            _log.debug("%s: %s", what, reason)
            raise Unanswered(reason) from None
        _log.debug("%s: %.0f ms", what, 1000 * (self._clock() - begun))
        return reply


_REASONS = {
    "PERMISSION_DENIED": "permission denied",
    "UNAUTHENTICATED": "the credentials were not accepted",
    "DEADLINE_EXCEEDED": "no answer in time",
    "UNAVAILABLE": "the service cannot be reached",
    "RESOURCE_EXHAUSTED": "the quota is used up",
}


def _reason(error: GoogleAPICallError) -> str:
    name = error.grpc_status_code.name if error.grpc_status_code else type(error).__name__
    return _REASONS.get(name, f"the service answered {name}")
