"""How a call ends that is not answered: a status code and one line, the same on every front."""

from __future__ import annotations

from typing import Any

import grpc


class Refusal(Exception):
    """A call that ends with a status. `retry_after` is how many seconds a client is to wait."""

    def __init__(self, code: grpc.StatusCode, message: str, retry_after: float = 0) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


def not_found(what: str) -> Refusal:
    """What was asked for is not there."""
    return Refusal(grpc.StatusCode.NOT_FOUND, f"{what} was not found")


def invalid(message: str) -> Refusal:
    """What was asked for cannot be asked for."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, message)


def failed(message: str) -> Refusal:
    """What was asked for cannot be had as things stand."""
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, message)


def denied(name: str) -> Refusal:
    """What was asked for is not for this caller."""
    return Refusal(grpc.StatusCode.PERMISSION_DENIED, f"Permission denied on resource {name}")


def refused(request: Any) -> Any:
    """What the emulator does for nobody. Raises Refusal."""
    raise denied(getattr(request, "name", "") or "of this call")
