"""Limits as they are read: of what services use, once each, within the budget, or not seen."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from drift_audit.collector.budget import Budget
from drift_audit.collector.connection import Connection
from drift_audit.collector.limits import PRIMARIES, LimitReader
from drift_audit.collector.pace import PER_MINUTE, SQL_ADMIN, VPC_ACCESS, Pace, Quota
from drift_audit.collector.rest import Question
from drift_audit.emulator.world import read_world
from drift_audit.errors import InputError
from tests.canary import files_below, leaks
from tests.command import run
from tests.worlds import playing, playing_document, reached, world

CANARY = "cnry-limits-7f3a9c51e2"
PLACE = {"project": "shop", "region": "europe-west1"}
MAIN, CONNECTOR = "shop:europe-west1:main", "projects/shop/locations/europe-west1/connectors/c1"
POOL = {"WEB_CONCURRENCY": "2", "DB_POOL_SIZE": "5", "DB_MAX_OVERFLOW": "5"}
SQL, VPC = "SqlInstancesService/Get", "VpcAccessService/GetConnector"
SCOPE = ["--project=shop", "--region=europe-west1", "--kind=service"]


def service(name="api", **revision):
    """A service with one revision."""
    made = {"name": f"{name}-1", "at": "2026-01-01T08:00:00Z", "image": "r/api@sha256:" + "1" * 64}
    return {**PLACE, "service": name, "revisions": [{**made, "max_instances": 10, **revision}]}


def database(name="main", **more):
    return {**PLACE, "database": name, "tier": "db-custom-1-3840", **more}


def connector(name="c1", **more):
    return {**PLACE, "connector": name, **more}


def shop(*services, databases=(), connectors=(), **more):
    return {
        "services": list(services), "databases": list(databases), "connectors": list(connectors), **more,
    }  # fmt: skip


USED = service(cloud_sql=[MAIN], connector=CONNECTOR, env=POOL)


def audited(folder, played, *flags, policy="", code=None):
    """The report of an audit that reads limits, and how often each was asked for."""
    (folder / "drift-audit.toml").write_text(policy)
    with playing_document(played) as emulator:
        ran = run(
            "audit", *SCOPE, "--read-limits", "--format=json", *flags,
            cwd=folder, env=reached(emulator),
        )  # fmt: skip
        calls = Counter(call.method for call in emulator.calls)
    assert code in (None, ran.code), ran.block
    return json.loads(ran.out), calls


def told(report, *rules):
    """What was found about the run by some rules."""
    return [f["says"] for f in report["findings"] if f["rule"] in rules]


def test_worst_case_with_limits_that_were_read(tmp_path):
    """Without any policy, all that services may open is held against what the database takes."""
    played = shop(USED, databases=[database()], connectors=[connector()])
    report, calls = audited(tmp_path, played, code=10)

    exceeded = "may get 200 connections and takes 97 (100, the default for 3.75 GB)"
    unknown = "it has at most 10 of its own (e2-micro); say per_instance or max_instances"

    assert told(report, "connections-exceeded") == [f"{MAIN} {exceeded}: api 10 x 2 x (5 + 5)"]
    assert told(report, "limit-unknown") == [
        f"connector c1: how many instances it carries is not known: {unknown} in the policy"
    ]
    assert report["headline"].startswith(f"{MAIN} may get 200 connections")
    assert (calls[SQL], calls[VPC]) == (1, 1)
    assert (report["coverage"]["limits_read"], report["coverage"]["limits"]) == (2, 2)


def test_only_what_is_used_is_asked_for(tmp_path):
    """A database that no service uses is not asked for, whatever the world or the policy holds."""
    played = shop(
        service("api", cloud_sql=[MAIN]),
        service(
            "web", env={"DATABASE": "postgres://app@/shop?host=/cloudsql/shop:europe-west1:named"}
        ),
        service("jobs", connector=CONNECTOR),
        databases=[database(), database("named"), database("said"), database("idle")],
        connectors=[connector(), connector("idle")],
    )
    policy = '[[database]]\ninstance = "shop:europe-west1:said"\nservices = ["jobs"]\n'
    policy += '[[database]]\ninstance = "shop:europe-west1:idle"\nservices = ["nobody"]\n'
    report, calls = audited(tmp_path, played, policy=policy)

    assert (calls[SQL], calls[VPC]) == (3, 1)
    assert report["coverage"]["limits"] == 4
    assert not [f for f in report["findings"] if "idle" in f["says"]]


def test_nothing_is_asked_for_unless_it_is_wanted(tmp_path):
    """Without the flag nobody asks, and the policy is told how it could be known."""
    (tmp_path / "drift-audit.toml").write_text(f'[[database]]\ninstance = "{MAIN}"\n')
    with playing_document(shop(USED, databases=[database()])) as emulator:
        ran = run("audit", *SCOPE, "--format=json", cwd=tmp_path, env=reached(emulator))
        methods = {call.method for call in emulator.calls}
    report = json.loads(ran.out)

    assert not {SQL, VPC} & methods
    says = "is not known: read it with --read-limits, or say max_connections in the policy"
    assert told(report, "limit-unknown") == [f"{MAIN}: how many connections it takes {says}"]
    assert report["coverage"]["limits"] == 0


def test_policy_wins_and_a_difference_is_told(tmp_path):
    """The number of the policy decides, and that the real one is lower is a finding."""
    policy = f'[[database]]\ninstance = "{MAIN}"\nmax_connections = 500\n'
    policy += '[[connector]]\nname = "c1"\nper_instance = 2\n'
    played = shop(USED, databases=[database(flags={"max_connections": "150"})])
    played["connectors"] = [connector(max_instances=4)]
    report, _ = audited(tmp_path, played, policy=policy)

    assert told(report, "connections-exceeded", "limit-unknown") == []
    assert told(report, "limit-differs") == [
        f"{MAIN} takes 150 connections, as its flag says, and the policy says 500"
    ]
    assert told(report, "connector-exceeded") == [
        "connector c1: 10 instances may go through it, and it carries 8 (4 x 2): api 10"
    ]


def test_replica_of_a_larger_primary(tmp_path):
    """The default of a replica is that of the largest in its chain of primaries, each asked for."""
    played = shop(
        service(cloud_sql=["shop:europe-west1:copy"], env=POOL),
        databases=[
            database("copy", primary="middle"),
            database("middle", primary="shop:top"),
            database("top", tier="db-custom-8-30720"),
        ],
    )
    report, calls = audited(tmp_path, played, code=0)

    assert calls[SQL] == 3
    assert told(report, "connections-exceeded", "limit-unknown", "limit-differs") == []
    assert report["coverage"]["limits"] == 1


@pytest.mark.parametrize(
    ("one", "calls", "says"),
    [
        (database(primary="gone"), 2, "its primary is not known"),
        (database(primary="main"), PRIMARIES, "its primary is not known"),
        (database(primary="top", nodes=3), 1, "it is a pool of several nodes"),
        (database(primary="top", pooling=True), 1, "managed connection pooling is on"),
        (database(primary="top", engine="MYSQL_8_0"), 1, "MYSQL_8_0 has no flag max_connections set"),
        (database(engine="SQLSERVER_2022_WEB", flags={"max_connections": "7"}), 1, "SQLSERVER_2022_WEB has no flag"),
        (database(engine="SQLSERVER_2022_WEB", flags={"user connections": "0"}), 1, "SQLSERVER_2022_WEB has no flag"),
        (database(tier="db-n4-standard-8"), 1, "the memory of db-n4-standard-8 is not known"),
    ],
)  # fmt: skip
def test_what_is_not_told_is_asked_for(tmp_path, one, calls, says):
    """Where nothing tells a limit it is asked for by name, and the audit goes on."""
    played = shop(service(cloud_sql=[MAIN], env=POOL), databases=[one, database("top")])
    report, asked = audited(tmp_path, played, code=0)
    [unknown] = told(report, "limit-unknown")

    assert unknown.startswith(f"{MAIN}: how many connections it takes is not known: {says}")
    assert unknown.endswith("; say max_connections in the policy")
    assert asked[SQL] == calls


@pytest.mark.parametrize(
    ("databases", "connectors", "says"),
    [
        ([], [connector()], f"{MAIN} does not exist; used by api"),
        ([database(region="europe-west4")], [connector()], f"{MAIN} does not exist; used by api"),
        ([database(activation="NEVER")], [connector()], f"{MAIN} is stopped; used by api"),
        ([database(state="FAILED")], [connector()], f"{MAIN} is in the state FAILED; used by api"),
        ([database(state="SQL_INSTANCE_STATE_UNSPECIFIED")], [], "connector c1 does not exist; used by api"),
        ([database()], [connector(state="ERROR")], "connector c1 is in the state ERROR; used by api"),
    ],
)  # fmt: skip
def test_what_does_not_work(tmp_path, databases, connectors, says):
    """A database or a connector that is not there, or does not work, is a finding that fails a run."""
    played = shop(
        service(cloud_sql=[MAIN], connector=CONNECTOR), databases=databases, connectors=connectors
    )
    report, _ = audited(tmp_path, played, code=10)

    assert told(report, "database-unavailable", "connector-unavailable") == [says]


def test_second_night(tmp_path):
    """A night that reads no revision anew asks for limits all the same, and comes to the same."""
    (tmp_path / "baselines").mkdir()
    played = shop(USED, databases=[database()], connectors=[connector()])
    with playing_document(played) as emulator:  # in which nobody asked for numbers
        run("audit", *SCOPE, cwd=tmp_path, env=reached(emulator))
    first, _ = audited(tmp_path, played)
    second, calls = audited(tmp_path, played)

    assert (calls["Revisions/GetRevision"], calls[SQL], calls[VPC]) == (0, 1, 1)
    assert second["findings"] == first["findings"]
    assert told(second, "connections-exceeded") != []


# What could not be read


@pytest.mark.parametrize(
    ("more", "policy", "unseen", "skipped"),
    [
        (
            {"denied": ["projects/shop/instances"]}, "",
            (f"Cloud SQL instance {MAIN}", "permission denied"),
            [f"connections-exceeded for {MAIN}", f"database-unavailable for {MAIN}"],
        ),
        (
            {"denied": ["projects/shop/instances"]}, f'[[database]]\ninstance="{MAIN}"\nmax_connections=500\n',
            (f"Cloud SQL instance {MAIN}", "permission denied"),
            [f"database-unavailable for {MAIN}", f"limit-differs for {MAIN}"],
        ),
        (
            {"denied": [CONNECTOR]}, "",
            (f"VPC connector {CONNECTOR}", "permission denied"),
            [f"connector-unavailable for {CONNECTOR}"],
        ),
        (
            {"denied": [CONNECTOR]}, '[[connector]]\nname="c1"\nper_instance=2\n',
            (f"VPC connector {CONNECTOR}", "permission denied"),
            [f"connector-exceeded for {CONNECTOR}", f"connector-unavailable for {CONNECTOR}"],
        ),
        (
            {"faults": [f"{SQL}:1+:INTERNAL"]}, "",
            (f"Cloud SQL instance {MAIN}", "the service answered INTERNAL"),
            [f"connections-exceeded for {MAIN}", f"database-unavailable for {MAIN}"],
        ),
        (
            {"faults": [f"{VPC}:1+:truncated"]}, "",
            (f"VPC connector {CONNECTOR}", "the service answered DATA_LOSS"),
            [f"connector-unavailable for {CONNECTOR}"],
        ),
    ],
)  # fmt: skip
def test_unseen_limits(tmp_path, more, policy, unseen, skipped):
    """A limit that could not be read is named, so are the rules that needed it, and the run ends with 3."""
    played = shop(USED, databases=[database()], connectors=[connector()], **more)
    report, _ = audited(tmp_path, played, "--fail-on=never", policy=policy, code=3)

    assert [(u["where"], u["reason"]) for u in report["unseen"]] == [unseen]
    assert sorted(s["what"] for s in report["skipped"] if s["blocking"]) == skipped
    assert bool(told(report, "connections-exceeded")) == (CONNECTOR in unseen[0])
    assert report["coverage"]["limits_read"] == report["coverage"]["limits"] - 1


def test_primary_that_may_not_be_seen(tmp_path):
    """A replica whose primary may not be looked at was not seen whole."""
    played = shop(
        service(cloud_sql=[MAIN]),
        databases=[database(primary="top"), database("top")],
        denied=["projects/shop/instances/top"],
    )
    report, _ = audited(tmp_path, played, code=3)

    assert [u["reason"] for u in report["unseen"]] == [
        "its primary could not be read: permission denied"
    ]


def test_name_that_can_be_no_instance(tmp_path):
    """What a revision is attached to and what can be no instance is not asked for, and told."""
    report, calls = audited(tmp_path, shop(service(cloud_sql=["shop:main"])), code=3)

    assert calls[SQL] == 0
    assert [u["reason"] for u in report["unseen"]] == ["not the name of an instance"]


@pytest.mark.parametrize("fault", ["UNAVAILABLE", "RESOURCE_EXHAUSTED with RetryInfo", "reset"])
def test_failures_that_pass(fault):
    """What may come right is tried again, as every call is."""
    played = shop(databases=[database()], faults=[f"{SQL}:1:{fault}"])
    with playing_document(played) as emulator:
        limits = reader(emulator.rest).read([MAIN], [])
        calls = len(emulator.calls)

    assert (limits.database(MAIN).limit.most, calls, limits.unseen) == (100, 2, ())


def reader(rest, *, seconds=60.0, told=None):
    """What reads limits from a server; it waits for nothing between two attempts."""
    budget = Budget(time.monotonic, seconds, sleep=lambda _: None)
    tell = (lambda *one: told.append(one)) if told is not None else lambda *_: None
    return LimitReader(Connection("127.0.0.1:1", "", rest).rest(), budget, tell)


def test_name_that_can_be_no_connector():
    """What can be no connector is not asked for either."""
    with playing_document(shop()) as emulator:
        limits = reader(emulator.rest).read([], ["c1"])
        calls = len(emulator.calls)

    assert calls == 0
    assert [u.reason for u in limits.unseen] == ["not the full name of a connector"]


def test_time_that_is_used_up():
    """What the run has no time for was not seen."""
    with playing_document(shop(databases=[database()])) as emulator:
        limits = reader(emulator.rest, seconds=0).read([MAIN], [CONNECTOR])

    assert {u.reason for u in limits.unseen} == {"the time of the run is used up"}
    assert (limits.databases, limits.connectors, len(limits.asked)) == ((), (), 2)


def test_progress_and_repeats():
    """Each is asked for once, however often it is named, and progress is told one by one."""
    seen: list[Any] = []
    with playing_document(shop(databases=[database()], connectors=[connector()])) as emulator:
        reader(emulator.rest, told=seen).read([MAIN, MAIN], [CONNECTOR])
        calls = len(emulator.calls)

    assert calls == 2
    assert seen == [("limits", 1, 2), ("limits", 2, 2)]


@pytest.mark.parametrize("api", [SQL_ADMIN, VPC_ACCESS])
def test_pace(api):
    """Each API has a pace of its own, which leaves the quota to the services that scale."""
    pace = Pace(lambda: 0.0)
    taken = [pace.take(Quota(api, "shop")) for _ in range(PER_MINUTE[api] + 1)]

    assert (set(taken[:-1]), taken[-1] > 0) == ({0.0}, True)


# Answers that are none


@contextmanager
def answering(answers):
    """A server that gives some paths an answer, and no others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path in answers
            data = json.dumps(answers.get(self.path, {})).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


GOOD: dict[str, Any] = {
    "connectionName": MAIN,
    "databaseVersion": "POSTGRES_16",
    "settings": {"tier": "db-f1-micro"},
}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, "an answer that is no instance"),
        ({**GOOD, "connectionName": 7}, "an answer that is no instance"),
        ({**GOOD, "settings": None}, "an answer that is no instance"),
        ({**GOOD, "settings": {"databaseFlags": "x"}}, "an answer that is no instance"),
        ({**GOOD, "settings": {"databaseFlags": ["x"]}}, "an answer that is no instance"),
        ({**GOOD, "settings": {"databaseFlags": [{"name": "max_connections", "value": "x"}]}}, "a number of connections that is no number"),
        ({**GOOD, "settings": {"databaseFlags": [{"name": "max_connections"}]}}, "a number of connections that is no number"),
        ([GOOD], "the service answered DATA_LOSS"),
    ],
)  # fmt: skip
def test_answers_that_are_no_instance(answer, reason):
    """An answer of another shape was not seen; nothing of it is guessed or repeated."""
    with answering({"/v1/projects/shop/instances/main": answer}) as rest:
        limits = reader(rest).read([MAIN], [])

    assert [u.reason for u in limits.unseen] == [reason]


def test_odd_fields_of_an_instance():
    """Fields of another type than expected tell nothing, and what they tell elsewhere still holds."""
    odd = {
        **GOOD,
        "state": 3,
        "settings": {**GOOD["settings"], "connectionPoolConfig": [], "activationPolicy": {}},
    }
    with answering({"/v1/projects/shop/instances/main": odd}) as rest:
        one = reader(rest).read([MAIN], []).database(MAIN)

    assert (one.limit.most, one.trouble) == (25, None)


@pytest.mark.parametrize(
    "answer", [{}, {"name": "c1"}, {"name": CONNECTOR.replace("c1", "c2")}, {"name": [CONNECTOR]}]
)
def test_answers_that_are_no_connector(answer):
    """The same for connectors, and for an answer about another one."""
    with answering({f"/v1/{CONNECTOR}": answer}) as rest:
        limits = reader(rest).read([], [CONNECTOR])

    assert [u.reason for u in limits.unseen] == ["an answer that is no such connector"]


@pytest.mark.parametrize(
    ("given", "most"), [({}, None), ({"maxInstances": 7}, 7), ({"maxInstances": "x"}, None)]
)
def test_connector_by_throughput(given, most):
    """A connector that tells no number of instances has none."""
    with answering({f"/v1/{CONNECTOR}": {"name": CONNECTOR, **given}}) as rest:
        one = reader(rest).read([], [CONNECTOR]).connector(CONNECTOR)

    assert (one.max_instances, one.trouble) == (most, None)


# The command


def test_files_tell_no_limits(here):
    """Exported files do not tell what a database takes: to ask for both is an error."""
    ran = run("audit", "--input=after.json", "--read-limits", cwd=here)

    assert (ran.code, ran.out) == (2, "")
    assert "--read-limits asks Google Cloud, and --input names files" in ran.err


def test_emulator_without_http(tmp_path):
    """Limits are asked for over HTTP: without that host nobody is asked in its place."""
    with playing_document(shop(USED)) as emulator:
        env = {**reached(emulator), "CLOUD_RUN_EMULATOR_REST_HOST": ""}
        ran = run("audit", *SCOPE, "--read-limits", cwd=tmp_path, env=env)

    assert ran.code == 3
    assert "CLOUD_RUN_EMULATOR_REST_HOST is not set, so limits cannot be asked for" in ran.err
    assert "leave --read-limits out" in ran.err


def test_pages_tell_how_many_limits_were_read(tmp_path):
    """The share that was read stands on the page, and so does what was not judged for want of it."""
    played = shop(USED, databases=[database()], denied=[CONNECTOR])
    with playing_document(played) as emulator:
        ran = run("audit", *SCOPE, "--read-limits", cwd=tmp_path, env=reached(emulator))

    assert "1 of 2 limits read" in ran.told
    assert f"connector-unavailable for {CONNECTOR}: its limit could not be read" in ran.told


def test_no_value_leaves(tmp_path):
    """Of an instance nothing is told but what a limit follows from: no other flag, and no value."""
    (tmp_path / "baselines").mkdir()
    flags = {"max_connections": "150", "custom_flag": CANARY}
    played = shop(
        service(cloud_sql=[MAIN], connector=CONNECTOR, env={**POOL, "PASSWORD": CANARY}),
        databases=[database(flags=flags)], connectors=[connector(network=CANARY)],
    )  # fmt: skip
    outputs = [f"-o=report.{suffix}" for suffix in ("txt", "json", "md", "html")]
    with playing_document(played) as emulator:
        ran = run(
            "audit", *SCOPE, "--read-limits", "--verbosity=debug", "--progress=on", *outputs,
            cwd=tmp_path, env=reached(emulator),
        )  # fmt: skip
    seen = ran.block.encode() + b"".join(files_below(tmp_path).values())

    assert b"(150, as its flag says)" in seen
    assert (
        f"get Cloud SQL instance {MAIN}" in ran.err or "get Cloud SQL instance shop:main" in ran.err
    )
    assert leaks(seen, [CANARY]) == []


def test_control_the_value_is_served():
    """The scan finds the value in what the server answers."""
    played = shop(databases=[database(flags={"custom_flag": CANARY})])
    with playing_document(played) as emulator:
        session = Connection("127.0.0.1:1", "", emulator.rest).rest()
        answer = session.ask(Question("", "/v1/projects/shop/instances/main"), 5, None)

    assert "plain" in leaks(json.dumps(answer).encode(), [CANARY])


# The world


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"databases": [database(), database(region="europe-west4")]}, "a database stands twice"),
        ({"connectors": [connector(), connector()]}, "a connector stands twice"),
        ({"databases": [database(nodes=0)]}, "databases.0.nodes"),
        ({"connectors": [connector(max_instances=2)]}, "connectors.0.max_instances"),
        ({"databases": [database(activation="SOMETIMES")]}, "databases.0.activation"),
    ],
)
def test_worlds_that_cannot_be(more, why):
    """A world is refused that no project can hold, with the place in it."""
    with pytest.raises(InputError, match=why):
        read_world(shop(**more), "world")


def test_asked_by_number():
    """A project may be named by its number, as everywhere; a connector may tell throughput alone."""
    number = "123456789012"
    played = world(
        "numbers: {shop: '123456789012'}",
        databases=[database()],
        connectors=[connector(max_instances=None)],
    )
    with playing(
        "page: 100",
        **played.model_dump(mode="json", include={"numbers", "databases", "connectors"}),
    ) as emulator:
        limits = reader(emulator.rest).read(
            [MAIN.replace("shop", number)], [CONNECTOR.replace("shop", number)]
        )

    assert limits.databases[0].limit.most == 100
    assert limits.connectors[0].max_instances is None
