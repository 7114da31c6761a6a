"""The last known good: what it is chosen from, what is never chosen, and what earlier audits saw."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.history import Baseline, KnownGood, last_known_good
from drift_audit.inventory import Service, TrafficTarget, by_age
from drift_audit.past import MOST, Past
from drift_audit.seal import SealKey
from drift_audit.snapshot import Unseen
from drift_audit.store.folder import Folder
from drift_audit.store.ledger import Ledger
from tests.builders import HOME, LASTING, NOW, snapshot
from tests.canary import files_below, leaks
from tests.command import SEALED, run
from tests.worlds import playing_document, reached

DAY = dt.timedelta(days=1)


def revision(number, side=None, *, ready=True, **identity):
    """Revision number N, made N minutes after a start."""
    at = NOW - 9 * DAY + dt.timedelta(minutes=number)
    given = {"env": side or {}, "status": {"ready": ready}}
    name = f"api-{number:05}"
    return snapshot(given, **{"revision": name, "uid": f"u{number}", "create_time": at, **identity})


def service(*revisions, serving=(), complete=True):
    return Service(
        project="shop",
        region="europe-west1",
        service="api",
        latest_created=revisions[0].revision,
        traffic=tuple(TrafficTarget(revision=n, percent=p) for n, p in serving),
        revisions=revisions,
        complete=complete,
    )


def nights(*serving):
    """What audits saw that looked a day after each other, each at what served then."""
    past = Past(service=HOME)
    for number, revisions in enumerate(serving):
        past = past.then(NOW + number * DAY, revisions)
    return past


def chosen(whole, candidate, *, baseline=None, past=None, needs=(), chain=lambda same: same):
    return last_known_good(
        whole,
        candidate,
        baseline=baseline and Baseline(baseline, "promoted by me"),
        past=past,
        violations=lambda r: set(needs) - {binding.key for binding in r.bindings},
        chain=chain,
    )


A = {"A": "1"}
ONE, TWO, THREE, FOUR = (revision(n, A) for n in (1, 2, 3, 4))


def test_baseline_comes_first():
    """A promoted baseline is the reference, with what was said of it; what served since is told."""
    served = chosen(service(THREE, TWO, ONE), THREE, baseline=ONE, past=nights([ONE], [TWO]))
    alone = chosen(service(THREE, TWO, ONE), THREE, baseline=TWO, past=nights([ONE], [TWO]))

    assert (served.snapshot, served.why) == (ONE, "baseline: promoted by me")
    assert served.runners_up == (
        "api-00002: served when last audited, 2026-01-16; a baseline comes first",
    )
    assert (alone.snapshot, alone.runners_up, alone.passed_over) == (TWO, (), ())


def test_poisoned_baseline_is_passed_over():
    """A baseline that lacks required keys is not used, and that is said."""
    bad = revision(1)
    whole = service(THREE, TWO, serving=[(TWO.revision, 100)])
    known = chosen(whole, THREE, baseline=bad, needs=["A"])

    assert known.snapshot is TWO
    assert known.passed_over == ("api-00001: the baseline violates the policy",)


def test_newest_ready_that_served():
    """Without a baseline: the newest Ready one that served, holds the keys and is not the candidate."""
    broken, empty = revision(3, A, ready=False), revision(2)
    whole = service(FOUR, broken, empty, ONE, revision(0, A))
    past = nights([revision(0, A)], [ONE], [empty], [broken], [FOUR])
    known = chosen(whole, FOUR, past=past, needs=["A"])

    assert known.snapshot is ONE
    assert known.why == "newest Ready revision that served when last audited, 2026-01-16"
    assert known.passed_over == ("api-00003: not Ready", "api-00002: violates the policy")
    assert known.runners_up == ("api-00000: older; seen to serve until 2026-01-15",)


@pytest.mark.parametrize(
    ("two", "why"),
    [
        (TWO, "serves the most traffic now"),
        (revision(2), "serves the most traffic now; violates the policy"),
        (revision(2, A, ready=False), "serves the most traffic now; not Ready"),
    ],
)
def test_serving_is_the_last_resort(two, why):
    """Then the one that serves the most now, if that is not the candidate itself, fit or not."""
    shares = [(ONE.revision, 30), (two.revision, 60), (THREE.revision, 10), ("gone", 0)]
    known = chosen(service(THREE, two, ONE, serving=shares), THREE, needs=["A"])

    assert (known.snapshot, known.why) == (two, why)
    assert known.runners_up == ("api-00001: serves less",)


def test_reason_of_the_one_that_serves_is_told_once():
    """What served, is unfit and serves now is the reference for its traffic, and is not passed over."""
    empty = revision(2)
    whole = service(THREE, empty, serving=[(empty.revision, 100)])
    known = chosen(whole, THREE, past=nights([empty]), needs=["A"])

    assert (known.snapshot, known.passed_over, known.how) == (empty, (), "serving")


def test_nothing_is_known():
    """The candidate is never its own reference; nothing is said of a past that nobody remembers."""
    newest = revision(1)
    whole = service(newest, serving=[(newest.revision, 100), ("not-read", 0)])

    assert chosen(whole, newest, past=nights([newest])) == chosen(whole, newest)
    assert chosen(whole, newest) == KnownGood(
        None, "no baseline, and no other revision serves", "none"
    )


# What has happened to a revision that served


def test_rolled_back_revision():
    """A revision from which traffic went back to an older one was not good, then and ever after."""
    past = nights([ONE], [TWO], [ONE])
    back = service(TWO, ONE, serving=[(ONE.revision, 100)])
    later = service(FOUR, TWO, ONE, serving=[(FOUR.revision, 100)])
    told = ("api-00002: its traffic went back to an older revision",)

    assert chosen(back, TWO, past=nights([ONE], [TWO])).snapshot is ONE
    assert chosen(back, ONE, past=nights([ONE], [TWO])) == KnownGood(
        None, "nothing that was good is fit, and no other revision serves", "none", told
    )
    assert chosen(later, FOUR, past=past).snapshot is ONE
    assert chosen(later, FOUR, past=past).passed_over == told


def test_old_revision_that_keeps_a_share():
    """A revision that a newer one followed was not taken back, though an older one serves as well."""
    past = nights([ONE, TWO], [ONE, THREE])
    whole = service(FOUR, THREE, TWO, ONE, serving=[(ONE.revision, 5), (THREE.revision, 95)])

    assert chosen(whole, THREE, past=past).snapshot is TWO
    assert chosen(whole, FOUR, past=past).snapshot is THREE


def test_promoted_again():
    """A revision that serves again after a rollback is good again."""
    past = nights([ONE], [TWO], [ONE], [TWO])
    whole = service(FOUR, TWO, ONE, serving=[(FOUR.revision, 100)])

    assert chosen(whole, FOUR, past=past).snapshot is TWO


def test_deleted_revision():
    """A revision that does not exist any more is named, and the next one is taken."""
    known = chosen(service(FOUR, ONE), FOUR, past=nights([ONE], [TWO], [THREE]))

    assert known.snapshot is ONE
    assert known.passed_over == (
        "api-00003: does not exist any more",
        "api-00002: does not exist any more",
    )


def test_service_that_was_created_anew():
    """A revision that only has the name of one that served is another one."""
    again = revision(1, A, uid="another")
    known = chosen(service(FOUR, again), FOUR, past=nights([ONE]))

    assert known.snapshot is None
    assert known.passed_over == ("api-00001: does not exist any more",)


def test_history_is_read_when_it_is_needed():
    """The chain is read once, where a revision served that is not among those that were collected."""
    asked = []
    few, whole = service(FOUR, complete=False), service(FOUR, TWO, ONE)

    def chain(part):
        asked.append(part)
        return whole

    past = nights([ONE], [TWO], [THREE])
    here = chosen(service(FOUR, THREE, complete=False), FOUR, past=past, chain=chain)

    assert (here.snapshot, asked) == (THREE, [])
    assert chosen(few, FOUR, past=past, chain=chain).snapshot is TWO
    assert asked == [few]


def test_history_that_cannot_be_read():
    """What could not be read is told as that, once, and is part of what was not seen."""
    missed = Unseen(where="revisions of api", reason="permission denied")
    asked = []

    def chain(part):
        asked.append(part)
        return part.but(unseen=(missed,))

    few = service(FOUR, complete=False)
    known = chosen(few, FOUR, past=nights([ONE], [TWO]), chain=chain)

    assert known.snapshot is None
    assert known.passed_over == ("api-00002: could not be read", "api-00001: could not be read")
    assert (known.unseen, len(asked)) == ((missed,), 1)


def test_many_that_are_gone():
    """A long list of what was not taken is told up to a few."""
    gone = [[revision(n)] for n in range(9)]

    assert chosen(service(FOUR), FOUR, past=nights(*gone)).passed_over[-1] == "3 more"


def test_what_was_seen_last_is_kept():
    """Of many revisions that served, those are remembered that served last, each once."""
    past = nights(*([revision(n)] for n in range(MOST + 3)), [revision(0), revision(1)])
    names = [one.revision for one in past.served]

    assert len(names) == MOST
    assert names == sorted(names, reverse=True)
    assert {"api-00000", "api-00001"} < set(names)
    assert past.of_those({"u0"}).served == (past.served[-1],)


# The law

FIT = st.tuples(st.booleans(), st.booleans())
SEEN = st.lists(st.sets(st.integers(0, 5), max_size=2), max_size=5)


def lawful(known, candidate, seen):
    """Whether a reference that is said to have served may be one, by what each night saw serving."""
    one = known.snapshot
    if known.how != "served":
        return True
    number = int(one.identity.uid[1:])
    served = [night for night, numbers in enumerate(seen) if number in numbers]
    since = [numbers for numbers in seen[served[-1] + 1 :] if numbers] if served else []
    back = any(max(numbers) < number for numbers in since)
    keys = {binding.key for binding in one.bindings}
    fit = one is not candidate and one.status.ready is True and "A" in keys
    return bool(served) and fit and not back


def made(fit, seen):
    revisions = [
        revision(n, A if holds else {}, ready=ready) for n, (holds, ready) in enumerate(fit)
    ]
    seen = [{n for n in numbers if n < len(fit)} for numbers in seen]
    past = nights(*([revisions[n] for n in numbers] for numbers in seen))
    return service(*reversed(revisions)), revisions[-1], past, seen


@given(st.lists(FIT, min_size=1, max_size=6), SEEN)
def test_memory_makes_no_unfit_revision_the_reference(fit, seen):
    """Whatever is remembered: the reference is the newest that is Ready, fit, and was not taken back."""
    whole, candidate, past, seen = made(fit, seen)
    known = chosen(whole, candidate, past=past, needs=["A"])
    good = [r for r in whole.revisions if lawful(KnownGood(r, "", "served"), candidate, seen)]

    assert lawful(known, candidate, seen)
    assert known.snapshot is (max(good, key=by_age) if good else None)


@pytest.mark.parametrize(
    ("fit", "seen"),
    [
        ([(False, True), (True, True)], [{0}]),
        ([(True, False), (True, True)], [{0}]),
        ([(True, True), (True, True)], [{1}]),
        ([(True, True), (True, True), (True, True)], [{1}, {0}]),
    ],
    ids=["policy", "ready", "candidate", "rolled back"],
)
def test_control_a_choice_by_age_alone_is_unlawful(fit, seen):
    """The law speaks where the newest revision that served is taken as it is."""
    whole, candidate, past, seen = made(fit, seen)
    newest = next(r for r in whole.revisions if r.identity.uid == past.served[0].uid)

    assert not lawful(KnownGood(newest, "", "served"), candidate, seen)


# The ledger

FILE = ".archive/shop/europe-west1.past.jsonl.gz"
SEEN_ONE = nights([ONE])


@pytest.fixture
def kept(tmp_path):
    """A folder with the ledger of a service."""
    ledger = Ledger(Folder(str(tmp_path)), LASTING)
    ledger.note(SEEN_ONE)
    ledger.keep()
    return tmp_path


def test_ledger_gives_back_what_was_noted(kept):
    """What was noted is there on another day, of that service, beside that of others."""
    again = Ledger(Folder(str(kept)), LASTING)
    web = Past(service=HOME.model_copy(update={"service": "web"})).then(NOW, [TWO])
    again.note(web)
    again.keep()
    third = Ledger(Folder(str(kept)), LASTING)

    assert [third.of(one.service) for one in (SEEN_ONE, web)] == [SEEN_ONE, web]
    assert third.of(HOME.model_copy(update={"region": "europe-west4"})) is None
    assert third.of(HOME.model_copy(update={"region": "-"})) is None


def test_ledger_that_somebody_touched(kept, caplog):
    """A ledger with any byte changed, cut off, from elsewhere or under another key is not believed."""
    path = kept / FILE
    text = path.read_bytes()
    for i in range(0, len(text), 7):
        for bad in (text[:i] + bytes([text[i] ^ 1]) + text[i + 1 :], text[:i]):
            path.write_bytes(bad)
            assert Ledger(Folder(str(kept)), LASTING).of(HOME) is None, i
    path.write_bytes(text)
    (kept / ".archive/shop/us-east1.past.jsonl.gz").write_bytes(text)

    assert Ledger(Folder(str(kept)), SealKey(b"m" * 32, lasting=True)).of(HOME) is None
    assert (
        Ledger(Folder(str(kept)), LASTING).of(HOME.model_copy(update={"region": "us-east1"}))
        is None
    )
    assert Ledger(Folder(str(kept)), LASTING).of(HOME) == SEEN_ONE
    assert "what was seen before is lost" in caplog.text


@pytest.mark.parametrize("line", ["{}", SEEN_ONE.model_dump_json().replace('"api"', '"web"')])
def test_line_that_is_not_of_the_service(tmp_path, line):
    """A line that says nothing, or is of another service, is not taken for that of the service."""
    ledger = Ledger(Folder(str(tmp_path)), LASTING)
    ledger.of(HOME)
    ledger._lines["shop", "europe-west1"][str(HOME)] = line
    ledger._pasts.clear()

    assert ledger.of(HOME) is None


def test_ledger_that_is_not_believed_is_begun_anew(kept):
    """After a ledger was lost, what is seen from then on is remembered."""
    (kept / FILE).write_text("x\n")
    for _ in range(2):
        ledger = Ledger(Folder(str(kept)), LASTING)
        found = ledger.of(HOME)
        ledger.note(SEEN_ONE)
        ledger.keep()

    assert found == SEEN_ONE


def test_place_whose_name_is_no_path(tmp_path):
    """Of a place whose name is no part of a path nothing is kept."""
    ledger = Ledger(Folder(str(tmp_path)), LASTING)
    ledger.note(Past(service=HOME.model_copy(update={"project": ".."})))
    ledger.keep()

    assert list(tmp_path.iterdir()) == []


# The command: night after night

CANARY = "cnry-served-7f3a9c51e2"
SCOPE = ["--project=shop", "--region=europe-west1", "--store=store"]
JWT = {"secret": "jwt", "version": "1"}
ENVS: list[dict[str, Any]] = [{"JWT": JWT, "PASSWORD": CANARY}, {"JWT": None}, {"JWT": JWT}]


def world(number, *, traffic=None, first=1):
    """
    The service after so many deploys; it serves its newest revision if nothing else is said. Those
    before the `first` were deleted.
    """
    deploys = list(enumerate(ENVS[:number], 1))[first - 1 :]
    revisions = [
        {"name": f"api-0000{n}", "at": f"2026-01-0{n}T08:00:00Z", "by": f"dev{n}@example.com",
         "image": f"r/api@sha256:{n:064}", "env": env if n > first else {**ENVS[0], **env}}
        for n, env in deploys
    ]  # fmt: skip
    secrets = [{"project": "shop", "name": "jwt", "versions": {"1": "enabled"}}]
    to = [{"to": f"api-0000{traffic}" if traffic else "LATEST", "percent": 100}]
    return {
        "secrets": secrets,
        "services": [
            {"project": "shop", "region": "europe-west1", "service": "api", "traffic": to,
             "revisions": revisions}
        ],
    }  # fmt: skip


class Night:
    """Audits one day after the other, with one store."""

    def __init__(self, folder):
        self.folder, self.day = folder, 0
        (folder / "store").mkdir()

    def __call__(self, played, *arguments, command=("audit",), env=None, **options):
        epoch = int((NOW + self.day * DAY).timestamp())
        self.day += command == ("audit",)
        with playing_document(played) as emulator:
            at = {**reached(emulator), "SOURCE_DATE_EPOCH": str(epoch), **(env or {})}
            given = {k: v for k, v in at.items() if v}
            self.ran = run(*command, *SCOPE, *arguments, cwd=self.folder, env=given, **options)
            self.calls = [call.method.rpartition("/")[2] for call in emulator.calls]
        return self.ran

    def told(self, played, *arguments, **options):
        """What the report says of each candidate: reference, why, and what was passed over."""
        ran = self(played, "--format=json", *arguments, **options)
        assert ran.out, ran.block
        return [
            (s["candidate"], s["reference"], s["reference_why"], s["passed_over"])
            for s in json.loads(ran.out)["services"]
        ]


@pytest.fixture
def night(tmp_path):
    return Night(tmp_path)


NOTHING = "no baseline, and no other revision serves"


def served(day):
    return f"newest Ready revision that served when last audited, {day}"


def test_revision_that_served_last_night_is_the_reference(night):
    """Traffic moved to a new revision: it is held against the one that served the night before."""
    first = night.told(world(1))
    second = night.told(world(2))
    code, calls = night.ran.code, night.calls
    third = night.told(world(2))

    assert first == [("api-00001", None, NOTHING, [])]
    assert second == [("api-00002", "api-00001", served("2026-01-15"), [])]
    assert third == second
    assert (code, night.ran.code) == (10, 10)
    assert calls.count("ListRevisions") <= 2
    assert "Revision" not in "".join(night.calls)


def test_control_without_the_ledger_nothing_is_known(night):
    """Without what the night before saw, the same night has no reference."""
    night(world(1))
    (night.folder / "store" / FILE).unlink()

    assert night.told(world(2)) == [("api-00002", None, NOTHING, [])]
    assert night.ran.code == 0


@pytest.mark.parametrize("format", ["text", "markdown", "html"])
def test_every_page_says_why(night, format):
    """Each page names the reference, why it is, and which others were passed over for what."""
    for played in (world(1), world(2), world(2, traffic=1)):
        night(played)
    page = night(world(3), f"--format={format}").told
    plain = page.replace("<code>", "").replace("</code>", "").replace(": ", " ").replace(",", "")

    assert served("2026-01-17").replace(",", "") in plain
    assert "api-00002 its traffic went back to an older revision" in plain
    assert leaks(page.encode(), [CANARY]) == []


def test_rollback(night):
    """A bad revision that was rolled back is never the reference, and the older one is."""
    night(world(1))
    night(world(2))
    back = night.told(world(2, traffic=1))
    fixed = night.told(world(3))
    went = ["api-00002: its traffic went back to an older revision"]

    assert back == [
        ("api-00002", "api-00001", served("2026-01-15"), []),
        ("api-00001", None, "nothing that was good is fit, and no other revision serves", went),
    ]
    assert fixed == [("api-00003", "api-00001", served("2026-01-17"), went)]


def test_poisoned_memory(night):
    """A revision that served and is not what the policy requires is passed over by name."""
    night(world(2))
    (night.folder / "drift-audit.toml").write_text("[[service]]\nrequired = {JWT = {}}")

    assert night.told(world(3)) == [
        ("api-00003", None, "nothing that was good is fit, and no other revision serves",
         ["api-00002: violates the policy"]),
    ]  # fmt: skip


def test_revision_that_was_deleted_since(night):
    """A revision that served and was deleted is told once, and then forgotten."""
    night(world(1))
    gone = ["api-00001: does not exist any more"]

    assert [told[1:] for told in night.told(world(2, first=2))] == [
        (None, "nothing that was good is fit, and no other revision serves", gone)
    ]
    assert night.told(world(2, first=2), "--full") == [("api-00002", None, NOTHING, [])]


def test_history_that_is_denied(night):
    """Where a revision served that may not be read now, the audit did not see everything."""
    night(world(1))
    parent = "projects/shop/locations/europe-west1/services/api"
    denied = {**world(2), "faults": ["Revisions/ListRevisions:1+:PERMISSION_DENIED"]}
    told = night.told(denied)

    assert told[0][3] == ["api-00001: could not be read"]
    assert night.ran.code == 3
    assert {u["where"] for u in json.loads(night.ran.out)["unseen"]} == {f"revisions of {parent}"}


def test_gate_against_what_served(night):
    """KNOWN_GOOD is the revision that served when last audited; without a ledger there is none."""
    candidate = world(2, traffic=1)
    night(world(1))
    gate = ("compare", "KNOWN_GOOD", "LATEST", "--service=api")
    ran = night(candidate, command=gate)
    bare = night(candidate, command=("compare", "--service=api"))
    (night.folder / "store" / FILE).unlink()
    none = night(candidate, command=gate)

    assert (ran.code, bare.code, none.code) == (10, 10, 4), ran.block + none.block
    assert served("2026-01-15") in ran.told
    assert served("2026-01-15") in bare.told
    assert "has no known good revision: no baseline was promoted" in none.err


def test_history_marks_what_served(night):
    """`history` says what served and until when, and what is known to be good and why."""
    for played in (world(1), world(2), world(2, traffic=1)):
        night(played)
    ran = night(world(3), command=("history", "api"))
    out = " ".join(ran.out.split())

    assert "serving api-00003 (100%) served api-00002 (until 2026-01-16), api-00001" in out
    assert "known good api-00001 (newest Ready revision that served when last audited" in out


def test_history_of_files_knows_no_past(night):
    """Exported files hold no day: what they say of traffic is not remembered."""
    night(world(1))
    before = files_below(night.folder / "store")
    with playing_document(world(3)) as emulator:
        every = ["--all-revisions", "-o", "all.json", *SCOPE[:2]]
        run("snapshot", *every, cwd=night.folder, env=reached(emulator))
    ran = run("audit", "--input=all.json", "--store=store", cwd=night.folder, env=SEALED)

    assert ran.code in (0, 10), ran.block
    assert files_below(night.folder / "store") == before


def test_traffic_of_another_day_is_not_told(night):
    """A baseline that served when it was promoted is not said to serve now."""
    promote = ("baseline", "promote", "--service=api", "--reason=r", "--by=me")
    assert night(world(1), command=promote).code == 0
    shares = [
        json.loads(night(played, "--format=json").out)["services"][0]["reference_facts"]["percent"]
        for played in (world(2), world(2, traffic=1), world(3, first=2))
    ]

    assert shares == [0, 100, 0]


def test_no_lasting_key(night):
    """Without a lasting key nothing is remembered, and nothing is said of it."""
    night(world(1), env={"DRIFT_AUDIT_SEAL_KEY": ""})
    told = night.told(world(2), env={"DRIFT_AUDIT_SEAL_KEY": ""})

    assert told == [("api-00002", None, NOTHING, [])]
    assert files_below(night.folder / "store") == {}


def test_edited_ledger_is_told(night):
    """A ledger that is not believed is named on standard error, once; the audit has no reference."""
    night(world(1))
    path = night.folder / "store" / FILE
    path.write_bytes(path.read_bytes() + b"x")
    told = night.told(world(2))

    assert told == [("api-00002", None, NOTHING, [])]
    assert night.ran.err == (
        f"warning: store/{FILE}: written by another version, or another key:"
        " what was seen before is lost\n"
    )


def test_no_value_is_remembered(night):
    """The ledger holds names and times, and no value."""
    night(world(1))
    night(world(2))
    written = b"".join(files_below(night.folder / "store").values())

    assert b"api-00001" in written
    assert leaks(written, [CANARY]) == []
