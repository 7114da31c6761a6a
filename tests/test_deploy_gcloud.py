"""
The shell script of a deployment: what it asks of gcloud, which has to be what Terraform makes, and
whether the real gcloud understands it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess

import pytest

from tests.deployment import Call, Script, calls, jobs, plan, resources, written

GCLOUD = shutil.which("gcloud")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The script, and the workflow that it deploys."""
    return written(tmp_path_factory.mktemp("deployment"), "gcloud")


def test_script_grants_what_terraform_grants(folder):
    """Roles, their permissions, and the conditions on the store are those of Terraform."""
    made = calls(folder)
    roles = {
        (c.words[3], frozenset(c.flag("permissions").split(",")))
        for c in made if c.is_("iam", "roles", "create")
    }  # fmt: skip
    planned = resources(plan(), "google_project_iam_custom_role").values()
    expressions = {
        json.loads(text)["expression"]
        for c in made for name, text in c.files.items() if "condition" in name
    }  # fmt: skip
    members = resources(plan(), "google_storage_bucket_iam_member").values()

    assert roles == {(r["role_id"], frozenset(r["permissions"])) for r in planned}
    assert expressions == {m["condition"][0]["expression"] for m in members if m["condition"]}


def test_script_enables_what_terraform_enables(folder):
    """The APIs are those of Terraform."""
    [enabled] = [c for c in calls(folder) if c.is_("services", "enable")]
    planned = resources(plan(), "google_project_service").values()

    assert {w for w in enabled.words if w.endswith(".googleapis.com")} == {
        s["service"] for s in planned
    }


def test_script_runs_what_terraform_runs(folder):
    """Jobs, their arguments and variables, schedules and triggers are those of Terraform."""
    made = calls(folder)
    deployed = {c.words[3]: c for c in made if c.is_("run", "jobs", "deploy")}
    planned = jobs()
    schedules = {
        c.words[4]: c.flag("schedule") for c in made if c.is_("scheduler", "jobs", "create")
    }
    wanted = resources(plan(), "google_cloud_scheduler_job").values()
    triggers = {c.words[3] for c in made if c.is_("eventarc", "triggers", "create")}

    assert {n: sorted(c.flag("args").split(",")) for n, c in deployed.items()} == {
        n: sorted(j["args"]) for n, j in planned.items()
    }
    assert {n: {*c.flag("set-env-vars").split(",")} for n, c in deployed.items()} == {
        n: {f"{e['name']}={e['value']}" for e in j["env"]} for n, j in planned.items()
    }
    assert {(c.flag("max-retries"), c.flag("service-account")) for c in deployed.values()} == {
        ("0", "drift-audit-reader@audit-1.iam.gserviceaccount.com")
    }
    assert schedules == {s["name"]: s["schedule"] for s in wanted}
    assert triggers == {t["name"] for t in resources(plan(), "google_eventarc_trigger").values()}


def test_script_watches_what_terraform_watches(folder):
    """Filters of metrics and alerts are those of Terraform."""
    made = calls(folder)
    texts = [t for c in made for n, t in c.files.items() if "config" in n or "policy" in n]
    documents = [json.loads(text) for text in texts]
    metrics = {d["filter"] for d in documents if "filter" in d}
    conditions = [c for d in documents for c in d.get("conditions", ())]
    asked = {next(v["filter"] for k, v in c.items() if k != "displayName") for c in conditions}
    policies = resources(plan(), "google_monitoring_alert_policy").values()

    assert metrics == {m["filter"] for m in resources(plan(), "google_logging_metric").values()}
    assert asked == {
        (c["condition_absent"] or c["condition_threshold"])[0]["filter"]
        for p in policies for c in p["conditions"]
    }  # fmt: skip


def test_script_closes_the_store_as_terraform_does(folder):
    """Access, versions, and for how long what was replaced is kept."""
    [update] = [c for c in calls(folder) if c.is_("storage", "buckets", "update")]
    [lifecycle] = [json.loads(text)["rule"] for text in update.files.values()]
    [bucket] = resources(plan(), "google_storage_bucket").values()
    [planned] = bucket["lifecycle_rule"]

    assert {"--versioning", "--uniform-bucket-level-access", "--public-access-prevention"} <= {
        *update.words
    }
    assert lifecycle == [
        {
            "action": {"type": planned["action"][0]["type"]},
            "condition": {
                "daysSinceNoncurrentTime": planned["condition"][0]["days_since_noncurrent_time"]
            },
        }
    ]


def test_script_makes_the_key_once(folder):
    """The key is 32 random bytes that no word holds; a second run leaves it, and what else is there."""
    first = calls(folder)
    again = calls(folder, there=True)
    keys = [c for c in first if c.is_("secrets", "create")]

    assert [c.piped for c in keys] == [len(base64.b64encode(bytes(32))) + 1]
    assert [str(c) for c in again if c.is_("secrets", "create")] == []
    assert [str(c) for c in again if "create" in c.words] == []
    assert any(c.is_("scheduler", "jobs", "update", "http") for c in again)


@pytest.mark.parametrize("name", ["PROJECT", "REGION", "BUCKET", "IMAGE", "PROJECTS"])
def test_script_asks_for_what_it_needs(folder, name):
    """Without one of its variables it stops before it calls anything, and says what is missing."""
    code, err = Script(folder).run(without=name)

    assert code != 0
    assert f"{name}: " in err
    assert (folder / "calls.jsonl").read_text() == ""


def refused(made, home):
    """The calls that the real gcloud does not understand, and why."""
    lines = [{"command_string": str(c).replace("#", "")} for c in made]
    (home / "calls.json").write_text(json.dumps(lines))
    done = subprocess.run(
        [str(GCLOUD), "meta", "lint-gcloud-commands", f"--commands-file={home / 'calls.json'}"],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "CLOUDSDK_CONFIG": str(home / "gcloud")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    judged = json.loads(done.stdout)
    assert len(judged) == len({line["command_string"] for line in lines})
    return {j["command_string"]: j["error_message"] for j in judged if not j["success"]}


@pytest.mark.skipif(
    GCLOUD is None,
    reason="THE REAL gcloud IS NOT INSTALLED: no flag of the script was looked at by its parser",
)
def test_real_gcloud_understands_the_script(folder, tmp_path):
    """gcloud's own parser takes every call that the script makes, and refuses a broken one."""
    made = [*calls(folder), *calls(folder, there=True)]
    broken = Call([*made[0].words, "--no-such-flag=1"], {}, 0)

    assert refused(made, tmp_path) == {}
    assert {*refused([broken], tmp_path)} == {str(broken)}
