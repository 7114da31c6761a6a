"""
The few calls that google's gRPC clients lack, as JSON over HTTP: which regions a project has, which
permissions the account holds, and what databases and connectors take.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import grpc
import requests
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

CLOUD_RUN = "run.googleapis.com"
RESOURCE_MANAGER = "cloudresourcemanager.googleapis.com"
SQL_ADMIN = "sqladmin.googleapis.com"
VPC_ACCESS = "vpcaccess.googleapis.com"

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""What an HTTP status means in gRPC's words, so that both kinds of call fail alike."""


class Question(NamedTuple):
    """One request: a host, a path, the query, and a body where something is posted."""

    host: str
    path: str
    query: dict[str, str] = {}
    body: dict[str, Any] | None = None


class Rest:
    """
    Sends questions with a session; `emulator` is the host and port of a local server that answers
    for all hosts, in plain text.
    """

    def __init__(self, session: requests.Session, emulator: str = "") -> None:
        self._session, self._emulator = session, emulator

    def ask(self, request: Question, timeout: float, retry: None) -> dict[str, Any]:  # noqa: ARG002
        """
        The answer's JSON object. Takes what google's clients take, and raises what they raise.
        """
        base = f"http://{self._emulator}" if self._emulator else f"https://{request.host}"
        try:
            answer = self._session.request(
                "GET" if request.body is None else "POST",
                f"{base}{request.path}",
                params=request.query,
                json=request.body,
                timeout=timeout,
                allow_redirects=False,
            )
            if answer.status_code != requests.codes.ok:
                code = _CODES.get(answer.status_code, grpc.StatusCode.UNKNOWN)
                raise exceptions.from_grpc_status(code, f"HTTP {answer.status_code}")
            found = answer.json()
        except requests.Timeout:
            raise exceptions.DeadlineExceeded("no answer in time") from None
        except GoogleAuthError:
            raise exceptions.Unauthenticated("no access token") from None
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            raise exceptions.ServiceUnavailable("no connection") from None
        except (requests.RequestException, ValueError, RecursionError):
            raise exceptions.DataLoss("the answer is no JSON") from None
        if not isinstance(found, dict):
            raise exceptions.DataLoss("the answer is no JSON object")
        return found
