"""
Where a plain value leads: the hosts of its URLs, an address, a database. Told apart from the value
while that is sealed, so that rules can ask whether anything is there.

Nothing else of a value is kept: no user, password, path or query, and of a public host not its
name. What could be a password that looks like an address is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from drift_audit import names
from drift_audit.binding import Target, TargetKind

LOOKED_AT = 4_096
MOST = 8
"""How much of a value is looked at, and how many targets of one are kept."""

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{0,30}://"
    r"(?:[^/\s]*@)?"
    rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?(?=[/?#\s,;\"'|]|$)"
    r"(?!\S*@)"  # with a slash in the password, the user would stand where the host does
)
_BARE = re.compile(
    r"(?P<host>localhost|(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[a-z][-a-z0-9.]{0,240}\.run\.app)"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_INSTANCE = rf"{names.PROJECT.pattern}:[a-z]+-[a-z]+[0-9]{{1,2}}:[a-z][-a-z0-9]{{0,97}}"
_SOCKET = re.compile(rf"/cloudsql/(?P<instance>{_INSTANCE})")
_BARE_INSTANCE = re.compile(_INSTANCE)
_MAYBE = re.compile(r"://|/cloudsql/|localhost|\.run\.app|[0-9]\.[0-9]|:[a-z]+-[a-z]+[0-9]{1,2}:")
"""What every target holds: most values need no closer look."""

_PRIVATE = [IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_LOCAL = [IPv4Network("127.0.0.0/8"), IPv4Network("0.0.0.0/32")]


def targets(value: str) -> tuple[Target, ...]:
    """Where a value leads, each place once, in the order of the value."""
    text = value[:LOOKED_AT]
    if not _MAYBE.search(text):
        return ()
    return tuple(dict.fromkeys(_found(text)))[:MOST]


def _found(text: str) -> Iterator[Target]:
    for match in _SOCKET.finditer(text):
        yield Target(kind="cloud-sql", name=match["instance"])
    bare = text.strip()
    if _BARE_INSTANCE.fullmatch(bare):
        yield Target(kind="cloud-sql", name=bare)
    alone = _BARE.fullmatch(bare)
    for match in [alone] if alone else _URL.finditer(text):
        host = match["host"].lower()
        port = int(match["port"]) if match["port"] else None
        kind = _kind(host)
        environment = names.environment(host)
        if kind != "public":
            yield Target(kind=kind, name=host, port=port, environment=environment)
        elif environment:
            yield Target(kind=kind, environment=environment)


def _kind(host: str) -> TargetKind:
    if host.endswith(".run.app"):
        return "cloud-run"
    try:
        address = IPv4Address(host)
    except ValueError:
        if host == "localhost":
            return "local"
        return "public" if "." in host else "label"
    if any(address in network for network in _LOCAL):
        return "local"
    return "private" if any(address in network for network in _PRIVATE) else "public"
