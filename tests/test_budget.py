"""What a run may spend: time, calls and attempts, on a clock that the test turns."""

from __future__ import annotations

import grpc
import pytest
from google.api_core import exceptions
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.collector.budget import AGAIN, ATTEMPTS, Budget, Missing, Stale, Unanswered
from drift_audit.collector.pace import CLOUD_RUN, SECRET_MANAGER, Pace, Quota
from drift_audit.collector.plan import plan

QUOTA = Quota(CLOUD_RUN, "shop", "europe-west1")


class Clock:
    """A clock that only moves when somebody waits, or when it is turned."""

    def __init__(self):
        self.now, self.waits = 0.0, []

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


class Server:
    """Answers a call with the next of some outcomes, and remembers the deadlines it was given."""

    def __init__(self, *outcomes):
        self.outcomes, self.deadlines = list(outcomes), []

    def __call__(self, request, timeout, retry):
        self.deadlines.append(timeout)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def spending(seconds=900.0, **options):
    clock = Clock()
    return clock, Budget(clock, seconds, sleep=clock.wait, **options)


UNAVAILABLE = exceptions.ServiceUnavailable("cnry")
EXHAUSTED = exceptions.ResourceExhausted("cnry")


def test_a_call_gets_what_is_left():
    """A call waits up to the limit of a call, and never longer than the run may take."""
    clock, budget = spending()
    server = Server("reply")
    budget.call("x", server, None, QUOTA)
    clock.now = 890.0
    budget.call("x", server, None, QUOTA)

    assert server.deadlines == [30.0, 10.0]


def test_no_time_left():
    """When the time of the run is used up nothing is sent any more."""
    clock, budget = spending(5.0)
    clock.now = 5.0
    server = Server("reply")

    with pytest.raises(Unanswered, match="the time of the run is used up"):
        budget.call("x", server, None, QUOTA)
    assert server.deadlines == []


@pytest.mark.parametrize(
    ("raised", "caught"),
    [
        (exceptions.NotFound("cnry"), Missing),
        (exceptions.InvalidArgument("cnry"), Stale),
        (exceptions.GoogleAPICallError("cnry"), Unanswered),
        (UNAVAILABLE, Unanswered),
    ],
)
def test_errors_are_ours(raised, caught):
    """Errors of the library become ours, without the text of a server."""
    _, budget = spending()

    with pytest.raises(caught) as error:
        budget.call("x", Server(raised), None, QUOTA)
    assert "cnry" not in str(error.value)


@pytest.mark.parametrize("error", [UNAVAILABLE, EXHAUSTED, exceptions.DeadlineExceeded("cnry")])
def test_tried_again(error):
    """What may come right is tried again after a wait, until it does."""
    clock, budget = spending()

    assert budget.call("x", Server(error, error, "reply"), None, QUOTA) == "reply"
    assert len(clock.waits) == 2


def test_attempts_end():
    """A call that never comes right is given up after so many attempts."""
    _, budget = spending()
    server = Server(UNAVAILABLE)

    with pytest.raises(Unanswered, match="the service cannot be reached"):
        budget.call("x", server, None, QUOTA)
    assert len(server.deadlines) == ATTEMPTS


@pytest.mark.parametrize(
    "error",
    [
        exceptions.PermissionDenied("cnry"),
        exceptions.InternalServerError("cnry"),
        exceptions.ResourceExhausted("Received message larger than max (7934800 vs. 4194304)"),
        exceptions.ServiceUnavailable("Getting metadata from plugin failed with error: cnry"),
    ],
)
def test_not_tried_again(error):
    """What comes again each time is sent once; a size limit of ours is no quota of theirs."""
    _, budget = spending()
    server = Server(error)

    with pytest.raises(Unanswered):
        budget.call("x", server, None, QUOTA)
    assert len(server.deadlines) == 1


def test_a_limit_of_the_client_is_told_as_one():
    """gRPC reports its own size limit under the code of a quota: the words tell them apart."""
    _, budget = spending()
    error = exceptions.ResourceExhausted("Received message larger than max (7934800 vs. 4194304)")

    with pytest.raises(Unanswered, match="larger than this client takes"):
        budget.call("x", Server(error), None, QUOTA)


def test_the_server_says_when():
    """What the server asks us to wait is waited, and a little more."""
    clock, budget = spending()
    info = RetryInfo(retry_delay=Duration(seconds=7, nanos=500_000_000))
    error = exceptions.ResourceExhausted("cnry", details=[info])
    budget.call("x", Server(error, "reply"), None, QUOTA)

    assert 7.5 <= clock.waits[0] < 18


def test_a_wait_beyond_the_run():
    """Where the next attempt would come too late there is none."""
    clock, budget = spending(60.0)
    error = exceptions.ResourceExhausted("x", details=[RetryInfo(retry_delay=Duration(seconds=61))])

    with pytest.raises(Unanswered, match="the quota is used up"):
        budget.call("x", Server(error), None, QUOTA)
    assert clock.waits == []


def test_an_api_that_is_down_is_not_hammered():
    """All calls of a run together have so many second attempts, and no more."""
    _, budget = spending(10**6)
    server = Server(UNAVAILABLE)
    for _ in range(AGAIN):
        with pytest.raises(Unanswered):
            budget.call("x", server, None, QUOTA)

    assert len(server.deadlines) == AGAIN + AGAIN


def test_a_code_that_nobody_knows():
    """A status without a code of gRPC is told by its class."""
    _, budget = spending()

    with pytest.raises(Unanswered, match="the service answered GoogleAPICallError"):
        budget.call("x", Server(exceptions.GoogleAPICallError("cnry")), None, QUOTA)
    assert exceptions.NotFound("x").grpc_status_code is grpc.StatusCode.NOT_FOUND


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_no_window_holds_more_than_is_allowed(pauses):
    """However calls arrive, none of the last windows holds more than the rate."""
    clock = Clock()
    budget = Budget(clock, 10**9, sleep=clock.wait, pace=Pace(clock, {CLOUD_RUN: 5}, 60.0))
    sent = []

    def method(request, timeout, retry):
        sent.append(clock.now)

    for pause in pauses:
        clock.now += pause
        budget.call("x", method, None, QUOTA)

    assert all(b - a >= 59.99 for a, b in zip(sent, sent[5:], strict=False))


def test_each_quota_is_its_own():
    """Projects, regions and APIs do not wait for each other."""
    pace = Pace(lambda: 0.0, {CLOUD_RUN: 1, SECRET_MANAGER: 1})
    quotas = [QUOTA, QUOTA._replace(region="us"), Quota(SECRET_MANAGER, "shop"), QUOTA]

    assert [pace.take(quota) > 0 for quota in quotas] == [False, False, False, True]


def test_a_quota_that_outlasts_the_run():
    """A turn that comes after the end of the run is not waited for."""
    clock, budget = spending(30.0, pace=Pace(lambda: 0.0, {CLOUD_RUN: 1}))
    budget.call("x", Server("reply"), None, QUOTA)

    with pytest.raises(Unanswered, match="waiting for the quota"):
        budget.call("x", Server("reply"), None, QUOTA)
    assert clock.waits == []


@pytest.mark.parametrize(
    ("wanted", "generations", "latency", "way"),
    [
        (3, [1, 2], 0.001, "sweep"),
        (3, [1, 2], 0.08, "sweep"),
        (3, [200, 200], 0.08, "gets"),
        (1, [1], 0.0, "gets"),
        (2, [150], 0.0, "gets"),
        (1_000, [20] * 1_000, 0.001, "sweep"),
        (1_000, [20] * 1_000, 0.08, "gets"),
        (2_000, [20] * 1_000, 0.08, "sweep"),
        (1_000, [900] * 1_000, 0.001, "gets"),
        (2, [10**9], 0.001, "gets"),
    ],
)
def test_plan(wanted, generations, latency, way):
    """
    The plan that is over sooner is taken; a service keeps no more than a thousand revisions, and
    the quota of a minute is not spent on one location.
    """
    assert plan(wanted, generations, latency, 16).way == way
