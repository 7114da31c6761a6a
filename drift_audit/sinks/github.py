"""A comment on a pull request or an issue of GitHub, through PyGithub."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from urllib3.exceptions import LocationParseError

from drift_audit import __version__
from drift_audit.errors import CommandError
from drift_audit.sinks import door
from drift_audit.sinks.door import Strange, Target

if TYPE_CHECKING:
    from github import Github
    from github.IssueComment import IssueComment

HOME = "https://api.github.com"
EXTRA = "pip install 'drift-audit[github]'"

BUDGET = 60_000
"""Bytes of a comment; GitHub has been seen to refuse from 65,536 characters on (reference §2.1)."""

VIEWER = "query { viewer { login } }"
"""Who a token belongs to. `GET /user` is refused to the tokens of apps and of workflows."""

_PLACE = re.compile(r"(?P<repository>[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)#(?P<number>[1-9][0-9]{0,9})")


def target(place: str, url: str) -> Target:
    """`OWNER/REPO#NUMBER` on a server. Raises CommandError."""
    if _PLACE.fullmatch(place) is None:
        raise CommandError("the target is not OWNER/REPO#NUMBER", hint="acme/shop#12")
    grant = (
        "GITHUB_TOKEN needs to write pull requests or issues (permissions: pull-requests: write)"
    )
    return Target(
        "GitHub",
        place,
        door.address(url),
        {
            401: "set GITHUB_TOKEN to a token that is valid there",
            403: grant,
            404: f"look at the number, and at the token: {grant}",
        },
    )


def body(ref: str, markdown: str) -> str:
    """The comment: a marker that nobody sees, then the report."""
    return f"{marker(ref)}\n{markdown}"


def marker(ref: str) -> str:
    """What the comments of a report, and of those after it, begin with."""
    return f"<!-- drift-audit {ref} -->"


def attach(to: Target, ref: str, comment: str, token: str) -> str:
    """
    Write the comment, or write over the one that the same token wrote about the same, and tell
    which. Comments of others that begin alike are left alone. Raises OutputError.
    """
    try:
        import github
    except ImportError:
        raise CommandError("PyGithub is not installed", hint=EXTRA) from None
    client = github.Github(
        base_url=to.url,
        auth=github.Auth.Token(token),
        timeout=door.SECONDS,
        retry=door.patience(),
        user_agent=f"drift-audit/{__version__}",
        per_page=100,
        seconds_between_requests=None,
        seconds_between_writes=None,
        lazy=True,  # of a repository and an issue nothing is asked but the comments
    )
    wrong = (  # what the client makes of answers that are none of GitHub's
        *(github.BadAttributeException, AssertionError, AttributeError),
        *(KeyError, OverflowError, RecursionError, TypeError, ValueError),
    )
    with door.telling(to):
        try:
            return _written(client, to, ref, comment)
        except github.GithubException as error:
            raise door.refused(to, error.status) from None
        except LocationParseError:  # a ValueError, but of no answer
            raise
        except wrong:
            raise Strange from None
        finally:
            client.close()


def _written(client: Github, to: Target, ref: str, comment: str) -> str:
    repository, _, number = to.place.partition("#")
    issue = client.get_repo(repository).get_issue(int(number))
    mine = _own(client, issue.get_comments(), ref)
    if mine is None:
        made = issue.create_comment(comment)
        return f"comment {int(made.id)} on {to.place} written"
    if mine.body == comment:
        return f"comment {int(mine.id)} on {to.place} is up to date"
    mine.edit(comment)
    return f"comment {int(mine.id)} on {to.place} updated"


def _own(client: Github, comments: Iterable[IssueComment], ref: str) -> IssueComment | None:
    """The comment that an earlier report about the same left, if one did."""
    login = _login(client)
    for one in comments:
        by_me = one.user is not None and one.user.login == login  # some accounts are gone
        if by_me and (one.body or "").startswith(marker(ref)):
            return one
    return None


def _login(client: Github) -> str:
    _, answer = client.requester.graphql_query(VIEWER, {})
    return door.text(answer, "data", "viewer", "login")
