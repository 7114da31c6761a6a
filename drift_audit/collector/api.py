"""
Cloud Run as one run may use it: google's clients, spent through a budget, as raw protobuf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from google.cloud import run_v2

from drift_audit.collector import granted
from drift_audit.collector.budget import Budget
from drift_audit.collector.connection import Connection
from drift_audit.collector.listing import PAGE_SIZE, Listing, Message, items
from drift_audit.collector.pace import CLOUD_RUN, Quota
from drift_audit.snapshot import Kind

IN_FLIGHT = 64
"""Calls for one thing each that are under way; the pace keeps them below the quota (§3)."""

LISTS = 16
"""Lists beside each other: each holds a page or more until somebody takes it."""


INVOKING = frozenset({"roles/run.invoker", "roles/run.servicesInvoker"})
"""
The roles that are there to invoke services (cloud.google.com/run/docs/reference/iam/roles). Others,
such as that of an administrator, may too.
"""


class Location(NamedTuple):
    """A project and a region."""

    project: str
    region: str

    @property
    def quota(self) -> Quota:
        """What calls to this place are counted against."""
        return Quota(CLOUD_RUN, self.project, self.region)

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"


class Family(NamedTuple):
    """
    One kind of resource that holds a configuration: how it is called in names and in sentences,
    how it is listed and read, and whether its revisions are kept.
    """

    kind: Kind
    collection: str
    words: str
    list: Callable[..., Any]
    list_request: type
    field: str
    get: Callable[..., Any]
    get_request: type
    revisions: bool = True

    def name(self, at: Location, name: str) -> str:
        """The full name of one resource."""
        return f"{at}/{self.collection}/{name}"


class Api:
    """
    Lists and reads what a location holds. Every call has a deadline, is paced, and is tried again
    where that makes sense; all raise Unanswered and Missing.
    """

    def __init__(self, connection: Connection, budget: Budget) -> None:
        clients = connection.cloud_run()
        self._budget = budget
        self._list_revisions = clients.revisions.list_revisions
        self._get_revision = clients.revisions.get_revision
        self._get_policy = clients.services.get_iam_policy
        self.families: dict[Kind, Family] = {
            "service": Family(
                "service", "services", "services",
                clients.services.list_services, run_v2.ListServicesRequest, "services",
                clients.services.get_service, run_v2.GetServiceRequest,
            ),
            "worker-pool": Family(
                "worker-pool", "workerPools", "worker pools",
                clients.worker_pools.list_worker_pools, run_v2.ListWorkerPoolsRequest,
                "worker_pools",
                clients.worker_pools.get_worker_pool, run_v2.GetWorkerPoolRequest,
            ),
            "job": Family(
                "job", "jobs", "jobs",
                clients.jobs.list_jobs, run_v2.ListJobsRequest, "jobs",
                clients.jobs.get_job, run_v2.GetJobRequest,
                revisions=False,
            ),
        }  # fmt: skip

    @property
    def latency(self) -> float:
        """Seconds of the quickest call so far."""
        return self._budget.latency

    def parents(
        self, at: Location, family: Family, unreachable: Callable[[str], None] = lambda _: None
    ) -> Iterator[Message]:
        """Everything of one kind in a location; `unreachable` hears what the API cannot reach."""
        listing = Listing(
            what=f"{family.words} of {at}",
            method=family.list,
            request=family.list_request(parent=str(at), page_size=PAGE_SIZE),
            field=family.field,
            quota=at.quota,
            again=lambda name: self.parent(at, family, name),
            unreachable=unreachable,
        )
        return items(listing, self._budget)

    def parent(self, at: Location, family: Family, name: str) -> Message:
        """One service, worker pool or job by its full name."""
        request = family.get_request(name=name)
        reply = self._budget.call(f"get {name}", family.get, request, at.quota)
        return type(reply).pb(reply)

    def revisions(self, at: Location, parent: str) -> Iterator[Message]:
        """The revisions of one parent by its full name; with `-` for its own, those of all."""
        listing = Listing(
            what=f"revisions of {parent}",
            method=self._list_revisions,
            request=run_v2.ListRevisionsRequest(parent=parent, page_size=PAGE_SIZE),
            field="revisions",
            quota=at.quota,
            again=lambda name: self.revision(at, name),
        )
        return items(listing, self._budget)

    def invokers(self, at: Location, name: str) -> frozenset[str]:
        """Who has a role to invoke a service, by its own policy and without a condition."""
        return granted.members(name, INVOKING, self._get_policy, at.quota, self._budget)

    def revision(self, at: Location, name: str) -> Message:
        """One revision by its full name."""
        request = run_v2.GetRevisionRequest(name=name)
        reply = self._budget.call(f"get {name}", self._get_revision, request, at.quota)
        return run_v2.Revision.pb(reply)
