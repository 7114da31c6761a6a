"""The index of what was kept, line by line, and what is kept of a revision at all."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from drift_audit.finding import Cause
from drift_audit.inventory import Service
from drift_audit.kept import (
    Deploy,
    KeptKeys,
    KeptLine,
    KeptStep,
    Record,
    apart,
    bare,
    deleted,
    keepable,
    recorded,
    together,
    told_apart,
    untold,
)
from drift_audit.seal import SealKey
from drift_audit.snapshot import Status, Unseen
from drift_audit.store.key_index import USUAL, File, KeyIndex, matches
from drift_audit.timeline import Step
from tests.builders import HOME, LASTING, NOW, sealer, snapshot

OTHER = SealKey(b"o" * 32, lasting=True)
DAY = dt.timedelta(days=1)
DEPLOYS = tuple(
    Deploy(
        revision=f"api-{n}", uid=f"u{n}", create_time=NOW + n * DAY, creator="me", client="gcloud 1"
    )
    for n in range(3)
)
CAUSE = Cause(command="gcloud run deploy --set-env-vars", because="it replaces them all")


def step(number, what="changed", state="literal", says="the plain value changed", cause=None):
    return Step(revision=f"api-{number}", what=what, state=state, says=says, cause=cause)


THERE = step(0, "there", says="was a plain value")
RECORD = Record(
    deploys=DEPLOYS,
    steps={
        ("key", "app", "A"): [THERE, step(1), step(2, "vanished", "absent", "it is gone", CAUSE)],
        ("key", "", "B"): [THERE],
        ("mount", "", "/etc/b"): [step(2, "appeared", "secret", "a secret appeared")],
    },
    apart=("api-2",),
)
QUIET = Record(deploys=DEPLOYS[:1], steps={("key", "", "B"): [THERE]})


def made():
    index = KeyIndex({})
    index.replace("api", RECORD)
    index.replace("web", QUIET)
    index.replace("batch.job", QUIET)
    index.seen = {"z": File("2", "touched"), "a": File("1")}
    return index


def line(*called):
    return json.dumps(called, separators=(",", ":"))


def test_lines_of_an_index():
    """What was written by one version is read by every later one, so it is written down here once more."""
    deploy = {
        "revision": "api-0", "uid": "u0", "create_time": "2026-01-15T12:00:00Z",
        "creator": "me", "client": "gcloud 1",
    }  # fmt: skip
    lines = made().close()

    assert lines[line("A", "key", "app", "api")] == (
        '[[0,1],[1,0],[2,"vanished","absent","it is gone",'
        '"gcloud run deploy --set-env-vars","it replaces them all"]]'
    )
    assert lines[line("B", "key", "", "api")] == "[[0,1]]"
    assert (
        lines[line("/etc/b", "mount", "", "api")] == '[[2,"appeared","secret","a secret appeared"]]'
    )
    assert lines[line("", "apart", "", "api")] == '["api-2"]'
    assert json.loads(lines[line("", "deploys", "", "web")]) == [deploy]
    assert lines[line("", "files", "", "")] == '{"a":["1",""],"z":["2","touched"]}'
    assert lines[line("", "services", "", "")] == '{"api":3,"batch.job":1,"web":1}'
    assert len(lines) == 5 + 2 + 2 + 2
    assert USUAL == [
        ("changed", "literal", "the plain value changed"),
        ("there", "literal", "was a plain value"),
    ]


def test_what_is_not_told_has_no_place():
    """A deploy of which little is known takes no more room than that; a record of nothing takes none."""
    index = KeyIndex({})
    index.replace("api", Record(deploys=(Deploy(revision="r", uid="u"),)))
    assert index.lines == {line("", "deploys", "", "api"): '[{"revision":"r","uid":"u"}]'}
    assert index.counts == {"api": 1}
    index.replace("api", Record())

    assert (index.lines, index.counts) == ({}, {})
    assert index.close() == {line("", "files", "", ""): "{}", line("", "services", "", ""): "{}"}


def test_index_that_is_read_again():
    """What is written down is read back, record by record, with the files that it was made of."""
    again = KeyIndex(dict(made().close()))

    assert again.seen == {"a": File("1"), "z": File("2", "touched")}
    assert again.counts == {"api": 3, "batch.job": 1, "web": 1}
    assert (again.record("api"), again.record("web"), again.record("none")) == (
        RECORD,
        QUIET,
        Record(),
    )
    assert again.uids("api") == {"u0", "u1", "u2"}
    assert again.uids("none") == frozenset()
    assert File("1").wrong == ""


def test_service_that_is_put_in_place_of_itself():
    """What is known of a service by now takes the place of all that was; others stay as they are."""
    index = KeyIndex(dict(made().close()))
    for _ in range(2):
        index.replace("api", QUIET)
        assert (index.record("api"), index.record("web")) == (QUIET, QUIET)
        assert index.counts["api"] == 1
        index.replace("api", RECORD)
        assert index.record("api") == RECORD


def kept(at, *steps, deploys=DEPLOYS):
    told = []
    for one in steps:
        number = int(one.revision[-1])
        previous = deploys[number - 1].revision if number else ""
        told.append(
            KeptStep(
                deploy=deploys[number], previous=previous, what=one.what, state=one.state,
                says=one.says, cause=one.cause,
            )
        )  # fmt: skip
    return KeptLine(at=at, steps=tuple(told))


A = kept(HOME.at("app", key="A"), *RECORD.steps["key", "app", "A"])
B = kept(HOME.at(key="B"), THERE)
FILE = kept(HOME.at(mount="/etc/b"), *RECORD.steps["mount", "", "/etc/b"])
WEB, JOB = (kept(HOME.but(service=name).at(key="B"), THERE) for name in ("web", "batch.job"))
MISSED = Unseen(
    where=f"plain values of {HOME} in api-2",
    reason="sealed with another key than those before: a change just there is not seen",
)


@pytest.mark.parametrize(
    ("services", "keys", "services_revisions", "without", "unchanged", "lines", "unseen"),
    [
        ("*", [], (3, 5), 0, 3, [FILE, A], [MISSED]),
        ("api", [], (1, 3), 0, 1, [FILE, A, B], [MISSED]),
        ("web", [], (1, 1), 0, 1, [WEB], []),
        ("batch", [], (1, 1), 0, 1, [JOB], []),
        ("none", [], (0, 0), 0, 0, [], []),
        ("*", ["A"], (3, 5), 2, 0, [A], [MISSED]),
        ("*", ["B"], (3, 5), 0, 3, [], [MISSED]),
        ("*", ["/etc/b", "A"], (3, 5), 2, 0, [FILE, A], [MISSED]),
        ("*", ["A*"], (3, 5), 2, 0, [A], [MISSED]),
        ("*", ["Z*", "/etc/*"], (3, 5), 2, 0, [FILE], [MISSED]),
        ("w*", ["A"], (1, 1), 1, 0, [], []),
        ("web", ["A", "B"], (1, 1), 0, 1, [WEB], []),
    ],
)
def test_questions_to_an_index(
    services, keys, services_revisions, without, unchanged, lines, unseen
):
    """What changed is told of all that was asked for, and all of one service; the rest is counted."""
    found = made().search(HOME.but(service="-"), services, keys)

    assert (found.services, found.revisions) == services_revisions
    assert (found.without, found.unchanged) == (without, unchanged)
    assert (list(found.lines), list(found.unseen)) == (lines, unseen)


def test_first_step_that_is_a_change():
    """A key that came with a deploy was changed by it, though nothing else happened to it."""
    index = KeyIndex({})
    index.replace("api", Record(deploys=DEPLOYS, steps={("key", "", "X"): [step(1, "appeared")]}))
    [found] = index.search(HOME, "*", []).lines

    assert (found.at.key, found.changed) == ("X", True)
    assert not B.changed


def test_order_of_what_is_told():
    """Services come by name, and of each its files by path, before its keys by name and container."""
    index = KeyIndex({})
    places = [
        ("mount", "", "/b"), ("key", "z", "B"), ("key", "", "B"), ("mount", "", "/a"), ("key", "", "A"),
    ]  # fmt: skip
    for service in ("web", "api"):
        gone = [step(1, "vanished", "absent")]
        index.replace(service, Record(deploys=DEPLOYS, steps=dict.fromkeys(places, gone)))
    found = [line.at for line in index.search(HOME, "*", []).lines]

    assert [at.service for at in found] == ["api"] * 5 + ["web"] * 5
    assert [at.container + at.name for at in found[:5]] == ["/a", "/b", "A", "B", "zB"]


@pytest.mark.parametrize(
    ("service", "glob", "does"),
    [("api", "a*", True), ("api", "b*", False), ("a.job", "a", True), ("a.job", "a.job", True), ("a.job", "job", False)],
)  # fmt: skip
def test_globs_of_services(service, glob, does):
    """A job goes by its own name, and by the name in its address."""
    assert matches(service, glob) is does


# What is kept of a revision


SECRET = {
    "secret": "jwt",
    "version": "1",
    "project": "other",
    "resolved": 7,
    "state": "enabled",
    "access": "granted",
}


def revision(number, side=None, key=LASTING, **more):
    return snapshot(
        side, seal=sealer(key=key, reveal=["SHOWN"]), revision=f"api-{number}", uid=f"u{number}",
        create_time=NOW + number * DAY, **more,
    )  # fmt: skip


def test_what_is_kept_of_a_revision():
    """Of a secret its name and version are kept, of a value its seal, and nothing of how all stands."""
    side = {
        "env": {"S": SECRET, "SHOWN": ["1", "2"], "P": ["x", SECRET], "E": ""},
        "files": {"/f": SECRET},
        "service": {"ingress": "all"},
        "status": {"percent": 9},
    }
    only = {name: SECRET[name] for name in ("secret", "version", "project")}
    env = {"S": only, "SHOWN": ["1", "2"], "P": ["x", only], "E": ""}
    there, kept = revision(1, side), bare(revision(1, side))
    wanted = snapshot(
        {"env": env, "files": {"/f": only}}, seal=sealer(key=LASTING),
        revision="api-1", uid="u1", create_time=NOW + DAY,
    )  # fmt: skip

    assert kept == wanted
    assert (kept.status, kept.service) == (Status(), None)
    assert there.keys["", "SHOWN"].source.clear == "2"
    assert kept.bindings[0] == there.bindings[0]
    plain = revision(1, {"E": "", "V": "v"})
    assert all(a is b for a, b in zip(bare(plain).bindings, plain.bindings, strict=True))


def test_revisions_that_can_be_kept():
    """What has neither name nor uid is no revision; the others are kept in the order of their age."""
    found = keepable(
        [revision(2), revision(1, {"SHOWN": "1"}), revision(3).but(identity=revision(3).identity.but(uid="")),
         revision(4).but(identity=revision(4).identity.but(revision=""))]
    )  # fmt: skip

    assert [one.revision for one in found] == ["api-1", "api-2"]
    assert found[0].bindings[0].source.clear is None


def test_names_that_are_given_twice():
    """The second revision of one name is called by its uid too, and one whose name was taken before."""
    one, two, three = revision(1), revision(2), revision(3)
    again = one.but(identity=one.identity.but(uid="u9"))

    assert [s.revision for s in told_apart([one, two, again, three], {"api-3"})] == [
        "api-1", "api-2", "api-1 (u9)", "api-3 (u3)",
    ]  # fmt: skip
    assert told_apart([one], ())[0] is one


def test_values_under_another_key():
    """A revision stands apart where it has values that no key of the one before it sealed."""
    mixed = revision(2, {"A": "x"}, OTHER)
    chain = [
        revision(0, {"E": ""}), revision(1, {"A": "x"}), mixed, revision(3, {"A": "x"}, OTHER),
        revision(4, {"E": ""}), revision(5, {"A": "x"}), revision(6, {"A": "x"}, OTHER),
    ]  # fmt: skip
    left_out = snapshot({"A": "x"}, seal=sealer(keep=False), revision="api-7")

    assert apart(chain) == ("api-2", "api-6")
    assert apart([chain[1], left_out]) == apart(chain[:1]) == ()
    assert untold(["api-2"], str(HOME)) == [MISSED]


def test_revisions_that_are_gone():
    """What was kept and is not there any more is told beside what is, in the order of their age."""
    other = revision(2, {"A": "x"}, OTHER)
    again = other.but(identity=other.identity.but(revision="api-3"))
    template = revision(9).but(identity=revision(9).identity.but(revision="", uid=""))
    there = (template, revision(3, {"A": "x"}, OTHER), revision(1, {"A": "x"}))
    service = Service(
        project=HOME.project, region=HOME.region, service=HOME.service, revisions=there
    )
    gone, unseen = deleted(service, [there[2], other])
    [called], _ = deleted(service, [again])

    assert ([one.revision for one in gone], unseen) == (["api-2"], [MISSED])
    assert called.revision == "api-3 (u2)"
    # what is there may stand apart: that is told of it
    assert deleted(service, there[1:]) == ([], [])


def test_record_that_goes_on():
    """A record that goes on from the last revision is that of the whole chain."""
    side = {"client": "gcloud", "client_version": "1.2", "creator": "me"}
    chain = [
        revision(1, {"A": "x"}, **side), revision(2, {"A": "y"}), revision(3, {"A": "y"}, OTHER),
        revision(4, {"B": "y"}, OTHER), revision(5, {"B": "z"}),
    ]  # fmt: skip
    chain += [chain[1].but(identity=chain[1].identity.but(uid="u9"))]
    whole = recorded(chain)

    assert [(d.revision, d.uid) for d in whole.deploys] == [
        ("api-1", "u1"), ("api-2", "u2"), ("api-3", "u3"), ("api-4", "u4"), ("api-5", "u5"),
        ("api-2 (u9)", "u9"),
    ]  # fmt: skip
    assert whole.deploys[0] == Deploy(
        revision="api-1", uid="u1", create_time=NOW + DAY, creator="me", client="gcloud 1.2"
    )
    assert whole.deploys[1].client == ""
    assert [(step.revision, step.what) for step in whole.steps["key", "", "B"]] == [
        ("api-4", "appeared"), ("api-2 (u9)", "vanished"),
    ]  # fmt: skip
    assert whole.apart == ("api-3", "api-5")
    for cut in range(1, len(chain) + 1):
        assert recorded(chain[cut - 1 :], recorded(chain[:cut])) == whole
    assert recorded([]) == Record()


def test_locations_together():
    """What several locations tell is added up, in their order."""
    one = KeptKeys(services=1, revisions=2, without=3, unchanged=4, lines=(A,), unseen=(MISSED,))
    other = KeptKeys(services=10, revisions=20, without=30, unchanged=40, lines=(B,))

    assert together([one, other]) == KeptKeys(
        services=11, revisions=22, without=33, unchanged=44, lines=(A, B), unseen=(MISSED,)
    )
    assert together([]) == KeptKeys(services=0, revisions=0)
