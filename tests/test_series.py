"""A history read by what its deploys changed is the history read revision by revision."""

from __future__ import annotations

import pytest
from google.cloud import run_v2
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.collector.protobuf import to_json
from drift_audit.collector.resources import from_v2
from drift_audit.collector.series import Series
from drift_audit.emulator.v2 import services
from drift_audit.renderer.json import Lines
from drift_audit.strict import Refused
from tests.builders import sealer
from tests.worlds import world

REVISION = run_v2.Revision.pb()
PARENT = "projects/shop/locations/europe-west1/services/api"
UNKNOWN_FIELD = b"\xf8\x3f\x07"  # number 1023


def parent():
    """The service of the small world."""
    return next(from_v2(service) for service, _ in services(world()))


def first():
    """A revision with most of what one can have."""
    message = REVISION(name=f"{PARENT}/revisions/api-00001-a", uid="u1", generation=1, etag="e1")
    message.create_time.FromJsonString("2026-01-01T08:00:00.123456789Z")
    message.labels.update({"team": "api", "commit-sha": "0123456789abcdef"})
    app = message.containers.add(name="app", image="r/api:1")
    app.ports.add(container_port=8080)
    app.resources.limits.update({"cpu": "1000m", "memory": "512Mi"})
    app.env.add(name="LOG_LEVEL", value="info")
    app.env.add(name="EMPTY", value="")
    app.env.add(name="BARE")
    app.env.add(name="JWT").value_source.secret_key_ref.secret = "jwt"
    message.containers.add(name="proxy", image="r/proxy")
    for kind in ("Ready", "Active", "Retry"):
        message.conditions.add(type_=kind, state=4)
    return message


def add_env(message):
    message.containers[0].env.add(name=f"ADDED_{len(message.containers[0].env)}", value="x")


def twice(message):
    message.containers[0].env.add(name="LOG_LEVEL", value="debug")


def unreadable(message):
    message.containers[0].env.add(name="ODD").value_source.SetInParent()


def nameless(message):
    message.containers[0].name = ""


def unknown(message):
    message.MergeFromString(UNKNOWN_FIELD)


EDITS = {
    "nothing": lambda m: None,
    "another value": lambda m: setattr(m.containers[0].env[0], "value", "debug"),
    "a key more": add_env,
    "a key less": lambda m: m.containers[0].env.__delitem__(slice(0, 1)),
    "keys in another order": lambda m: m.containers[0].env.reverse(),
    "a key twice": twice,
    "a key that cannot be told": unreadable,
    "a key of the sidecar": lambda m: m.containers[1].env.add(name="A", value="x"),
    "another image": lambda m: setattr(m.containers[0], "image", "r/api:2"),
    "no image": lambda m: setattr(m.containers[0], "image", ""),
    "another sidecar": lambda m: setattr(m.containers[1], "name", "envoy"),
    "no sidecar": lambda m: m.containers.__delitem__(slice(1, None)),
    "a container without a name": nameless,
    "another commit": lambda m: m.labels.update({"commit-sha": "fedcba9876543210"}),
    "another label": lambda m: m.labels.update({"team": "web"}),
    "a system label": lambda m: m.labels.update({"client.knative.dev/nonce": "x"}),
    "more memory": lambda m: m.containers[0].resources.limits.update({"memory": "1Gi"}),
    "another account": lambda m: setattr(m, "service_account", "a@x"),
    "not Ready": lambda m: setattr(m.conditions[0], "state", 5),
    "no time": lambda m: m.ClearField("create_time"),
    "no generation": lambda m: m.ClearField("generation"),
    "another creator": lambda m: setattr(m, "creator", "b@example.com"),
    "a field that nobody knows": unknown,
    "a time that no calendar has": lambda m: setattr(m.create_time, "seconds", 2**50),
    "a name that is none": lambda m: setattr(m, "name", f"{PARENT}/revisions/a b"),
    "a name of another service": lambda m: setattr(m, "name", m.name.replace("api/", "web/")),
    "a value that no value is": lambda m: setattr(m.containers[0].env[-1], "name", ""),
}


def told(read):
    """What reading comes to: a snapshot, or why there is none."""
    try:
        return read()
    except Refused as refused:
        return str(refused)


def chain(edits):
    """Revisions that follow each other, each with some edits more than the one before."""
    found = [first()]
    for number, names in enumerate(edits, 2):
        message = REVISION()
        message.CopyFrom(found[-1])
        message.name, message.uid = f"{PARENT}/revisions/api-{number:05}-a", f"u{number}"
        for name in names:
            try:
                EDITS[name](message)
            except IndexError:
                continue  # what is to be edited is gone already
        found.append(message)
    return found


def alone(message, owner, seal):
    return from_v2(to_json(message)).of(owner).snapshot(seal, owner.traffic)


@given(st.lists(st.lists(st.sampled_from(sorted(EDITS)), max_size=3), max_size=6))
def test_a_series_is_its_revisions(edits):
    """Whatever deploys change, each revision is what it is when it is read alone."""
    owner, seal = parent(), sealer()
    messages = chain(edits)
    series = Series(owner, seal)

    assert [told(lambda m=m: series.snapshot(m)) for m in messages] == [
        told(lambda m=m: alone(m, owner, seal)) for m in messages
    ]


@pytest.mark.parametrize("edit", EDITS)
def test_one_edit(edit):
    """Each kind of change alone, and the revision after it, are as when they are read alone."""
    owner, seal = parent(), sealer()
    messages = chain([[], [edit], []])
    series = Series(owner, seal)

    assert [told(lambda m=m: series.snapshot(m)) for m in messages] == [
        told(lambda m=m: alone(m, owner, seal)) for m in messages
    ]


def test_what_is_the_same_is_taken_over():
    """The bindings of a revision like the one before are the very same objects."""
    series = Series(parent(), sealer())
    one, other = (series.snapshot(m) for m in chain([["another value"]]))
    taken = [b.key for b in other.bindings if any(b is known for known in one.bindings)]

    assert taken == ["BARE", "EMPTY", "JWT"]


@given(st.lists(st.lists(st.sampled_from(sorted(EDITS)), max_size=3), max_size=6))
def test_lines_are_the_json_of_their_models(edits):
    """What is not written anew is what would have been written."""
    series, lines = Series(parent(), sealer(reveal=["*"])), Lines()
    read = (told(lambda m=m: series.snapshot(m)) for m in chain(edits))
    snapshots = [one for one in read if not isinstance(one, str)]
    expected = [s.model_dump_json(ensure_ascii=True) for s in snapshots]

    assert [lines.line(s) for s in snapshots] == expected
