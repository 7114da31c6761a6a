"""A message to chats, pagers and mail, through apprise: one address for each, with its token."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from drift_audit.errors import CommandError, OutputError

if TYPE_CHECKING:
    from apprise import NotifyBase

EXTRA = "pip install 'drift-audit[notify]'"

BUDGET = 2_800
"""Bytes of a message; services that take less get less."""

RETRIES, WAIT = 3, 2.0
"""apprise tries again itself, after seconds that are the same each time."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")
VARIABLE = "DRIFT_AUDIT_NOTIFY_"

Kind = Literal["info", "success", "warning", "failure"]


def variable(name: str) -> str:
    """The variable that holds the addresses of a target. Raises CommandError."""
    if NAME.fullmatch(name) is None:
        raise CommandError(
            "the target is not a name in lower-case letters",
            hint=f"ops, whose addresses stand in {VARIABLE}OPS",
        )
    return VARIABLE + name.upper().replace("-", "_")


def send(
    name: str, addresses: Sequence[str], title: str, body: Callable[[int], str], kind: Kind
) -> str:
    """
    Send a message to every address, and tell where it went. `body` makes a text of at most so many
    bytes. Raises CommandError for an address that apprise does not know, before anything is sent,
    and OutputError where not all took the message.
    """
    services = [_service(name, number, one) for number, one in enumerate(addresses, 1)]
    failed = [one for one in services if not _sent(one, title, body, kind)]
    if failed:
        raise OutputError(
            f"cannot notify {name}: {_names(failed)} did not take the message",
            hint=f"look at the addresses in {variable(name)}, and at the network",
        )
    return f"{name}: sent to {_names(services)}"


def _service(name: str, number: int, address: str) -> NotifyBase:
    try:
        import apprise
    except ImportError:
        raise CommandError("apprise is not installed", hint=EXTRA) from None
    asset = apprise.AppriseAsset(
        app_id="drift-audit",
        app_desc="drift-audit",
        app_url="",
        image_url_mask=None,  # nobody is made to load a picture from elsewhere
        image_url_logo=None,
        http_redirects=False,
        default_service_retry=RETRIES,
        default_service_wait=WAIT,
        storage_mode="memory",
    )
    service = apprise.Apprise.instantiate(address, asset=asset)
    if service is None:
        raise CommandError(
            f"address {number} in {variable(name)} is none that apprise knows",
            hint="slack://TOKEN_A/TOKEN_B/TOKEN_C, pagerduty://KEY@ROUTING_KEY, mailto://USER:PASSWORD@HOST",
        )
    return service


def _sent(service: NotifyBase, title: str, body: Callable[[int], str], kind: Kind) -> bool:
    import apprise

    client = apprise.Apprise(asset=service.asset)
    client.add(service)
    text = body(min(BUDGET, service.body_maxlen))
    head = title if service.title_maxlen else ""  # it would become a line of the message
    return bool(client.notify(body=text, title=head, notify_type=kind, body_format="text"))


def _names(services: Sequence[NotifyBase]) -> str:
    return ", ".join(sorted({str(one.service_name) for one in services}))
