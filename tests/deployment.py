"""
What `drift-audit init --with` writes, and what of it can be looked at: the commands that it holds,
the plan that the real terraform makes of it, and the calls that its script makes of gcloud.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml

from drift_audit.cli import cli, keys
from tests.bucket import NAME as BUCKET
from tests.command import environment, every_command, run
from tests.manifests import CANARY

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PLAN = ROOT / "tests" / "golden" / "deployment-plan.json"

ALL = "terraform,gcloud,github,cloudbuild,clouddeploy,pre-commit,docker"
VARIABLES: dict[str, Any] = {
    "project": "audit-1",
    "region": "europe-west1",
    "bucket": BUCKET,
    "image": "registry/drift-audit@sha256:0",
    "projects": ["shop"],
    "regions": ["europe-west1"],
    "tasks": 3,
    "promoters": ["group:release@example.com"],
    "gates": ["serviceAccount:build@shop.iam.gserviceaccount.com"],
    "notification_channels": ["projects/audit-1/notificationChannels/1"],
}

LOST = """
numbers: {shop: "123456789012"}
secrets: [{project: shop, name: service-secret, versions: {1: enabled}}]
services:
  - project: shop
    region: europe-west1
    service: api
    traffic: [{to: api-00001-a, percent: 100}, {to: api-00002-b, tag: candidate}]
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        image: r/api
        env: {SERVICE_SECRET: {secret: service-secret, version: "1"}, LOG_LEVEL: "CANARY"}
      - {name: api-00002-b, at: 2026-01-02T08:00:00Z, env: {SERVICE_SECRET: null}}
""".replace("CANARY", CANARY)
"""A service whose candidate lost a secret."""

MENDED = LOST.replace("to: api-00002-b", "to: api-00003-c") + (
    '      - {name: api-00003-c, at: 2026-01-03T08:00:00Z, env:'
    ' {SERVICE_SECRET: {secret: service-secret, version: "1"}}}\n'
)  # fmt: skip
"""And the same once it has it again."""


def written(folder: Path, kinds: str = ALL) -> Path:
    """A folder with the files of a deployment in it."""
    ran = run("init", f"--with={kinds}", cwd=folder)
    assert ran.code == 0, ran.err
    return folder


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


# Commands


def command_of(words: list[str]) -> tuple[str, click.Command | None]:
    """The name of a command, as `baseline verify`, and the command if there is one."""
    found: click.Command | None = cli
    name: list[str] = []
    for word in words:
        if not isinstance(found, click.Group) or word.startswith("-"):
            break
        name.append(word)
        found = found.get_command(click.Context(found), word)
    return " ".join(name), found


def unknown(words: list[str]) -> list[str]:
    """What the program does not know of a command line."""
    name, command = command_of(words)
    if command is None:
        return [name]
    known = {option for param in command.params for option in param.opts}
    flags = {w.partition("=")[0] for w in words if w.startswith("--") and w != "--"}
    return sorted(flags - known)


def ready(words: list[str], store: Path | None = None) -> list[str]:
    """A command line as it can be run here: with a folder for the store if one is given."""
    return [f"--store={store}" if store and w.startswith("--store=") else w for w in words]


def gate_step(folder: Path) -> dict[str, Any]:
    """The step of the GitHub action that compares."""
    action = loaded(folder / ".github/actions/drift-audit/action.yml")
    [step] = [s for s in action["runs"]["steps"] if s.get("id") == "gate"]
    return step


def commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Every command line of drift-audit in the files, and where it stands."""
    for name, job in jobs().items():
        yield f"terraform {name}", job["args"]
    for call in calls(folder):
        for word in call.words:
            if word.startswith("--args="):
                yield f"gcloud {call.words[3]}", word.removeprefix("--args=").split(",")
    for step in loaded(folder / "deploy/cloudbuild.yaml")["steps"]:
        if step["id"] == "gate":
            yield "cloudbuild", step["args"]
    for action in loaded(folder / "deploy/skaffold.yaml")["customActions"]:
        yield "clouddeploy", action["containers"][0]["args"]
    for repo in loaded(folder / ".pre-commit-config.yaml")["repos"]:
        for hook in repo["hooks"]:
            yield f"pre-commit {hook['id']}", shlex.split(hook["entry"])[1:]
    for hook in loaded(ROOT / ".pre-commit-hooks.yaml"):
        yield f"hook {hook['id']}", shlex.split(hook["entry"])[1:]
    script = gate_step(folder)["run"].replace("\\\n", " ")
    [line] = re.findall(r"^drift-audit (.*?) \|\|", script, re.MULTILINE)
    yield "github", shlex.split(line)


def variables(folder: Path) -> dict[str, set[str]]:
    """Every variable of drift-audit that a file gives to the program, and where."""
    found: dict[str, set[str]] = {}

    def note(where: str, names: Any) -> None:
        for name in names:
            found.setdefault(name, set()).add(where)

    for name, job in jobs().items():
        note(f"terraform {name}", (e["name"] for e in job["env"]))
    for call in calls(folder):
        for word in call.words:
            if word.startswith("--set-env-vars="):
                pairs = word.removeprefix("--set-env-vars=").split(",")
                note("gcloud", (pair.partition("=")[0] for pair in pairs))
    for step in loaded(folder / "deploy/cloudbuild.yaml")["steps"]:
        note("cloudbuild", step.get("secretEnv", ()))
    for action in loaded(folder / "deploy/skaffold.yaml")["customActions"]:
        note("clouddeploy", (e["name"] for e in action["containers"][0]["env"]))
    of_action = (n for n in gate_step(folder)["env"] if n.startswith("DRIFT_AUDIT_"))
    note("github", of_action)
    return found


def read_by_the_program() -> set[str]:
    """The variables that options read, and those of the sealing key."""
    told_of_keys = (v for v in vars(keys).values() if isinstance(v, str))
    names = {v for v in told_of_keys if v.startswith("DRIFT_AUDIT_")}
    for _, command in every_command():
        for parameter in command.params:
            told = parameter.envvar or ()
            names |= {told} if isinstance(told, str) else {*told}
    return names


# Terraform


def plan() -> dict[str, Any]:
    """What the real terraform planned of the files, with the variables above."""
    return json.loads(PLAN.read_text())


def resources(planned: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The planned resources of a kind, by name and key: `reads`, `audit["night"]`."""
    found = planned["planned_values"]["root_module"]["resources"]
    return {r["address"].partition(".")[2]: r["values"] for r in found if r["type"] == kind}


def conditions() -> dict[str, str]:
    """Who writes the store, and where, as expressions of IAM."""
    members = resources(plan(), "google_storage_bucket_iam_member")
    return {name: m["condition"][0]["expression"] for name, m in members.items() if m["condition"]}


def allows(expression: str, name: str) -> bool:
    """What a condition says of an object: it is made of startsWith, and, or, and not alone."""
    words = expression.replace("&&", " and ").replace("||", " or ").replace("!", " not ")
    asked = words.replace("resource.name.startsWith", "starts")
    starts: Callable[[str], bool] = name.startswith
    return bool(eval(asked, {"__builtins__": {}, "starts": starts}))


def references(planned: dict[str, Any], address: str, attribute: str) -> list[str]:
    """What an attribute of a resource is made of: `google_service_account.reader.email`."""
    root = planned["configuration"]["root_module"]["resources"]
    [one] = [r for r in root if r["address"] == address]
    return one["expressions"][attribute].get("references", [])


def jobs() -> dict[str, dict[str, Any]]:
    """The containers of the planned jobs, by name."""
    found = resources(plan(), "google_cloud_run_v2_job")
    return {j["name"]: j["template"][0]["template"][0]["containers"][0] for j in found.values()}


# gcloud


STUB = """#!{python} -IS
import json, os, sys
files = {{w.partition("=")[0]: open(w.partition("=")[2]).read() for w in sys.argv if "-file=/" in w}}
piped = len(sys.stdin.read()) if "--data-file=-" in sys.argv else 0
with open(os.environ["CALLS"], "a") as log:
    log.write(json.dumps([sys.argv[1:], files, piped]) + "\\n")
there = os.environ.get("THERE") == "yes"
if "list" in sys.argv and there:
    print("projects/audit-1/alertPolicies/1")
sys.exit(0 if there or "describe" not in sys.argv else 1)
"""


class Call:
    """A call of gcloud: its words, the files that it was given, and how many bytes were piped in."""

    def __init__(self, words: list[str], files: dict[str, str], piped: int) -> None:
        self.words, self.files, self.piped = words, files, piped

    def __str__(self) -> str:
        return shlex.join(["gcloud", *self.words])

    def is_(self, *words: str) -> bool:
        return tuple(self.words[: len(words)]) == words

    def flag(self, name: str) -> str:
        [value] = [w.partition("=")[2] for w in self.words if w.startswith(f"--{name}=")]
        return value


class Script:
    """The shell script of a deployment, run with a gcloud that writes down what it is asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bin = folder / "bin"
        self._bin.mkdir(exist_ok=True)
        stub = self._bin / "gcloud"
        stub.write_text(STUB.format(python=sys.executable))
        stub.chmod(0o755)

    def run(self, *, there: bool = False, without: str = "") -> tuple[int, str]:
        """How it ended and what it said on standard error."""
        names = {
            "PROJECT": VARIABLES["project"],
            "REGION": VARIABLES["region"],
            "BUCKET": VARIABLES["bucket"],
            "IMAGE": VARIABLES["image"],
            "PROJECTS": " ".join(VARIABLES["projects"]),
            "REGIONS": " ".join(VARIABLES["regions"]),
            "TASKS": str(VARIABLES["tasks"]),
            "PROMOTERS": " ".join(VARIABLES["promoters"]),
            "GATES": " ".join(VARIABLES["gates"]),
            "CHANNELS": ",".join(VARIABLES["notification_channels"]),
            "CALLS": str(self._folder / "calls.jsonl"),
            "THERE": "yes" if there else "no",
            "PATH": f"{self._bin}:{os.environ['PATH']}",
        }
        names.pop(without, None)
        (self._folder / "calls.jsonl").write_text("")
        done = subprocess.run(
            ["bash", "deploy/gcloud.sh"], cwd=self._folder, env=environment(self._folder, names),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr


@cache
def calls(folder: Path, *, there: bool = False) -> tuple[Call, ...]:
    """The calls of a run of the script that succeeds; `there`: where all of it was made before."""
    code, err = Script(folder).run(there=there)
    assert code == 0, err
    log = (folder / "calls.jsonl").read_text()
    return tuple(Call(*json.loads(line)) for line in log.splitlines())
