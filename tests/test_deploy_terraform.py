"""
The Terraform files of a deployment: what the real terraform plans with a stand-in for the provider.

The plan is kept in `tests/golden`, so that everything that is asked of it is asked everywhere; where
terraform is installed, a test makes it anew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from drift_audit.collector import permissions
from drift_audit.names import KINDS
from tests import deployment
from tests.bucket import NAME as BUCKET
from tests.deployment import PLAN, VARIABLES, allows, conditions, references, resources, written
from tests.provider import serving
from tests.terraform import TERRAFORM

needs_terraform = pytest.mark.skipif(
    TERRAFORM is None,
    reason="THE REAL terraform IS NOT INSTALLED: the files were not formatted, validated or planned",
)


class Module:
    """The files in a folder of their own, and terraform in it."""

    def __init__(self, folder: Path, **variables: object) -> None:
        self.folder = written(folder, "terraform") / "deploy/terraform"
        (self.folder / "audit.auto.tfvars.json").write_text(json.dumps({**VARIABLES, **variables}))

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        with serving() as provider:
            env = {
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "TF_CLI_CONFIG_FILE": os.devnull,
                "CHECKPOINT_DISABLE": "1",
                "NO_COLOR": "1",
                **provider,
            }
            for command in (("init", "-input=false"), words):
                done = subprocess.run(
                    [str(TERRAFORM), *command], cwd=self.folder, env=env, capture_output=True,
                    text=True, timeout=60, check=False,
                )  # fmt: skip
            return done

    def plan(self) -> dict[str, object]:
        done = self.run("plan", "-input=false", "-lock=false", "-out=saved.tfplan")
        assert done.returncode == 0, done.stderr
        shown = json.loads(self.run("show", "-json", "saved.tfplan").stdout)
        kept = {"planned_values", "configuration"}
        return {k: v for k, v in shown.items() if k in kept}


@needs_terraform
def test_files_are_formatted_and_valid(tmp_path):
    """terraform would write the files as they are, and every reference leads to something."""
    module = Module(tmp_path)

    assert module.run("fmt", "-check", "-diff").stdout == ""
    assert module.run("validate").returncode == 0


@needs_terraform
@pytest.mark.parametrize(
    ("name", "old", "new", "command", "said"),
    [
        ("main.tf", "max_retries     = 0", "max_retries = 0", "fmt", "max_retries"),
        ("main.tf", "account.reader.email", "account.writer.email", "validate", "undeclared"),
        ("iam.tf", "var.read_limits", "var.read_limit", "validate", "undeclared"),
        ("store.tf", "public_access_prevention", "public_access", "validate", "Unsupported"),
    ],
)
def test_broken_files_are_noticed(tmp_path, name, old, new, command, said):
    """The control: what is crooked, and what leads nowhere, turns the checks red."""
    module = Module(tmp_path)
    module.edit(name, old, new)
    ran = module.run(*{"fmt": ["fmt", "-check", "-diff"], "validate": ["validate"]}[command])

    assert ran.returncode != 0
    assert said in ran.stdout + ran.stderr


@needs_terraform
def test_plan_is_current(tmp_path, request):
    """terraform plans what is kept."""
    made = json.dumps(Module(tmp_path).plan(), indent=1, sort_keys=True) + "\n"
    if request.config.getoption("force_regen"):
        PLAN.write_text(made)

    assert PLAN.read_text() == made


@needs_terraform
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("projects", [], "would see nothing"),
        ("hours", [2, 2], "Two hours or more"),
        ("timeout", 3600, "joined an hour after"),
        ("tasks", 0, "whole number"),
        ("prefix", "a/b", "without slashes"),
        ("name", "Drift", "small letters"),
    ],
)
def test_values_that_cannot_be_right(tmp_path, variable, value, said):
    """A value that would leave a hole is refused before anything is made."""
    ran = Module(tmp_path, **{variable: value}).run("plan", "-input=false", "-lock=false")

    assert ran.returncode == 1
    assert said in " ".join(ran.stderr.replace("│", " ").split())


@needs_terraform
def test_smallest_deployment(tmp_path):
    """One task is a night and needs no merge; without audits of deploys nothing hears of them."""
    planned = Module(tmp_path, tasks=1, audit_deploys=False).plan()
    [job] = resources(planned, "google_cloud_run_v2_job").values()
    [container] = job["template"][0]["template"][0]["containers"]

    assert {*resources(planned, "google_cloud_run_v2_job")} == {'audit["night"]'}
    assert {*resources(planned, "google_cloud_scheduler_job")} == {'start["night"]'}
    audits = resources(planned, "google_logging_metric")["audits"]
    assert 'job_name="drift-audit-night"' in audits["filter"]
    assert container["args"][:2] == ["audit", "--night"]
    assert deployment.unknown(container["args"]) == []
    for kind in ("google_eventarc_trigger", "google_workflows_workflow"):
        assert resources(planned, kind) == {}


@needs_terraform
def test_flags_bring_their_permissions(tmp_path):
    """Who has limits and policies looked at grants what this takes, and no more."""
    planned = Module(tmp_path, read_limits=True, check_access=True).plan()
    [job] = [j for n, j in resources(planned, "google_cloud_run_v2_job").items() if "night" in n]
    args = job["template"][0]["template"][0]["containers"][0]["args"]
    more = granted(planned, "reads") - granted(deployment.plan(), "reads")

    assert {"--read-limits", "--check-access"} <= {*args}
    assert more == {
        *permissions.LIMITS,
        "run.services.getIamPolicy",
        "secretmanager.secrets.getIamPolicy",
    }


def granted(planned, role):
    """The permissions of a custom role."""
    [one] = [
        r for name, r in resources(planned, "google_project_iam_custom_role").items()
        if name.partition("[")[0] == role
    ]  # fmt: skip
    return {*one["permissions"]}


def test_reader_may_what_doctor_asks_for():
    """The role of the reader is what the program itself says that it needs."""
    assert granted(deployment.plan(), "reads") == {*permissions.needed(KINDS, find_regions=True)}


def too_much(planned):
    """What the roles of a deployment grant that none may: payloads, and to change what is audited."""
    starts = {"run.jobs.run"}  # the invoker alone
    roles = resources(planned, "google_project_iam_custom_role")
    held = {p for r in roles.values() for p in r["permissions"]}
    return held & ({*permissions.PAYLOADS, *permissions.WRITES} - starts)


def test_nobody_may_read_payloads_or_change_services():
    """No role of ours reads a payload or writes; only the invoker starts jobs."""
    planned = deployment.plan()

    assert too_much(planned) == set()
    assert granted(planned, "starts") == {"run.jobs.run", "run.jobs.runWithOverrides"}
    assert "google_service_account.invoker.member" in references(
        planned, "google_cloud_run_v2_job_iam_member.starts", "member"
    )


@pytest.mark.parametrize("permission", ["secretmanager.versions.access", "run.services.update"])
def test_a_role_that_may_too_much_is_noticed(permission):
    """The control: a payload or a write in a role turns the check red."""
    planned = deployment.plan()
    roles = resources(planned, "google_project_iam_custom_role")
    next(iter(roles.values()))["permissions"].append(permission)

    assert too_much(planned) == {permission}


PREDEFINED = {
    "google_project_iam_member.hears": {"roles/eventarc.eventReceiver", "roles/workflows.invoker"},
    "google_secret_manager_secret_iam_member.seal": {"roles/secretmanager.secretAccessor"},
    "google_service_account_iam_member.gates": {"roles/iam.serviceAccountTokenCreator"},
    "google_service_account_iam_member.promoters": {"roles/iam.serviceAccountTokenCreator"},
}
"""The roles of Google's that are granted, and where."""


def test_roles_of_google_are_few():
    """Google's roles are granted on single things; the payload is that of the sealing key alone."""
    planned = deployment.plan()
    found: dict[str, set[str]] = {}
    for one in planned["planned_values"]["root_module"]["resources"]:
        role = one["values"].get("role") if one["type"].endswith("_iam_member") else None
        if role:
            found.setdefault(one["address"].partition("[")[0], set()).add(role)
    sealed = resources(planned, "google_secret_manager_secret_iam_member")

    assert found == PREDEFINED
    assert {s["secret_id"] for s in sealed.values()} == {"drift-audit-seal"}


@pytest.mark.parametrize(
    ("path", "reader", "promoter"),
    [
        ("drift/_nights/2026-01-15/report.json", True, False),
        ("drift/_nights/index.html", True, False),
        ("drift/.archive/shop/europe-west1.json", True, True),
        ("drift/shop/europe-west1/api.json", False, True),
        ("drift/_history/shop/europe-west1/api/1.json", False, True),
        ("drift2/_nights/report.json", False, False),
        ("elsewhere.json", False, False),
    ],
)
def test_who_writes_what(path, reader, promoter):
    """The reader writes reports and its cache, the promoter all but reports; neither elsewhere."""
    found = conditions()
    name = f"projects/_/buckets/{BUCKET}/objects/{path}"

    assert allows(found["reports"], name) is reader
    assert allows(found["baselines"], name) is promoter


def test_store_is_closed_and_keeps_what_was():
    """Nobody outside can be let in, and what is replaced can be had back."""
    [bucket] = resources(deployment.plan(), "google_storage_bucket").values()

    assert bucket["uniform_bucket_level_access"] is True
    assert bucket["public_access_prevention"] == "enforced"
    assert bucket["versioning"] == [{"enabled": True}]
    assert bucket["force_destroy"] is False


def test_jobs():
    """A verdict is not asked for again; the night is shared, and runs as the reader."""
    planned = deployment.plan()
    jobs = resources(planned, "google_cloud_run_v2_job")
    tasks = {j["name"]: j["template"][0]["task_count"] for j in jobs.values()}
    address = "google_cloud_run_v2_job.audit"
    [config] = [
        r for r in planned["configuration"]["root_module"]["resources"] if r["address"] == address
    ]
    template = config["expressions"]["template"][0]

    assert tasks == {"drift-audit-night": 3, "drift-audit-merge": 1, "drift-audit-deploy": 1}
    assert {j["template"][0]["template"][0]["max_retries"] for j in jobs.values()} == {0}
    assert "var.tasks" in template["task_count"]["references"]
    assert (
        "google_service_account.reader.email"
        in (template["template"][0]["service_account"]["references"])
    )


def test_key_is_pinned_and_in_no_state():
    """The sealing key is mounted by its number; neither value nor secret is Terraform's."""
    planned = deployment.plan()
    [job, *_] = resources(planned, "google_cloud_run_v2_job").values()
    [secret] = job["template"][0]["template"][0]["volumes"][0]["secret"]
    types = {r["type"] for r in planned["planned_values"]["root_module"]["resources"]}

    assert [(i["version"], i["path"]) for i in secret["items"]] == [("1", "seal.key")]
    assert not {t for t in types if t.startswith("google_secret_manager_secret")} - {
        "google_secret_manager_secret_iam_member"
    }


def test_schedule():
    """Twice a day, as the invoker and with OAuth; shards are joined an hour later."""
    planned = deployment.plan()
    found = resources(planned, "google_cloud_scheduler_job")
    config = next(
        r for r in planned["configuration"]["root_module"]["resources"]
        if r["address"] == "google_cloud_scheduler_job.start"
    )  # fmt: skip
    target = config["expressions"]["http_target"][0]

    assert {name: s["schedule"] for name, s in found.items()} == {
        'start["night"]': "17 2,14 * * *",
        'start["merge"]': "17 3,15 * * *",
    }
    assert {s["retry_config"][0]["retry_count"] for s in found.values()} == {0}
    assert (
        "google_service_account.invoker.email"
        in (target["oauth_token"][0]["service_account_email"]["references"])
    )
    assert "google_cloud_run_v2_job.audit" in target["uri"]["references"]


MADE_BY_GOOGLE = {"run.googleapis.com/job/completed_execution_count"}


def asked_metrics(planned):
    """The metrics that alerts ask for."""
    found = set()
    for policy in resources(planned, "google_monitoring_alert_policy").values():
        for condition in policy["conditions"]:
            [one] = condition["condition_absent"] or condition["condition_threshold"]
            found |= {*re.findall(r'metric\.type = "([^"]+)"', one["filter"])}
    return found


def made_metrics(planned):
    """Those that are there."""
    metrics = resources(planned, "google_logging_metric").values()
    return {f"logging.googleapis.com/user/{m['name']}" for m in metrics} | MADE_BY_GOOGLE


def test_alerts_ask_for_metrics_that_exist():
    """Every alert looks at a metric that is made, and goes to the channels that were given."""
    planned = deployment.plan()
    policies = resources(planned, "google_monitoring_alert_policy")

    assert {*policies} == {"drift", "failure", "absence"}
    assert asked_metrics(planned) <= made_metrics(planned)
    assert {tuple(p["notification_channels"]) for p in policies.values()} == {
        tuple(VARIABLES["notification_channels"])
    }


def test_an_alert_on_nothing_is_noticed():
    """The control: an alert on a metric that nobody makes turns the check red."""
    planned = deployment.plan()
    resources(planned, "google_logging_metric")["audits"]["name"] = "renamed"

    assert not asked_metrics(planned) <= made_metrics(planned)


def test_labels_of_metrics_are_declared():
    """Each label that is taken out of a line is part of the metric, and each that is part is taken."""
    for metric in resources(deployment.plan(), "google_logging_metric").values():
        labels = {label["key"] for label in metric["metric_descriptor"][0]["labels"]}

        assert {*(metric["label_extractors"] or {})} == labels


def test_absence():
    """The longest absence that can be noticed, of all verdicts as one series; parts have none."""
    planned = deployment.plan()
    policy = resources(planned, "google_monitoring_alert_policy")["absence"]
    [absent] = policy["conditions"][0]["condition_absent"]

    assert absent["duration"] == f"{23 * 3600 + 1800}s"
    assert absent["aggregations"][0]["cross_series_reducer"] == "REDUCE_SUM"
    assert 'metric.labels.verdict != "incomplete"' in absent["filter"]
    assert (
        'job_name="drift-audit-merge"'
        in (resources(planned, "google_logging_metric")["audits"]["filter"])
    )


def test_deploys():
    """Every way to deploy a service is heard of, and leads to the workflow that starts the job."""
    planned = deployment.plan()
    triggers = resources(planned, "google_eventarc_trigger")
    heard = {
        next(c["value"] for c in t["matching_criteria"] if c["attribute"] == "methodName")
        for t in triggers.values()
    }
    [workflow] = resources(planned, "google_workflows_workflow").values()
    [main] = yaml.safe_load(workflow["source_contents"]).values()
    steps = {name: step for one in main["steps"] for name, step in one.items()}
    asked = {
        w for w in json.dumps(main).replace("\\", "").split('sys.get_env("')[1:]
        for w in [w.partition('"')[0]]
    }  # fmt: skip

    assert heard == {
        f"google.cloud.run.{method}"
        for method in (
            "v1.Services.CreateService", "v1.Services.ReplaceService",
            "v2.Services.CreateService", "v2.Services.UpdateService",
        )
    }  # fmt: skip
    assert steps["audit"]["call"] == "googleapis.run.v1.namespaces.jobs.run"
    assert asked - {"GOOGLE_CLOUD_PROJECT_ID"} == {*workflow["user_env_vars"]}
    assert json.loads(workflow["user_env_vars"]["ARGUMENTS"])[0] == "audit"
    assert workflow["user_env_vars"]["JOB"] == "drift-audit-deploy"
    longest = max(len(e) for e in json.dumps(main).split("${"))
    assert longest < 400  # the longest expression that Workflows takes
