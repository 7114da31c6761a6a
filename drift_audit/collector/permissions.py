"""
Which permissions the account holds on a project: those that an audit needs, and those that it
should not have (`cloud-run-api.md` §5.3, `threats-and-promises.md` §5.2).

Resource Manager answers for the account that asks, whatever its roles are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import quote

from drift_audit import names
from drift_audit.collector import regions
from drift_audit.collector.budget import Budget, Missing, Stale, Unanswered
from drift_audit.collector.pace import RESOURCE_MANAGER, Quota
from drift_audit.collector.rest import RESOURCE_MANAGER as HOST
from drift_audit.collector.rest import Question, Rest
from drift_audit.names import Kind
from drift_audit.snapshot import Unseen

REGIONS = "run.locations.list"

BY_KIND: dict[Kind, tuple[str, ...]] = {
    "service": ("run.services", "run.revisions"),
    "worker-pool": ("run.workerpools", "run.revisions"),
    "job": ("run.jobs",),
}
SECRETS = ("secretmanager.secrets", "secretmanager.versions")
LIMITS = ("cloudsql.instances.get", "vpcaccess.connectors.get")
READS = ("get", "list")

PAYLOADS = ("secretmanager.versions.access",)
WRITES = (
    *(f"run.services.{verb}" for verb in ("create", "update", "delete", "setIamPolicy")),
    *(f"run.jobs.{verb}" for verb in ("create", "update", "delete", "run")),
    *(f"run.workerpools.{verb}" for verb in ("create", "update", "delete")),
    "run.revisions.delete",
    *(f"secretmanager.secrets.{verb}" for verb in ("create", "update", "delete", "setIamPolicy")),
    *(f"secretmanager.versions.{verb}" for verb in ("add", "enable", "disable", "destroy")),
)

AT_ONCE = 100
"""Permissions that one request may name."""

PROJECTS_AT_ONCE = 8


class Held(NamedTuple):
    """
    What was answered: the permissions that were `asked` for with success, those of them that are
    `held`, and why others were not answered.
    """

    asked: frozenset[str]
    held: frozenset[str]
    unseen: tuple[Unseen, ...] = ()


class Access(NamedTuple):
    """What the account may do in a project, and its regions; None where nobody asked for them."""

    project: str
    permissions: Held
    regions: tuple[str, ...] | Unseen | None = None


def needed(
    kinds: Iterable[Kind], *, find_regions: bool, read_limits: bool = False
) -> tuple[str, ...]:
    """The permissions that an audit of such resources needs."""
    resources = dict.fromkeys(r for kind in kinds for r in BY_KIND[kind])
    reads = (f"{resource}.{verb}" for resource in (*resources, *SECRETS) for verb in READS)
    return (*((REGIONS,) if find_regions else ()), *reads, *(LIMITS if read_limits else ()))


def of(
    projects: Sequence[str],
    permissions: Sequence[str],
    rest: Rest,
    budget: Budget,
    *,
    find_regions: bool,
    tell: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Access]:
    """What the account may do in each project; a project that cannot be asked for says why."""

    def look(project: str) -> Access:
        if not names.PROJECT.fullmatch(project):
            missed = Unseen(
                where=f"permissions on projects/{project}", reason="not the id of a project"
            )
            return Access(project, Held(frozenset(), frozenset(), (missed,)))
        held = _held(project, permissions, rest, budget)
        return Access(project, held, regions.of(project, rest, budget) if find_regions else None)

    with ThreadPoolExecutor(PROJECTS_AT_ONCE) as executor:
        found = []
        for access in executor.map(look, projects):
            found.append(access)
            tell("projects", len(found), len(projects))
    return found


def _held(project: str, permissions: Sequence[str], rest: Rest, budget: Budget) -> Held:
    asked, held, unseen = set[str](), set[str](), list[Unseen]()
    for names_, found in _asked(project, permissions, rest, budget):
        if isinstance(found, Unseen):
            unseen.append(found)
        else:
            asked |= {*names_}
            held |= found & asked
    return Held(frozenset(asked), frozenset(held), tuple(unseen))


def _asked(
    project: str, permissions: Sequence[str], rest: Rest, budget: Budget
) -> Iterator[tuple[Sequence[str], set[str] | Unseen]]:
    """
    The answers, part by part. One permission that the server does not know spoils a whole request;
    each is then asked for by itself.
    """
    for begin in range(0, len(permissions), AT_ONCE):
        part = permissions[begin : begin + AT_ONCE]
        what = f"permissions on projects/{project}"
        try:
            yield part, _ask(what, project, part, rest, budget)
        except Stale as error:
            if len(part) > 1:
                for one in part:
                    yield from _asked(project, [one], rest, budget)
            else:
                yield part, Unseen(where=f"{part[0]} on projects/{project}", reason=str(error))
        except Missing:
            yield part, Unseen(where=what, reason="there is no such project")
        except Unanswered as error:
            yield part, Unseen(where=what, reason=str(error))


def _ask(what: str, project: str, part: Sequence[str], rest: Rest, budget: Budget) -> set[str]:
    """Those of some permissions that are held. Raises Unanswered, Stale and Missing."""
    path = f"/v1/projects/{quote(project, safe='')}:testIamPermissions"
    question = Question(HOST, path, body={"permissions": list(part)})
    answer = budget.call(f"test {what}", rest.ask, question, Quota(RESOURCE_MANAGER, project))
    held = answer.get("permissions", [])
    if not isinstance(held, list) or not all(isinstance(one, str) for one in held):
        raise Unanswered("an answer that is no list of permissions")
    return set(held)
