"""
Cloud Run v1 and what stands beside it: services, revisions and jobs as gcloud asks for them,
locations, the state of the API, and which permissions the caller has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from drift_audit.emulator import deploys, knative
from drift_audit.emulator.deployed import Json
from drift_audit.emulator.desk import Asked, Rpc
from drift_audit.emulator.paging import Page
from drift_audit.emulator.state import Held, State
from drift_audit.emulator.status import invalid, not_found, refused
from drift_audit.emulator.world import World


def rpcs(state: State, world: World) -> dict[str, Rpc]:
    """The methods by name. Services and jobs are replaced and created; nothing is deleted."""
    here = _CloudRun(state, world)
    return {
        "v1.Services/ListServices": Rpc(Asked, here.services, listing("Service")),
        "v1.Services/GetService": Rpc(Asked, here.one),
        "v1.Services/ReplaceService": Rpc(Asked, here.replaced, kind="write"),
        "v1.Services/CreateService": Rpc(Asked, partial(here.created, "services"), kind="write"),
        "v1.Services/DeleteService": Rpc(Asked, refused, kind="write"),
        "v1.Services/GetIamPolicy": Rpc(Asked, here.policy),
        "v1.Services/SetIamPolicy": Rpc(Asked, here.policy_set, kind="write"),
        "v1.Services/TestIamPermissions": Rpc(Asked, here.tested, open=True),
        "v1.Jobs/GetJob": Rpc(Asked, here.one),
        "v1.Jobs/ReplaceJob": Rpc(Asked, here.replaced, kind="write"),
        "v1.Jobs/CreateJob": Rpc(Asked, partial(here.created, "jobs"), kind="write"),
        "v1.Jobs/DeleteJob": Rpc(Asked, refused, kind="write"),
        "v1.Revisions/ListRevisions": Rpc(Asked, here.revisions, listing("Revision")),
        "v1.Revisions/GetRevision": Rpc(Asked, here.revision),
        "v1.Revisions/DeleteRevision": Rpc(Asked, refused, kind="write"),
        "Locations/ListLocations": Rpc(Asked, here.locations, _locations),
        "Projects/TestIamPermissions": Rpc(Asked, here.tested, open=True),
        "ServiceUsage/GetService": Rpc(Asked, here.enabled),
    }


def listing(kind: str) -> Callable[[Page], Json]:
    """How a page becomes a v1 list, in which `unreachable` stands at the top (§3)."""

    def paged(page: Page) -> Json:
        return {
            "apiVersion": knative.GROUP,
            "kind": f"{kind}List",
            "metadata": {"continue": page.token} if page.token else {},
            "items": list(page.items),
            "unreachable": [name.rpartition("/")[2] for name in page.unreachable],
        }

    return paged


def _locations(page: Page) -> Json:
    return {"locations": list(page.items), "nextPageToken": page.token}


class _CloudRun:
    def __init__(self, state: State, world: World) -> None:
        self._state, self._world = state, world

    def _below(self, parent: str, known: dict[str, Held]) -> list[Held]:
        """What a location holds; all of a project for its location `-`."""
        return self._state.below(parent.removesuffix("/locations/-"), known)

    def services(self, asked: Asked) -> Sequence[Json]:
        """The services of a location, or of all that a project has."""
        chosen = _Selector(asked.selector)
        found = self._below(asked.name, self._state.services)
        kept = [held for held in found if chosen.of(knative.service_labels(held))]
        return Documents(kept, lambda held: knative.service(held, self._world))

    def one(self, asked: Asked) -> Json:
        """One service or job."""
        return deploys.document(self._held(asked.name), self._world)

    def replaced(self, asked: Asked) -> Json:
        """A service or job after a write of the whole of it."""
        name = self._held(asked.name).message.name
        held = deploys.replace(self._state, self._world, name, asked.body)
        return deploys.document(held, self._world)

    def created(self, collection: str, asked: Asked) -> Json:
        """A service or job that is new."""
        name = new_name(asked, collection)
        held = deploys.create(self._state, self._world, name, asked.body)
        return deploys.document(held, self._world)

    def policy(self, asked: Asked) -> Json:
        """The policy of one service alone."""
        name = self._held(asked.name).message.name
        return {"version": 1, "etag": "ZXRhZw==", "bindings": self._state.policies.get(name, [])}

    def policy_set(self, asked: Asked) -> Json:
        """The policy after a write of the whole of it."""
        name = self._held(asked.name).message.name
        policy = asked.body.get("policy") if isinstance(asked.body, dict) else None
        if not isinstance(policy, dict):
            raise invalid("policy is required")
        bindings = policy.get("bindings", [])
        try:
            kept = [{"role": b["role"], "members": list(b["members"])} for b in bindings]
        except (KeyError, TypeError):
            raise invalid("a binding has a role and members") from None
        self._state.policies[name] = kept
        return self.policy(asked)

    def revisions(self, asked: Asked) -> Sequence[Json]:
        """The revisions of a location, those of worker pools among them, as v1 gives them (§3)."""
        chosen = _Selector(asked.selector)
        parents = [
            *self._below(asked.name, self._state.services),
            *self._below(asked.name, self._state.pools),
        ]
        found = ((revision, held) for held in parents for revision in held.revisions)
        kept = [(r, held) for r, held in found if chosen.of(knative.revision_labels(r, held))]
        return Documents(kept, lambda pair: knative.revision(pair[0], pair[1], self._world))

    def revision(self, asked: Asked) -> Json:
        """One revision, by its own name alone."""
        location, _, short = asked.name.rpartition("/revisions/")
        for known in (self._state.services, self._state.pools):
            for held in self._below(location, known):
                for revision in held.revisions:
                    if revision.short == short:
                        return knative.revision(revision, held, self._world)
        raise not_found(f"Resource '{short}' of kind 'REVISION'")

    def _held(self, name: str) -> Held:
        location, kind, short = name.rsplit("/", 2)
        for held in self._below(location, self._state.written(name)):
            if held.short == short:
                return held
        raise not_found(f"Resource '{short}' of kind '{kind.removesuffix('s').upper()}'")

    def locations(self, asked: Asked) -> list[Json]:
        """The regions of a project."""
        project = asked.name.partition("/")[2]
        return [
            {
                "name": f"{asked.name}/locations/{region}",
                "locationId": region,
                "displayName": region,
                "labels": {"cloud.googleapis.com/region": region},
            }
            for region in self._world.regions(project)
        ]

    def tested(self, asked: Asked) -> Json:
        """Which of some permissions the caller has in a project, or on what is in it."""
        wanted = asked.body.get("permissions", ()) if isinstance(asked.body, dict) else ()
        denied = self._world.denies(asked.name)
        held = () if denied else self._world.held(asked.name.split("/")[1])
        return {"permissions": [p for p in wanted if p in held]}

    def enabled(self, asked: Asked) -> Json:
        """An API is always enabled."""
        return {"name": asked.name, "state": "ENABLED"}


def new_name(asked: Asked, collection: str) -> str:
    """The full name of what a request is to create. Raises Refusal."""
    metadata = asked.body.get("metadata") if isinstance(asked.body, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise invalid("metadata.name is required")
    if asked.name.endswith("/-"):
        raise invalid("what is created is created in a region, which the host or the path names")
    return f"{asked.name}/{collection}/{metadata['name']}"


class Documents(Sequence[Json]):
    """A list whose documents are written when they are looked at: a page of it costs a page."""

    def __init__(self, held: Sequence[Any], write: Callable[[Any], Json]) -> None:
        self._held, self._write = held, write

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, at: Any) -> Any:
        found = self._held[at]
        return [self._write(one) for one in found] if isinstance(at, slice) else self._write(found)


_TERM = re.compile(r"(?P<label>[\w./-]+)(?:\s*(?P<not>!)?={1,2}\s*(?P<value>[\w.-]*))?")


class _Selector:
    """
    Labels that are as `label = value`, `label != value` or `label`, comma separated.

    Raises Refusal for what says something else.
    """

    def __init__(self, text: str) -> None:
        self._terms = []
        for written in filter(None, (part.strip() for part in text.split(","))):
            term = _TERM.fullmatch(written)
            if term is None:
                raise invalid("labelSelector is not one of label=value, label!=value and label")
            self._terms.append(term)

    def of(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels are so."""
        return all(_holds(labels, term) for term in self._terms)


def _holds(labels: Mapping[str, str], term: re.Match[str]) -> bool:
    if term["value"] is None:
        return term["label"] in labels
    return (labels.get(term["label"]) == term["value"]) != bool(term["not"])
