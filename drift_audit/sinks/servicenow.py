"""A work note on a record of ServiceNow and the page beside it: its REST API, without a client."""

from __future__ import annotations

import re
from typing import Any

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from drift_audit.errors import CommandError
from drift_audit.sinks import door
from drift_audit.sinks.door import Bearer, Strange, Target
from drift_audit.sinks.letter import Letter

BUDGET = 30_000
"""Bytes of a note. Journal fields take more; a note is to be read."""

_RECORD = re.compile(r"(?:(?P<table>[a-z][a-z0-9_]{1,79})/)?(?P<number>[A-Z]{2,10}[0-9]{3,15})")
_SYS_ID = re.compile(r"[0-9a-f]{32}")


def target(record: str, url: str) -> Target:
    """`NUMBER` of an incident, or `TABLE/NUMBER`, on a server. Raises CommandError."""
    found = _RECORD.fullmatch(record)
    if found is None:
        hint = "INC0010001, or change_request/CHG0030001"
        raise CommandError("the target is not the number of a record", hint=hint)
    return Target(
        "ServiceNow",
        f"{found['table'] or 'incident'}/{found['number']}",
        door.address(url),
        {
            401: "set SERVICENOW_TOKEN, or SERVICENOW_USER and SERVICENOW_PASSWORD",
            403: "the account needs to write work notes and attachments of that table (itil)",
            404: "look at the number and its table, and whether the account may read it",
        },
    )


def login(*, token: str, user: str, password: str) -> AuthBase:
    """A token, else a user and a password."""
    return Bearer(token) if token else HTTPBasicAuth(user.encode(), password.encode())


def attach(to: Target, letter: Letter, account: AuthBase) -> str:
    """
    Attach the page and write the note, each unless it is there, and tell. Notes of a record cannot
    be changed: every report has its own. Raises OutputError.
    """
    table, _, number = to.place.partition("/")
    with door.session() as session, door.telling(to):
        session.auth = account
        api = f"{to.url}/api/now"
        record = _record(to, session, f"{api}/table/{table}", number)
        name = {"table_name": table, "table_sys_id": record["sys_id"], "file_name": letter.name}
        there = {
            "sysparm_query": "^".join(f"{field}={value}" for field, value in name.items()),
            "sysparm_fields": "sys_id",
            "sysparm_limit": "1",
        }
        if not door.listed(_asked(session, "GET", f"{api}/attachment", params=there), "result"):
            page = letter.page.encode("utf-8", "surrogatepass")
            kind = {"Content-Type": "text/html"}
            _asked(session, "POST", f"{api}/attachment/file", params=name, data=page, headers=kind)
        if letter.name in record["work_notes"]:
            return f"{letter.name} is on {to.place} already"
        note = {"work_notes": letter.text}
        _asked(session, "PATCH", f"{api}/table/{table}/{record['sys_id']}", json=note)
        return f"work note on {to.place} written, with {letter.name}"


def _record(to: Target, session: requests.Session, url: str, number: str) -> dict[str, str]:
    """The id of a record and its notes; `sysparm_display_value` is what brings the notes."""
    asked = {
        "sysparm_query": f"number={number}",
        "sysparm_fields": "sys_id,work_notes",
        "sysparm_display_value": "true",
        "sysparm_limit": "2",
    }
    found = door.listed(_asked(session, "GET", url, params=asked), "result")
    if not found:
        raise door.refused(to, 404)
    read = {field: door.text(found[0], field) for field in ("sys_id", "work_notes")}
    if len(found) > 1 or _SYS_ID.fullmatch(read["sys_id"]) is None:
        raise Strange
    return read


def _asked(session: requests.Session, method: str, url: str, **more: Any) -> object:
    """What the server answers, as JSON. Raises requests' errors, and Strange."""
    headers = {"Accept": "application/json", **more.pop("headers", {})}
    answer = session.request(
        method, url, headers=headers, timeout=door.SECONDS, allow_redirects=False, **more
    )
    answer.raise_for_status()
    try:
        found: object = answer.json()
    except (ValueError, RecursionError):  # no JSON, or a number or a depth that Python refuses
        raise Strange from None
    return found
