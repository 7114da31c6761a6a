"""
Which regions a project has, from the locations API of Cloud Run.

A list that is written down misses what Google adds: 43 regions in 2026, and a public tool that knew
24 (`cloud-run-api.md` §3). google's gRPC clients lack the call, so it goes over HTTP.
"""

from __future__ import annotations

from drift_audit import names
from drift_audit.collector.budget import Budget, Missing, Unanswered
from drift_audit.collector.listing import PAGES
from drift_audit.collector.pace import CLOUD_RUN, Quota
from drift_audit.collector.rest import CLOUD_RUN as HOST
from drift_audit.collector.rest import Question, Rest
from drift_audit.snapshot import Unseen


def of(project: str, rest: Rest, budget: Budget) -> tuple[str, ...] | Unseen:
    """The regions of a project, sorted; unseen where they cannot be had whole."""
    what = f"regions of projects/{project}"
    try:
        found = set(_listed(project, rest, budget, what))
    except (Unanswered, Missing) as error:
        return Unseen(where=what, reason=str(error) or "there is no such project")
    if not found:
        return Unseen(where=what, reason="none were named")
    return tuple(sorted(found))


def _listed(project: str, rest: Rest, budget: Budget, what: str) -> list[str]:
    """Every region named on any page. Raises Unanswered and Missing."""
    token, tokens, found = "", set[str](), list[str]()
    for number in range(1, PAGES + 1):
        query = {"pageSize": "100"} | ({"pageToken": token} if token else {})
        request = Question(HOST, f"/v1/projects/{project}/locations", query)
        page = budget.call(
            f"list {what}, page {number}", rest.ask, request, Quota(CLOUD_RUN, project)
        )
        listed = page.get("locations") or []
        for one in listed if isinstance(listed, list) else [listed]:
            region = str(one.get("locationId") or "") if isinstance(one, dict) else ""
            if not names.SERVICE.fullmatch(region):
                raise Unanswered("a region without a name")
            found.append(region)
        token = str(page.get("nextPageToken") or "")
        if not token:
            return found
        if token in tokens:
            raise Unanswered("the list repeats a page")
        tokens.add(token)
    raise Unanswered(f"the list goes on after {PAGES} pages")
