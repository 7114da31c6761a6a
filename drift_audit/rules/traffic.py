"""Which revisions answer, and whether they can."""

from __future__ import annotations

from collections.abc import Iterator

from drift_audit.binding import Binding, SecretReference
from drift_audit.differ import Change, Item, compare
from drift_audit.finding import Severity
from drift_audit.rules.engine import Case, Hit, rule
from drift_audit.rules.env import told

TRAFFIC = "service.traffic"


@rule("revision-not-ready", Severity.HIGH)
def revision_not_ready(case: Case) -> Iterator[Hit]:
    """
    The revision is not Ready.

    It did not start, or one of its secrets cannot be read. Requests go to an older revision, or
    nowhere.

    Fix: look at the reason and the logs of the revision, then deploy again or roll back.
    """
    status = case.candidate.status
    if status.ready is False:
        why = f": {status.ready_reason}" if status.ready_reason else ""
        yield Hit(case.candidate.address, f"{case.candidate.revision} is not Ready{why}")


@rule("newest-not-serving", Severity.MEDIUM)
def newest_not_serving(case: Case) -> Iterator[Hit]:
    """
    The newest revision answers no requests.

    The deploy went through and changed nothing for users: what serves is an older revision. One
    with a tag waits to be tried, and is not meant here.

    Fix: send traffic to the newest revision, or delete it if it is not to serve.
    """
    service, candidate = case.service, case.candidate
    if service is None or not service.serving or candidate.status.ready is False:
        return
    newest = candidate.identity.revision == service.latest_created != ""
    tagged = any(t.tag and t.revision == candidate.identity.revision for t in service.traffic)
    if newest and not tagged and candidate.identity.revision not in service.serving:
        serves = f"{candidate.revision} is the newest revision and serves nothing"
        says = f"{serves}; {service.serving[0]} does"
        yield Hit(candidate.address.at(setting=TRAFFIC), says)


@rule("traffic-pinned", Severity.LOW)
def traffic_pinned(case: Case) -> Iterator[Hit]:
    """
    Requests go to revisions by name.

    The next deploy will succeed and serve nobody, until somebody sends traffic to it.

    Fix: send traffic to the latest revision, unless deploys are promoted by hand.
    """
    service = case.service
    if service is None or service.newest is None:
        return
    newest = service.newest.identity.revision == case.candidate.identity.revision
    follows = any(target.latest and target.percent for target in service.traffic)
    if newest and service.serving and not follows:
        says = f"requests go to {', '.join(service.serving)} by name"
        yield Hit(case.candidate.address.at(setting=TRAFFIC), says)


@rule("serving-revisions-differ", Severity.MEDIUM)
def serving_revisions_differ(case: Case) -> Iterator[Hit]:
    """
    Two revisions answer requests, and a secret or a required key is not the same in both.

    Which of the two answers is chance: one request is accepted, and the next one gets 403.

    Fix: send all traffic to the revision that is right.
    """
    service, most = case.service, case.candidate
    if service is None or service.serving[:1] != (most.identity.revision,):
        return
    for other in filter(None, map(service.revision, service.serving[1:])):
        for change in compare(other, most):
            if _matters(case, change):
                here = f"{_told(change.after)} in {most.revision}"
                there = f"{_told(change.before)} in {other.revision}"
                severity = case.raised_if_required(change.at, Severity.MEDIUM)
                yield Hit(change.at, f"{change.at.name} is {here} and {there}", severity)


def _matters(case: Case, change: Change) -> bool:
    """Whether a key is one that requests are accepted or refused by: secret, or required."""
    sides = (change.before, change.after)
    secret = any(isinstance(s, Binding) and isinstance(s.source, SecretReference) for s in sides)
    return secret or (change.at.key is not None and case.policy.requires(change.at))


def _told(item: Item | None) -> str:
    return told(item.source) if isinstance(item, Binding) else "absent"
