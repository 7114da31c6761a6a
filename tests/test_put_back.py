"""The restore command of a report, run by the real gcloud: the next look finds nothing."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess

import pytest

from drift_audit.cli.demo import KEY
from drift_audit.emulator.gcloud import environment
from drift_audit.emulator.server import Emulator
from drift_audit.emulator.world import load_world
from drift_audit.files import shipped
from tests.command import SEALED, run
from tests.test_preview import WORLD
from tests.worlds import playing

pytestmark = pytest.mark.skipif(
    shutil.which("gcloud") is None,
    reason="THE REAL gcloud IS NOT INSTALLED: no remedy was run",
)

IN = "--project=shop --region=europe-west1"
VALUES = {"LOG_LEVEL": "canary-of-the-log-level", "FEATURE_X": "on", "A": "x"}
"""What somebody who puts back plain values looks up."""

MANIFEST = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: api}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/minScale: "1"}}
    spec:
      containerConcurrency: 7
      containers:
      - name: app
        image: r/api@sha256:0000000000000000000000000000000000000000000000000000000000000001
        args: [--verbose]
        ports: [{name: http1, containerPort: 8080}]
        env: [{name: LOG_LEVEL, value: canary-of-the-log-level}, {name: EMPTY, value: ""},
              {name: FEATURE_X, value: "on"}, {name: SERVICE_SECRET, value: canary}]
      - name: proxy
        image: r/proxy@sha256:02
        env: [{name: A, value: x}]
"""


POLICY = """
[[service]]
match = "api"
[service.required]
LOG_LEVEL = { from = "literal" }
"""


class Shell:
    """Runs lines of a shell that knows gcloud, and gcloud the emulator alone."""

    def __init__(self, emulator, folder):
        self._folder = folder
        (folder / "api.yaml").write_text(MANIFEST)
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CLOUDSDK_CONFIG": str(folder / "gcloud"),
            **environment(emulator.rest),
        }

    def __call__(self, line, **settings):
        """Everything that a line prints. Fails where the line does."""
        done = subprocess.run(
            ["/bin/sh", "-c", line], env={**self._env, **settings}, cwd=self._folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


def look(emulator, folder, *words):
    """Hold what is there against the first revision, or against the baseline of a job."""
    env = {
        "CLOUD_RUN_EMULATOR_HOST": emulator.address,
        "SECRET_MANAGER_EMULATOR_HOST": emulator.address,
    }
    ran = run("compare", *words, "--format=json", *IN.split(), cwd=folder, env=env)
    return json.loads(ran.out)["services"][0]


def with_values(command):
    """A restore command as somebody types it who has looked up the plain values."""
    for name, value in VALUES.items():
        command = command.replace(f"{name}=(VALUE)", f"{name}={value}")
    return command


def changed(service):
    """What differs, by name, but for what every deploy may do."""
    names = [c.get("key") or c.get("mount") or c.get("setting") for c in service["changes"]]
    return [n for n in names if not n.startswith(("label.", "service."))]


UPDATE = f"gcloud run services update api {IN}"


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        ([f"{UPDATE} --clear-secrets"], 3),
        ([f"{UPDATE} --set-secrets=SERVICE_SECRET=service-secret:2"], 2),
        ([f"{UPDATE} --remove-env-vars=LOG_LEVEL,FEATURE_X"], 2),
        (
            [
                f"{UPDATE} --remove-secrets=SERVICE_SECRET",
                f"{UPDATE} --update-env-vars=SERVICE_SECRET=plain",
            ],
            1,
        ),
        ([f"{UPDATE} --remove-env-vars=LOG_LEVEL --update-secrets=LOG_LEVEL=foo:1"], 1),
        ([f"{UPDATE} --update-secrets=JWT_SECRET_KEY=foo:1"], 1),
        ([f"{UPDATE} --container=proxy --remove-env-vars=A"], 1),
        (
            [f"{UPDATE} --clear-vpc-connector --clear-cloudsql-instances --service-account=''"],
            3,
        ),
        ([f"gcloud run services replace api.yaml {IN}"], 7),
    ],
    ids=lambda value: value[0][70:] if isinstance(value, list) else "",
)
def test_restore(damage, lost, tmp_path):
    """
    What a deploy lost is put back by the command that the report gives: gcloud takes it, and
    nothing differs from the good revision any more.
    """
    (tmp_path / "drift-audit.toml").write_text(POLICY)
    with playing(WORLD, watched=False) as emulator:
        shell = Shell(emulator, tmp_path)
        for command in damage:
            shell(command)
        found = look(emulator, tmp_path, "api-00001-a", "LATEST", "--service=api")
        restored = with_values(found["remedy"]["restore"])
        printed = shell(restored)
        again = look(emulator, tmp_path, "api-00001-a", "LATEST", "--service=api")

    assert len(changed(found)) >= lost
    assert "VALUE" not in restored
    assert (changed(again), again["remedy"]) == ([], None)
    assert "canary" not in printed


@pytest.mark.parametrize("settings", [{}, {"CLOUDSDK_CORE_DEFAULT_FORMAT": "json"}])
def test_nothing_is_printed(settings, tmp_path):
    """No remedy shows a plain value of the service, whatever output gcloud is set to."""
    lines = [
        f"{UPDATE} --update-env-vars=A=1",
        f"gcloud run services update-traffic api {IN} --to-latest",
        f"gcloud run services update-traffic api {IN} --to-revisions=api-00001-a=100",
        f"gcloud run jobs update nightly {IN} --update-env-vars=A=1",
    ]
    with playing(WORLD, watched=False) as emulator:
        shell = Shell(emulator, tmp_path)
        printed = [shell(line, **settings) for line in lines]
        shown = shell(f"{lines[0]} --format=json")

    assert not any("canary" in text for text in printed)
    assert "canary" in shown


def test_job(tmp_path):
    """A job is put back to its baseline."""
    update = f"gcloud run jobs update nightly {IN}"
    with playing(WORLD, watched=False) as emulator:
        shell = Shell(emulator, tmp_path)
        env = {
            "CLOUD_RUN_EMULATOR_HOST": emulator.address,
            "SECRET_MANAGER_EMULATOR_HOST": emulator.address,
            **SEALED,
        }
        words = ("--service=nightly", "--kind=job", *IN.split())
        promoted = run("baseline", "promote", *words, "--reason=good", cwd=tmp_path, env=env)
        shell(f"{update} --clear-secrets --clear-cloudsql-instances")
        found = run("compare", *words, "--format=json", cwd=tmp_path, env=env)
        [damaged] = json.loads(found.out)["services"]
        shell(damaged["remedy"]["restore"])
        again = run("compare", *words, "--format=json", cwd=tmp_path, env=env)

    assert (promoted.code, found.code, again.code) == (0, 10, 0)
    assert changed(damaged) == ["KEY", "cloud_sql.shop:europe-west1:db"]
    assert changed(json.loads(again.out)["services"][0]) == []


def test_invokers(tmp_path):
    """Who may call a service is put back to the baseline, one member by one command."""
    caller = "serviceAccount:web@shop.iam.gserviceaccount.com"
    known = WORLD.replace("    labels: {team: api}\n", f"    invokers: ['{caller}']\n")
    words = ("--service=api", "--check-access", *IN.split())
    with playing(known, watched=False) as emulator:
        shell = Shell(emulator, tmp_path)
        env = {
            "CLOUD_RUN_EMULATOR_HOST": emulator.address,
            "SECRET_MANAGER_EMULATOR_HOST": emulator.address,
            **SEALED,
        }
        run("baseline", "promote", *words, "--reason=good", cwd=tmp_path, env=env)
        policy = f"gcloud run services {{}}-iam-policy-binding api {IN} --role=roles/run.invoker"
        shell(f"{policy.format('remove')} --member={caller}")
        shell(f"{policy.format('add')} --member=allUsers")
        opened = run("audit", *words, "--format=json", cwd=tmp_path, env=env)
        [service] = json.loads(opened.out)["services"]
        shell(service["remedy"]["restore"])
        again = run("audit", *words, "--format=json", cwd=tmp_path, env=env)

    assert (opened.code, again.code) == (10, 0)
    assert "access-opened" in {f["rule"] for f in service["findings"]}
    assert json.loads(again.out)["services"][0]["changes"] == []


def test_rollback(tmp_path):
    """What serves after the rollback is the good revision."""
    with playing(WORLD, watched=False) as emulator:
        shell = Shell(emulator, tmp_path)
        shell(f"{UPDATE} --clear-secrets")
        found = look(emulator, tmp_path, "api-00001-a", "LATEST", "--service=api")
        shell(found["remedy"]["rollback"])
        again = look(emulator, tmp_path, "api-00001-a", "LATEST", "--service=api")

    assert again["reference_facts"]["percent"] == 100


def test_demo(tmp_path):
    """In the built-in incident too: what was lost is back, and nothing else has changed."""
    example = shipped("templates") / "demo"
    env = {"DRIFT_AUDIT_SEAL_KEY": base64.b64encode(KEY.material).decode()}
    shutil.copytree(shipped("baselines"), tmp_path / "store")  # an audit keeps what it read there
    words = (
        *("audit", f"--config={example / 'drift-audit.toml'}", "--store=store"),
        "--format=json",
    )
    with Emulator(load_world(str(example / "world.yaml"))) as emulator:
        env["CLOUD_RUN_EMULATOR_HOST"] = env["SECRET_MANAGER_EMULATOR_HOST"] = emulator.address
        before = json.loads(run(*words, cwd=tmp_path, env=env).out)
        shell = Shell(emulator, tmp_path)
        restored = [s["remedy"] for s in before["services"] if s["remedy"]]
        for remedy in restored:
            shell(remedy["restore"].replace("(VALUE)", "some"))
        after = json.loads(run(*words, cwd=tmp_path, env=env).out)

    lost = {"SERVICE_SECRET", "JWT_SECRET_KEY"}
    assert lost <= {f["address"]["key"] for f in of_remedies(before)}
    assert of_remedies(after) == []
    assert {f["rule"] for f in findings(after)} <= {f["rule"] for f in findings(before)}


def findings(report):
    """What is the matter with each service alone."""
    return [f for service in report["services"] for f in service["findings"]]


def of_remedies(report):
    """The findings that something can put back."""
    return [f for f in findings(report) if f["remedy"]]
