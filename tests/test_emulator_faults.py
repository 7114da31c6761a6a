"""Faults: each one happens when it is its turn, and is what a plain client of google's sees."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import run_v2, secretmanager_v1
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.collector.connection import Connection
from drift_audit.emulator.faults import CODES, KINDS, PAGING, RETRY_INFO, Fault
from drift_audit.emulator.paging import Walk
from drift_audit.emulator.server import Emulator
from drift_audit.emulator.v2 import etag
from drift_audit.errors import CommandError, InputError
from tests.test_emulator import MORE
from tests.worlds import world

NAME = "projects/shop/locations/europe-west1"
SECRET = "projects/shop/secrets/jwt"
LIST, GET = "Services/ListServices", "Services/GetService"
REVISIONS = "Revisions/ListRevisions"

FLEET = """
services:
""" + "".join(
    f"""
  - project: shop
    region: europe-west1
    service: s{n}
    revisions: [{{name: s{n}-00001-a, at: 2026-01-01T00:00:00Z, image: r/s}}]
"""
    for n in range(6)
)


def failing(*faults, **more):
    """Six services, listed two to a page, and what goes wrong with them."""
    return Emulator(world(FLEET, page=2, **more), faults=[Fault(*f) for f in faults])


def pages(emulator, timeout=5.0, most=9):
    """
    The pages of the services as a client gets them that follows every token: their short names.
    """
    services = Connection(emulator.address).cloud_run().services
    request = run_v2.ListServicesRequest(parent=NAME)
    found: list[list[str]] = []
    while len(found) < most:
        pager = services.list_services(request, timeout=timeout, retry=None)
        reply = next(pager.pages)
        found.append([s.name.rpartition("/")[2] for s in reply.services])
        request.page_token = reply.next_page_token
        if not request.page_token:
            break
    return found


WHOLE = [["s0", "s1"], ["s2", "s3"], ["s4", "s5"]]


def test_control_of_the_schedule():
    """Without a fault all is well, and a fault whose call never comes has not fired."""
    with failing((GET, 1, "UNAVAILABLE")) as emulator:
        found = pages(emulator)

    assert found == WHOLE
    assert emulator.fired == []


@pytest.mark.parametrize("code", sorted(CODES))
def test_codes(code):
    """Every status that is not OK comes through as itself, for the call that is named alone."""
    fault = Fault(LIST, 2, code)
    with failing((LIST, 2, code)) as emulator:
        channel = grpc.insecure_channel(emulator.address)
        call = channel.unary_unary(f"/google.cloud.run.v2.{LIST}", None, None)
        asked = run_v2.ListServicesRequest(parent=NAME)._pb.SerializeToString()
        call(asked, timeout=5)
        with pytest.raises(grpc.RpcError) as error:
            call(asked, timeout=5)
        call(asked, timeout=5)
        channel.close()

    assert error.value.code() is grpc.StatusCode[code]
    assert emulator.fired == [fault]


def test_always():
    """A fault that is there to stay meets every call from its turn on."""
    with failing((LIST, 2, "UNAVAILABLE", True)) as emulator:
        for _ in range(3):
            with pytest.raises(exceptions.ServiceUnavailable):
                pages(emulator)

    assert len(emulator.calls) == 4
    assert len(emulator.fired) == 3


def test_retry_info():
    """A quota that is used up says how long to wait."""
    with failing((LIST, 1, RETRY_INFO)) as emulator:
        with pytest.raises(exceptions.ResourceExhausted) as error:
            pages(emulator)
        status = rpc_status.from_call(error.value.errors[0])
        wait = error_details_pb2.RetryInfo()

    assert status.details[0].Unpack(wait)
    assert wait.retry_delay.ToMilliseconds() == 200
    assert len(emulator.fired) == 1


@pytest.mark.parametrize("kind", ["reset", "reset-midway"])
def test_resets(kind):
    """A connection that is reset, before the answer or in it, is one that is not there."""
    broken = pytest.raises(exceptions.ServiceUnavailable, match=r"reset by peer|Broken pipe")
    with failing((LIST, 2, kind)) as emulator, broken:
        pages(emulator)

    assert [f.kind for f in emulator.fired] == [kind]


def test_slow_drip():
    """An answer that trickles in is the whole answer, in its own time."""
    with failing((LIST, 1, "slow-drip")) as emulator:
        began = time.monotonic()
        found = pages(emulator)
        took = time.monotonic() - began

    assert found == WHOLE
    assert took > 0.3
    assert len(emulator.fired) == 1


def test_hang():
    """A call that hangs ends with the deadline of its client, and keeps no other from an answer."""
    with failing((LIST, 1, "hang")) as emulator:
        with pytest.raises(exceptions.DeadlineExceeded):
            pages(emulator, timeout=0.2)
        again = pages(emulator)

    assert again == WHOLE
    assert len(emulator.fired) == 1


def test_truncated():
    """A message that was cut cannot be read, though its status is OK."""
    cut = pytest.raises(exceptions.InternalServerError, match="deserializing")
    with failing((LIST, 1, "truncated")) as emulator, cut:
        pages(emulator)

    assert len(emulator.fired) == 1


@pytest.mark.parametrize("rpc", [LIST, GET])
def test_oversize(rpc):
    """More than 4 MiB is refused by a plain channel; who lifted the limit gets the same content."""
    with failing((rpc, 1, "oversize", True)) as emulator:
        channel = grpc.insecure_channel(emulator.address)
        call = channel.unary_unary(f"/google.cloud.run.v2.{rpc}", None, None)
        asked = run_v2.GetServiceRequest(name=f"{NAME}/services/s1")._pb
        with pytest.raises(grpc.RpcError, match="larger than max"):
            call(asked.SerializeToString(), timeout=5)
        channel.close()
        services = Connection(emulator.address).cloud_run().services
        large = services.get_service(name=f"{NAME}/services/s1")
        found = pages(emulator)

    assert found == WHOLE
    assert (large.name, large.etag) == (f"{NAME}/services/s1", etag(f"{NAME}/services/s1", 1))
    assert emulator.fired


LISTS = {
    "empty-page": [["s0", "s1"], [], ["s2", "s3"], ["s4", "s5"]],
    "repeated-token": [["s0", "s1"], *[["s2", "s3"]] * 8],
    "token-cycle": [["s0", "s1"], *[["s2", "s3"]] * 8],
    "duplicated-page": [["s0", "s1"], ["s2", "s3"], ["s2", "s3"], ["s4", "s5"]],
    "permuted-pages": [["s0", "s1"], ["s4", "s5"], ["s2", "s3"]],
    "changed-duplicate": [["s0", "s1"], ["s2", "s3"], ["s3", "s4"], ["s5"]],
    "early-end": [["s0", "s1"], ["s2", "s3"]],
    "unreachable": WHOLE,
}


@pytest.mark.parametrize("kind", sorted(LISTS))
def test_lists(kind):
    """A list that goes wrong on its second page is what a client gets that trusts every token."""
    with failing((LIST, 2, kind)) as emulator:
        found = pages(emulator)

    assert found == LISTS[kind]
    assert emulator.fired == [Fault(LIST, 2, kind)]


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [
        ("repeated-token", ["from-2", "loop-2", "loop-2"]),
        ("token-cycle", ["from-2", "this-2", "that-2", "this-2"]),
    ],
)
def test_tokens(kind, tokens):
    """Tokens come again at once, or in turn."""
    with failing((LIST, 2, kind)) as emulator:
        services = Connection(emulator.address).cloud_run().services
        found = [""]
        for _ in tokens:
            request = run_v2.ListServicesRequest(parent=NAME, page_token=found[-1])
            found.append(services.list_services(request).next_page_token)

    assert found[1:] == tokens


def test_last_pages():
    """What a last page cannot do wrong does not count as done; two items can still change places."""
    faults = [(LIST, 3, kind) for kind in ("early-end", "permuted-pages")]
    with failing(*faults) as emulator:
        found = pages(emulator)

    assert found == [*WHOLE[:2], ["s5", "s4"]]
    assert [f.kind for f in emulator.fired] == ["permuted-pages"]


def test_changed_duplicate():
    """What stands on two pages is first shown as it was before, and then as it is."""
    with failing((LIST, 1, "changed-duplicate")) as emulator:
        services = Connection(emulator.address).cloud_run().services
        etags = [s.etag for s in services.list_services(parent=NAME)]

    changed = etag(f"{NAME}/services/s1", 1)
    assert etags[1:3] == [f"{changed}-before", changed]


def test_unreachable():
    """A location that did not answer is named on that page alone, and only where a list can say so."""
    with failing((LIST, 2, "unreachable"), (REVISIONS, 1, "unreachable")) as emulator:
        services, revisions, *_ = Connection(emulator.address).cloud_run()
        told = [list(p.unreachable) for p in services.list_services(parent=NAME).pages]
        list(revisions.list_revisions(parent=f"{NAME}/services/-"))

    assert told == [[], [NAME], []]
    assert [f.rpc for f in emulator.fired] == [LIST]


def test_expired_token():
    """A token that is too old is an invalid argument, once; a first page has none to be too old."""
    with failing((LIST, 2, "expired-token"), (LIST, 3, "expired-token")) as emulator:
        with pytest.raises(exceptions.InvalidArgument, match="expired"):
            pages(emulator)
        again = pages(emulator)

    assert again == WHOLE
    assert [f.nth for f in emulator.fired] == [2]


def test_generation_bump():
    """What was just read has moved on: another generation, another etag, another revision."""
    with failing((GET, 1, "generation-bump"), (LIST, 1, "generation-bump")) as emulator:
        services, revisions, *_ = Connection(emulator.address).cloud_run()
        one = {"name": f"{NAME}/services/s1"}
        before, after = services.get_service(**one), services.get_service(**one)
        listed = list(revisions.list_revisions(parent=f"{NAME}/services/s1"))
        pages(emulator)
        first = services.get_service(name=f"{NAME}/services/s0")

    assert (before.generation, after.generation, first.generation) == (1, 2, 2)
    assert [before.etag, after.etag] == [etag(one["name"], n) for n in (1, 2)]
    assert [r.name for r in listed] == [after.latest_created_revision, before.latest_ready_revision]
    assert [str(r.create_time)[:16] for r in listed] == ["2026-01-01 00:01", "2026-01-01 00:00"]
    assert listed[0].containers == listed[1].containers
    assert [
        c.revision_reason.name for r in listed for c in r.conditions if c.type_ == "Active"
    ] == [
        "REVISION_REASON_UNDEFINED",
        "RETIRED",
    ]
    assert len(emulator.fired) == 2


@pytest.mark.parametrize(
    ("rpc", "parent", "moves"),
    [
        ("WorkerPools/ListWorkerPools", NAME, "WorkerPools/GetWorkerPool"),
        (REVISIONS, f"{NAME}/workerPools/-", "WorkerPools/GetWorkerPool"),
        ("Jobs/ListJobs", NAME, "Jobs/GetJob"),
    ],
)
def test_generation_bump_of_a_list(rpc, parent, moves):
    """What moves on after a list is something that was listed."""
    place = f"/google.cloud.run.v2.{moves}"
    with Emulator(world(MORE), faults=[Fault(rpc, 1, "generation-bump")]) as emulator:
        channel = grpc.insecure_channel(emulator.address)
        listing = channel.unary_unary(f"/google.cloud.run.v2.{rpc}", None, None)
        listing(run_v2.ListRevisionsRequest(parent=parent)._pb.SerializeToString(), timeout=5)
        reply = channel.unary_unary(place, None, None)
        asked: Any = READS[moves]
        got = reply(asked._pb.SerializeToString(), timeout=5)
        channel.close()
    kind = run_v2.Job if moves.startswith("Jobs") else run_v2.WorkerPool

    assert kind.deserialize(got).generation == (2 if kind is run_v2.Job else 3)
    assert len(emulator.fired) == 1


@pytest.mark.parametrize(("rpc", "path"), [(LIST, "services"), (GET, "")])
def test_unknown_field(rpc, path):
    """Resources carry a field that the client does not know, and it keeps it."""
    with failing((rpc, 1, "unknown-field")) as emulator:
        services = Connection(emulator.address).cloud_run().services
        if path:
            found = services.list_services(parent=NAME).services[0]
        else:
            found = services.get_service(name=f"{NAME}/services/s0")
    known = run_v2.Service.pb(found)

    assert b"\xfa\x3f\x07unknown" in known.SerializeToString()
    assert len(emulator.fired) == 1


def test_permission_flip():
    """A permission that is taken away stays away, of that rpc alone."""
    with failing((LIST, 2, "permission-flip")) as emulator:
        for _ in range(2):
            with pytest.raises(exceptions.PermissionDenied):
                pages(emulator)
        services = Connection(emulator.address).cloud_run().services
        got = services.get_service(name=f"{NAME}/services/s0")

    assert got.generation == 1
    assert len(emulator.fired) == 2


def test_expired_credential():
    """A credential that ends ends for every rpc."""
    with failing((LIST, 2, "expired-credential")) as emulator:
        services = Connection(emulator.address).cloud_run().services
        services.get_service(name=f"{NAME}/services/s0")
        with pytest.raises(exceptions.Unauthenticated):
            pages(emulator)
        with pytest.raises(exceptions.Unauthenticated):
            services.get_service(name=f"{NAME}/services/s0")

    assert [f.kind for f in emulator.fired] == ["expired-credential"] * 2


def test_several_faults_on_one_call():
    """Faults of several kinds can meet one call."""
    faults = [(LIST, 1, kind) for kind in ("unknown-field", "slow-drip", "empty-page")]
    with failing(*faults) as emulator:
        found = pages(emulator)

    assert found == [[], *WHOLE]
    assert len(emulator.fired) == 3


READS = {
    "Services/ListServices": run_v2.ListServicesRequest(parent=NAME),
    "Services/GetService": run_v2.GetServiceRequest(name=f"{NAME}/services/api"),
    "Revisions/ListRevisions": run_v2.ListRevisionsRequest(parent=f"{NAME}/services/api"),
    "Revisions/GetRevision": run_v2.GetRevisionRequest(
        name=f"{NAME}/services/api/revisions/api-00001-a"
    ),
    "WorkerPools/ListWorkerPools": run_v2.ListWorkerPoolsRequest(parent=NAME),
    "WorkerPools/GetWorkerPool": run_v2.GetWorkerPoolRequest(name=f"{NAME}/workerPools/mailer"),
    "Jobs/ListJobs": run_v2.ListJobsRequest(parent=NAME),
    "Jobs/GetJob": run_v2.GetJobRequest(name=f"{NAME}/jobs/nightly"),
    "SecretManagerService/ListSecrets": secretmanager_v1.ListSecretsRequest(parent="projects/shop"),
    "SecretManagerService/GetSecret": secretmanager_v1.GetSecretRequest(name=SECRET),
    "SecretManagerService/ListSecretVersions": secretmanager_v1.ListSecretVersionsRequest(
        parent=SECRET
    ),
    "SecretManagerService/GetSecretVersion": secretmanager_v1.GetSecretVersionRequest(
        name=f"{SECRET}/versions/latest"
    ),
}
ELSEWHERE = {"early-end", "permuted-pages", "unreachable", "expired-token"}
"""What a page that is the last one, or a list of another kind, cannot do wrong."""

OF_ALL = {"expired-credential", "slow-drip"}
"""What is the same for every rpc, or takes its time."""


@pytest.mark.parametrize("kind", sorted(KINDS - ELSEWHERE - OF_ALL))
def test_every_fault_of_every_rpc(kind):
    """Every kind that an rpc can meet happens to it, and the next call is answered as ever."""
    meets = [rpc for rpc in READS if kind not in PAGING or "/List" in rpc]
    if kind == "generation-bump":
        meets = [rpc for rpc in READS if not rpc.startswith("Secret")]
    with Emulator(world(MORE), faults=[Fault(rpc, 1, kind) for rpc in meets]) as emulator:
        for rpc in meets:
            call(emulator, rpc, 0.1 if kind == "hang" else 5)
        after = {call(emulator, rpc, 5) for rpc in meets}

    assert [f.rpc for f in emulator.fired[: len(meets)]] == meets
    assert after == {
        grpc.StatusCode.PERMISSION_DENIED if kind == "permission-flip" else grpc.StatusCode.OK
    }


def call(emulator, rpc, timeout):
    """The status that one call ends with, on a connection of its own."""
    package = "secretmanager.v1" if rpc.startswith("Secret") else "run.v2"
    asked: Any = READS[rpc]
    alone = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(emulator.address, options=alone) as channel:
        method = channel.unary_unary(f"/google.cloud.{package}.{rpc}", None, None)
        try:
            method(asked._pb.SerializeToString(), timeout=timeout)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


@given(st.integers(0, 12), st.integers(1, 5), st.lists(st.integers(1, 5), max_size=12))
def test_pages_are_the_list(count, first, sizes):
    """Pages of any sizes, one after the other, are the whole list and nothing twice."""
    items, token = list(range(count)), ""
    found: list[int] = []
    for size in [first, *sizes, *[1] * count]:
        page = Walk(items, token, size).page()
        found += page.items
        token = page.token
        if not token:
            break

    assert found == items


def test_every_kind_is_tested():
    """No kind of fault is without a test in this file."""
    text = Path(__file__).read_text()

    assert [k for k in KINDS - CODES - {RETRY_INFO} if f'"{k}"' not in text] == []


def test_faults_of_a_world():
    """A world can bring its faults along."""
    gone = pytest.raises(exceptions.NotFound)
    with failing(faults=[f"{LIST}:1:NOT_FOUND"]) as emulator, gone:
        pages(emulator)

    assert [str(f) for f in emulator.fired] == [f"{LIST}:1:NOT_FOUND"]


def test_fault_as_text():
    """A fault is written as rpc, number and kind, with a plus for all from there on."""
    texts = [f"{LIST}:1:hang", f"{LIST}:12+:{RETRY_INFO}"]

    assert [Fault.parse(t) for t in texts] == [
        Fault(LIST, 1, "hang"),
        Fault(LIST, 12, RETRY_INFO, always=True),
    ]
    assert [str(Fault.parse(t)) for t in texts] == texts


@pytest.mark.parametrize(
    "text", ["", LIST, f"{LIST}:1", f"{LIST}:0:hang", f"{LIST}:x:hang", f"{LIST}:1:nonsense"]
)
def test_fault_that_is_none(text):
    """What is no fault is refused, in a world with its place."""
    with pytest.raises(ValueError):
        Fault.parse(text)
    with pytest.raises(InputError, match=r"faults\.0"):
        world(FLEET, faults=[text])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("Services/ListService"), "is of an rpc that is not served"),
        (Fault(GET, 1, "early-end"), "is one of lists, and the rpc is none"),
    ],
)
def test_fault_that_could_never_happen(fault, message):
    """A fault that could never happen is a mistake and said to be one."""
    with pytest.raises(CommandError, match=message):
        Emulator(world(FLEET), faults=[fault])
