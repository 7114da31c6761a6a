"""The three uses, end to end, in separate processes, over real gRPC."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.bucket import NAME, bucket
from tests.builders import NOW
from tests.canary import files_below, leaks
from tests.command import run
from tests.manifests import v2
from tests.test_preview import WORLD
from tests.test_put_back import Shell
from tests.tickets import GITHUB
from tests.tickets import serving as ticket
from tests.worlds import playing, reached

CANARY = "cnry-jobs-7f3a9c51e2"

GOOD = {
    "numbers": {"shop": "123456789012"},
    "secrets": [{"project": "shop", "name": "jwt", "versions": {"7": "enabled"}}],
    "services": [
        {
            "project": "shop",
            "region": "europe-west1",
            "service": "api",
            "traffic": [{"to": "LATEST", "percent": 100}],
            "revisions": [
                {
                    "name": "api-00001-good",
                    "at": "2026-01-01T08:00:00Z",
                    "by": "one@example.com",
                    "image": "r/api@sha256:" + "1" * 64,
                    "args": [f"--token={CANARY}"],
                    "env": {
                        "JWT_SECRET_KEY": {"secret": "jwt", "version": "7"},
                        "DB_PASSWORD": CANARY,
                    },
                }
            ],
        }
    ],
}

POLICY = '[[service]]\n[service.required]\nJWT_SECRET_KEY = { from = "secret" }\n'


def deployed(world: dict, traffic: list | None = None, **change: object) -> dict:
    """The world after one more deploy."""
    [service] = world["services"]
    number = len(service["revisions"]) + 1
    revision = {
        "name": f"api-0000{number}-new",
        "at": f"2026-01-0{number}T08:00:00Z",
        "by": "two@example.com",
        **change,
    }
    after = {**service, "revisions": [*service["revisions"], revision]}
    return {**world, "services": [{**after, "traffic": traffic or service["traffic"]}]}


@contextmanager
def serving(world: dict, folder: Path) -> Iterator[dict[str, str]]:
    """An emulator, and the variables that point at it."""
    with playing(yaml.safe_dump(world)) as emulator:
        yield reached(emulator)


SCOPE = ["--project=shop", "--region=europe-west1"]


@pytest.fixture
def here(tmp_path):
    """A folder with the policy and a promoted baseline."""
    (tmp_path / "drift-audit.toml").write_text(POLICY)
    with serving(GOOD, tmp_path) as env:
        ran = run(
            "baseline",
            "promote",
            "--service=api",
            *SCOPE,
            "--reason=it worked",
            "--by=me",
            cwd=tmp_path,
            env=env,
        )
    assert ran.code == 0, ran.block
    return tmp_path


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def test_nightly(here):
    """Two nights: the first is clean; after a deploy that lost a key the second says which, and who."""
    outputs = ["-o", "report.json", "-o", "report.html"]
    with serving(GOOD, here) as env:
        first = run("audit", *SCOPE, *outputs, cwd=here, env=env)
    with serving(deployed(GOOD, env={"JWT_SECRET_KEY": None}), here) as env:
        second = run("audit", *SCOPE, *outputs, cwd=here, env=env)
    [service] = report(here)["services"]
    lost = next(f for f in service["findings"] if f["rule"] == "key-lost")

    assert (first.code, second.code) == (0, 10), first.block + second.block
    assert (service["reference"], service["candidate"]) == ("api-00001-good", "api-00002-new")
    assert (lost["first_seen"]["revision"], lost["first_seen"]["creator"]) == (
        "api-00002-new",
        "two@example.com",
    )
    assert lost["severity"] == "critical"
    assert lost["remedy"]["restore"].endswith("--update-secrets=JWT_SECRET_KEY=jwt:7")


def test_gate(here):
    """A candidate without traffic is held against what is known to be good: it blocks, then passes."""
    serves = [{"to": "api-00001-good", "percent": 100}, {"to": "api-00002-new", "tag": "candidate"}]
    gate = ["compare", "KNOWN_GOOD", "tag:candidate", "--service=api", *SCOPE, "-o", "report.json"]
    bad = deployed(GOOD, serves, env={"JWT_SECRET_KEY": None})
    mended = deployed(GOOD, serves, image="r/api@sha256:" + "2" * 64)
    with serving(bad, here) as env:
        blocked = run(*gate, cwd=here, env=env)
    with serving(mended, here) as env:
        passed = run(*gate, cwd=here, env=env)

    assert (blocked.code, passed.code) == (10, 0), blocked.block + passed.block
    assert "api-00002-new drops 1 key that api-00001-good had: JWT_SECRET_KEY" in " ".join(
        blocked.out.split()
    )
    changed = [c["setting"] for c in report(here)["services"][0]["changes"]]
    assert changed == ["image", "service.traffic"]


def test_incident(here):
    """Many deploys later, the report of the two revisions names the deploy in between that lost the key."""
    world = GOOD
    for i in range(3):
        world = deployed(world, image=f"r/api@sha256:{i}" + "0" * 63)
    world = deployed(world, env={"JWT_SECRET_KEY": None}, by="three@example.com")
    for i in range(3):
        world = deployed(world, image=f"r/api@sha256:{i}" + "1" * 63)
    with serving(world, here) as env:
        ran = run(
            "compare", "api-00001-good", "LATEST", "--service=api", *SCOPE, "-o", "report.html", "-o", "report.json",
            cwd=here, env=env,
        )  # fmt: skip
    lost = next(f for f in report(here)["services"][0]["findings"] if f["rule"] == "key-lost")

    assert ran.code == 10
    assert (lost["first_seen"]["revision"], lost["first_seen"]["creator"]) == (
        "api-00005-new",
        "three@example.com",
    )
    assert lost["first_seen"]["certain"]
    assert "since api-00005-new" in (here / "report.html").read_text().replace(
        "<code>", ""
    ).replace("</code>", "")


def test_no_value_leaves(here):
    """Nothing that any of the uses printed or wrote holds a value, in any encoding."""
    seen = b""
    with serving(
        deployed(GOOD, env={"JWT_SECRET_KEY": None, "DB_PASSWORD": CANARY + "x"}), here
    ) as env:
        for arguments in (
            ["audit", *SCOPE, "-o", "report.html", "-o", "report.md", "-o", "report.json"],
            ["compare", "~1", "--service=api", *SCOPE],
            ["snapshot", *SCOPE, "--all-revisions", "-o", "snap.json"],
            ["audit", *SCOPE, "--verbosity=debug", "--progress=on"],
        ):
            seen += run(*arguments, cwd=here, env=env).block.encode()
    seen += b"".join(files_below(here).values())

    assert leaks(seen, [CANARY]) == []


def test_control_value_in_the_world_is_found(here):
    """The scan finds the value where it is: in the world that the emulator plays."""
    assert "plain" in leaks(yaml.safe_dump(GOOD).encode(), [CANARY])


def test_denied_history_is_incomplete(here):
    """Who may get revisions but not list them is told that the history is missing."""
    world = {
        **deployed(GOOD, env={"DB_PASSWORD": "x"}),
        "denied": ["projects/shop/locations/europe-west1/services/api"],
    }
    with serving(world, here) as env:
        audited = run("audit", *SCOPE, "-o", "report.json", cwd=here, env=env)
        collected = run("snapshot", *SCOPE, "--all-revisions", cwd=here, env=env)

    assert (audited.code, collected.code) == (3, 3)
    where = "revisions of projects/shop/locations/europe-west1/services/api"
    assert {u["where"] for u in report(here)["unseen"]} >= {where}
    assert f"not seen: {where}: permission denied" in collected.err


def test_log_names_every_call(here):
    """`--verbosity=debug` names each call and how it ended; without it, nothing is said."""
    with serving({**GOOD, "denied": ["projects/shop/secrets/jwt"]}, here) as env:
        loud = run("audit", *SCOPE, "--kind=service", "--verbosity=debug", cwd=here, env=env)
        silent = run("audit", *SCOPE, cwd=here, env=env)
    place, planned = "projects/shop/locations/europe-west1", "a sweep takes about 1 calls"
    said = [re.sub(r"\d+ ms", "N ms", line) for line in loud.err.splitlines()]

    assert said == [
        f"debug: list services of {place}, page 1: N ms",
        f"debug: revisions of {place}: gets ({planned} one after the other, gets 1, at N ms for a call)",
        f"debug: get {place}/services/api/revisions/api-00001-good: N ms",
        f"debug: list services of {place}, page 1: N ms",
        "debug: get projects/shop/secrets/jwt: permission denied",
        "debug: get projects/shop/secrets/jwt/versions/7: permission denied",
    ]
    assert silent.err == ""


def test_permission_denied_is_incomplete(here):
    """An auditor that may not look at a secret says so, and ends with 3 whatever else it found."""
    world = {
        **deployed(GOOD, env={"DB_PASSWORD": "other"}),
        "denied": ["projects/shop/secrets/jwt"],
    }
    with serving(world, here) as env:
        ran = run("audit", *SCOPE, "-o", "report.json", cwd=here, env=env)

    assert ran.code == 3
    assert report(here)["unseen"] == [
        {"where": where, "reason": "permission denied"}
        for where in (
            "expiry and aliases of secret projects/shop/secrets/jwt",
            "secret projects/shop/secrets/jwt/versions/7",
        )
    ]


def test_two_files_share_what_they_know(tmp_path):
    """One file tells the number of the project: the other's secrets are compared by it too."""
    env = [{"name": "A", "valueSource": {"secretKeyRef": {"secret": "s", "version": "1"}}}]
    far = [
        {
            "name": "A",
            "valueSource": {"secretKeyRef": {"secret": "projects/123/secrets/s", "version": "1"}},
        }
    ]
    known = v2(
        urls=["https://api-123.europe-west1.run.app"],
        template={"containers": [{"image": "i", "env": env}]},
    )
    bare = v2(template={"containers": [{"image": "i", "env": far}]})
    (tmp_path / "before.json").write_text(json.dumps(known))
    (tmp_path / "after.json").write_text(json.dumps(bare))
    (tmp_path / "drift-audit.toml").write_text('[scope]\nservices = ["api", "web"]\n')
    ran = run("compare", "before.json", "after.json", "-o", "report.json", cwd=tmp_path)

    assert ran.code == 0, ran.block
    assert report(tmp_path)["services"][0]["changes"] == []


# All three with a bucket, deploys and remedies by the real gcloud

STORE = f"--store=gs://{NAME}/prod"
UPDATE = "gcloud run services update api --project=shop --region=europe-west1"


class Team:
    """A service, its deploys, and what the auditor does day after day, each in a process of its own."""

    def __init__(self, emulator, cloud, folder, count):
        self.folder, self.cloud, self.count = folder, cloud, count
        self.shell = Shell(emulator, folder)
        self.env = {**reached(emulator), **cloud.env}
        self.day = 0

    def __call__(self, *arguments):
        epoch = str(int(NOW.timestamp()) + 86_400 * self.day)
        env = {**self.env, "SOURCE_DATE_EPOCH": epoch}
        return run(*arguments, STORE, cwd=self.folder, env=env)

    def night(self):
        """The audit of a night, whole or in parts; the report that was kept of it."""
        self.day += 1
        name = f"--run=r{self.day}"
        if self.count == 1:
            ran = self("audit", *SCOPE, "--night", name)
        else:
            for i in range(1, self.count + 1):
                part = self("audit", *SCOPE, f"--shard={i}/{self.count}", name)
                assert part.code == 0, part.block
            ran = self("merge", name)
        kept = f"prod/_nights/2026-01-{15 + self.day}/r{self.day}/report.json"
        return ran, json.loads(self.cloud.objects[kept][1])

    def gate(self, candidate):
        compared = ["compare", "KNOWN_GOOD", candidate, "--service=api", *SCOPE]
        return self(*compared, "--max-audit-age=26h", "--strict-age", "-o", "report.json")


@pytest.mark.skipif(
    shutil.which("gcloud") is None,
    reason="THE REAL gcloud IS NOT INSTALLED: the three uses were not tried together",
)
@pytest.mark.parametrize("count", [1, 3], ids=["whole", "in parts"])
def test_three_uses_with_a_bucket(tmp_path, count):
    """Nights, a gate that blocks and then lets pass, and an incident, over one store in a bucket."""
    (tmp_path / "drift-audit.toml").write_text(
        '[[service]]\nmatch = "api"\nrequired = {SERVICE_SECRET = {from="secret"}}'
    )
    with playing(WORLD, watched=False) as emulator, bucket() as cloud:
        team = Team(emulator, cloud, tmp_path, count)
        promote = ["baseline", "promote", "--service=api", *SCOPE, "--reason=release 1", "--by=me"]
        reviewed = team(*promote, "--dry-run").out.split()[-1]
        promoted = team(*promote, f"--sha256={reviewed}")
        first, _ = team.night()

        team.shell(f"{UPDATE} --no-traffic --tag=candidate --remove-secrets=SERVICE_SECRET")
        blocked = team.gate("tag:candidate")
        restore = report(tmp_path)["services"][0]["remedy"]["restore"]
        second, lost = team.night()

        team.shell(restore)
        passed = team.gate("LATEST")
        third, mended = team.night()
        (tmp_path / "incident.json").write_text(json.dumps(lost))
        page = run("render", "incident.json", "-o", "incident.html", cwd=tmp_path)
        stored = f"gs://{NAME}/prod/_nights/2026-01-17/r2/report.json"
        with ticket("github") as desk:
            told = {**team.env, **GITHUB.environment(desk)}
            attached = [
                run(*GITHUB.arguments(desk, report=stored), cwd=tmp_path, env=told)
                for _ in range(2)
            ]
            comments = list(desk.comments)
        verified = team("baseline", "verify")
        held = b"".join(data for _, data in cloud.objects.values())

    assert (promoted.code, verified.code) == (0, 0), promoted.block + verified.block
    assert (first.code, second.code, third.code) == (0, 10, 0), (
        first.block + second.block + third.block
    )
    assert (blocked.code, passed.code) == (10, 0), blocked.block + passed.block
    assert "SERVICE_SECRET" in blocked.out
    assert (lost["trend"]["new"] > 0, lost["trend"]["resolved"]) == (True, [])
    assert "key-missing" in {one["rule"] for one in mended["trend"]["resolved"]}
    assert page.code == 10
    assert [one.code for one in attached] == [0, 0], attached[0].block
    assert len(comments) == 1
    assert (
        "--update-secrets=SERVICE_SECRET=service-secret:2"
        in (tmp_path / "incident.html").read_text()
    )
    files = {name for name in cloud.objects if name.startswith("prod/_nights/")}
    assert {name.rpartition("/")[2] for name in files} == {
        "night.json", "report.html", "report.json", "report.md",
    }  # fmt: skip
    assert leaks(held, ["canary-of-the-log-level"]) == []
