"""A comment on an issue of Jira and the page beside it, through atlassian-python-api."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from drift_audit.errors import CommandError
from drift_audit.sinks import door
from drift_audit.sinks.door import Strange, Target
from drift_audit.sinks.letter import Letter

if TYPE_CHECKING:
    from atlassian import Jira

EXTRA = "pip install 'drift-audit[jira]'"

BUDGET = 30_000
"""Bytes of a comment; Jira takes 32,767 characters (reference §2.1)."""

PAGE = 100
MOST = 5_000
"""Comments that an issue can have (reference §2.1)."""

_ISSUE = re.compile(r"[A-Z][A-Z0-9_]{0,30}-[1-9][0-9]{0,9}")


def target(issue: str, url: str) -> Target:
    """An issue on a server. Raises CommandError."""
    if _ISSUE.fullmatch(issue) is None:
        raise CommandError("the target is not the key of an issue", hint="OPS-123")
    return Target(
        "Jira",
        issue,
        door.address(url),
        {
            401: "set JIRA_USER and JIRA_API_TOKEN (Cloud), or JIRA_TOKEN (Data Center)",
            403: "the account needs Browse Projects, Add Comments and Create Attachments",
            404: "look at the key of the issue, and whether the account may browse its project",
            413: "raise the size of attachments in Jira, or render a report of fewer services",
        },
    )


def body(text: str) -> str:
    """
    The comment, in which Jira looks for no markup. The text has no braces but those of escapes, so
    that nothing in it ends the block.
    """
    return f"{{noformat}}\n{text}{{noformat}}"


def attach(to: Target, letter: Letter, *, user: str, secret: str) -> str:
    """
    Attach the page, unless it is there, and write the comment, or write over the one that the same
    account wrote about the same; tell which. `secret` is the API token of a user, or without a user
    a personal access token. Raises OutputError.
    """
    try:
        from atlassian import Jira
    except ImportError:
        raise CommandError("atlassian-python-api is not installed", hint=EXTRA) from None
    with door.session() as session, door.telling(to):
        client = Jira(
            to.url,
            username=user or None,
            password=secret if user else None,
            token=None if user else secret,
            session=session,
            timeout=door.SECONDS,
            api_version=2,
            retry_with_header=False,  # the session does that
        )
        me = _who(client.get(client.resource_url("myself")))
        _add_page(client, to.place, letter, me)
        return _write(client, to.place, letter, me)


def _who(person: object) -> str:
    """The name that tells one account from another: Cloud has another one than Data Center."""
    for name in ("accountId", "key", "name"):
        if isinstance(person, dict) and isinstance(person.get(name), str):
            return f"{name} {person[name]}"
    raise Strange


def _by(one: object, me: str) -> bool:
    """Whether an account wrote something; what nobody wrote has no author."""
    author = one.get("author") if isinstance(one, dict) else None
    name, _, known = me.partition(" ")
    return isinstance(author, dict) and author.get(name) == known


def _add_page(client: Jira, issue: str, letter: Letter, me: str) -> None:
    read = client.get_issue(issue, fields="attachment", update_history=False)
    for one in door.listed(read, "fields", "attachment"):
        if door.text(one, "filename") == letter.name and _by(one, me):
            return
    page = letter.page.encode("utf-8", "surrogatepass")
    file = letter.name, page, "text/html"  # requests takes it so; the client declares less
    client.add_attachment_object(issue, file)  # type: ignore[arg-type]


def _write(client: Jira, issue: str, letter: Letter, me: str) -> str:
    found = _own(client, issue, letter.ref, me)
    if found is None:
        made = door.text(client.issue_add_comment(issue, body(letter.text)), "id")
        return f"comment {made} on {issue} written, with {letter.name}"
    client.issue_edit_comment(issue, found, body(letter.text))
    return f"comment {found} on {issue} updated, with {letter.name}"


def _own(client: Jira, issue: str, ref: str, me: str) -> str | None:
    """The comment that an earlier report about the same left, if one did."""
    at = f"{client.resource_url('issue')}/{issue}/comment"
    start = 0
    while start < MOST:  # a server may give fewer at a time than it is asked for
        page = client.get(at, params={"startAt": start, "maxResults": PAGE})
        comments = door.listed(page, "comments")
        for one in comments:
            if ref in door.text(one, "body") and _by(one, me):
                return door.text(one, "id")
        start += len(comments)
        if not comments or start >= door.number(page, "total"):
            break
    return None
