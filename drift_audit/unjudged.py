"""
What could not be judged, and why: each is a skip, in the report and in the verdict.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator

from drift_audit.binding import LiteralValue, SecretReference
from drift_audit.differ import SEALED_ELSEWHERE, incomparable
from drift_audit.finding import Finding, Skip
from drift_audit.headline import number
from drift_audit.inventory import Evidence
from drift_audit.rules import Case, Fleet
from drift_audit.rules.load import used_connectors, used_databases
from drift_audit.rules.waivers import Before
from drift_audit.seal import CREDENTIAL, PATTERNS_FAILED
from drift_audit.snapshot import Snapshot


def of_service(case: Case, patterns: str = "") -> Iterator[Skip]:
    """
    What could not be judged of one service. `patterns` is the library whose patterns its values
    were to be held against.
    """
    if case.reference is not None:
        yield from _not_compared(case.reference, case.candidate)
    yield from _versions_not_looked_at(case.candidate, case.evidence)
    yield from _policy_patterns_not_tried(case)
    yield from _patterns_not_tried(case, patterns)
    yield from _not_known(case.candidate)


def of_run(fleet: Fleet) -> Iterator[Skip]:
    """What could not be judged of the services of a run together."""
    yield from _not_matched(fleet)
    yield from _limits_not_read(fleet)


def _not_compared(reference: Snapshot, candidate: Snapshot) -> Iterator[Skip]:
    """What could not be held side by side, and whether that was in scope."""
    reasons = Counter(reason for _, reason in incomparable(reference, candidate))
    for reason, count in sorted(reasons.items()):
        yield Skip(
            what=number(count, "plain value"),
            service=candidate.address,
            reason=reason,
            blocking=reason == SEALED_ELSEWHERE,
        )
    if (reference.service is None) != (candidate.service is None):
        yield Skip(
            what="service-level settings",
            service=candidate.address,
            reason="one of the two does not say how its service was set",
            blocking=False,
        )


def _versions_not_looked_at(candidate: Snapshot, evidence: frozenset[Evidence]) -> Iterator[Skip]:
    """Secrets whose versions nobody listed, where others were."""
    if Evidence.SECRET_VERSIONS in evidence:
        unknown = {str(ref) for _, ref in candidate.references if ref.version_state is None}
        for secret in sorted(unknown):
            yield Skip(
                what=f"the state of {secret}",
                service=candidate.address,
                reason="no list of its versions was given",
                blocking=False,
            )


GRACE = dt.timedelta(days=1)
"""
Clocks differ, and SOURCE_DATE_EPOCH may tell when something was committed, which is before it is
deployed.
"""


def behind_the_facts(case: Case, promoted: dt.date | None) -> Iterator[Skip]:
    """
    Whatever depends on the day, where the clock is behind what has happened: the revisions that are
    compared were created, and the baseline was `promoted`, on a day that is still to come.
    """
    sides = [side.identity for side in (case.candidate, case.reference) if side is not None]
    told = [(f"{one.revision} was created", one.create_time) for one in sides]
    days = [(what, at.date()) for what, at in told if at is not None]
    days += [("the baseline was promoted", promoted)] if promoted else []
    what, day = max(days, key=lambda one: one[1], default=("", dt.date.min))
    if day - case.today > GRACE:
        yield Skip(
            what="what depends on the day, such as the end of waivers",
            service=case.candidate.address,
            reason=f"the clock says {case.today}, and {what} on {day}",
            blocking=True,
        )


def waivers_of_unknown_age(
    candidate: Snapshot, findings: Iterable[Finding], before: Before
) -> Iterator[Skip]:
    """Waivers of which nobody knows whether they are older than what they forgive."""
    if any(f.waived is not None and not before.tells_of(f) for f in findings):
        yield Skip(
            what="whether waivers came with what they forgive",
            service=candidate.address,
            reason="no earlier audit of the service is remembered",
            blocking=False,
        )


def waivers_about_the_run(findings: Iterable[Finding]) -> Iterator[Skip]:
    """The same of findings that are not about one service."""
    if any(f.waived is not None for f in findings):
        yield Skip(
            what="whether waivers of findings about this run came with them",
            reason="only what was found of single services is remembered",
            blocking=False,
        )


def _not_known(candidate: Snapshot) -> Iterator[Skip]:
    """Fields that a newer API has and this version does not know."""
    names = {setting.name.removeprefix("service.") for setting in candidate.all_settings}
    for name in sorted(n for n in names if n.startswith("unknown.")):
        yield Skip(
            what=f"the field {name.removeprefix('unknown.')}",
            service=candidate.address,
            reason="this version does not know it: it is compared as a whole",
            blocking=False,
        )


def _not_matched(fleet: Fleet) -> Iterator[Skip]:
    """Credentials that could not be held against each other, as their values were not read now."""
    for candidate in fleet.candidates:
        values = (b.source for b in candidate.bindings if isinstance(b.source, LiteralValue))
        plain = any(CREDENTIAL in value.traits for value in values)
        if plain and candidate.address in fleet.inventory.remembered:
            yield Skip(
                what="credential-shared",
                service=candidate.address,
                reason="its plain values were read on another day: --full reads them again",
                blocking=False,
            )


def _policy_patterns_not_tried(case: Case) -> Iterator[Skip]:
    """Patterns of the policy that no value could be held against."""
    for at, _, requirement, item, _ in case.required:
        source = item.source if item else None
        hidden = isinstance(source, LiteralValue) and source.clear is None
        if requirement.pattern and (hidden or isinstance(source, SecretReference)):
            yield Skip(
                what=f"the pattern of {at.key}",
                service=case.candidate.address,
                reason="its value is not revealed" if hidden else "it comes from a secret",
                blocking=hidden,
            )


def _patterns_not_tried(case: Case, wanted: str) -> Iterator[Skip]:
    """Plain values that a library's patterns were to be held against, and were not."""
    candidate = case.candidate
    failed = [at.name for at, value in case.odd if PATTERNS_FAILED in value.traits]
    for name in dict.fromkeys(failed if wanted else ()):
        yield Skip(
            what=f"the patterns of credentials for {name}",
            service=candidate.address,
            reason=f"{wanted} failed on its value",
            blocking=True,
        )
    tried = candidate.seen.patterns
    values = (*(b.source for b in candidate.bindings), *(s.value for s in candidate.all_settings))
    if wanted != tried and wanted and any(isinstance(v, LiteralValue) for v in values):
        how = f"with those of {tried}" if tried else "without them"
        yield Skip(
            what="the patterns of credentials",
            service=candidate.address,
            reason=f"its plain values were sealed {how}",
            blocking=not tried,
        )


def _limits_not_read(fleet: Fleet) -> Iterator[Skip]:
    """Databases and connectors whose limits were asked for in vain, by the rules that need them."""
    limits = fleet.inventory.limits
    if limits is None:
        return
    missed: list[tuple[str, str]] = []
    said = {d.instance for d in fleet.policy.database if d.max_connections is not None}
    for name in used_databases(fleet.candidates, fleet.policy):
        if limits.database(name) is None:
            missed.append(("database-unavailable", name))
            missed.append(("limit-differs" if name in said else "connections-exceeded", name))
    for name in used_connectors(fleet.candidates):
        if limits.connector(name) is None:
            missed.append(("connector-unavailable", name))
            entry = next((c for c in fleet.policy.connector if c.covers(name)), None)
            if entry is not None and entry.max_instances is None:
                missed.append(("connector-exceeded", name))
    for rule, name in missed:
        yield Skip(what=f"{rule} for {name}", reason="its limit could not be read", blocking=True)
