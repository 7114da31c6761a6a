"""
What is said of a difference besides that it is there: the deploy that made it, its probable cause,
the commands that undo it, and what became of the keys since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from drift_audit.binding import VersionState
from drift_audit.cause import Causes
from drift_audit.differ import Change
from drift_audit.finding import Finding, First, Remedy, Severity
from drift_audit.history import first_with
from drift_audit.inventory import Service, by_age
from drift_audit.key_history import key_history
from drift_audit.policy import Policy
from drift_audit.remedy import Ground, remedy
from drift_audit.rules.load import grown_by
from drift_audit.rules.meaning import OF_SETTINGS
from drift_audit.service_report import KeyHistory
from drift_audit.snapshot import Address, Snapshot, Unseen

RESTORED = frozenset(
    {
        "binding-downgraded",
        "key-emptied",
        "key-lost",
        "key-moved",
        "key-missing",
        "key-wrong-source",
        "secret-mount-lost",
        "secret-project-changed",
        "secret-retargeted",
        "version-unpinned",
    }
)
"""Rules whose findings get a command that puts the reference's state back."""


@dataclass(frozen=True)
class Explanation:
    """
    The findings with what could be said of them, and of all changes together. `unseen` is what
    could not be read for it.
    """

    findings: Sequence[Finding]
    remedy: Remedy | None = None
    history: KeyHistory | None = None
    unseen: tuple[Unseen, ...] = field(default=())


def explain(
    changes: Sequence[Change],
    findings: Sequence[Finding],
    *,
    reference: Snapshot,
    candidate: Snapshot,
    service: Service,
    policy: Policy,
    now: Callable[[Snapshot], Snapshot],
) -> Explanation:
    """
    Say of findings which deploy made what they tell of, and how to undo it.

    `service` holds as much of the history as could be read. `now` looks up the secret versions of
    the reference as they stand; it is called where a command is given.
    """
    wanted = _restored(findings)
    restored = [change for change in changes if change.at in wanted]
    planned = candidate.identity.planned  # nothing was deployed that could be put back
    today = now(reference) if restored and not planned else None
    ground = Ground(reference, candidate, service, _states(today), _numbers(today))
    same = reference.address == candidate.address
    return Explanation(
        findings=_explained(findings, changes, ground, policy) if same else findings,
        remedy=None if planned else remedy(restored, ground),
        history=key_history(service, reference, candidate) if same else None,
        unseen=today.seen.unseen if today else (),
    )


def _states(now: Snapshot | None) -> dict[tuple[str, str], VersionState | None]:
    """How the secret versions stand that a revision asks for, by secret and version."""
    references = now.references if now else ()
    return {(ref.resource, ref.asked): ref.version_state for _, ref in references}


def _numbers(now: Snapshot | None) -> dict[str, str]:
    """The numbers of other projects whose secrets a revision reads, as far as they are known."""
    references = now.references if now else ()
    return {ref.project: ref.project_number for _, ref in references if ref.project_number}


def _restored(findings: Sequence[Finding]) -> set[Address]:
    """The addresses whose findings call for the reference's state, and are not accepted."""
    return {
        f.address
        for f in findings
        if f.waived is None
        and (f.rule in RESTORED or (f.rule in OF_SETTINGS and f.severity >= Severity.HIGH))
    }


def _explained(
    findings: Sequence[Finding], changes: Sequence[Change], ground: Ground, policy: Policy
) -> list[Finding]:
    """
    The findings about changes, each with the deploy that made it, its cause and its remedy. What is
    planned was not deployed, and needs no remedy.
    """
    reference, candidate, service = ground.reference, ground.candidate, ground.service
    by_address = {change.at: change for change in changes}
    causes = Causes(reference, service, candidate)
    planned = candidate.identity.planned

    def explained(finding: Finding) -> Finding:
        change = by_address.get(finding.address)
        if change is None:
            grown = grown_by(changes, policy) if finding.rule == "connections-grew" else ()
            return finding.but(first_seen=_last_deploy(grown, ground))
        first = first_with(service, reference, candidate, change.at)
        undone = not planned and change.at in _restored([finding])
        return finding.but(
            first_seen=None if _is_to_come(first, ground) else first,
            cause=causes.of(change, first),
            remedy=remedy([change], ground) if undone else None,
        )

    return [explained(finding) for finding in findings]


def _is_to_come(first: First | None, ground: Ground) -> bool:
    """Tell whether what made a change is the plan itself, which is no deploy yet."""
    planned = ground.candidate.identity.planned
    return planned and first is not None and not first.create_time


def _last_deploy(changes: Sequence[Change], ground: Ground) -> First | None:
    """The last of the deploys that made what a finding sums up; None of no change."""
    service, candidate = ground.service, ground.candidate
    firsts = [first_with(service, ground.reference, candidate, c.at) for c in changes]
    made = [first for first in firsts if first is not None and not _is_to_come(first, ground)]
    age = {r.revision: by_age(r) for r in (*service.revisions, candidate)}
    return max(made, key=lambda first: age[first.revision], default=None)
