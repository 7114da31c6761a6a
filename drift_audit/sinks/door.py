"""
The way out: who is asked over HTTP, how often, and what is said when that fails.

Redirects are not followed, because what is sent carries a token and a report. 429 and 503 are tried
again, as late as the server asks, within reason. A server's own words are not repeated: they could
quote what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import InvalidHeader, LocationParseError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from drift_audit import __version__
from drift_audit.errors import CommandError, OutputError

SECONDS = 20
"""How long a server may be silent."""

AGAIN = 4
"""Attempts beyond the first."""

LONGEST = 60
"""Seconds that a server may ask to wait."""

BUSY = frozenset({429, 503})

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Moved(Exception):
    """The server sends whoever asks to another address."""


class Later(Exception):
    """The server asks to wait longer than anybody would."""


class Strange(Exception):
    """The answer is not what this service answers."""


@dataclass(frozen=True)
class Target:
    """A place on a service, and what to type where the service refuses, by status."""

    service: str
    place: str
    url: str
    advice: Mapping[int, str] = field(default_factory=dict)


class Patience(Retry):
    """Which answers are tried again, and which end the attempt."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """
        429 and 503, whatever was asked, and 403 with a time: GitHub tells a limit that way. What
        sends elsewhere is told by `increment`.
        """
        limit = status_code == requests.codes.forbidden and has_retry_after
        return status_code in BUSY or limit or status_code // 100 == 3

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        *given: Any,
        **more: Any,
    ) -> Patience:
        """The same with one attempt less. Raises Moved and Later."""
        if response is not None and response.status // 100 == 3:
            raise Moved
        if response is not None and (self.get_retry_after(response) or 0) > LONGEST:
            raise Later
        return super().increment(method, url, response, *given, **more)

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Seconds that the server asks for; None where nobody can read what it asks."""
        try:
            return super().get_retry_after(response)
        except (InvalidHeader, ValueError, OverflowError):  # no date, no number, no year
            return None


def patience() -> Patience:
    """The attempts of one request. Nothing is tried again that may have been done."""
    return Patience(
        total=AGAIN,
        connect=0,
        read=0,
        other=0,
        allowed_methods=None,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        raise_on_status=False,
    )


class Bearer(AuthBase):
    """A token in the header of each request, whatever a .netrc says."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request with the token."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def session() -> requests.Session:
    """A session that is patient and follows no redirect."""
    opened = requests.Session()
    opened.headers["User-Agent"] = f"drift-audit/{__version__}"
    for scheme in ("https://", "http://"):
        opened.mount(scheme, HTTPAdapter(max_retries=patience()))
    return opened


def address(url: str) -> str:
    """
    The address of a server without the slash at its end. Raises CommandError, which does not repeat
    it: people put passwords into addresses.
    """
    try:
        parts = urlsplit(url)
        host, known = parts.hostname, (parts.port or 443) > 0
    except ValueError:
        host, known = None, False
    if not (host and known and parts.scheme in ("http", "https")):
        raise CommandError(
            "--url is no address of a server", hint="--url=https://tickets.example.com"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise CommandError(
            "--url holds more than the address of a server",
            hint="credentials come from the environment alone",
        )
    if parts.scheme == "http" and host not in LOCAL:
        raise CommandError("--url: no token is sent without TLS", hint=f"--url=https://{host}")
    return url.rstrip("/")


@contextmanager
def telling(target: Target) -> Iterator[None]:
    """What goes wrong on the way becomes an OutputError in our words."""
    try:
        yield
    except Strange:
        told = f"what answers there is not {target.service}"
        raise _failed(target, told, _reach(target)) from None
    except requests.HTTPError as error:
        raise refused(target, error.response.status_code) from None
    except Moved:
        hint = "give the address that it has now: --url"
        raise _failed(target, "it sends to another address, and is not followed", hint) from None
    except Later:
        told = f"it asks to wait for more than {LONGEST} seconds"
        raise _failed(target, told, "attach it again later") from None
    except requests.Timeout:
        raise _failed(target, f"no answer within {SECONDS} seconds", _reach(target)) from None
    except (requests.RequestException, LocationParseError) as error:
        told = f"it cannot be reached ({type(error).__name__})"
        raise _failed(target, told, _reach(target)) from None


_TOLD = {
    400: "it does not take what was sent",
    401: "the credentials were not accepted",
    403: "permission denied",
    404: "there is no such thing, or these credentials do not show it",
    413: "the report is too large for it",
    422: "it does not take what was sent",
    429: f"still too many requests, after {AGAIN + 1} attempts",
    503: f"it is not available, after {AGAIN + 1} attempts",
}


def refused(target: Target, status: int) -> OutputError:
    """What a service answered, in our words, and the next thing to type."""
    told = _TOLD.get(status, "it failed" if status >= 500 else "it refused")
    hint = target.advice.get(status) or ("attach it again later" if status in (429, 503) else "")
    return _failed(target, f"{told} ({status})", hint or "the report is as it was")


def _failed(target: Target, told: str, hint: str) -> OutputError:
    return OutputError(f"cannot attach to {target.place} on {target.service}: {told}", hint=hint)


def _reach(target: Target) -> str:
    return f"curl -sSI {target.url}"


def number(answer: object, *path: str) -> int:
    """A whole number in an answer, `path` below it. Raises Strange."""
    found = inside(answer, *path)
    if not isinstance(found, int):
        raise Strange
    return found


def text(answer: object, *path: str) -> str:
    """A text in an answer, `path` below it; a number becomes one. Raises Strange."""
    found = inside(answer, *path)
    if not isinstance(found, (str, int)):
        raise Strange
    return str(found)


def listed(answer: object, *path: str) -> list[object]:
    """A list in an answer, `path` below it. Raises Strange."""
    found = inside(answer, *path)
    if not isinstance(found, list):
        raise Strange
    return found


def inside(answer: object, *path: str) -> object:
    """What stands in an answer, `path` below it. Raises Strange."""
    for name in path:
        if not isinstance(answer, dict) or name not in answer:
            raise Strange
        answer = answer[name]
    return answer
