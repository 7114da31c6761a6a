"""
Deploys: a service or a job is put through v1, and what follows from it shows on every front.

As Cloud Run does it: a write of something that has moved on is refused; the template makes a new
revision if it differs from what the service has; everything that the document leaves out is gone.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import grpc
from google.cloud import run_v2
from google.protobuf.json_format import ParseError

from drift_audit.emulator import annotations as at
from drift_audit.emulator import jobs, knative, manifest, v2
from drift_audit.emulator.deployed import Json
from drift_audit.emulator.state import (
    Held,
    Revision,
    State,
    is_job,
    message,
    revision_name,
    settled,
    stamped,
)
from drift_audit.emulator.status import Refusal, invalid, not_found
from drift_audit.emulator.world import World

WRITTEN_BY_SERVER = (at.CREATOR, at.LAST_MODIFIER, at.OPERATION, at.URLS, at.INGRESS_STATUS)


def document(held: Held, world: World) -> Json:
    """A service or a job as v1 shows it, with its status."""
    shown = jobs.document if is_job(held.message.name) else knative.service
    return shown(held, world)


def replace(state: State, world: World, name: str, document: Json) -> Held:
    """A service or a job after it was replaced. Raises Refusal."""
    with state.lock:
        held = state.written(name).get(name)
        if held is None:
            short, kind = name.rpartition("/")[2], "JOB" if is_job(name) else "SERVICE"
            raise not_found(f"Resource '{short}' of kind '{kind}'")
        _check_version(held, document)
        return _put(state, world, name, document)


def create(state: State, world: World, name: str, document: Json) -> Held:
    """A service or a job that was not there. Raises Refusal."""
    with state.lock:
        if name in state.written(name):
            short = name.rpartition("/")[2]
            raise _exists(f"Resource '{short}' already exists")
        return _put(state, world, name, document)


def _exists(text: str) -> Refusal:
    return Refusal(grpc.StatusCode.ALREADY_EXISTS, text)


def _check_version(held: Held, document: Json) -> None:
    version = (document.get("metadata") or {}).get("resourceVersion")
    current = held.message.etag
    if version and version != current:
        text = (
            f"Conflict for resource '{held.short}': "
            f"version '{version}' was specified but current version is '{current}'."
        )
        raise Refusal(grpc.StatusCode.ABORTED, text)


def _put(state: State, world: World, name: str, document: Json) -> Held:
    try:
        if is_job(name):
            held = jobs.put(state, world, name, document)
        else:
            held = _Deploy(state, world, name, document).held()
    except (AttributeError, KeyError, ParseError, TypeError, ValueError):
        what = f"job of {jobs.GROUP}" if is_job(name) else f"service of {knative.GROUP}"
        raise invalid(f"the body is not a {what}") from None
    state.written(name)[name] = held
    return held


class _Deploy:
    """One write of one service, which may be there already."""

    def __init__(self, state: State, world: World, name: str, document: Json) -> None:
        self._world, self._name, self._short = world, name, name.rpartition("/")[2]
        self._before = state.services.get(name)
        self._own = _written(document, self._short)
        self._number = self._before.message.generation + 1 if self._before else 1
        self._now = state.now()

    def held(self) -> Held:
        """The service after the write. Raises Refusal."""
        template = self._own["spec"]["template"]
        service = message(run_v2.Service, self._service(template))
        revisions = self._before.revisions if self._before else ()
        if self._before is None or self._differs(template):
            revisions = (self._revision(template, {r.short for r in revisions}), *revisions)
        known = {r.short for r in revisions}
        for target in service.traffic:
            if target.revision and target.revision not in known:
                raise invalid(f"Revision '{target.revision}' not found")
        return settled(service, revisions, self._own)

    def _differs(self, template: Json) -> bool:
        assert self._before is not None
        current = knative.part(self._before, self._world)["spec"]["template"]
        return bool(_bare(template) != _bare(current))

    def _revision(self, template: Json, known: set[str]) -> Revision:
        short = (template.get("metadata") or {}).get("name")
        short = short or revision_name(self._short, self._number)
        if short in known:
            raise _exists(f"Revision named '{short}' with different configuration already exists.")
        if not short.startswith(f"{self._short}-"):
            raise invalid(f"Revision name '{short}' must be prefixed by the name of the service")
        name = f"{self._name}/revisions/{short}"
        notes = self._own["metadata"]["annotations"]
        shown = manifest.template(template, self._world)
        shown.pop("healthCheckDisabled", None)  # a template has it, a revision does not show it
        body = shown | {
            "name": name,
            "uid": v2.uid(name),
            "generation": "1",
            "createTime": self._now,
            "updateTime": self._now,
            "service": self._short,
            "creator": self._world.caller,
            "launchStage": notes.get(f"{at.RUN}launch-stage", "GA"),
            "conditions": [v2.condition("Ready", True)],
            "etag": v2.etag(name, 1),
        }
        return Revision(
            message(run_v2.Revision, body), self._number, manifest.client(template), template
        )

    def _service(self, template: Json) -> Json:
        shown = manifest.template(template, self._world)
        if name := (template.get("metadata") or {}).get("name"):
            shown["revision"] = name
        region = self._name.split("/")[3]
        number = self._world.numbers.get(self._name.split("/")[1], "0")
        made_up = f"https://{self._short}-{number}.{region}.run.app"
        return {
            **manifest.service(self._own),
            **stamped(self._name, self._before, self._now, self._world.caller),
            "template": shown,
            "urls": list(self._before.message.urls) if self._before else [made_up],
        }


def _written(document: Json, short: str) -> Json:
    """What clients write of a service, of all that stands in a document. Raises Refusal."""
    metadata, spec = document["metadata"], document["spec"]
    if metadata.get("name") != short:
        raise invalid(f"metadata.name must be '{short}'")
    notes = dict(metadata.get("annotations") or {})
    for name in WRITTEN_BY_SERVER:
        notes.pop(name, None)
    labels = dict(metadata.get("labels") or {})
    labels.pop(at.LOCATION, None)
    own = {"metadata": {"labels": labels, "annotations": notes}, "spec": deepcopy(spec)}
    own["spec"].setdefault("traffic", [{"latestRevision": True, "percent": 100}])
    own["spec"]["template"].setdefault("metadata", {})
    return own


def _bare(node: Any) -> Any:
    """A document without what is empty, which says nothing."""
    if isinstance(node, dict):
        kept = ((name, _bare(value)) for name, value in node.items())
        return {name: value for name, value in kept if value not in (None, "", {}, [])}
    return [_bare(item) for item in node] if isinstance(node, list) else node
