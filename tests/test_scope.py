"""The scope of a live audit: projects, regions, kinds, names, and how long it may take."""

from __future__ import annotations

import json

import pytest

from drift_audit.inventory import Scope
from drift_audit.snapshot import Address
from tests.command import run
from tests.worlds import playing_document, reached

AT = "2026-01-01T08:00:00Z"
REVISION = {"at": AT, "image": "i"}


def service(project="shop", region="r1", name="api"):
    return {"project": project, "region": region, "service": name, "revisions": [{"name": f"{name}-1", **REVISION}]}  # fmt: skip


def pool(name="work", region="r1"):
    return {"project": "shop", "region": region, "worker_pool": name, "revisions": [{"name": f"{name}-1", **REVISION}]}  # fmt: skip


def job(name="nightly", region="r1"):
    return {"project": "shop", "region": region, "job": name, **REVISION}


WORLD = {
    "services": [service(), service(region="r2"), service("web"), service("ads", "r3")],
    "worker_pools": [pool(), pool("api")],
    "jobs": [job(), job("api", "r2")],
}


def audited(folder, *arguments, code=0, env=None, stdin=b"", world=None):
    """The addresses that an audit judged, and its report."""
    with playing_document(world or WORLD) as emulator:
        told = {**reached(emulator), **(env or {})}
        ran = run("audit", "--format=json", *arguments, cwd=folder, env=told, stdin=stdin)
    assert ran.code == code, ran.block
    report = json.loads(ran.out)
    places = sorted(
        f"{s['project']}/{s['region']}/{s['service']}{'' if s['kind'] == 'service' else '.' + s['kind']}"
        for s in report["services"]
    )
    return places, report


EVERYTHING = [
    "shop/r1/api", "shop/r1/api.worker-pool", "shop/r1/nightly.job", "shop/r1/work.worker-pool",
    "shop/r2/api", "shop/r2/api.job",
]  # fmt: skip


def test_many_projects_and_all_their_regions(tmp_path):
    """Without regions, every project is looked at wherever it has something, for every kind."""
    places, report = audited(tmp_path, "--project=shop,web", "--project=ads")

    assert places == ["ads/r3/api", *EVERYTHING, "web/r1/api"]
    assert report["coverage"]["locations"] == report["coverage"]["locations_listed"] == 4
    assert report["scope"] == {
        "source": "Cloud Run", "projects": ["ads", "shop", "web"], "regions": ["r1", "r2", "r3"],
        "regions_found": True, "services": ["*"], "kinds": ["service", "worker-pool", "job"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        (["--region=r1"], [p for p in EVERYTHING if "/r1/" in p]),
        (["--kind=job"], ["shop/r1/nightly.job", "shop/r2/api.job"]),
        (["--kind=job", "--kind=worker-pool"], [p for p in EVERYTHING if "." in p]),
        (["--service=a*"], [p for p in EVERYTHING if "/api" in p]),
        (["--service=api"], [p for p in EVERYTHING if "/api" in p]),
        (["--service=nightly,work"], ["shop/r1/nightly.job", "shop/r1/work.worker-pool"]),
        (["--service=a*", "--kind=job", "--region=r2"], ["shop/r2/api.job"]),
    ],
)
def test_narrowed(tmp_path, arguments, places):
    """Regions, kinds and globs on names narrow what is looked at, over services, pools and jobs."""
    assert audited(tmp_path, "--project=shop", *arguments)[0] == places


def test_kinds_of_the_policy(tmp_path):
    """What the policy says of kinds holds where no flag says otherwise."""
    (tmp_path / "drift-audit.toml").write_text('[scope]\nprojects = ["shop"]\nkinds = ["job"]\n')

    assert audited(tmp_path)[0] == ["shop/r1/nightly.job", "shop/r2/api.job"]
    assert audited(tmp_path, "--kind=service")[0] == ["shop/r1/api", "shop/r2/api"]
    assert audited(tmp_path, env={"DRIFT_AUDIT_KIND": "worker-pool"})[0] == [
        "shop/r1/api.worker-pool",
        "shop/r1/work.worker-pool",
    ]


def test_kind_that_is_none(tmp_path):
    """A kind that nobody knows is a wrong command line, or a wrong policy."""
    (tmp_path / "drift-audit.toml").write_text('[scope]\nkinds = ["function"]\n')
    flag = run("audit", "--project=shop", "--kind=function", cwd=tmp_path)
    policy = run("audit", "--project=shop", cwd=tmp_path)

    assert (flag.code, policy.code) == (2, 2)
    assert "scope.kinds[0]" in policy.err


def test_expected_kind_that_was_not_asked_for(tmp_path):
    """What the policy expects of one kind is not missing where another kind was asked for."""
    policy = '[scope]\nexpect = ["shop/r1/gone.job", "shop/r1/api"]\n'
    (tmp_path / "drift-audit.toml").write_text(policy)
    services = audited(tmp_path, "--project=shop", "--kind=service")[1]
    everything = audited(tmp_path, "--project=shop", code=3)[1]

    assert services["coverage"]["expected"] == services["coverage"]["expected_found"] == 1
    assert [f["says"] for f in everything["findings"] if f["rule"] == "service-missing"] == [
        "shop/r1/gone.job is expected and was not found"
    ]


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (Scope(), True),
        (Scope(kinds=("service",)), False),
        (Scope(kinds=("job",)), True),
        (Scope(regions=("r2",)), False),
        (Scope(regions=("r2",), regions_found=True), True),
        (Scope(services=("api",)), True),
        (Scope(services=("api.job",)), False),
        (Scope(projects=("web",)), False),
    ],
)
def test_what_a_scope_covers(scope, covered):
    """Every part that is not open narrows; regions that the API named leave nothing out."""
    assert scope.covers(Address(project="shop", region="r1", service="api.job")) is covered


def test_files_are_narrowed_by_kind_and_name(tmp_path):
    """Services, pools and jobs from files are taken by name and by kind, as live ones are."""
    template = {"containers": [{"image": "i"}]}
    place = "projects/shop/locations/r1"
    documents = [
        {"name": f"{place}/services/api", "template": template},
        {"name": f"{place}/workerPools/api", "template": template},
        {"name": f"{place}/jobs/api", "template": {"template": template}},
        {"name": f"{place}/jobs/nightly", "template": {"template": template}},
    ]
    (tmp_path / "all.json").write_text(json.dumps(documents))

    def named(*arguments):
        return audited(tmp_path, "--input=all.json", *arguments)[0]

    assert len(named()) == 4
    assert named("--service=api") == ["shop/r1/api", "shop/r1/api.job", "shop/r1/api.worker-pool"]
    assert named("--kind=job") == ["shop/r1/api.job", "shop/r1/nightly.job"]
    assert named("--service=n*", "--kind=job") == ["shop/r1/nightly.job"]


# The file of projects


def test_projects_from_a_file(tmp_path):
    """Projects come from a file, one on each line; comments and blank lines are none, repeats count once."""
    (tmp_path / "projects").write_text("# ours\n\nshop\n  web  # the site\nshop\n")
    places, report = audited(
        tmp_path, "--projects-file=projects", "--project=ads", "--kind=service"
    )

    assert report["scope"]["projects"] == ["ads", "shop", "web"]
    assert places == ["ads/r3/api", "shop/r1/api", "shop/r2/api", "web/r1/api"]


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfweb\r\n", b"web", b"web\n"])
def test_projects_from_standard_input(tmp_path, text):
    """A byte order mark, Windows line ends and a missing last line end change nothing."""
    assert audited(tmp_path, "--projects-file=-", stdin=text)[0] == ["web/r1/api"]


def test_projects_file_from_the_environment(tmp_path):
    """The variable names the file as the flag does."""
    (tmp_path / "projects").write_text("web\n")
    env = {"DRIFT_AUDIT_PROJECTS_FILE": "projects"}

    assert audited(tmp_path, env=env)[0] == ["web/r1/api"]


def test_projects_file_wins_over_the_policy(tmp_path):
    """Who names projects in a file does not get those of the policy besides."""
    (tmp_path / "drift-audit.toml").write_text('[scope]\nprojects = ["shop"]\n')
    (tmp_path / "projects").write_text("web\n")

    assert audited(tmp_path, "--projects-file=projects")[0] == ["web/r1/api"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"shop\n\nnot a project\n", "projects:3: not the id of a project"),
        (b"shop\nSHOP\n", "projects:2: not the id of a project"),
        (b"../shop", "projects:1: not the id of a project"),
        (b"# nothing\n\n", "projects: lists no projects"),
        (b"", "projects: lists no projects"),
        (b"\xff\xfe", "projects: not UTF-8"),
    ],
)
def test_projects_file_that_is_none(tmp_path, text, said):
    """A file that lists no projects is refused with the line, and quotes nothing."""
    (tmp_path / "projects").write_bytes(text)
    ran = run("audit", "--projects-file=projects", cwd=tmp_path)

    assert ran.code == 4
    assert ran.err.splitlines()[0] == f"drift-audit: {said}"


def test_projects_file_that_is_not_there(tmp_path):
    """A file that cannot be read ends the run; no other scope takes its place."""
    ran = run("audit", "--projects-file=none", "--project=shop", cwd=tmp_path)

    assert (ran.code, ran.err) == (4, "drift-audit: none: missing: no such file\n")


# Time


def test_time_is_up(tmp_path):
    """What had no answer when the time of the run was up is not seen, and the run ends with 3."""
    world = {**WORLD, "faults": ["Services/ListServices:1+:hang"]}
    narrowed = ["--project=shop", "--region=r1", "--kind=service", "--timeout=1"]
    _, report = audited(tmp_path, *narrowed, code=3, world=world)

    assert [u["where"] for u in report["unseen"]] == ["services of projects/shop/locations/r1"]


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_time_that_is_none(tmp_path, seconds):
    """A timeout is a number of seconds of at least one."""
    assert run("audit", "--project=shop", f"--timeout={seconds}", cwd=tmp_path).code == 2


@pytest.fixture(scope="module")
def two_secrets():
    """An emulator whose one service reads two secrets."""
    env = {name.upper(): {"secret": name, "version": "1"} for name in ("jwt", "sql")}
    api = {**service(), "revisions": [{"name": "api-1", **REVISION, "env": env}]}
    secrets = [{"project": "shop", "name": n, "versions": {"1": "enabled"}} for n in ("jwt", "sql")]
    with playing_document({"services": [api], "secrets": secrets}) as emulator:
        yield emulator


@pytest.mark.parametrize(
    ("arguments", "env", "policy", "code"),
    [
        ([], {}, "", 0),
        (["--pace=secret-manager=1"], {}, "", 3),
        (["--pace=cloud-run=3", "--pace=secret-manager=3"], {}, "", 0),
        (["--pace=cloud-run=2"], {}, "", 3),
        ([], {"DRIFT_AUDIT_PACE": "secret-manager=1"}, "", 3),
        ([], {}, "secret-manager = 1", 3),
        (["--pace=secret-manager=3"], {}, "secret-manager = 1\ncloud-run = 3", 0),
    ],
)
def test_pace(tmp_path, two_secrets, arguments, env, policy, code):
    """
    No more reads are made in a minute than the flag allows, or the variable, or the policy; what
    the time of the run does not wait for was not seen.
    """
    (tmp_path / "drift-audit.toml").write_text(f"[pace]\n{policy}\n")
    ran = run(
        *("audit", "--project=shop", "--region=r1", "--kind=service", "--timeout=20", *arguments),
        cwd=tmp_path, env={**reached(two_secrets), **env},
    )  # fmt: skip

    assert ran.code == code, ran.block
    assert ("waiting for the quota" in ran.out) == (code == 3), ran.block


@pytest.mark.parametrize("pace", ["fast", "cloud-run", "cloud-run=0", "cloud-run=x", "bucket=5"])
def test_pace_that_is_none(tmp_path, pace):
    """A pace that says nothing is a wrong command line, and the answer tells what can be said."""
    ran = run("audit", "--project=shop", f"--pace={pace}", cwd=tmp_path)

    assert ran.code == 2
    assert "API=READS" in ran.err
    assert "cloud-run, secret-manager, resource-manager" in ran.err


@pytest.mark.parametrize("line", ["cloud-run = 0", "bucket = 5", 'cloud-run = "fast"'])
def test_pace_of_the_policy_that_is_none(tmp_path, line):
    """Nor does a policy with such a pace pass."""
    (tmp_path / "drift-audit.toml").write_text(f"[pace]\n{line}\n")
    ran = run("audit", "--project=shop", cwd=tmp_path)

    assert ran.code == 2
    assert "drift-audit.toml: pace." in ran.err


@pytest.mark.parametrize("which", [[], ["--all-revisions"]])
def test_snapshot_without_secrets(tmp_path, two_secrets, which):
    """Secret Manager is asked nothing: the secrets stand by name, and their versions unlooked at."""
    before = len(two_secrets.calls)
    command = ("snapshot", "--project=shop", "--region=r1", "--without-secrets", *which)
    ran = run(*command, cwd=tmp_path, env=reached(two_secrets))
    asked = [call.method for call in two_secrets.calls[before:]]
    [snapshot] = json.loads(ran.out)

    assert ran.code == 0, ran.block
    assert not [method for method in asked if "Secret" in method]
    assert [b["source"]["secret"] for b in snapshot["bindings"]] == ["jwt", "sql"]
    assert [b["source"]["version_state"] for b in snapshot["bindings"]] == [None, None]
