"""
What `doctor` looks at in Google Cloud: whose credentials there are, and what they may do where.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from drift_audit.cli.connection import connection
from drift_audit.cli.subject import Scope
from drift_audit.collector import permissions
from drift_audit.collector.account import Account
from drift_audit.collector.budget import DENIED, NOT_ACCEPTED
from drift_audit.collector.connection import Connection
from drift_audit.collector.permissions import Access
from drift_audit.collector.rest import RESOURCE_MANAGER
from drift_audit.diagnosis import Check
from drift_audit.errors import ExitCode, SourceError
from drift_audit.headline import number
from drift_audit.snapshot import Unseen

INCOMPLETE = int(ExitCode.INCOMPLETE)
LOGIN = "gcloud auth application-default login"
ROLES = {
    "run": "roles/run.viewer",
    "secretmanager": "roles/secretmanager.viewer",
    "cloudsql": "roles/cloudsql.viewer",
    "vpcaccess": "roles/vpcaccess.viewer",
}
OWN = "driftAudit"
"""The id of a role that holds what is needed and nothing else."""

FEW = 5
"""Regions that are named in a sentence."""


def checks(scope: Scope, *, read_limits: bool) -> Iterator[Check]:
    """
    Whose credentials there are, then each project: its regions, what the account may do there, and
    what it may do and should not. `read_limits` asks for what that needs too.
    """
    reach = connection(scope.impersonate)
    unnamed = not scope.regions
    needed = permissions.needed(scope.kinds, find_regions=unnamed, read_limits=read_limits)
    projects = tuple(dict.fromkeys(scope.projects))
    try:
        reach.whose()
    except SourceError as error:
        yield _missing("credentials", str(error), [LOGIN])
        yield from (_unasked(p, "without credentials nobody answers") for p in projects)
        return
    try:
        found = _ask(projects, needed, scope, reach)
    except SourceError:
        yield _credentials(scope, reach, [])
        name = "CLOUD_RUN_EMULATOR_REST_HOST"
        says, fix = f"{name} is not set: nobody can be asked", f"export {name}=HOST:PORT"
        yield from (_unasked(p, says, fix) for p in projects)
        return
    yield _credentials(scope, reach, found)
    account = reach.whose()
    for one in found:
        yield from _regions(one, scope)
        yield from _permissions(one, account, needed)
        yield from _unwanted(one, account)
    if not found:
        fix = "drift-audit doctor --project=PROJECT"
        yield _unasked("", "no project is named, so none was asked", fix)


def _ask(
    projects: Sequence[str], needed: Sequence[str], scope: Scope, reach: Connection
) -> list[Access]:
    """What the APIs answer, project by project. Raises SourceError."""
    if not projects:
        return []
    return permissions.of(
        projects,
        (*needed, *permissions.PAYLOADS, *permissions.WRITES),
        reach.rest(),
        scope.budget,
        find_regions=not scope.regions,
        tell=scope.progress,
    )


def _missing(check: str, says: str, fix: Iterable[str]) -> Check:
    return Check(check=check, state="missing", says=says, fix=tuple(fix), code=INCOMPLETE)


def _unasked(project: str, says: str, *fix: str) -> Check:
    return Check(
        check="permissions", project=project, state="not seen", says=says, fix=fix, code=INCOMPLETE
    )


def _credentials(scope: Scope, reach: Connection, found: Sequence[Access]) -> Check:
    """Whose they are: a machine learns its account with the first call, so this comes after it."""
    account = reach.whose()
    reasons = {u.reason for one in found for u in one.permissions.unseen}
    if NOT_ACCEPTED in reasons:
        return _missing(
            "credentials",
            f"{account.words}: {NOT_ACCEPTED}",
            _impersonation(account, scope.impersonate) or [LOGIN],
        )
    emulated = [
        name
        for name, host in (
            ("CLOUD_RUN_EMULATOR_HOST", reach.run_emulator),
            ("SECRET_MANAGER_EMULATOR_HOST", reach.secrets_emulator),
            ("CLOUD_RUN_EMULATOR_REST_HOST", reach.rest_emulator),
        )
        if host
    ]
    if emulated and not (reach.run_emulator and reach.secrets_emulator):
        verb = "is set: an emulator answers" if len(emulated) == 1 else "are set: emulators answer"
        says = f"{account.words}; {' and '.join(emulated)} {verb} in place of Google"
        fix = [f"unset {' '.join(emulated)}"]
        return Check(check="credentials", state="warning", says=says, fix=tuple(fix))
    if account.unbilled:
        says = f"{account.words}; without a quota project, which some APIs ask for"
        project = shlex.quote(scope.projects[0]) if scope.projects else "PROJECT"
        fix = [f"gcloud auth application-default set-quota-project {project}"]
        return Check(check="credentials", state="warning", says=says, fix=tuple(fix))
    return Check(check="credentials", state="ok", says=account.words)


def _impersonation(account: Account, chain: Sequence[str]) -> list[str]:
    """The commands that let each of a chain of accounts act as the next one."""
    grant = "--role=roles/iam.serviceAccountTokenCreator"
    members = [account.source, *(f"serviceAccount:{one}" for one in chain)]
    return [
        f"gcloud iam service-accounts add-iam-policy-binding {shlex.quote(target)}"
        f" --member={shlex.quote(member)} {grant}"
        for (member, _), target in zip(pairwise(members), chain, strict=True)
    ]


def _regions(found: Access, scope: Scope) -> Iterator[Check]:
    project, regions = found.project, found.regions
    if isinstance(regions, Unseen):
        says = f"{regions.reason}; regions that are named need not be asked for"
        fix = (f"drift-audit doctor --project={shlex.quote(project)} --region=REGION",)
        yield Check(
            check="regions", project=project, state="not seen", says=says, fix=fix, code=INCOMPLETE
        )
    elif regions is None and scope.regions:
        says = f"{', '.join(scope.regions)}, as asked"
        yield Check(check="regions", project=project, state="ok", says=says, names=scope.regions)
    elif regions is not None:
        named = f": {', '.join(regions)}" if len(regions) <= FEW else ""
        says = f"{number(len(regions), 'region')} found{named}"
        yield Check(check="regions", project=project, state="ok", says=says, names=regions)


def _permissions(found: Access, account: Account, needed: Sequence[str]) -> Iterator[Check]:
    """What an audit needs: held, lacking, or not answered."""
    project, (asked, held, unseen) = found.project, found.permissions
    lacking = tuple(p for p in needed if p in asked and p not in held)
    if lacking:
        several = any(p.startswith("secretmanager.") for p in lacking)
        more = "; what is granted on single secrets is not seen here" if several else ""
        yield Check(
            check="permissions",
            project=project,
            state="missing",
            says=f"lacks {grouped(lacking)}{more}",
            names=lacking,
            fix=tuple(_roles(project, account, lacking)),
            instead=tuple(_own_role(project, account, needed)),
            code=INCOMPLETE,
        )
    elif asked.issuperset(needed):
        says = f"holds the {number(len(needed), 'permission')} that an audit needs"
        yield Check(
            check="permissions", project=project, state="ok", says=says, names=tuple(needed)
        )
    for missed in unseen:
        yield _unanswered(project, missed)


def _unanswered(project: str, missed: Unseen) -> Check:
    """A question without an answer. What need not be held leaves an audit complete all the same."""
    one = missed.where.partition(" ")[0]
    if one in permissions.PAYLOADS + permissions.WRITES:
        says = f"{one}: {missed.reason}"
        return Check(check="permissions", project=project, state="not seen", says=says)
    if missed.reason == DENIED:
        why = "there is no such project, or its Resource Manager API is off"
        fix = f"gcloud services enable {RESOURCE_MANAGER} --project={shlex.quote(project)}"
        return _unasked(project, f"{DENIED}: {why}", fix)
    named = f"{one}: " if "." in one else ""
    return _unasked(project, f"{named}{missed.reason}")


def _unwanted(found: Access, account: Account) -> Iterator[Check]:
    """What an account that only looks should not hold: it is told, and nothing depends on it."""
    project, (asked, held, _) = found.project, found.permissions
    both = (
        ("payloads", permissions.PAYLOADS, "can read what is in secrets"),
        ("changes", permissions.WRITES, "can change what it looks at"),
    )
    for check, tables, what in both:
        names = tuple(p for p in tables if p in held)
        if names:
            says = f"{what}: remove the role that holds {grouped(names)}"
            fix = (_which_roles(project, account),)
            yield Check(
                check=check, project=project, state="warning", says=says, names=names, fix=fix
            )
        elif asked.issuperset(tables):
            says = what.replace("can ", "cannot ")
            yield Check(check=check, project=project, state="ok", says=says)


def grouped(names: Iterable[str]) -> str:
    """Permissions in few words: `run.services.get/list, run.jobs.run`."""
    verbs: dict[str, list[str]] = {}
    for name in names:
        resource, _, verb = name.rpartition(".")
        verbs.setdefault(resource, []).append(verb)
    return ", ".join(f"{resource}.{'/'.join(found)}" for resource, found in verbs.items())


def _roles(project: str, account: Account, lacking: Iterable[str]) -> Iterator[str]:
    """The commands that grant the predefined roles with what is lacking."""
    for api in dict.fromkeys(p.partition(".")[0] for p in lacking):
        yield _binding(project, account, ROLES[api])


def _own_role(project: str, account: Account, needed: Iterable[str]) -> Iterator[str]:
    """The commands that make a role of exactly what is needed, and grant it."""
    words = [
        OWN,
        f"--project={project}",
        "--title=drift-audit",
        f"--permissions={','.join(needed)}",
    ]
    yield f"gcloud iam roles create {shlex.join(words)}"
    yield _binding(project, account, f"projects/{project}/roles/{OWN}")


def _binding(project: str, account: Account, role: str) -> str:
    words = [project, f"--member={account.member}", f"--role={role}", "--condition=None"]
    return f"gcloud projects add-iam-policy-binding {shlex.join(words)}"


def _which_roles(project: str, account: Account) -> str:
    """The command that lists the roles of an account."""
    flags = ["--flatten=bindings[].members", f"--filter=bindings.members={account.member}"]
    words = [project, *flags, "--format=value(bindings.role)"]
    return f"gcloud projects get-iam-policy {shlex.join(words)}"
