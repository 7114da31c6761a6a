"""The written tables: every field of the installed client library is read or is noise, on purpose."""

from __future__ import annotations

import pytest
from google.api import launch_stage_pb2
from google.cloud import run_v2

from drift_audit.collector import fields

GOOGLE = "google.cloud.run"


def unknown(descriptor, shape, path=""):
    """Fields of a message, and of the messages in it, that a table does not hold."""
    if isinstance(shape, list):
        [shape] = shape
    if not isinstance(shape, dict):
        return
    for field in descriptor.fields:
        where = f"{path}.{field.json_name}".lstrip(".")
        if field.json_name not in shape:
            yield where
        elif field.message_type and field.message_type.file.package.startswith(GOOGLE):
            yield from unknown(field.message_type, shape[field.json_name], where)


def stale(descriptor, shape, path=""):
    """Fields of a table that no message has."""
    if isinstance(shape, list):
        [shape] = shape
    if not isinstance(shape, dict):
        return
    known = {f.json_name: f for f in descriptor.fields}
    for name, inner in shape.items():
        where = f"{path}.{name}".lstrip(".")
        if name not in known:
            yield where
        elif isinstance(inner, (dict, list)):
            yield from stale(known[name].message_type, inner, where)


MESSAGES = [
    (run_v2.Revision, fields.REVISION),
    (run_v2.RevisionTemplate, fields.TEMPLATE),
    (run_v2.Service, fields.SERVICE),
    (run_v2.WorkerPool, fields.WORKER_POOL),
    (run_v2.Job, fields.JOB),
]


@pytest.mark.parametrize(("message", "shape"), MESSAGES, ids=lambda m: getattr(m, "__name__", ""))
def test_every_field_is_in_the_table(message, shape):
    """A field that a new library brings turns this red until somebody decides what it is."""
    assert list(unknown(message.pb().DESCRIPTOR, shape)) == []


def test_no_table_speaks_of_fields_that_are_gone():
    """Every field of the tables is a field of the messages they are for."""
    revision, service = run_v2.Revision.pb().DESCRIPTOR, run_v2.Service.pb().DESCRIPTOR
    template_only = {"revision", "healthCheckDisabled"}

    assert set(stale(revision, fields.REVISION)) == template_only
    assert set(stale(service, fields.SERVICE)) == set()


ENUMS = [
    (run_v2.ExecutionEnvironment, fields.EXECUTION_ENVIRONMENT),
    (run_v2.VpcAccess.VpcEgress, fields.EGRESS),
    (run_v2.IngressTraffic, fields.INGRESS),
    (run_v2.EncryptionKeyRevocationAction, fields.REVOCATION),
    (run_v2.ServiceScaling.ScalingMode, fields.SCALING_MODE),
    (run_v2.TrafficTargetAllocationType, fields.ALLOCATION),
    (run_v2.InstanceSplitAllocationType, fields.SPLIT),
    (run_v2.Condition.State, fields.CONDITION),
    (run_v2.Condition.RevisionReason, fields.REVISION_REASON),
    (run_v2.EmptyDirVolumeSource.Medium, fields.MEDIUM),
]


@pytest.mark.parametrize(("enum", "words"), ENUMS, ids=lambda e: getattr(e, "__name__", ""))
def test_enumerations(enum, words):
    """Every member has the same word by name and by number."""
    for member in enum:
        assert words[member.name] == words[str(int(member))]


def test_launch_stages():
    """The launch stages come from another package, and by other numbers."""
    for name, number in launch_stage_pb2.LaunchStage.items():
        assert fields.LAUNCH_STAGE[name] == fields.LAUNCH_STAGE[str(number)]


def test_survey():
    """What a table does not hold is listed with its path, noise as noise; wrong types are left alone."""
    shape = {
        "a": fields.READ,
        "b": fields.NOISE,
        "c": [{"d": fields.READ}],
        "e": {"f": fields.READ},
    }
    document = {"a": 1, "b": 2, "c": [{"d": 1}, {"x": 2}], "e": "wrong", "y": {"z": 3}}

    unread = list(fields.survey(document, shape))
    assert unread == [
        (("b",), 2, True),
        (("c", 1, "x"), 2, False),
        (("y",), {"z": 3}, False),
    ]
    assert [u.name for u in unread] == ["b", "c.x", "y"]
    assert list(fields.survey(document, fields.READ)) == []
    assert list(fields.survey({"c": {"x": 1}}, shape)) == [(("c", 0, "x"), 1, False)]
