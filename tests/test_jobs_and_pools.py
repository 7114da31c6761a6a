"""Jobs and worker pools: read beside services, and never taken for one of the same name."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import pytest
from google.cloud import run_v2

from drift_audit.binding import LiteralValue
from drift_audit.collector.api import Location
from drift_audit.collector.protobuf import to_json
from drift_audit.collector.resources import from_v2
from tests.builders import sealer
from tests.canary import files_below, leaks
from tests.command import run
from tests.worlds import playing_document, reached, source

CANARY = "cnry-jobs-and-pools-5e2"
AT = "2026-01-01T08:00:00Z"
KINDS = ("service", "worker-pool", "job")
SHOP = {"project": "shop", "region": "r1"}
JWT = {"secret": "jwt", "version": "7"}
REVISION = {"name": "api-00001", "at": AT, "image": "r/api:1", "env": {"JWT": JWT, "LEVEL": CANARY}}
JOB = {**SHOP, "job": "api", "at": AT, "by": "one@example.com", "image": "r/job:1", "tasks": 3,
       "env": {"JWT": JWT, "LEVEL": CANARY}}  # fmt: skip


def world(*, service=None, pool=None, job=None, **more):
    """One service, one worker pool and one job, all called api, with later deploys of each."""
    return {
        "numbers": {"shop": "123456789012"},
        "secrets": [{"project": "shop", "name": "jwt", "versions": {"7": "enabled"}}],
        "services": [{**SHOP, "service": "api", "revisions": [REVISION, *([service] if service else [])]}],
        "worker_pools": [{**SHOP, "worker_pool": "api", "revisions": [REVISION, *([pool] if pool else [])]}],
        "jobs": [{**JOB, **(job or {})}],
        **more,
    }  # fmt: skip


LATER = {"name": "api-00002", "at": "2026-01-02T08:00:00Z"}
LOCATION = Location("shop", "r1")
PLACE = ["--project=shop", "--region=r1"]
ADDRESSES = ["shop/r1/api", "shop/r1/api.job", "shop/r1/api.worker-pool"]


@pytest.fixture(scope="module")
def promoted(tmp_path_factory):
    """A store with a promoted baseline of each of the three."""
    folder = tmp_path_factory.mktemp("promoted")
    with playing_document(world()) as emulator:
        for kind in KINDS:
            promote = ["baseline", "promote", "--service=api", f"--kind={kind}", *PLACE]
            ran = run(*promote, "--reason=r", "--by=me", cwd=folder, env=reached(emulator))
            assert ran.code == 0, ran.block
    return folder / "baselines"


@pytest.fixture
def here(tmp_path, promoted):
    """A folder with such a store."""
    shutil.copytree(promoted, tmp_path / "store")
    return tmp_path


def audited(folder, played, *arguments, code=10):
    """What the real command says of a world, and the report it wrote."""
    with playing_document(played) as emulator:
        command = ["audit", *PLACE, "--store=store", "-o", "r.json", *arguments]
        ran = run(*command, cwd=folder, env=reached(emulator))
    assert ran.code == code, ran.block
    return ran, json.loads((folder / "r.json").read_text())


def test_all_three_are_collected():
    """Services, worker pools and jobs are listed and read; a job needs one call, and keeps no history."""
    with playing_document(world()) as emulator:
        inventory = source(emulator, place=LOCATION, kinds=KINDS).collect()
        calls = Counter(c.method.partition("/")[2] for c in emulator.calls)
    job = inventory.services[1]

    assert [str(s.address) for s in inventory.services] == ADDRESSES
    assert [s.kind for s in inventory.services] == ["service", "job", "worker-pool"]
    assert (job.complete, job.traffic, job.named, job.serving) == (True, (), frozenset(), ())
    assert [r.revision for r in job.revisions] == ["(job)"]
    assert job.revisions[0].keys["", "JWT"].source.resolved == 7
    assert (calls["ListJobs"], calls["GetJob"]) == (1, 0)
    assert inventory.unseen == ()


def test_baselines_do_not_collide(here):
    """Each of the three has its own file, is listed by its own address, and is shown by it."""
    listed = run("baseline", "list", "--store=store", cwd=here)
    shown = run("baseline", "show", "shop/r1/api.job", "--store=store", cwd=here)

    assert sorted(p.name for p in (here / "store/shop/r1").iterdir()) == [
        "api.job.json",
        "api.json",
        "api.worker-pool.json",
    ]
    assert sorted(line.split()[0] for line in listed.out.splitlines()) == ADDRESSES
    assert json.loads(shown.out)["snapshot"]["identity"]["kind"] == "job"


def test_nothing_changed(here):
    """Held against their baselines, all three are as they were."""
    _, report = audited(here, world(), code=0)

    assert report["verdict"] == "clean"
    assert report["coverage"]["baselines"] == report["coverage"]["judged"] == 3


def test_job_that_lost_a_key(here):
    """A key that a job lost is found, with who changed it, and the command that puts it back."""
    after = world(
        job={"env": {"LEVEL": CANARY}, "by": "two@example.com", "at": "2026-01-02T08:00:00Z"}
    )
    ran, report = audited(here, after)
    [job] = [s for s in report["services"] if s["kind"] == "job"]
    [lost] = [f for f in job["findings"] if f["rule"] == "key-lost"]

    assert report["headline"] == "api.job drops 1 key that the reference had: JWT"
    assert lost["address"]["service"] == "api.job"
    assert job["candidate_facts"]["creator"] == "two@example.com"
    assert job["remedy"] == {
        "restore": "gcloud run jobs update api --project=shop --region=r1 --update-secrets=JWT=jwt:7",
        "rollback": "",
        "note": "",
    }
    assert "shop/r1/api.job" in ran.out.splitlines()
    assert [s["changes"] for s in report["services"] if s["kind"] != "job"] == [[], []]


def test_job_that_lost_a_plain_value(here):
    """No command holds a value: the note says where it stands."""
    _, report = audited(here, world(job={"env": {"JWT": JWT}}))
    [job] = [s for s in report["services"] if s["changes"]]

    assert job["remedy"]["restore"].endswith("--update-env-vars=LEVEL=(VALUE)")
    assert job["remedy"]["note"] == "(VALUE) stands for the plain value in the baseline of the job"


def test_worker_pool_that_lost_a_key(here):
    """A worker pool has revisions: the deploy is named, and there is one to go back to."""
    _, report = audited(here, world(pool={**LATER, "env": {"JWT": None}}))
    [pool] = [s for s in report["services"] if s["kind"] == "worker-pool"]
    [lost] = [f for f in pool["findings"] if f["rule"] == "key-lost"]

    assert lost["first_seen"]["revision"] == "api-00002"
    assert pool["remedy"]["restore"].startswith("gcloud beta run worker-pools update api ")
    assert pool["remedy"]["rollback"].startswith(
        "gcloud beta run worker-pools update-instance-split api "
    )


def test_pages_tell_the_three_apart(here):
    """Every page calls each of the three by its own address."""
    names = ["r.html", "r.md", "r.txt"]
    audited(here, world(), *(f"-o{name}" for name in names), code=0)

    for name in names:
        text = (
            (here / name)
            .read_text()
            .replace("&#46;", ".")
            .replace("<code>", "")
            .replace("</code>", "")
        )
        for address in ADDRESSES:
            assert address in text, (name, address)


def test_waiver_of_one_is_none_of_another(here):
    """A waiver speaks of one address: it forgives the job, and not the service of the same name."""
    (here / "drift-audit.toml").write_text(
        '[[waiver]]\nrule="key-lost"\nat="shop/r1/api.job"\nowner="me"\nreason="r"\nuntil=2026-12-31\n'
    )
    lost = {"env": {"JWT": None}}
    _, report = audited(here, world(service={**LATER, **lost}, job={"env": {"LEVEL": CANARY}}))
    waived = {
        f["address"]["service"]: f["waived"] is not None
        for s in report["services"]
        for f in s["findings"]
        if f["rule"] == "key-lost"
    }

    assert waived == {"api": False, "api.job": True}


def test_policy_speaks_of_one_of_them(here):
    """What the policy requires of the job, it does not require of the service of the same name."""
    (here / "drift-audit.toml").write_text(
        '[[service]]\nmatch = "api.job"\n[service.required]\nTOKEN = {}\n'
    )
    _, report = audited(here, world())
    missing = [f for s in report["services"] for f in s["findings"] if f["rule"] == "key-missing"]

    assert [f["address"]["service"] for f in missing] == ["api.job"]


def test_expected_job_and_baselines_that_are_left(here):
    """A job that is gone is missing, though a service of its name is there; so is its baseline."""
    (here / "drift-audit.toml").write_text('[scope]\nexpect = ["shop/r1/api.job", "shop/r1/api"]\n')
    _, report = audited(here, {**world(), "jobs": []}, code=3)
    _, services = audited(here, {**world(), "jobs": []}, "--kind=service", code=0)
    [missing] = [f["says"] for f in report["findings"] if f["rule"] == "service-missing"]

    assert missing == (
        "shop/r1/api.job is expected and was not found; "
        "a baseline of shop/r1/api.job is kept, and the service was not found"
    )
    assert services["findings"] == []


def test_no_value_of_a_job_leaves(here):
    """Nothing that was written holds a value."""
    audited(here, world(job={"env": {"LEVEL": f"{CANARY}x"}}), "-o", "r.html")

    assert leaks(b"".join(files_below(here).values()), [CANARY]) == []


# What a job is set to


def settings_of(**fields):
    """The settings of a job whose task has some fields, by name."""
    task = {"containers": [{"image": "i"}], **fields.pop("task", {})}
    document = {
        "name": "projects/shop/locations/r1/jobs/nightly",
        "template": {"template": task, **fields},
    }
    message = run_v2.Job.pb(run_v2.Job(document))
    snapshot = from_v2(to_json(message)).snapshot(sealer())
    return {s.name: s.value for s in snapshot.settings}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, {"tasks": 1, "parallelism": 0, "max_retries": 3, "timeout_seconds": 600}),
        ({"task_count": 5, "parallelism": 2}, {"tasks": 5, "parallelism": 2, "max_retries": 3, "timeout_seconds": 600}),
        ({"task": {"max_retries": 0}}, {"tasks": 1, "parallelism": 0, "max_retries": 0, "timeout_seconds": 600}),
        ({"task": {"max_retries": 3, "timeout": {"seconds": 600}}}, {"tasks": 1, "parallelism": 0, "max_retries": 3, "timeout_seconds": 600}),
        ({"task": {"timeout": {"seconds": 3600}}}, {"tasks": 1, "parallelism": 0, "max_retries": 3, "timeout_seconds": 3600}),
    ],
)  # fmt: skip
def test_settings_of_a_job(fields, told):
    """How a job runs, with the documented defaults; an explicit 0 is no default."""
    found = settings_of(**fields)

    assert {name: found[name] for name in told} == told


def test_settings_that_only_services_have():
    """A job has no concurrency, instances, port or traffic."""
    found = settings_of()

    assert not {n for n in found if n.startswith(("scaling", "concurrency", "port", "session"))}


def test_changed_settings_of_a_job_get_its_own_flags(here):
    """What a job calls otherwise than a service is put back by its own flag."""
    (here / "drift-audit.toml").write_text(
        '[severity]\nsetting-changed = "high"\nresources-changed = "high"\n'
    )
    _, report = audited(
        here, world(job={"tasks": 1, "timeout": 60, "max_retries": 0, "memory": "1Gi"})
    )
    [job] = [s for s in report["services"] if s["changes"]]

    assert job["remedy"]["restore"] == (
        "gcloud run jobs update api --project=shop --region=r1 "
        "--max-retries=3 --memory=512Mi --task-timeout=600 --tasks=3"
    )


def test_unknown_fields_of_a_job():
    """A field that nobody knows is reported where it stands: job, execution, task or container."""
    image = {"image": "i", "name": "app", "odd": 1}
    document = {
        "name": "projects/shop/locations/r1/jobs/nightly", "odd": 2,
        "template": {"odd": 3, "template": {"odd": 4, "containers": [image]}},
    }  # fmt: skip
    resource = from_v2(document)
    level = resource.service_level(sealer())
    settings = [*resource.snapshot(sealer()).settings, *level]

    assert [(s.container, s.name) for s in settings if "unknown" in s.name] == [
        ("", "unknown.odd"),
        ("app", "unknown.containers.odd"),
        ("", "service.unknown.odd"),
        ("", "service.unknown.template.odd"),
    ]
    assert all(isinstance(s.value, LiteralValue) for s in settings if "unknown" in s.name)


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ("Services/ListServices:1+:unknown-field", "api"),
        ("WorkerPools/ListWorkerPools:1+:unknown-field", "api.worker-pool"),
        ("Jobs/ListJobs:1+:unknown-field", "api.job"),
        ("Revisions/GetRevision:1+:unknown-field", "api.worker-pool"),
    ],
)
def test_unknown_fields_are_not_judged(tmp_path, fault, field):
    """A field of a newer API is told by its name under what was not judged, of whatever kind."""
    (tmp_path / "store").mkdir()
    ran, report = audited(tmp_path, world(faults=[fault]), code=0)
    skips = [s for s in report["skipped"] if s["what"] == "the field field-1023"]

    assert field in [s["service"]["service"] for s in skips]
    assert not any(s["blocking"] for s in skips)
    assert "the field field-1023: this version does not know it" in ran.told


# Words for what a job is


def compared(folder, *words, code=0, played=None):
    with playing_document(played or world(job={"tasks": 9})) as emulator:
        command = ["compare", *words, "--service=api", *PLACE, "--store=store"]
        ran = run(*command, cwd=folder, env=reached(emulator))
    assert ran.code == code, ran.block
    return ran


@pytest.mark.parametrize(
    "words", [[], ["KNOWN_GOOD"], ["KNOWN_GOOD", "LATEST"], ["KNOWN_GOOD", "SERVING"]]
)
def test_job_against_what_is_known_to_be_good(here, words):
    """A job as it is set now is compared with its baseline."""
    ran = compared(here, *words, "--kind=job")

    assert "tasks changed from 3 to 9" in ran.told


@pytest.mark.parametrize(
    "word", ["~1", "~", "tag:x", "api-00001", "projects/shop/locations/r1/services/api/revisions/x"]
)
def test_job_has_no_revisions(here, word):
    """A word for a revision is refused in one line: a job has none."""
    ran = compared(here, word, "--kind=job", code=4)

    assert ran.err.splitlines() == [
        f"drift-audit: shop/r1/api.job is a job and has no revisions: {word} names none",
        "  LATEST is how it is set now, KNOWN_GOOD its baseline",
    ]


def test_job_is_compared_with_itself(here):
    """A job that serves nothing is what it is: held against itself it is refused."""
    assert "never differs from itself" in compared(here, "SERVING", "--kind=job", code=2).err


def test_one_name_and_three_kinds(here):
    """Where a name is that of a service, a pool and a job, the command asks which is meant."""
    ran = compared(here, "KNOWN_GOOD", code=4)

    assert ran.err.splitlines() == [
        "drift-audit: the scope holds 3 services: api, api.job, api.worker-pool",
        "  give --service and --kind",
    ]


def test_full_name_of_a_revision_of_a_pool(here):
    """A revision of a worker pool goes by its full name too."""
    name = "projects/shop/locations/r1/workerPools/api/revisions/api-00001"
    later = world(pool={**LATER, "env": {"JWT": None}})

    assert "key-lost" in compared(here, name, "--kind=worker-pool", code=10, played=later).out


def test_gcloud_commands_are_for_services(tmp_path):
    """Files of gcloud hold services: whoever asks for the commands for others is told."""
    ran = run("snapshot", "--print-gcloud", *PLACE, "--kind=job", cwd=tmp_path)
    plain = run("snapshot", "--print-gcloud", *PLACE, cwd=tmp_path)

    assert ran.err == "worker pools and jobs are not in these: audit them live\n"
    assert plain.err == ""
