"""One audit: references, blame, causes, remedies, and what was not judged."""

from __future__ import annotations

import pytest
from hypothesis import given

from drift_audit.audit import Audit, Pair
from drift_audit.finding import Severity
from drift_audit.history import KnownGood
from drift_audit.inventory import Evidence, Inventory, Scope, Service, TrafficTarget
from drift_audit.policy import Policy, read_policy
from drift_audit.snapshot import Unseen
from drift_audit.store.baseline import promotion
from drift_audit.store.baselines import Baselines
from drift_audit.store.folder import Folder
from tests.builders import KEY, LASTING, NOW, sealer, snapshot
from tests.strategies import sides
from tests.worlds import playing, source


class Still:
    """A source of services that were made up."""

    def __init__(self, *services, evidence=frozenset(), projects=()):
        self.services = services
        self.evidence = evidence
        self.scope = Scope(source="test", projects=projects)
        self.asked_for = []

    def collect(self):
        return Inventory(scope=self.scope, services=self.services, evidence=self.evidence)

    def chain(self, service):
        self.asked_for.append(service.service)
        return service

    def resolve(self, snapshot):
        return snapshot


def one_service(*revisions, **more):
    who = revisions[0].identity
    return Service(
        project=who.project, region=who.region, service=who.service, revisions=revisions,
        latest_created=who.revision, **more,
    )  # fmt: skip


def compared(before, after, *, policy=None, **more):
    """The report on two sides, one against the other."""
    reference, candidate = (
        s if hasattr(s, "identity") else snapshot(s, revision=n)
        for s, n in ((before, "api-00001-old"), (after, "api-00002-new"))
    )
    service = one_service(candidate, reference, **more)
    still = Still(service)
    known = KnownGood(reference, "named")
    pair = Pair(service, candidate, known)
    return Audit(policy or Policy(), NOW).compare(still.collect(), still, pair)


@given(sides(), sides())
def test_no_difference_without_a_word(before, after):
    """Every difference has a finding at its address: nothing changes that no rule speaks of."""
    [service] = compared(before, after).services
    spoken = {str(f.address) for f in service.findings}

    for change in service.changes:
        where = {n: v for n in ("key", "mount", "setting") if (v := getattr(change, n)) is not None}
        assert str(service.address.at(change.container, **where)) in spoken, change


@given(sides())
def test_equal_sides_are_clean_or_observed(side):
    """Comparing a revision with itself finds no difference; only what it is in itself can be drift."""
    report = compared(side, side)
    grave = any(f.severity >= Severity.HIGH for f in report.all_findings)

    assert report.counts.changes == 0
    assert (report.verdict, report.exit_code) == (("drift", 10) if grave else ("clean", 0))


def test_findings_are_explained():
    """A loss names the deploy, its probable cause, and the command that puts it back."""
    with playing() as emulator:
        live = source(emulator)
        inventory = live.collect()
        [api] = [s for s in inventory.services if s.service == "api"]
        whole = live.chain(api)
        known = KnownGood(whole.revision("api-00001-a"), "named")
        pair = Pair(api, api.revisions[0], known)
        report = Audit(Policy(), NOW).compare(inventory, live, pair)
    [lost] = [f for f in report.services[0].findings if f.rule == "key-lost"]

    assert (lost.first_seen.revision, lost.first_seen.previous) == ("api-00003-c", "api-00002-b")
    assert lost.first_seen.certain
    assert lost.cause.command == "gcloud run deploy with --set-secrets"
    assert lost.remedy.restore.endswith("--container=app --update-secrets=JWT=jwt:3")
    assert report.services[0].remedy.restore == lost.remedy.restore


def test_serving_and_newest_are_both_audited(tmp_path):
    """The newest revision and the one that serves are judged each; the one against the other."""
    with playing() as emulator:
        report = Audit(Policy(), NOW).of(source(emulator), Baselines(Folder(str(tmp_path))))
    told = [(s.service, s.candidate, s.reference, s.reference_why) for s in report.services]

    assert told == [
        ("api", "api-00003-c", "api-00002-b", "serves the most traffic now"),
        ("api", "api-00002-b", None, "no baseline, and no other revision serves"),
        ("web", "web-00001-a", None, "no baseline, and no other revision serves"),
    ]
    assert report.counts.services == 2
    assert report.services[0].candidate_facts.tags == ("candidate",)


class Veiled(Still):
    """A source that may not look up the versions of the past."""

    def resolve(self, snapshot):
        missed = Unseen(where="secret projects/shop/secrets/jwt/versions/7", reason="denied")
        return snapshot.but(seen=snapshot.seen.but(unseen=(missed,)))


def test_version_that_a_remedy_needs_and_nobody_sees():
    """What could not be looked up for a remedy is unseen, and the audit is incomplete."""
    reference = snapshot({"JWT": {"secret": "jwt", "version": "7"}}, revision="api-00001-old")
    service = one_service(snapshot({}), reference)
    veiled = Veiled(service)
    pair = Pair(service, service.revisions[0], KnownGood(reference, "named"))
    report = Audit(Policy(), NOW).compare(veiled.collect(), veiled, pair)

    assert report.exit_code == 3
    assert [u.where for u in report.unseen] == ["secret projects/shop/secrets/jwt/versions/7"]


def test_baseline_is_the_reference(tmp_path):
    """A stored baseline is what a service is held against, service-level settings included."""
    with playing() as emulator:
        live = source(emulator, seal=sealer(key=LASTING))
        [api] = [s for s in live.collect().services if s.service == "api"]
        good = live.chain(api).revision("api-00001-a").but(service=api.settings)
        store = Baselines(Folder(str(tmp_path)))
        store.write(promotion(good, None, by="me", at=NOW, reason="it worked"))
        report = Audit(Policy(), NOW).of(live, store)
    newest, serving, _ = report.services

    assert (newest.reference, serving.reference) == ("api-00001-a", "api-00001-a")
    assert newest.reference_why == "baseline: promoted on 2026-01-15 by me: it worked"
    assert serving.changes == ()
    assert "service-level settings" not in {s.what for s in report.skipped}


def test_poisoned_baseline(tmp_path):
    """A baseline that lacks required keys is refused by name, and not used."""
    policy = read_policy("[[service]]\nrequired = {A = {}}")
    store = Baselines(Folder(str(tmp_path)))
    store.write(
        promotion(snapshot({}, revision="api-00001-old"), None, by="me", at=NOW, reason="r")
    )
    report = Audit(policy, NOW).of(Still(one_service(snapshot({"A": "1"}))), store)
    [service] = report.services

    assert service.reference is None
    assert service.passed_over == ("api-00001-old: the baseline violates the policy",)
    assert "baseline-violates-schema" in {f.rule for f in service.findings}


def test_seals_of_another_key_are_incomplete():
    """A baseline under another key gives no changes, and no clean verdict either."""
    before = snapshot({"A": "1", "B": "2"}, seal=sealer(key=LASTING), revision="api-00001-old")
    report = compared(before, snapshot({"A": "9", "B": "2"}, seal=sealer(key=KEY)))

    assert report.services[0].changes == ()
    assert (report.verdict, report.exit_code) == ("incomplete", 3)
    assert [(s.what, s.reason) for s in report.skipped if s.blocking] == [
        ("2 plain values", "sealed under another key or name")
    ]


def test_left_out_literals_are_said_and_do_not_block():
    """Plain values that were left out by choice are told as not compared."""
    bare = sealer(keep=False)
    report = compared(snapshot({"A": "1"}, seal=bare), snapshot({"A": "2"}, seal=bare))

    assert report.verdict == "clean"
    assert ("1 plain value", "literals were left out") in {
        (s.what, s.reason) for s in report.skipped
    }


def test_service_level_of_the_past_is_said():
    """A revision of the past does not know how its service was set: that is told, and does not block."""
    report = compared({}, {"env": {}, "service": {"ingress": "all"}})

    assert [(s.what, s.blocking) for s in report.skipped if "settings" in s.what] == [
        ("service-level settings", False)
    ]


@pytest.mark.parametrize("side", ["before", "after"])
def test_unreadable_on_either_side_is_incomplete(side):
    """What could not be read of one of the two revisions leaves the verdict open."""
    blind = {"env": {}, "unseen": [{"where": "key A", "reason": "comes from x"}]}
    report = compared(blind, {}) if side == "before" else compared({}, blind)

    assert report.verdict == "incomplete"
    assert [f.rule for f in report.findings] == ["not-seen"]


def test_nothing_in_scope():
    """No service is no clean audit."""
    report = Audit(Policy(), NOW).of(Still(), None)

    assert (report.verdict, report.exit_code, report.headline) == (
        "incomplete",
        3,
        "nothing was audited",
    )
    assert [f.rule for f in report.findings] == ["nothing-audited"]


def test_service_without_a_revision_is_not_judged():
    """A service of which nothing could be read has no candidate."""
    empty = Service(project="shop", region="r", service="api")

    assert Audit(Policy(), NOW).of(Still(empty), None).services == ()


def test_versions_nobody_listed(tmp_path):
    """Where versions of some secrets were given, the others are named as not looked at."""
    candidate = snapshot({"A": {"secret": "x", "state": "enabled"}, "B": {"secret": "y"}})
    still = Still(one_service(candidate), evidence=frozenset(Evidence))
    report = Audit(Policy(), NOW).of(still, None)

    assert [s.what for s in report.skipped] == ["the state of y@latest"]


def test_expired_waivers_are_findings():
    """Waivers are judged after everything else, and count."""
    policy = read_policy(
        '[[waiver]]\nrule="key-lost"\nowner="me"\nreason="x"\nuntil=2026-01-01\n'
        '[[waiver]]\nrule="key-added"\nowner="me"\nreason="x"\nuntil=2026-02-01'
    )
    report = compared({"A": "1"}, {"B": "1"}, policy=policy)
    [service] = report.services

    assert {f.rule for f in report.findings} == {"waiver-expired"}
    assert {f.rule for f in service.findings if f.waived} == {"key-added"}
    assert report.counts.waived == 1


def test_blame_needs_more_than_two_revisions():
    """Two revisions alone say nothing of the deploys between them."""
    [service] = compared({"A": "1"}, {}).services

    assert [f.first_seen for f in service.findings] == [None]


def test_setting_below_high_gets_no_command():
    """A command is given for what was taken away, not for every difference."""
    before = {"settings": {"memory": "1Gi", "service_account": "a@b"}}
    after = {"settings": {"memory": "2Gi", "service_account": "c@d"}}
    [service] = compared(before, after).services
    commands = {f.address.setting: bool(f.remedy) for f in service.findings}

    assert commands == {"memory": False, "service_account": True}
    assert service.remedy.restore.endswith("--service-account=a@b")


def test_fail_on_and_baseline_demands_reach_the_report():
    """The threshold and the demand for a baseline are part of the report."""
    report = Audit(Policy(), NOW, fail_on=Severity.LOW, require_baseline=True).of(
        Still(one_service(snapshot({}))), None
    )

    assert (report.fail_on, report.exit_code) == (Severity.LOW, 4)


def test_waived_losses_get_no_command():
    """What the owner accepted is not put back."""
    policy = read_policy(
        '[[waiver]]\nrule="key-lost"\nat="*/*/*/env/*/A"\nowner="me"\nreason="x"\nuntil=2026-02-01'
    )
    [service] = compared({"A": "1", "B": "1"}, {}, policy=policy).services

    assert service.remedy.restore.endswith("--update-env-vars=B=(VALUE)")
    assert {f.address.key: bool(f.remedy) for f in service.findings} == {"A": False, "B": True}


def test_two_services():
    """Two services may be compared; the report says so, and neither blames nor mends."""
    before = snapshot({"A": {"secret": "x"}}, project="staging")
    report = compared(before, {})
    [service] = report.services
    [lost] = service.findings

    told = "two services are compared: staging/europe-west1/api and shop/europe-west1/api"
    assert report.notes == (f"{told}; a secret without a project is each one's own",)
    assert (service.remedy, lost.first_seen, lost.remedy) == (None, None, None)


def test_history_is_read_once():
    """Two candidates of one service cost one list of its revisions."""
    lost, serving = snapshot({}, revision="api-00003-c"), snapshot({}, revision="api-00002-b")
    good = snapshot({"A": "1"}, revision="api-00001-a")
    traffic = (
        TrafficTarget(revision="api-00001-a", percent=80),
        TrafficTarget(revision="api-00002-b", percent=20),
    )
    still = Still(one_service(lost, serving, good, traffic=traffic))
    report = Audit(Policy(), NOW).of(still, None)

    assert [len(s.changes) for s in report.services] == [1, 1, 1]
    assert still.asked_for == ["api"]


def test_baselines_without_a_service(tmp_path):
    """A live audit names what a baseline is kept of and is not there any more, of every kind."""
    store = Baselines(Folder(str(tmp_path)))
    for name, kind in (("api", "service"), ("gone", "service"), ("pool", "worker-pool")):
        store.write(
            promotion(snapshot({}, service=name, kind=kind), None, by="me", at=NOW, reason="r")
        )
    store.write(promotion(snapshot({}, project="other"), None, by="me", at=NOW, reason="r"))
    here = one_service(snapshot({}))
    live = Audit(Policy(), NOW).of(Still(here, projects=("shop",)), store)
    offline = Audit(Policy(), NOW).of(Still(here), store)

    assert [f.says for f in live.findings] == [
        "a baseline of shop/europe-west1/gone is kept, and the service was not found",
        "a baseline of shop/europe-west1/pool.worker-pool is kept, and the service was not found",
    ]
    assert offline.findings == ()


def test_patterns_that_were_not_tried():
    """A pattern without a value to hold it against leaves the verdict open; a secret is only told."""
    policy = read_policy(
        'reveal = ["A", "B", "C"]\n[[service]]\n'
        'required = {A = {pattern = "a"}, B = {pattern = "b"}, C = {pattern = "c"}}'
    )
    side = {"A": "a", "B": "b", "C": {"secret": "c", "version": "1"}}
    hidden, shown = snapshot(side), snapshot(side, seal=sealer(reveal=["A", "B"]))

    def skips(one):
        report = compared(one, one, policy=policy)
        return report.exit_code, [
            (s.what, s.blocking) for s in report.skipped if "pattern" in s.what
        ]

    assert skips(hidden) == (
        3, [("the pattern of A", True), ("the pattern of B", True), ("the pattern of C", False)],
    )  # fmt: skip
    assert skips(shown) == (0, [("the pattern of C", False)])
