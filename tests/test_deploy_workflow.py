"""The workflow that audits a service at its deploy: which events it takes, and what it starts."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.command import run
from tests.deployment import LOST, plan, ready, resources, unknown
from tests.workflow import Workflow
from tests.worlds import playing, reached


def event(**entry):
    """An entry of the audit log, as Eventarc hands it on."""
    labels = {"project_id": "shop", "location": "europe-west1", "service_name": "api"}
    payload = {"methodName": "google.cloud.run.v1.Services.ReplaceService"}
    return {"data": {"resource": {"labels": labels}, "protoPayload": payload, **entry}}


def heard(told):
    """What the workflow of the plan returns for an event, and the runs of jobs that it asks for."""
    [planned] = resources(plan(), "google_workflows_workflow").values()
    environment_ = {**planned["user_env_vars"], "GOOGLE_CLOUD_PROJECT_ID": "audit-1"}
    asked = []

    def start(arguments):
        asked.append(arguments)
        return {"metadata": {"name": "execution-1"}}

    calls = {"sys.sleep": lambda _: None, "googleapis.run.v1.namespaces.jobs.run": start}
    workflow = Workflow(yaml.safe_load(planned["source_contents"]), environment_, calls)
    return workflow.run(told), asked


def test_a_deploy_is_audited(tmp_path):
    """What the workflow asks of the job, by the event of a deploy, audits that service alone."""
    returned, [asked] = heard(event())
    [override] = asked["body"]["overrides"]["containerOverrides"]
    (tmp_path / "store").mkdir()
    with playing(LOST) as emulator:
        words = [*ready(override["args"], tmp_path / "store"), "--format=json"]
        ran = run(*words, cwd=tmp_path, env=reached(emulator))

    assert returned == "execution-1"
    assert (asked["name"], asked["location"]) == (
        "namespaces/audit-1/jobs/drift-audit-deploy",
        "europe-west1",
    )
    assert unknown(override["args"]) == []
    assert ran.code == 10
    assert {s["service"] for s in json.loads(ran.out)["services"]} == {"api"}


@pytest.mark.parametrize(
    ("entry", "runs"),
    [
        ({}, 1),
        ({"operation": {"first": True}}, 0),
        ({"operation": {"last": True}}, 1),
        ({"operation": {"first": True, "last": True}}, 1),
        ({"protoPayload": {"status": {"code": 7}}}, 0),
        ({"protoPayload": {"status": {}}}, 1),
    ],
)
def test_which_entries_are_deploys(entry, runs):
    """A call that failed deployed nothing, and an operation is audited when it ends."""
    assert len(heard(event(**entry))[1]) == runs
