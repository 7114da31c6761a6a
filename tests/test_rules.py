"""Every rule speaks where it should and is silent where it should: `tests/cases/RULE-ID/*.yaml`."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from drift_audit.app_schema import read_schema
from drift_audit.binding import Binding, LiteralValue
from drift_audit.differ import compare
from drift_audit.finding import Finding, Severity, Skip, Waived
from drift_audit.inventory import Evidence, Inventory, Scope, Service, TrafficTarget, Twins
from drift_audit.limits import Limits, SqlInstance, VpcConnector
from drift_audit.policy import POOL, Policy, read_policy
from drift_audit.rules import RULES, Case, Fleet, judge, judge_fleet
from drift_audit.rules.engine import Rule, change_rule, fleet_rule, rule
from drift_audit.rules.env import is_reserved, is_variable
from drift_audit.rules.meaning import OF_SETTINGS
from drift_audit.rules.waivers import waive
from drift_audit.seal import Sealer
from drift_audit.snapshot import Address, Snapshot, Unseen
from tests.builders import HOME, NOW, sealer, snapshot
from tests.strategies import pairs

CASES = sorted(Path(__file__).parent.glob("cases/*/*.yaml"))

FIELDS = {
    "source", "reference", "candidate", "policy", "evidence", "refused",
    "services", "unseen", "found", "today", "asked", "left", "live", "expect", "severity", "at",
    "traffic", "newest", "others", "regions", "looked", "limits", "schemas",
}  # fmt: skip


def load(path: Path) -> dict[str, Any]:
    case = yaml.safe_load(path.read_text())
    unknown = case.keys() - FIELDS
    assert not unknown, f"{path}: unknown fields {unknown}"
    assert isinstance(case.get("expect"), list), f"{path}: says nothing of what it expects"
    return case


def policy_of(given: dict[str, Any]) -> Policy:
    """The policy of a case, with the schemas that it names."""
    schemas = {name: json.dumps(document) for name, document in given.get("schemas", {}).items()}
    return read_policy(
        given.get("policy", ""), schemas=lambda name: read_schema(schemas[name], name)
    )


def run(rule: str, given: dict[str, Any]) -> list[Finding]:
    """What one rule, alone, finds in a case."""
    policy = policy_of(given)
    if RULES[rule].on_fleet:
        return judge_fleet(fleet(given, policy), [RULES[rule]])
    seal = sealer(reveal=policy.reveal, numbers=policy.numbers)
    candidate = snapshot(given["candidate"], seal=seal)
    reference = None
    if given.get("reference") is not None:
        reference = snapshot(given["reference"], seal=seal, revision="api-00001-old")
    case = Case(
        candidate=candidate,
        reference=reference,
        changes=compare(reference, candidate) if reference else (),
        policy=policy,
        evidence=frozenset(Evidence[e] for e in given.get("evidence", ["SECRET_VERSIONS"])),
        refused=snapshot(given["refused"]) if "refused" in given else None,
        today=dt.date.fromisoformat(str(given.get("today", NOW.date()))),
        service=service(given, candidate, seal) if "traffic" in given else None,
    )
    findings, skipped = judge(case, [RULES[rule]])
    return findings + [
        Finding(rule=rule, severity=Severity.INFO, address=HOME, says=f"skipped: {s.reason}")
        for s in skipped
    ]


def service(given: dict[str, Any], candidate: Snapshot, seal: Sealer) -> Service:
    """The service of a candidate: where its traffic goes, and what other revisions there are."""
    others = given.get("others", {}).items()
    return Service(
        project=HOME.project,
        region=HOME.region,
        service=HOME.service,
        latest_created=given.get("newest", candidate.identity.revision),
        latest_ready=given.get("newest", candidate.identity.revision),
        traffic=tuple(TrafficTarget(**target) for target in given["traffic"]),
        revisions=(candidate, *(snapshot(side, seal=seal, revision=name) for name, side in others)),
    )


def fleet(given: dict[str, Any], policy: Policy) -> Fleet:
    seal = sealer(numbers=(*policy.numbers, *(POOL if "limits" in given else ())))
    candidates = []
    for name, side in (given.get("services") or {}).items():
        at = place(name)
        who = {"project": at.project, "region": at.region, "service": at.service}
        candidates.append(snapshot(side, seal=seal, **who))
    inventory = Inventory(
        scope=Scope(
            source="test",
            projects=("shop",) if given.get("live", True) else (),
            regions=tuple(given.get("regions", ())),
            **{part: tuple(names) for part, names in given.get("looked", {}).items()},
        ),
        services=tuple(
            Service(
                project=c.identity.project, region=c.identity.region, service=c.identity.service
            )
            for c in candidates
        ),
        twins=tuple(Twins(mark=mark, places=places) for mark, places in seal.twins()),
        limits=limits(**given["limits"]) if "limits" in given else None,
    )
    return Fleet(
        inventory=inventory,
        policy=policy,
        today=dt.date.fromisoformat(str(given.get("today", NOW.date()))),
        asked=None if given.get("asked", {}) is None else asked(**given.get("asked", {})),
        left=[place(name) for name in given.get("left", ())],
        candidates=candidates,
        unseen=[Unseen(**u) for u in given.get("unseen", ())],
        findings=[
            Finding(
                rule=f["rule"],
                severity=Severity.HIGH,
                address=address(f["at"]),
                says="x",
                waived=Waived(reason="noise", **f["waived"]) if "waived" in f else None,
            )
            for f in given.get("found", ())
        ],
    )


def limits(databases: dict[str, Any] | None = None, connectors: Any = None) -> Limits:
    """What was read of databases and connectors, by their names."""
    return Limits(
        databases=tuple(instance(name, one) for name, one in (databases or {}).items()),
        connectors=tuple(VpcConnector(name=n, **one) for n, one in (connectors or {}).items()),
    )


def instance(name: str, one: dict[str, Any]) -> SqlInstance:
    """A Cloud SQL instance, PostgreSQL unless it says otherwise."""
    return SqlInstance(name=name, **{"engine": "POSTGRES_16", **one})


def place(name: str) -> Address:
    """A service, by its name alone or with project and region."""
    project, region, service = name.split("/") if "/" in name else ("shop", "europe-west1", name)
    return Address(project=project, region=region, service=service)


def asked(**parts: list[str]) -> Scope:
    """What a run was narrowed to."""
    return Scope(**{part: tuple(names) for part, names in parts.items()})


def address(at: dict[str, str]) -> Address:
    return HOME.at(at.get("container", ""), **{k: v for k, v in at.items() if k != "container"})


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_case(path):
    """A rule finds in a case exactly what the case expects."""
    given = load(path)
    found = run(path.parent.name, given)

    assert [f.says for f in found] == given["expect"]
    if "severity" in given:
        assert {f.severity.word for f in found} == {given["severity"]}
    if "at" in given:
        assert [str(f.address) for f in found] == given["at"]


def test_every_change_of_a_setting_has_a_rule():
    """What the change of a setting may mean is a rule that is there: none goes without a word."""
    assert RULES.keys() >= OF_SETTINGS


@pytest.mark.parametrize("rule", RULES)
def test_rule_has_cases(rule):
    """A rule without a case in which it speaks and one in which it is silent is not finished."""
    cases = [load(p) for p in CASES if p.parent.name == rule]

    assert any(c["expect"] for c in cases), f"no case in which {rule} speaks"
    assert any(not c["expect"] for c in cases), f"no case in which {rule} is silent"


FINISHED = "What is\n    wrong.\n\n    Why.\n\n    Fix: mend\n    it.\n    "


@pytest.mark.parametrize(
    ("id", "doc", "why"),
    [
        ("key-lost", FINISHED, "rule id key-lost is taken or not kebab-case"),
        ("Key_Lost", FINISHED, "rule id Key_Lost is taken or not kebab-case"),
        ("new-rule", None, "check: a rule says what, why, and `Fix:`"),
        ("new-rule", "What.", "check: a rule says what, why, and `Fix:`"),
        ("new-rule", "What.\n\nWhy.\n\nMend it.", "check: a rule says what, why, and `Fix:`"),
    ],
)
def test_unfinished_rule_does_not_load(id, doc, why):
    """A rule without what, why and fix, or with an id that is taken or misspelled, refuses to load."""

    def check(case):
        return []

    check.__doc__ = doc
    with pytest.raises(AssertionError, match=re.escape(why)):
        rule(id, Severity.LOW)(check)


@pytest.mark.parametrize(
    ("register", "needs", "told"),
    [
        (rule, Evidence, {"needs": frozenset(Evidence)}),
        (change_rule, (), {"of_changes": True}),
        (fleet_rule, (), {}),
    ],
)
def test_rule_that_loads_says_what_it_is(register, needs, told):
    """A rule is known by its id, with its severity, its family, its texts and its check."""

    def check(_):
        return []

    check.__doc__, check.__module__ = FINISHED, "house.rules.family"
    where = "on_fleet" if register is fleet_rule else "on_case"
    try:
        same = register("new-rule", Severity.LOW, *needs)(check)
        found = RULES["new-rule"]
    finally:
        RULES.pop("new-rule", None)

    assert same is check
    assert found == Rule(
        "new-rule", Severity.LOW, "family", "What is wrong.", "Why.", "mend it.",
        **told, **{where: check},
    )  # fmt: skip


def test_finding_tells_both_states():
    """What stood at the address before and after, where there is one, and a reference."""
    before, after = snapshot({"A": "1", "B": ""}), snapshot({"B": "", "C D": {"secret": "c"}})
    status = {"env": {"C D": ["1", ""]}, "status": {"ready": False}}
    compared, _ = judge(Case(after, before, compare(before, after)))
    alone, _ = judge(
        Case(snapshot(status)), [RULES[r] for r in ("key-name-odd", "revision-not-ready")]
    )

    assert {(f.rule, f.before, f.after) for f in compared} >= {
        ("key-lost", "literal", "absent"),
        ("key-added", "absent", "secret"),
        ("key-name-odd", "absent", "secret"),
    }
    assert {(f.rule, f.before, f.after) for f in alone} == {
        ("key-name-odd", None, "empty"),
        ("revision-not-ready", None, None),
    }


def test_rule_without_evidence_is_skipped_and_the_next_one_runs():
    """A skip says of which service, and what was missing; it does not block, and ends nothing."""
    needy = replace(RULES["version-disabled"], needs=frozenset(Evidence))
    rules = [RULES["secret-shared"], needy, RULES["key-duplicated"]]
    findings, skipped = judge(Case(snapshot({"A": ["1", "2"]})), rules)

    assert [f.rule for f in findings] == ["key-duplicated"]
    assert skipped == [
        Skip(
            what="version-disabled",
            service=HOME,
            reason=f"needs {', '.join(sorted(Evidence))}",
            blocking=False,
        )
    ]


def test_waivers_are_judged_by_what_all_rules_found():
    """Whatever the order of the rules, a waiver of what another rule of the run finds is used."""
    policy = read_policy(
        "".join(
            f'[[waiver]]\nrule="{rule}"\nat="-"\nowner="me"\nreason="known"\nuntil=2026-02-01\n'
            for rule in ("nothing-audited", "not-seen", "key-lost")
        )
    )
    inventory = Inventory(scope=Scope(source="test", projects=("shop",)))
    unseen = [Unseen(where="services of shop", reason="denied")]
    run = Fleet(inventory, policy, NOW.date(), unseen=unseen)
    backwards = [*reversed(RULES.values())]

    assert [f.says for f in judge_fleet(run) if f.rule == "waiver-unused"] == [
        "the waiver of key-lost by me matched nothing"
    ]
    assert judge_fleet(run) == judge_fleet(run, backwards)


@given(pairs())
def test_short_cuts_find_the_same(pair):
    """Rules about changes are not asked where nothing differs, and would have had nothing to say."""
    before, after = (snapshot(side) for side in pair)
    case = Case(after, before, compare(before, after), evidence=frozenset(Evidence))
    always = [replace(rule, of_changes=False) for rule in RULES.values()]

    assert judge(case) == judge(case, always)


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES.values() if rule.of_changes], ids=lambda rule: rule.id
)
def test_rule_of_changes_is_silent_without(rule):
    """A revision held against itself, or against nothing, gives a rule about changes no hit."""
    for side in (load(path)["candidate"] for path in CASES if path.parent.name == rule.id):
        one = snapshot(side)
        assert rule.on_case is not None
        assert not [*rule.on_case(Case(one, one)), *rule.on_case(Case(one))]


def test_control_rule_of_no_changes():
    """A rule about one revision alone that is taken for one about changes is noticed."""
    one = snapshot({"A": ["1", "2"]})
    wrong = replace(RULES["key-duplicated"], of_changes=True)

    assert judge(Case(one, one), [wrong]) != judge(Case(one, one), [RULES["key-duplicated"]])


def test_no_stray_cases():
    """Every folder of cases belongs to a rule."""
    assert {p.parent.name for p in CASES} <= RULES.keys()


def test_waived_findings_stay():
    """A waiver marks a finding; it does not remove it."""
    policy = read_policy(
        '[[waiver]]\nrule="key-lost"\nat="*/*/*/env/*/LOG_LEVEL"\nowner="me"\nreason="noise"\nuntil=2026-02-01'
    )
    findings = [
        Finding(rule="key-lost", severity=Severity.HIGH, address=HOME.at(key=key), says="gone")
        for key in ("LOG_LEVEL", "JWT")
    ]

    waived = waive(findings, policy, NOW.date())

    assert [(f.address.key, f.waived is not None) for f in waived] == [
        ("LOG_LEVEL", True),
        ("JWT", False),
    ]


def test_waiver_ends():
    """A waiver covers its last day and none after it."""
    policy = read_policy(
        '[[waiver]]\nrule="key-lost"\nowner="me"\nreason="noise"\nuntil=2026-01-15'
    )
    finding = Finding(rule="key-lost", severity=Severity.HIGH, address=HOME, says="gone")
    until = dt.date(2026, 1, 15)

    marks = [waive([finding], policy, until + dt.timedelta(days=n))[0].waived for n in (0, 1)]

    assert [m is not None for m in marks] == [True, False]


@pytest.mark.parametrize(
    "now", [{"DB_PASSWORD": {"secret": "db"}}, {"DB_PASSWORD": "hunter3"}, {"OTHER": "hunter2"}]
)
def test_credential_that_is_gone_is_not_shared(now):
    """A credential that only an older revision holds is no longer shared."""
    seal = sealer()
    snapshot({"DB_PASSWORD": "hunter2"}, seal=seal, revision="api-00001-old")
    candidates = [
        snapshot(now, seal=seal),
        snapshot({"DB_PASSWORD": "hunter2"}, seal=seal, service="web"),
    ]
    twins = tuple(Twins(mark=mark, places=places) for mark, places in seal.twins())
    inventory = Inventory(scope=Scope(source="test"), twins=twins)

    assert twins
    assert (
        judge_fleet(
            Fleet(inventory, Policy(), NOW.date(), candidates=candidates),
            [RULES["credential-shared"]],
        )
        == []
    )


def test_what_rules_share_is_made_once():
    """What several rules of a run ask for is made once, and anew for another run."""
    made: list[Fleet] = []
    one = Fleet(Inventory(scope=Scope()), Policy(), NOW.date())

    def make(fleet: Fleet) -> int:
        made.append(fleet)
        return len(made)

    assert [one.once(make), one.once(make), replace(one, unseen=()).once(make)] == [1, 1, 2]


def test_credential_of_a_service_that_was_not_judged_is_not_shared():
    """Of a service that could not be judged nothing says that it still holds the credential."""
    seal = sealer()
    candidates = [
        snapshot({"DB_PASSWORD": "hunter2"}, seal=seal, service=name) for name in ("api", "web")
    ]
    twins = tuple(Twins(mark=mark, places=places) for mark, places in seal.twins())
    inventory = Inventory(scope=Scope(source="test"), twins=twins)
    run = Fleet(inventory, Policy(), NOW.date(), candidates=candidates)

    assert judge_fleet(replace(run, candidates=candidates[1:]), [RULES["credential-shared"]]) == []
    assert judge_fleet(run, [RULES["credential-shared"]])


@pytest.mark.parametrize(
    ("key", "variable", "reserved"),
    [
        ("K_CONFIGURATION", True, True),
        ("X_GOOGLE_OF_TOMORROW", True, True),
        ("PORTAL", True, False),
        ("not a variable", False, False),
        ("1ST", False, False),
    ],
)
def test_names_of_keys(key, variable, reserved):
    """What an application can ask for, and what the platform sets: by name, or by how it begins."""
    for remembered in (is_variable, is_reserved):  # other tests may have asked already
        remembered.cache_clear()

    assert (is_variable(key), is_reserved(key)) == (variable, reserved)


@pytest.mark.parametrize(
    ("signs", "by"),
    [
        ([], ""),
        (["name"], " by its name"),
        (["pattern:AWS Access Key"], " by the pattern AWS Access Key"),
        (["shape", "pattern:A", "pattern:B"], " by its shape and the pattern A and the pattern B"),
    ],
)
def test_what_gave_a_credential_away(signs, by):
    """Signs and patterns are told, each by its name; nothing of what an earlier version sealed."""
    traits = ("credential", *(f"credential-by-{sign}" for sign in signs))
    held = Binding(container="", key="A", source=LiteralValue(traits=traits))
    [found], _ = judge(Case(snapshot({}).but(bindings=(held,))), [RULES["credential-in-plain"]])

    assert found.says == f"A looks like a credential{by} and is a plain value"


def test_policy_sets_severity():
    """A severity in the policy overrides the rule's own, and what raised it."""
    policy = read_policy('[severity]\nkey-lost = "low"\n[[service]]\nrequired = {A = {}}')
    before, after = snapshot({"A": "1"}), snapshot({})
    case = Case(after, before, compare(before, after), policy)

    findings, _ = judge(case, [RULES["key-lost"]])

    assert [f.severity for f in findings] == [Severity.LOW]
