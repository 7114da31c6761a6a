"""What a run may spend: time, calls and attempts, on a clock that the test turns."""

from __future__ import annotations

import logging
import random
from contextlib import nullcontext, suppress
from types import SimpleNamespace

import grpc
import pytest
from google.api_core import exceptions
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from hypothesis import given
from hypothesis import strategies as st
from tenacity import RetryCallState

from drift_audit.collector.budget import (
    AGAIN,
    ATTEMPTS,
    CALL_SECONDS,
    RUN_SECONDS,
    Budget,
    Missing,
    Stale,
    Unanswered,
)
from drift_audit.collector.pace import CLOUD_RUN, PER_MINUTE, SECRET_MANAGER, Pace, Quota
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
        self.outcomes, self.deadlines, self.requests = list(outcomes), [], []

    def __call__(self, request, timeout, retry):
        assert retry is None, "the library is not to try again by itself"
        self.deadlines.append(timeout)
        self.requests.append(request)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def spending(seconds=900.0, **options):
    clock = Clock()
    return clock, Budget(clock, seconds, sleep=clock.wait, **options)


UNAVAILABLE = exceptions.ServiceUnavailable("cnry")
EXHAUSTED = exceptions.ResourceExhausted("cnry")
LATE = exceptions.DeadlineExceeded("cnry")
DENIED = exceptions.PermissionDenied("cnry")
NOT_FOUND = exceptions.NotFound("cnry")


def test_a_call_gets_what_is_left():
    """A call waits up to the limit of a call, and never longer than the run may take."""
    clock, budget = spending()
    server = Server("reply")
    budget.call("x", server, None, QUOTA)
    clock.now = 890.0
    budget.call("x", server, None, QUOTA)

    assert server.deadlines == [30.0, 10.0]


def test_what_is_sent():
    """The request is sent as it is, each time, and the limits of a call and of a run are the usual ones."""
    clock = Clock()
    budget, request = Budget(clock, sleep=clock.wait), object()
    server = Server(UNAVAILABLE, "reply")
    left = budget.left
    budget.call("x", server, request, QUOTA)

    assert server.requests == [request, request]
    assert server.deadlines[0] == budget._attempt == CALL_SECONDS
    assert left == RUN_SECONDS


def test_run_that_began_late():
    """The time of a run is counted from when it began."""
    clock = Clock()
    clock.now = 1000.0
    budget = Budget(clock, 60.0, sleep=clock.wait)
    clock.now = 1059.5
    server = Server("reply")

    assert budget.left == 0.5
    assert budget.call("x", server, None, QUOTA) == "reply"
    assert server.deadlines == [0.5]


def test_quickest_call():
    """The latency is that of the quickest call so far, at first what a call may take; failures have none."""
    clock, budget = spending(attempt=9.0)
    told = [budget.latency]
    for seconds, outcome in ((3.0, "reply"), (5.0, "reply"), (0.5, DENIED), (2.0, "reply")):

        def method(request, timeout, retry, seconds=seconds, outcome=outcome):
            clock.now += seconds
            return Server(outcome)(request, timeout, retry)

        try:
            budget.call("x", method, None, QUOTA)
        except Unanswered:
            assert outcome is DENIED
        told.append(budget.latency)

    assert told == [9.0, 3.0, 3.0, 3.0, 2.0]


def test_calls_in_the_log(caplog):
    """The log tells of each attempt what it was and how it ended, in our words."""
    caplog.set_level(logging.DEBUG, "drift_audit.collector.budget")
    clock, budget = spending()

    def slow(request, timeout, retry):
        clock.now += 1.25

    budget.call("one", slow, None, QUOTA)
    for name, outcomes in (
        ("two", [UNAVAILABLE, "reply"]),
        ("three", [NOT_FOUND]),
        ("four", [DENIED]),
    ):
        with suppress(Missing, Unanswered):
            budget.call(name, Server(*outcomes), None, QUOTA)

    assert [record.getMessage() for record in caplog.records] == [
        "one: 1250 ms",
        "two: the service cannot be reached",
        "two: 0 ms",
        "three: not found",
        "four: permission denied",
    ]


def test_no_time_left():
    """When the time of the run is used up nothing is sent any more."""
    clock, budget = spending(5.0)
    clock.now = 5.0
    server = Server("reply")

    with pytest.raises(Unanswered, match=r"\Athe time of the run is used up\Z"):
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


def told_to_wait(error, *delays):
    """An error with which the server says how long to wait, among other things."""
    others = [Duration(seconds=50), SimpleNamespace(retry_delay=Duration(seconds=50))]
    details = [*others, *(RetryInfo(retry_delay=delay) for delay in delays), RetryInfo()]
    return type(error)("cnry", details=details)


@pytest.fixture
def chance():
    """The same jitter each time."""
    kept = random.getstate()
    random.seed(1)
    yield
    random.setstate(kept)


@pytest.mark.parametrize(
    ("error", "least", "most"),
    [
        (UNAVAILABLE, 0, 0.5),
        (LATE, 0, 0.5),
        (EXHAUSTED, 0, 4),
        (told_to_wait(UNAVAILABLE, Duration(nanos=250_000_000)), 0.25, 0.75),
        (told_to_wait(LATE, Duration(seconds=3), Duration(seconds=9)), 3, 3.5),
        (told_to_wait(EXHAUSTED, Duration(seconds=7, nanos=500_000_000)), 7.5, 8),
        (told_to_wait(UNAVAILABLE, Duration(seconds=-7)), 0, 0.5),
        (told_to_wait(EXHAUSTED, Duration(seconds=-7)), 0, 4),
        (told_to_wait(UNAVAILABLE), 0, 0.5),
        (told_to_wait(EXHAUSTED), 0, 4),
    ],
)
def test_waits(chance, error, least, most):
    """The first wait is what the server asks for and jitter: little of it, and more for a quota."""
    waits = []
    for _ in range(50):
        clock, budget = spending()
        budget.call("x", Server(error, "reply"), None, QUOTA)
        waits += clock.waits

    assert len(waits) == 50
    assert least <= min(waits) < least + 0.2 * (most - least)
    assert most - 0.2 * (most - least) < max(waits) <= most


@pytest.mark.parametrize(
    ("upcoming", "attempt", "again", "given_up"),
    [
        (59.9, 1, 9, False),
        (60.0, 1, 9, True),
        (0.0, ATTEMPTS - 1, 9, False),
        (0.0, ATTEMPTS, 9, True),
        (0.0, 1, 1, False),
        (0.0, 1, 0, True),
    ],
)
def test_when_a_call_is_given_up(upcoming, attempt, again, given_up):
    """A call is given up when the wait is all that is left, after so many attempts, or all of the run."""
    _, budget = spending(60.0)
    budget._again = again
    state = RetryCallState(None, None, (), {})
    state.upcoming_sleep, state.attempt_number = upcoming, attempt

    assert budget._no_more(state) is given_up


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DENIED, "permission denied"),
        (exceptions.Unauthenticated("cnry"), "the credentials were not accepted"),
        (LATE, "no answer in time"),
        (UNAVAILABLE, "the service cannot be reached"),
        (EXHAUSTED, "the quota is used up"),
        (exceptions.ResourceExhausted("larger than max"), "the answer is larger than this client takes"),
        (exceptions.ServiceUnavailable("Getting metadata from plugin failed"), "the credentials could not be refreshed"),
        (exceptions.ServiceUnavailable("larger than max"), "the service cannot be reached"),
        (exceptions.ServiceUnavailable(""), "the service cannot be reached"),
        (exceptions.PermissionDenied("larger than max"), "permission denied"),
        (exceptions.InternalServerError("cnry"), "the service answered INTERNAL"),
        (exceptions.InvalidArgument("cnry"), "the service answered INVALID_ARGUMENT"),
        (exceptions.BadGateway("cnry"), "the service answered BadGateway"),
    ],
)  # fmt: skip
def test_reasons(error, reason):
    """Each failure has its own words."""
    _, budget = spending()

    with pytest.raises(Unanswered) as told:
        budget.call("x", Server(error), None, QUOTA)
    assert str(told.value) == reason


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

    with pytest.raises(
        Unanswered, match=r"\Athe time of the run is used up waiting for the quota\Z"
    ):
        budget.call("x", Server("reply"), None, QUOTA)
    assert clock.waits == []


def test_a_turn_that_comes_just_in_time():
    """A turn is waited for where it comes before the end of the run, and not where it comes with it."""
    for more, sent in ((0.0, 1), (0.5, 2)):
        clock = Clock()
        pace = Pace(clock, {CLOUD_RUN: 1})
        wait = _second_turn()
        budget, server = Budget(clock, wait + more, sleep=clock.wait, pace=pace), Server("reply")
        budget.call("x", server, None, QUOTA)
        told = "the time of the run is used up waiting for the quota"
        with nullcontext() if sent == 2 else pytest.raises(Unanswered, match=told):
            budget.call("x", server, None, QUOTA)

        assert len(server.deadlines) == sent
        assert clock.waits == [wait] * (sent - 1)


def _second_turn():
    """How long the second of two calls waits where one may be sent in a minute."""
    pace = Pace(lambda: 0.0, {CLOUD_RUN: 1})
    return [pace.take(QUOTA), pace.take(QUOTA)][1]


@pytest.mark.parametrize("api", PER_MINUTE)
def test_pace_of_each_api(api):
    """A minute holds as many calls as are granted, each of which has passed when a minute has."""
    clock = Clock()
    pace, quota = Pace(clock, {SECRET_MANAGER: 2}), Quota(api, "shop")
    most = 2 if api == SECRET_MANAGER else PER_MINUTE[api]
    at_once = [pace.take(quota) for _ in range(most)]
    wait = pace.take(quota)
    clock.now += wait - 0.0005
    early = pace.take(quota)
    clock.now += early

    assert set(at_once) == {0.0}
    assert 59.9 < wait < 60.1
    assert early == 0.001
    assert pace.take(quota) == 0.0


def test_windows_of_another_length():
    """A window is as long as it is said to be."""
    clock = Clock()
    pace = Pace(clock, {CLOUD_RUN: 1}, 2.5)
    assert pace.take(QUOTA) == 0.0
    wait = pace.take(QUOTA)

    assert wait == pytest.approx(2.5, abs=0.002)


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
