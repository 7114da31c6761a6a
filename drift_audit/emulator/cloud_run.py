"""Cloud Run v2: services, worker pools, their revisions, and jobs, to be listed and got."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2

from drift_audit.emulator.desk import Rpc
from drift_audit.emulator.paging import listing
from drift_audit.emulator.state import Held, State
from drift_audit.emulator.status import invalid, not_found, refused

PACKAGE = "google.cloud.run.v2"

WRITES = (
    *(
        f"{kind}s/{verb}{kind}"
        for kind in ("Service", "WorkerPool", "Job")
        for verb in ("Create", "Update", "Delete")
    ),
    *(f"{kind}s/SetIamPolicy" for kind in ("Service", "WorkerPool", "Job")),
    "Revisions/DeleteRevision",
    "Jobs/RunJob",
)


def rpcs(state: State) -> dict[str, Rpc]:
    """The methods by name. Those that write are counted and refused: v1 is where deploys go."""
    here = _CloudRun(state)
    return {
        "Services/ListServices": Rpc(
            run_v2.ListServicesRequest.pb(),
            here.all_of(state.services),
            listing(run_v2.ListServicesResponse, "services"),
        ),
        "Services/GetService": Rpc(
            run_v2.GetServiceRequest.pb(), here.one_of(state.services, "service")
        ),
        "Services/GetIamPolicy": Rpc(iam_policy_pb2.GetIamPolicyRequest, here.policy),
        "WorkerPools/ListWorkerPools": Rpc(
            run_v2.ListWorkerPoolsRequest.pb(),
            here.all_of(state.pools),
            listing(run_v2.ListWorkerPoolsResponse, "worker_pools"),
        ),
        "WorkerPools/GetWorkerPool": Rpc(
            run_v2.GetWorkerPoolRequest.pb(), here.one_of(state.pools, "worker pool")
        ),
        "Jobs/ListJobs": Rpc(
            run_v2.ListJobsRequest.pb(),
            here.all_of(state.jobs),
            listing(run_v2.ListJobsResponse, "jobs"),
        ),
        "Jobs/GetJob": Rpc(run_v2.GetJobRequest.pb(), here.one_of(state.jobs, "job")),
        "Revisions/ListRevisions": Rpc(
            run_v2.ListRevisionsRequest.pb(),
            here.revisions,
            listing(run_v2.ListRevisionsResponse, "revisions"),
        ),
        "Revisions/GetRevision": Rpc(run_v2.GetRevisionRequest.pb(), here.revision),
        **dict.fromkeys(WRITES, Rpc(None, refused, kind="write")),
    }


class _CloudRun:
    def __init__(self, state: State) -> None:
        self._state = state

    def all_of(self, known: dict[str, Held]) -> Callable[[Any], list[Any]]:
        """Everything of one kind in a location."""

        def found(request: Any) -> list[Any]:
            if request.parent.endswith("/locations/-"):
                raise invalid("the location must be a region, and cannot be the - wildcard")
            return [held.message for held in self._state.below(request.parent, known)]

        return found

    def one_of(self, known: Mapping[str, Held], what: str) -> Callable[[Any], Any]:
        """One of a kind by its name."""

        def found(request: Any) -> Any:
            if request.name not in known:
                raise not_found(f"{what} {request.name}")
            return known[request.name].message

        return found

    def policy(self, request: Any) -> Any:
        """The policy of one service alone: what its project grants does not show in it."""
        if request.resource not in self._state.services:
            raise not_found(f"service {request.resource}")
        found = policy_pb2.Policy(version=1, etag=b"etag")
        for binding in self._state.policies.get(request.resource, ()):
            found.bindings.add(role=binding["role"], members=binding["members"])
        return found

    def revisions(self, request: Any) -> list[Any]:
        """The revisions of one service or worker pool, or with `-` of all in a location."""
        location, _, last = request.parent.rpartition("/")
        location, _, kind = location.rpartition("/")
        if last == "-" and kind in ("services", "workerPools"):
            known = self._state.services if kind == "services" else self._state.pools
            parents = self._state.below(location, known)
        elif held := self._state.parent(request.parent):
            parents = [held]
        else:
            raise not_found(request.parent)
        return [r.message for held in parents for r in held.revisions]

    def revision(self, request: Any) -> Any:
        """One revision by its name."""
        held = self._state.parent(request.name.partition("/revisions/")[0])
        for revision in held.revisions if held else ():
            if revision.message.name == request.name:
                return revision.message
        raise not_found(f"revision {request.name}")
