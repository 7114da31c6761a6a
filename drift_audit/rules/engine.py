"""
Runs rules. A rule is one generator over one case; registering it is all it takes.

The docstring of a rule is what people read about it, in reports and in `docs/rules.md`: what is
wrong, why it matters, and `Fix:`. A rule whose evidence is missing is skipped, and the skip is
reported.
"""

from __future__ import annotations

import datetime as dt
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from drift_audit import names
from drift_audit.binding import Binding, LiteralValue, Mount, SecretReference
from drift_audit.differ import Change, Item, Place, items, place_of, state_of
from drift_audit.finding import Finding, Severity, Skip
from drift_audit.inventory import Evidence, Inventory, Scope, Service
from drift_audit.policy import Policy
from drift_audit.rules.meaning import meanings, sentence
from drift_audit.rules.wanted import Wanted, wanted
from drift_audit.snapshot import Address, Snapshot, Unseen

Made = TypeVar("Made")

Read = tuple[str, str, str]
"""Project, secret and version, as they are told of every service alike."""


class Hit(NamedTuple):
    """
    What a rule yields: where, and one sentence. `severity` only where it is not the rule's own.
    """

    at: Address
    says: str
    severity: Severity | None = None


@dataclass(frozen=True)
class Case:
    """
    One service to judge: two revisions, what differs, the policy, and what else is known.

    `refused` is a baseline that was not taken as the reference because it violates the policy;
    `service` is what the candidate is a revision of, None where only the revision matters.
    """

    candidate: Snapshot
    reference: Snapshot | None = None
    changes: Sequence[Change] = ()
    policy: Policy = field(default_factory=Policy)
    evidence: frozenset[Evidence] = frozenset()
    refused: Snapshot | None = None
    today: dt.date = dt.date.min
    service: Service | None = None

    def at(self, item: Binding | Mount) -> Address:
        """Where a key or a mounted file of the candidate is."""
        return self.candidate.at(item)

    def told_by(self, rule: str) -> Sequence[Change]:
        """The changes of settings that one rule tells of, and no other."""
        return self._meanings.get(rule, ())

    def plain_hits(self, rule: str) -> Iterator[Hit]:
        """These changes, each in the words of the setting itself."""
        return (Hit(change.at, sentence(change)) for change in self.told_by(rule))

    @cached_property
    def _meanings(self) -> Mapping[str, Sequence[Change]]:
        reference = self.reference
        return meanings(self.changes, reference, self.candidate) if reference else {}

    @cached_property
    def lost(self) -> list[tuple[Address, Binding]]:
        """Keys of the reference that the candidate does not have, and what they were."""
        gone = ((c.at, c.before) for c in self.changes if c.after is None)
        return [(at, item) for at, item in gone if isinstance(item, Binding)]

    @cached_property
    def gained(self) -> list[tuple[Address, Binding]]:
        """Keys of the candidate that the reference does not have, and what they are."""
        new = ((c.at, c.after) for c in self.changes if c.before is None)
        return [(at, item) for at, item in new if isinstance(item, Binding)]

    @cached_property
    def rebound(self) -> list[tuple[Address, Binding, Binding]]:
        """Keys that both sides have and whose bindings differ."""
        return [
            (c.at, c.before, c.after)
            for c in self.changes
            if isinstance(c.before, Binding) and isinstance(c.after, Binding)
        ]

    @cached_property
    def wanted(self) -> list[Wanted]:
        """The keys that the policy, or the application's own schema, speaks of."""
        return wanted(self.candidate, self.policy)

    @property
    def required(self) -> Iterator[Wanted]:
        """Those that the service cannot do without."""
        return (want for want in self.wanted if want.need == "yes")

    @cached_property
    def environment(self) -> names.Environment | None:
        """What the service belongs to, as far as the policy or a name says."""
        return self.policy.environment(self.candidate.address)

    @cached_property
    def odd(self) -> list[tuple[Address, LiteralValue]]:
        """The odd plain values of the candidate: of keys, each once, and of sealed settings."""
        home = self.candidate.address
        keys = [
            (self.at(item), value)
            for item in self.candidate.bindings
            for value in ((*item.shadowed, item.source) if item.shadowed else (item.source,))
            if isinstance(value, LiteralValue) and value.traits
        ]
        settings = [
            (home.at(setting.container, setting=setting.name), setting.value)
            for setting in self.candidate.all_settings
            if isinstance(setting.value, LiteralValue) and setting.value.traits
        ]
        return [*dict.fromkeys(keys), *settings]

    @cached_property
    def before(self) -> Mapping[Place, Item]:
        """What the reference holds, by place."""
        return items(self.reference) if self.reference else {}

    @cached_property
    def after(self) -> Mapping[Place, Item]:
        """What the candidate holds, by place."""
        return items(self.candidate)

    def raised_if_required(self, at: Address, severity: Severity) -> Severity:
        """A severity, one step up when the policy requires the key."""
        return severity.raised if self.policy.requires(at) else severity


@dataclass(frozen=True)
class Fleet:
    """
    Everything of one run, for rules that need more than one service, or the findings themselves.

    `asked` is what the user narrowed the run to, None for a comparison, which says nothing of
    other services; `left` names services that a baseline is kept of and that are not there.
    """

    inventory: Inventory
    policy: Policy
    today: dt.date
    asked: Scope | None = field(default_factory=Scope)
    left: Sequence[Address] = ()
    candidates: Sequence[Snapshot] = ()
    unseen: Sequence[Unseen] = ()
    findings: Sequence[Finding] = ()
    _made: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, make: Callable[[Fleet], Made]) -> Made:
        """What a function makes of this run, made once for all rules that ask for it."""
        if make not in self._made:
            self._made[make] = make(self)
        made: Made = self._made[make]
        return made

    @cached_property
    def project_ids(self) -> Mapping[str, str]:
        """The ids of projects by their numbers, as far as the services tell both."""
        known = {c.identity.project_number: c.identity.project for c in self.candidates}
        known.pop("", None)
        return known

    @cached_property
    def by_service(self) -> Mapping[Address, Sequence[Snapshot]]:
        """The revisions that were judged of each service, the newest first."""
        found: dict[Address, list[Snapshot]] = {}
        for candidate in self.candidates:
            found.setdefault(candidate.address, []).append(candidate)
        return found

    @property
    def newest(self) -> Sequence[Snapshot]:
        """
        One revision of each service: the newest of those that were judged. None of a comparison,
        which has no other services.
        """
        if self.asked is None:
            return []
        return [revisions[0] for revisions in self.by_service.values()]

    def read(self, snapshot: Snapshot, ref: SecretReference) -> Read:
        """A secret that a revision reads, as every service of the run would spell it."""
        project = self.project_ids.get(ref.project, ref.project) or snapshot.identity.project
        return project, ref.secret, str(ref.resolved or ref.asked)

    @property
    def expected(self) -> frozenset[Address]:
        """The services that the policy wants to be where the run looked."""
        if self.asked is None:
            return frozenset()
        named = (name.split("/") for name in self.policy.scope.expect)
        wanted = (Address(project=p, region=r, service=s) for p, r, s in named)
        return frozenset(at for at in wanted if self.asked.covers(at))

    @property
    def whole(self) -> bool:
        """Whether everything was looked at that the policy speaks of: live, and not narrowed."""
        return self.asked is not None and self.asked.open and bool(self.inventory.scope.projects)


CaseCheck = Callable[[Case], Iterable[Hit]]
FleetCheck = Callable[[Fleet], Iterable[Hit]]
Check = TypeVar("Check", CaseCheck, FleetCheck)


@dataclass(frozen=True)
class Rule:
    """
    A rule and what it says of itself. Exactly one of the two checks is set; one `of_changes` is
    asked only where something differs.
    """

    id: str
    severity: Severity
    family: str
    what: str
    why: str
    fix: str
    needs: frozenset[Evidence] = frozenset()
    on_case: CaseCheck | None = None
    on_fleet: FleetCheck | None = None
    of_changes: bool = False


RULES: dict[str, Rule] = {}
"""Every rule, by id. Filled by the decorators when `drift_audit.rules` is imported."""


def rule(id: str, severity: Severity, *needs: Evidence) -> Callable[[CaseCheck], CaseCheck]:
    """Register a rule about one service. Ids are kebab-case words, never renamed or reused."""

    def register(check: CaseCheck) -> CaseCheck:
        _add(Rule(id, severity, *_documented(check), needs=frozenset(needs), on_case=check))
        return check

    return register


def change_rule(id: str, severity: Severity) -> Callable[[CaseCheck], CaseCheck]:
    """Register a rule about what differs: it has nothing to say of two equal revisions."""

    def register(check: CaseCheck) -> CaseCheck:
        _add(Rule(id, severity, *_documented(check), on_case=check, of_changes=True))
        return check

    return register


def fleet_rule(id: str, severity: Severity) -> Callable[[FleetCheck], FleetCheck]:
    """Register a rule about the run as a whole."""

    def register(check: FleetCheck) -> FleetCheck:
        _add(Rule(id, severity, *_documented(check), on_fleet=check))
        return check

    return register


def _add(new: Rule) -> None:
    if new.id in RULES or not re.fullmatch(r"[a-z]+(-[a-z]+)*", new.id):
        raise AssertionError(f"rule id {new.id} is taken or not kebab-case")
    RULES[new.id] = new


def _documented(check: Callable[..., object]) -> tuple[str, str, str, str]:
    """Family, what, why and fix, from the module and the docstring."""
    family = check.__module__.rpartition(".")[2]
    parts = inspect.cleandoc(check.__doc__ or "").split("\n\n")
    if len(parts) != 3 or not parts[2].startswith("Fix: "):
        raise AssertionError(f"{check.__name__}: a rule says what, why, and `Fix:`")
    what, why, fix = (" ".join(part.split()) for part in parts)
    return family, what, why, fix.removeprefix("Fix: ")


def judge(case: Case, rules: Iterable[Rule] | None = None) -> tuple[list[Finding], list[Skip]]:
    """
    Run the rules about one service. Findings are sorted, one for each rule and address; rules
    without evidence become skips.
    """
    findings, skipped = [], []
    for each in rules if rules is not None else RULES.values():
        if each.on_case is None or (each.of_changes and not case.changes):
            continue
        if missing := each.needs - case.evidence:
            skipped.append(_skip(each, case, missing))
            continue
        if hits := list(each.on_case(case)):
            findings += [_finding(each, hit, case) for hit in _merged(each, hits)]
    return sorted(findings, key=lambda f: f.order), skipped


def judge_fleet(fleet: Fleet, rules: Iterable[Rule] | None = None) -> list[Finding]:
    """Run the rules about the run; those that judge waivers see what all the others found."""
    chosen = [r for r in (rules if rules is not None else RULES.values()) if r.on_fleet]
    found: list[Finding] = []
    for each in sorted(chosen, key=lambda r: r.family == "waivers"):
        judges = each.family == "waivers"
        so_far = replace(fleet, findings=[*fleet.findings, *found]) if judges else fleet
        assert each.on_fleet is not None
        hits = _merged(each, each.on_fleet(so_far))
        found += [_about_run(each, hit, fleet.policy) for hit in hits]
    return sorted(found, key=lambda f: f.order)


def _merged(of: Rule, hits: Iterable[Hit]) -> list[Hit]:
    """One hit for each address: the gravest severity, and all that was said."""
    by_address: dict[Address, list[Hit]] = {}
    for hit in hits:
        by_address.setdefault(hit.at, []).append(hit)
    return [
        Hit(
            at,
            "; ".join(dict.fromkeys(hit.says for hit in same)),
            max((hit.severity or of.severity for hit in same), key=lambda s: s.value),
        )
        for at, same in by_address.items()
    ]


def _about_run(of: Rule, hit: Hit, policy: Policy) -> Finding:
    severity = _severity(of, hit, policy)
    return Finding(rule=of.id, severity=severity, address=hit.at, says=hit.says)


def _severity(of: Rule, hit: Hit, policy: Policy) -> Severity:
    return policy.severity.get(of.id) or hit.severity or of.severity


def _finding(of: Rule, hit: Hit, case: Case) -> Finding:
    place = place_of(hit.at)
    states = (
        (state_of(case.before.get(place)), state_of(case.after.get(place)))
        if place
        else (None, None)
    )
    return Finding(
        rule=of.id,
        severity=_severity(of, hit, case.policy),
        address=hit.at,
        says=hit.says,
        before=states[0] if case.reference else None,
        after=states[1],
    )


def _skip(of: Rule, case: Case, missing: frozenset[Evidence]) -> Skip:
    needed = ", ".join(sorted(missing))
    return Skip(
        what=of.id, service=case.candidate.address, reason=f"needs {needed}", blocking=False
    )
