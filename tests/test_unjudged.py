"""What could not be judged is said in the report, word for word, and blocks where it was in scope."""

from __future__ import annotations

import datetime as dt

import pytest

from drift_audit.binding import LiteralValue
from drift_audit.inventory import Evidence, Inventory, Scope
from drift_audit.limits import Limits, SqlInstance, VpcConnector
from drift_audit.past import Past
from drift_audit.policy import read_policy
from drift_audit.rules import Case, Fleet
from drift_audit.rules.waivers import Before
from drift_audit.snapshot import Seen
from drift_audit.unjudged import (
    behind_the_facts,
    of_run,
    of_service,
    waivers_about_the_run,
    waivers_of_unknown_age,
)
from tests.builders import HOME, LASTING, NOW, sealer, snapshot
from tests.reports import WAIVED, finding

API = str(HOME)
WEB = str(HOME.but(service="web"))


def told(skips):
    """What is skipped, of which service, why, and whether that leaves a hole."""
    return [(s.what, str(s.service or ""), s.reason, s.blocking) for s in skips]


def case(candidate, reference=None, policy="", **more):
    return Case(candidate, reference, policy=read_policy(policy), **more)


def fleet(*candidates, policy="", **read):
    inventory = Inventory(scope=Scope(), **read)
    return Fleet(inventory, read_policy(policy), NOW.date(), candidates=candidates)


def test_all_is_judged():
    """Where everything is there, nothing is skipped."""
    side = {"env": {"A": "x", "B": {"secret": "b", "state": "enabled"}}, "service": {}}
    one = snapshot(side)
    whole = case(one, one, evidence=frozenset(Evidence))

    assert [*of_service(case(one)), *of_service(whole), *of_run(fleet(one))] == []


def test_values_that_cannot_be_compared():
    """Values under another key leave a hole, and values that were left out do not."""
    env = {"A": "x", "B": "y", "C": "z"}
    under_another, left_out = (
        snapshot(env, seal=seal) for seal in (sealer(key=LASTING), sealer(keep=False))
    )
    mixed = under_another.but(bindings=(*under_another.bindings[:2], left_out.bindings[2]))

    assert told(of_service(case(snapshot(env), mixed))) == [
        ("1 plain value", API, "literals were left out", False),
        ("2 plain values", API, "sealed under another key or name", True),
    ]


@pytest.mark.parametrize(("there", "here"), [({}, None), (None, {})])
def test_settings_of_the_service_on_one_side(there, here):
    """Settings of the service that only one side tells are not compared, and nobody asked for more."""
    one, other = (snapshot({"env": {}, "service": side}) for side in (there, here))

    assert told(of_service(case(other, one))) == [
        (
            "service-level settings",
            API,
            "one of the two does not say how its service was set",
            False,
        )
    ]


def test_secrets_whose_versions_nobody_listed():
    """Each secret without a known version is told once, where the versions of others were listed."""
    unknown = {"secret": "b", "version": "1"}
    env = {
        "Z": {"secret": "z"},
        "B": unknown,
        "C": unknown,
        "D": {"secret": "d", "state": "unseen"},
    }
    looked = case(snapshot(env), evidence=frozenset({Evidence.SECRET_VERSIONS}))

    assert told(of_service(looked)) == [
        (f"the state of {secret}", API, "no list of its versions was given", False)
        for secret in ("b@1", "z@latest")
    ]
    assert told(of_service(case(snapshot(env)))) == []


POLICY = """
reveal = ["HIDDEN", "S*", "EMPTY", "GONE"]
[[service]]
required = {HIDDEN = {pattern = "x+"}, SECRET = {pattern = "x+"}, SHOWN = {pattern = "x+"}, ANY = {}, \
EMPTY = {pattern = "x+"}, GONE = {pattern = "x+"}}
"""


def test_patterns_of_the_policy():
    """A pattern is not tried on what is hidden: a hole where the owner could reveal it."""
    env = {"HIDDEN": "x", "SECRET": {"secret": "s"}, "SHOWN": "x", "ANY": "x", "EMPTY": ""}
    candidate = snapshot(env, seal=sealer(reveal=["SHOWN"]))

    assert told(of_service(case(candidate, policy=POLICY))) == [
        ("the pattern of HIDDEN", API, "its value is not revealed", True),
        ("the pattern of SECRET", API, "it comes from a secret", False),
    ]


@pytest.mark.parametrize(
    ("side", "tried", "wanted", "skips"),
    [
        ({"A": "x"}, "", "lib 1", [("its plain values were sealed without them", True)]),
        ({"A": "x"}, "lib 0", "lib 1", [("its plain values were sealed with those of lib 0", False)]),
        ({"A": "x"}, "lib 1", "lib 1", []),
        ({"A": "x"}, "lib 1", "", []),
        ({"A": {"secret": "x"}, "B": ""}, "", "lib 1", []),
        ({"settings": {"args": {"sealed": "x"}}}, "", "lib 1", [("its plain values were sealed without them", True)]),
        ({"settings": {"memory": "1Gi"}}, "", "lib 1", []),
    ],
)  # fmt: skip
def test_patterns_of_a_library(side, tried, wanted, skips):
    """Plain values that were not held against the patterns asked for are told, and by which they were."""
    candidate = snapshot(side).but(seen=Seen(patterns=tried))

    assert told(of_service(case(candidate), wanted)) == [
        ("the patterns of credentials", API, reason, blocking) for reason, blocking in skips
    ]


def test_values_that_a_library_fails_on():
    """Each key that the library failed on is told once, whichever container has it."""
    containers = {name: {"env": {"A": "x", "B": "y"}} for name in ("app", "side")}
    candidate = snapshot({"containers": containers}).but(seen=Seen(patterns="lib 1"))
    failed = LiteralValue(traits=("patterns-failed",))
    bindings = [b.but(source=failed) if b.key == "A" else b for b in candidate.bindings]
    candidate = candidate.but(bindings=tuple(bindings))

    assert told(of_service(case(candidate), "lib 1")) == [
        ("the patterns of credentials for A", API, "lib 1 failed on its value", True)
    ]
    assert told(of_service(case(candidate))) == []


def test_fields_of_a_newer_api():
    """Each field that is not known is told by its name, be it of the revision or of the service."""
    unknown = {"unknown.b": "x", "memory": "1Gi"}
    candidate = snapshot({"settings": unknown, "service": {"unknown.a": 1, "unknown.b": 2}})

    assert told(of_service(case(candidate))) == [
        (
            f"the field {name}",
            API,
            "this version does not know it: it is compared as a whole",
            False,
        )
        for name in ("a", "b")
    ]


def test_credentials_that_were_read_on_another_day():
    """Services of another day are not searched for shared credentials, where they hold one at all."""
    plain, other = snapshot({"DB_PASSWORD": "hunter2", "A": "x"}), {"A": "x", "B": {"secret": "b"}}
    candidates = [
        plain,
        snapshot(other, service="quiet"),
        snapshot({"DB_PASSWORD": "hunter2"}, service="web"),
    ]
    remembered = frozenset(HOME.but(service=name) for name in ("quiet", "web"))

    assert told(of_run(fleet(*candidates, remembered=remembered))) == [
        (
            "credential-shared",
            WEB,
            "its plain values were read on another day: --full reads them again",
            False,
        )
    ]


SAID, READ, UNREAD = (f"shop:europe-west1:{name}" for name in ("said", "read", "unread"))
C_SAID, C_READ, C_SPLIT, C_UNREAD = (
    f"projects/shop/locations/europe-west1/connectors/{name}"
    for name in ("said", "read", "split", "unread")
)
LIMITS_POLICY = f"""
[[database]]
instance = "{SAID}"
max_connections = 10
[[database]]
instance = "{UNREAD}"
services = ["api"]
[[connector]]
name = "said"
max_instances = 3
[[connector]]
name = "split"
per_instance = 3
"""


def test_limits_that_could_not_be_read():
    """What was asked for in vain is told by the rules that need it: those of numbers, if any is used."""
    attached = {f"cloud_sql.{name}": True for name in (SAID, READ)}
    candidates = [
        snapshot({"settings": {**attached, "vpc.connector": C_SAID}}),
        *(
            snapshot({"settings": {"vpc.connector": name}}, service=f"c{n}")
            for n, name in enumerate((C_READ, C_SPLIT, C_UNREAD))
        ),
    ]
    limits = Limits(databases=(SqlInstance(name=READ),), connectors=(VpcConnector(name=C_READ),))
    run = fleet(*candidates, policy=LIMITS_POLICY, limits=limits)

    assert told(of_run(run)) == [
        (f"{rule} for {name}", "", "its limit could not be read", True)
        for rule, name in (
            ("database-unavailable", SAID),
            ("limit-differs", SAID),
            ("database-unavailable", UNREAD),
            ("connections-exceeded", UNREAD),
            ("connector-unavailable", C_SAID),
            ("connector-unavailable", C_SPLIT),
            ("connector-exceeded", C_SPLIT),
            ("connector-unavailable", C_UNREAD),
        )
    ]
    assert told(of_run(fleet(*candidates, policy=LIMITS_POLICY))) == []


NOBODY = Before()
REMEMBERED = Before(past=Past(service=HOME))
PROMOTED = Before(promoted=frozenset(), changed=[finding().address])


def created(name, on):
    """A revision by its name that was created late on a day, or nobody knows when."""
    at = dt.datetime.fromisoformat(f"{on}T23:59:00+00:00") if on else None
    made = snapshot({})
    return made.but(identity=made.identity.but(revision=name, create_time=at))


@pytest.mark.parametrize(
    ("candidate", "reference", "promoted", "reason"),
    [
        (None, None, None, ""),
        ("2026-01-14", "2026-01-10", None, ""),
        ("2026-01-16", None, "2026-01-16", ""),
        ("2026-01-17", None, None, "api-1 was created on 2026-01-17"),
        (None, "2026-01-17", None, "api-9 was created on 2026-01-17"),
        ("2026-01-18", "2026-01-17", "2026-01-01", "api-1 was created on 2026-01-18"),
        ("2026-01-18", "2026-01-17", "2026-01-19", "the baseline was promoted on 2026-01-19"),
    ],
)
def test_clock_behind_the_facts(candidate, reference, promoted, reason):
    """What depends on the day is not judged where the latest of what happened is to come: a day of grace."""
    other = created("api-9", reference) if reference else None
    one = case(created("api-1", candidate), other, today=dt.date(2026, 1, 15))
    skips = told(behind_the_facts(one, dt.date.fromisoformat(promoted) if promoted else None))
    what = "what depends on the day, such as the end of waivers"

    assert skips == [(what, API, f"the clock says 2026-01-15, and {reason}", True)][: bool(reason)]


@pytest.mark.parametrize(
    ("findings", "before", "skipped"),
    [
        ([finding(), finding(waived=WAIVED)], NOBODY, True),
        ([finding()], NOBODY, False),
        ([], NOBODY, False),
        ([finding(waived=WAIVED)], REMEMBERED, False),
        ([finding(waived=WAIVED)], PROMOTED, False),
        ([finding(waived=WAIVED), finding(key="B", waived=WAIVED)], PROMOTED, True),
    ],
)
def test_waivers_of_unknown_age(findings, before, skipped):
    """Where nothing is remembered nobody knows what was there first, a finding or its waiver."""
    assert told(waivers_of_unknown_age(snapshot(), findings, before)) == [
        (
            "whether waivers came with what they forgive",
            API,
            "no earlier audit of the service is remembered",
            False,
        )
    ] * int(skipped)


@pytest.mark.parametrize(
    ("findings", "skipped"),
    [([finding(), finding(waived=WAIVED)], True), ([finding()], False), ([], False)],
)
def test_waivers_about_the_run(findings, skipped):
    """Of findings that are not about one service nothing is remembered."""
    assert told(waivers_about_the_run(findings)) == [
        (
            "whether waivers of findings about this run came with them",
            "",
            "only what was found of single services is remembered",
            False,
        )
    ] * int(skipped)
