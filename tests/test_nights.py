"""Nights that follow each other, whole and in parts, in a folder and a bucket, run as a user runs them."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest

from drift_audit.part import Shard
from drift_audit.snapshot import Address
from tests.bucket import NAME, bucket
from tests.builders import NOW
from tests.canary import files_below, leaks
from tests.command import run
from tests.worlds import playing_document, reached

CANARY = "cnry-night-41d7c0e9aa"
SCOPE = ["--project=shop", "--region=europe-west1"]
NAMES = [f"s{i:02}" for i in range(7)]
DAY = 86_400


def service(name, changed):
    """A service with a secret and a plain credential; one that was changed lost the secret."""
    env = {"JWT": {"secret": "jwt", "version": "1"}, "API_TOKEN": CANARY, "LEVEL": "info"}
    revisions = [
        {
            "name": f"{name}-1",
            "at": "2026-01-01T08:00:00Z",
            "image": f"r/a@sha256:{1:064}",
            "env": env,
        },
        {"name": f"{name}-2", "at": "2026-01-02T08:00:00Z", "env": {"JWT": None}},
    ]
    return {
        "project": "shop",
        "region": "europe-west1",
        "service": name,
        "traffic": [{"to": f"{name}-1", "percent": 100}],
        "revisions": revisions[: 1 + changed],
    }


def fleet(*changed, gone=(), **more):
    return {
        "secrets": [{"project": "shop", "name": "jwt", "versions": {"1": "enabled"}}],
        "services": [service(name, name in changed) for name in NAMES if name not in gone],
        **more,
    }


class Nights:
    """Audits of a store, each at a time of its own, in a folder or a bucket."""

    def __init__(self, folder, cloud=None):
        self.folder, self.cloud = folder, cloud
        self.store = f"gs://{NAME}/prod" if cloud else "store"
        (folder / "store").mkdir()

    def __call__(self, played, day, *arguments, command="audit", scope=SCOPE, env=None):
        epoch = int(NOW.timestamp()) + day * DAY
        with playing_document(played) as emulator:
            given = {**reached(emulator), "SOURCE_DATE_EPOCH": str(epoch), **(env or {})}
            if self.cloud:
                given |= self.cloud.env
            where = scope if command == "audit" else []
            return run(
                command, *where, f"--store={self.store}", *arguments, cwd=self.folder, env=given
            )

    @property
    def files(self):
        """What lies in the store, by its path."""
        if self.cloud:
            return {n.removeprefix("prod/"): data for n, (_, data) in self.cloud.objects.items()}
        found = (p for p in (self.folder / "store").rglob("*") if p.is_file())
        return {str(p.relative_to(self.folder / "store")): p.read_bytes() for p in found}

    @property
    def pages(self):
        """What was kept of nights."""
        return {path: data for path, data in self.files.items() if path.startswith("_nights/")}

    def report(self, day, name="120000"):
        return json.loads(self.files[f"_nights/2026-01-{15 + day}/{name}/report.json"])


@pytest.fixture(params=["folder", "bucket"])
def nights(request, tmp_path):
    with bucket() if request.param == "bucket" else nullcontext() as cloud:
        yield Nights(tmp_path, cloud)


# Night after night


def test_two_nights_with_a_deploy_between_them(nights):
    """What a deploy did is new on the next night, continues on the third, and is resolved after it."""
    first = nights(fleet(), 0, "--night")
    second = nights(fleet("s03"), 1, "--night")
    third = nights(fleet("s03"), 2, "--night")
    fourth = nights(fleet(), 3, "--night")
    trends = [nights.report(day)["trend"] for day in range(4)]
    lost = [
        next(
            (
                f
                for s in nights.report(d)["services"]
                for f in s["findings"]
                if f["rule"] == "key-lost"
            ),
            None,
        )
        for d in range(4)
    ]

    assert [ran.code for ran in (first, second, third, fourth)] == [0, 10, 10, 0]
    assert [trend["last_complete"] for trend in trends] == [
        None, "2026-01-15T12:00:00Z", "2026-01-16T12:00:00Z", "2026-01-17T12:00:00Z",
    ]  # fmt: skip
    assert [f and f.get("since") for f in lost] == [
        None, "2026-01-16T12:00:00Z", "2026-01-16T12:00:00Z", None,
    ]  # fmt: skip
    assert [trend["new"] > 0 for trend in trends] == [True, True, False, False]
    assert "key-lost" in {one["rule"] for one in trends[3]["resolved"]}
    assert trends[2]["resolved"] == []


def test_what_is_kept_of_a_night(nights):
    """Report and pages lie under the date of the night; nothing in the store holds a value."""
    nights(fleet("s03"), 0, "--night")
    kept = sorted(nights.pages)

    assert kept == [
        f"_nights/2026-01-15/120000/{name}"
        for name in ("night.json", "report.html", "report.json", "report.md")
    ]
    assert leaks(b"".join(nights.files.values()), [CANARY]) == []
    if not nights.cloud:
        assert leaks(b"".join(files_below(nights.folder / "store").values()), [CANARY]) == []


def test_incomplete_night_resolves_nothing(nights):
    """What an incomplete night did not see is neither resolved nor new when it is seen again."""
    dark = fleet("s03", faults=["Services/ListServices:1+:PERMISSION_DENIED"])
    nights(fleet("s03"), 0, "--night")
    blind = nights(dark, 1, "--night")
    again = nights(fleet("s03"), 2, "--night")
    one, two = nights.report(1), nights.report(2)

    assert (blind.code, again.code) == (3, 10), blind.block
    assert one["trend"]["resolved"] == []
    assert two["trend"]["last_complete"] == "2026-01-15T12:00:00Z"
    assert {
        f["since"] for s in two["services"] for f in s["findings"] if f["rule"] == "key-lost"
    } == {"2026-01-15T12:00:00Z"}


def test_nights_of_another_scope_are_other_nights(nights):
    """An audit of one service is no night of the whole fleet: it resolves none of its findings."""
    nights(fleet("s03"), 0, "--night")
    narrow = nights(fleet("s03"), 1, "--night", "--service=s01")
    wide = nights(fleet("s03"), 2, "--night")

    assert (narrow.code, wide.code) == (0, 10)
    assert nights.report(1)["trend"]["last_complete"] is None
    assert nights.report(2)["trend"]["last_complete"] == "2026-01-15T12:00:00Z"


def test_run_that_is_tried_again(nights):
    """A complete run is kept once; what was written stays as it is."""
    env = {"CLOUD_RUN_EXECUTION": "audit-x7k2p"}
    nights(fleet("s03"), 0, "--night", env=env)
    before = nights.pages
    again = nights(fleet(), 0, "--night", env=env)

    assert (again.code, nights.pages) == (0, before)
    assert set(before) == {
        f"_nights/2026-01-15/audit-x7k2p/{n}"
        for n in ("night.json", "report.html", "report.json", "report.md")
    }


def test_night_that_cannot_be_written(nights):
    """A night that could not be kept is exit 5, and the report still stands on standard output."""
    if nights.cloud:
        nights.cloud.denied = "_nights/2026"
    else:
        (nights.folder / "store/_nights").mkdir()
        (nights.folder / "store/_nights/2026-01-15").write_text("a file where a folder belongs")
    ran = nights(fleet(), 0, "--night")

    assert ran.code == 5, ran.block
    assert "result: clean (exit 0)" in ran.out
    assert "cannot" in ran.err


def test_damaged_night(nights):
    """A night that is not one is refused by name: nobody can tell what is new."""
    nights(fleet(), 0, "--night")
    path = "_nights/2026-01-15/120000/night.json"
    if nights.cloud:
        nights.cloud.objects[f"prod/{path}"] = (1, b"{}")
    else:
        (nights.folder / "store" / path).write_text("{}")
    ran = nights(fleet(), 1, "--night")

    assert ran.code == 4
    assert f"{path}: not a night of this version" in ran.err


# In parts


def in_parts(nights, played, day, count, *, skip=(), run="r1"):
    ran = [
        nights(played, day, f"--shard={i}/{count}", f"--run={run}")
        for i in range(1, count + 1)
        if i not in skip
    ]
    return ran, nights(played, day, f"--run={run}", command="merge")


@pytest.mark.parametrize("count", [2, 3, 10])
def test_parts_are_one_run(nights, tmp_path_factory, count):
    """The report of a run in parts is, byte by byte, that of the same run in one."""
    other = Nights(tmp_path_factory.mktemp("whole"))
    whole = other(fleet("s03", "s05"), 0, "--night", "--run=r1")
    parts, merged = in_parts(nights, fleet("s03", "s05"), 0, count)

    assert {part.code for part in parts} == {0}
    assert (merged.code, whole.code) == (10, 10)
    assert nights.pages == other.pages
    assert merged.out == whole.out
    assert "credential-shared" in merged.out
    assert leaks(b"".join(nights.files.values()), [CANARY]) == []
    _, merged = in_parts(nights, fleet("s03"), 1, count, run="r2")
    other(fleet("s03"), 1, "--night", "--run=r2")
    assert nights.pages == other.pages
    assert nights.report(1, "r2")["trend"]["continuing"] > 0


def test_merged_findings_point_at_the_policy_of_the_run(nights):
    """The files that findings belong to are those that merge was given, as with audit."""
    (nights.folder / "ops").mkdir()
    (nights.folder / "ops" / "policy.toml").write_text('fail_on = "high"\n')
    config = "--config=ops/policy.toml"
    for i in (1, 2):
        nights(fleet("s03"), 0, f"--shard={i}/2", "--run=r1", config)
    ran = nights(fleet("s03"), 0, "--run=r1", config, "-o", "report.sarif", command="merge")
    results = json.loads((nights.folder / "report.sarif").read_text())["runs"][0]["results"]
    files = {
        place["physicalLocation"]["artifactLocation"]["uri"]
        for result in results
        for place in result["locations"]
    }

    assert ran.code == 10, ran.block
    assert "ops/policy.toml" in files


def test_name_of_another_run(nights):
    """A name that an earlier run had is refused: its parts would be joined with those of today."""
    in_parts(nights, fleet(), 0, 2)
    taken = nights(fleet("s03"), 1, "--shard=1/2", "--run=r1")

    assert taken.code == 4
    assert "1-of-2.json.gz: is that of another run" in taken.err


def test_part_that_is_missing(nights):
    """A part that was not written is named, and the report is incomplete; later it is joined too."""
    _, merged = in_parts(nights, fleet("s03"), 0, 3, skip=[2])
    nights(fleet("s03"), 0, "--shard=2/3", "--run=r1")
    whole = nights(fleet("s03"), 0, "--run=r1", command="merge")

    assert (merged.code, whole.code) == (3, 10)
    assert "part 2 of 3: it was not written" in merged.told
    assert nights.report(0, "r1")["verdict"] == "incomplete"
    assert nights.report(0, "r1.2")["verdict"] == "drift"


def test_task_that_is_tried_again(nights):
    """A task takes its part by itself; a second try leaves what the first has written."""
    env = {
        "CLOUD_RUN_TASK_INDEX": "1",
        "CLOUD_RUN_TASK_COUNT": "2",
        "CLOUD_RUN_EXECUTION": "audit-x",
    }
    first = nights(fleet("s03"), 0, env=env)
    before = nights.files[".archive/parts/audit-x/2-of-2.json.gz"]
    again = nights(fleet(), 0, env=env)

    assert (first.code, again.code) == (0, 0)
    assert first.err.startswith("part 2 of 2: ")
    assert "was there already and stands" in again.err
    assert nights.files[".archive/parts/audit-x/2-of-2.json.gz"] == before


def test_newest_run_is_merged(nights):
    """Without a name, the run is merged that was begun last."""
    for day, name in ((0, "zz"), (1, "aa")):
        for i in (1, 2):
            nights(fleet(), day, f"--shard={i}/2", f"--run={name}")
    merged = nights(fleet(), 2, command="merge")

    assert merged.code == 0, merged.block
    assert "_nights/2026-01-16/aa/report.json" in nights.files


def test_part_that_cannot_be_read(nights):
    """A part that is not seen makes its own task fail, and the merged report incomplete."""
    blind = fleet("s03", denied=["projects/shop/secrets/jwt"])
    parts, merged = in_parts(nights, blind, 0, 2)

    assert {part.code for part in parts} == {3}
    assert merged.code == 3


def test_part_that_cannot_be_judged(nights):
    """A part whose checks cannot be made, as its clock is wrong, says so, and fails as the whole does."""
    parts, merged = in_parts(nights, fleet(), -40, 2)

    assert {part.code for part in parts} == {3}
    assert "0 things not seen, 3 checks not made" in parts[0].err
    assert "0 things not seen, 4 checks not made" in parts[1].err
    assert merged.code == 3


def test_parts_that_were_touched(nights):
    """A part that somebody else has written or changed is refused by name."""
    in_parts(nights, fleet(), 0, 2)
    path = ".archive/parts/r1/1-of-2.json.gz"
    data = nights.files[path]
    other = nights.files[".archive/parts/r1/2-of-2.json.gz"]
    for bad in (data[:-1] + b"x", b"", b"{}", other):
        if nights.cloud:
            nights.cloud.objects[f"prod/{path}"] = (1, bad or b"-")
        else:
            (nights.folder / "store" / path).write_bytes(bad)
        ran = nights(fleet(), 0, "--run=r1", command="merge")
        assert ran.code == 4, ran.block
        assert "1-of-2.json.gz: written with another key, or touched since" in ran.err


def test_parts_on_other_terms(nights):
    """Parts of other choices, or another policy, are not joined."""
    nights(fleet(), 0, "--shard=1/2", "--run=r1")
    nights(fleet(), 0, "--shard=2/2", "--run=r1", "--fail-on=low")
    mixed = nights(fleet(), 0, "--run=r1", command="merge")
    for i in (1, 2):
        nights(fleet(), 0, f"--shard={i}/2", "--run=r2")
    (nights.folder / "drift-audit.toml").write_text('fail_on = "low"')
    other = nights(fleet(), 0, "--run=r2", command="merge")

    assert (mixed.code, other.code) == (4, 4)
    assert "parts of different runs" in mixed.err
    assert "made with another policy" in other.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--shard=0/2", "--run=r"], "not one of N parts"),
        (["--shard=3/2", "--run=r"], "not one of N parts"),
        (["--shard=x"], "not one of N parts"),
        (["--shard=1/2"], "need a name that they share"),
        (["--shard=1/2", "--run=A B"], "not lower-case letters"),
        (["--shard=1/2", "--run=r", "--night"], "a part of a run is no report"),
        (["--shard=1/2", "--run=r", "-o", "x.json"], "a part of a run is no report"),
    ],
)
def test_wrong_words(tmp_path, arguments, told):
    """What cannot be a part of a run is refused before anything is read."""
    ran = run("audit", *SCOPE, *arguments, cwd=tmp_path)

    assert ran.code == 2
    assert told in ran.err


def test_nothing_to_keep_it_in(tmp_path):
    """A night without a store, a part without a lasting key, and nothing to merge are told by name."""
    with playing_document(fleet()) as emulator:
        env = reached(emulator)
        nowhere = run("audit", *SCOPE, "--night", cwd=tmp_path, env=env)
        (tmp_path / "baselines").mkdir()
        empty = run("merge", cwd=tmp_path, env=env)
        del env["DRIFT_AUDIT_SEAL_KEY"]
        unsealed = run("audit", *SCOPE, "--shard=1/2", "--run=r", cwd=tmp_path, env=env)

    assert (nowhere.code, empty.code, unsealed.code) == (4, 4, 4)
    assert "baselines: there is no such folder" in nowhere.err
    assert "baselines has no parts of a run" in empty.err
    assert "no lasting key" in unsealed.err


def test_every_service_falls_to_one_part():
    """Whatever the number of parts, each service is in exactly one of them."""
    services = [Address(project="p", region="r", service=f"s{i}") for i in range(200)]
    for count in (1, 2, 7, 50):
        shards = [Shard(number=n, count=count) for n in range(1, count + 1)]
        held = [sum(shard.holds(at) for shard in shards) for at in services]
        assert held == [1] * len(services)
    assert all(any(Shard(number=n, count=7).holds(at) for at in services) for n in range(1, 8))


# The gate that asks how old the last audit is


def test_gate_hears_of_old_audits(nights):
    """A gate warns where the last complete audit is too old, and refuses where that is asked for."""
    nights(fleet(), 0, "--service=s01", "--night")
    gate = ("SERVING", "LATEST", "--service=s01", *SCOPE)
    ran = {
        (day, strict): nights(
            fleet("s01"),
            day,
            *gate,
            "--max-audit-age=26h",
            *["--strict-age"][:strict],
            command="compare",
        )
        for day in (1, 2)
        for strict in (0, 1)
    }
    other = nights(
        fleet("s02"),
        1,
        "SERVING",
        "LATEST",
        "--service=s02",
        *SCOPE,
        "--max-audit-age=3d",
        command="compare",
    )
    young, old = ran[1, 1], ran[2, 0]

    assert {key: one.code for key, one in ran.items()} == {
        (1, 0): 10,
        (1, 1): 10,
        (2, 0): 10,
        (2, 1): 3,
    }
    assert "last complete audit" not in young.told
    assert (
        "the last complete audit is 48 hours old, and was to be younger than 26 hours" in old.told
    )
    assert "no complete audit of shop/europe-west1/s02 is kept" in other.told


def test_incomplete_audits_are_not_the_last_one(nights):
    """Only a complete audit counts: one that was blind says nothing."""
    nights(fleet(faults=["Services/ListServices:1+:PERMISSION_DENIED"]), 0, "--night")
    ran = nights(
        fleet("s01"), 0, "SERVING", "LATEST", "--service=s01", *SCOPE,
        "--max-audit-age=90m", "--strict-age", command="compare",
    )  # fmt: skip

    assert ran.code == 3
    assert "and one was to be younger than 90 minutes" in ran.told


@pytest.mark.parametrize(
    "words", [["--max-audit-age=2w"], ["--max-audit-age=0h"], ["--strict-age"]]
)
def test_ages_that_are_none(here, words):
    """What is no length of time is refused, and so is strictness about nothing."""
    assert run("compare", "before.json", "after.json", *words, cwd=here).code == 2


# What logs hear


def events(ran):
    return [json.loads(line) for line in ran.err.splitlines()]


def test_logs_tell_what_is_new(nights):
    """Each finding says whether it is new, and since when; a part has no verdict, and merge has."""
    log = {"DRIFT_AUDIT_LOG_FORMAT": "json"}
    nights(fleet("s03"), 0, "--night")
    second = events(nights(fleet("s03", "s05"), 1, "--night", env=log))
    lost = {e["service"]: (e["new"], e["since"]) for e in second if e.get("rule") == "key-lost"}
    part = events(nights(fleet(), 2, "--shard=1/1", "--run=whole", env=log))
    parts = [events(nights(fleet(), 2, f"--shard={i}/2", "--run=r", env=log))[-1] for i in (1, 2)]
    with playing_document(fleet()) as emulator:
        cloud = nights.cloud.env if nights.cloud else {}
        merged = run(
            "merge", f"--store={nights.store}", "--run=r",
            cwd=nights.folder, env={**reached(emulator), **log, **cloud},
        )  # fmt: skip

    assert lost == {
        "s03": (False, "2026-01-15T12:00:00+00:00"),
        "s05": (True, "2026-01-16T12:00:00+00:00"),
    }
    assert part[-1]["verdict"] == "clean"
    assert [(one["event"], one["verdict"], one["complete"]) for one in parts] == [
        ("audit_finished", "part", False)
    ] * 2
    assert events(merged)[-1]["verdict"] == "clean"
    assert events(merged)[-1]["command"] == "merge"
