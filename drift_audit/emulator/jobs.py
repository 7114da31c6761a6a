"""
Jobs as v1 has them, and what is written there as v2 shows it.

v1 keeps the settings of a task in the annotations of the execution it belongs to, and counts the
seconds of its timeout in text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.cloud import run_v2
from google.protobuf.json_format import MessageToDict

from drift_audit.emulator import annotations as at
from drift_audit.emulator import knative, manifest, v2
from drift_audit.emulator.deployed import Json
from drift_audit.emulator.state import Held, State, message, stamped
from drift_audit.emulator.status import invalid
from drift_audit.emulator.world import World

GROUP = "run.googleapis.com/v1"
OF_JOB = ("binaryAuthorization", "launchStage", "client", "clientVersion")
OF_EXECUTION = ("parallelism", "taskCount")


def document(held: Held, world: World) -> Json:
    """A job with its status."""
    shown = MessageToDict(held.message)
    execution = shown["template"]
    task = execution["template"]
    kept = {name: execution[name] for name in ("labels", "annotations") if name in execution}
    template = knative.template_of({**task, **kept}, "", world)
    template["metadata"]["annotations"].pop(at.CPU_THROTTLING, None)
    spec = template["spec"] | {"maxRetries": task.get("maxRetries", 0)}
    if "timeoutSeconds" in spec:
        spec["timeoutSeconds"] = str(spec["timeoutSeconds"])
    counts = {name: execution[name] for name in OF_EXECUTION if execution.get(name)}
    generation = int(shown.get("generation", 1))
    notes = {**shown.get("annotations", {}), **at.notes(shown, _NOTES)}
    notes |= {at.CREATOR: shown.get("creator", ""), at.LAST_MODIFIER: shown.get("lastModifier", "")}
    return {
        "apiVersion": GROUP,
        "kind": "Job",
        "metadata": {
            **knative.metadata_of(shown, "jobs", world, GROUP),
            "generation": generation,
            "labels": {**shown.get("labels", {}), at.LOCATION: shown["name"].split("/")[3]},
            "annotations": notes,
        },
        "spec": {
            "template": {
                "metadata": template["metadata"],
                "spec": {**counts, "template": {"spec": spec}},
            }
        },
        "status": {
            "observedGeneration": generation,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


_NOTES = tuple(note for note in at.SERVICE if note.path[0] in OF_JOB)


def put(state: State, world: World, name: str, written: Json) -> Held:
    """A job after a write of the whole of it. Raises Refusal, and what a broken body raises."""
    short = name.rpartition("/")[2]
    metadata, execution = written["metadata"], written["spec"]["template"]
    if metadata.get("name") != short:
        raise invalid(f"metadata.name must be '{short}'")
    notes = metadata.get("annotations") or {}
    body = {
        "launchStage": "GA",
        **at.fields(notes, _NOTES),
        **stamped(name, state.jobs.get(name), state.now(), world.caller),
        "labels": at.of_users(metadata.get("labels") or {}),
        "annotations": at.of_users(notes),
        "template": _execution(execution, world),
        "terminalCondition": v2.condition("Ready", True),
    }
    return Held(message(run_v2.Job, body))


def _execution(written: Mapping[str, Any], world: World) -> Json:
    """The template of an execution, with that of its tasks."""
    spec = written["spec"]
    task = dict(spec["template"]["spec"])
    retries = task.pop("maxRetries", 3)
    if "timeoutSeconds" in task:
        task["timeoutSeconds"] = int(task["timeoutSeconds"])
    shown = manifest.template({"metadata": written.get("metadata"), "spec": task}, world)
    for container in shown["containers"]:
        for name in ("cpuIdle", "startupCpuBoost"):  # of what waits for requests
            container.get("resources", {}).pop(name, None)
    counts = {name: spec[name] for name in OF_EXECUTION if spec.get(name)}
    own: Json = {name: shown.pop(name) for name in ("labels", "annotations") if name in shown}
    return {**own, **counts, "template": {**shown, "maxRetries": retries}}
