"""What changes without a new revision: settings of the service, traffic and status."""

from __future__ import annotations

import pytest

from drift_audit.collector.knative import resource
from drift_audit.collector.normalise import service_level, status, traffic
from drift_audit.snapshot import Identity, LiteralValue
from drift_audit.strict import load
from tests.builders import sealer

WHO = Identity(project="shop", project_number="123", region="europe-west1", service="api")

SERVICE = """
ingress: INGRESS_TRAFFIC_INTERNAL_ONLY
invokerIamDisabled: true
defaultUriDisabled: true
iapEnabled: true
description: what it is
labels: {team: a}
annotations: {note: b}
binaryAuthorization: {useDefault: true, breakglassJustification: because}
scaling: {minInstanceCount: 1, maxInstanceCount: 9, scalingMode: MANUAL, manualInstanceCount: 2}
customAudiences: [https://a.example]
multiRegionSettings: {regions: [b, a]}
buildConfig: {environmentVariables: {A: x}}
traffic: [{type: TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST, percent: 90}, {type: 2, revision: api-1, percent: 10}]
"""


def test_service_level():
    """What changes without a new revision, under canonical names."""
    told = {
        s.name: "sealed" if isinstance(s.value, LiteralValue) else s.value
        for s in service_level(load(SERVICE)[0], WHO, sealer())
    }

    assert told == {
        "service.annotation.note": "sealed",
        "service.binary_authorization": "default",
        "service.binary_authorization_breakglass": "sealed",
        "service.build_env.A": "sealed",
        "service.custom_audience.https://a.example": "present",
        "service.default_url_disabled": True,
        "service.description": "sealed",
        "service.iap_enabled": True,
        "service.ingress": "internal",
        "service.invoker_iam_disabled": True,
        "service.label.team": "sealed",
        "service.regions": "a, b",
        "service.scaling.manual_instances": 2,
        "service.scaling.max_instances": 9,
        "service.scaling.min_instances": 1,
        "service.scaling.mode": "manual",
        "service.traffic": "latest 90%, pinned 10%",
    }


V1_SERVICE = """
metadata:
  name: api
  namespace: shop
  labels: {cloud.googleapis.com/location: europe-west1, team: a}
  annotations:
    note: b
    run.googleapis.com/ingress: internal
    run.googleapis.com/ingress-status: internal
    run.googleapis.com/invoker-iam-disabled: 'true'
    run.googleapis.com/default-url-disabled: 'true'
    run.googleapis.com/iap-enabled: 'true'
    run.googleapis.com/description: what it is
    run.googleapis.com/binary-authorization: default
    run.googleapis.com/binary-authorization-breakglass: because
    run.googleapis.com/minScale: '1'
    run.googleapis.com/maxScale: '9'
    run.googleapis.com/scalingMode: manual
    run.googleapis.com/manualInstanceCount: '2'
    run.googleapis.com/custom-audiences: '["https://a.example"]'
    run.googleapis.com/launch-stage: BETA
apiVersion: serving.knative.dev/v1
kind: Service
spec:
  template: {spec: {containers: [{image: i}]}}
  traffic: [{latestRevision: true, percent: 90}, {revisionName: api-1, percent: 10}]
"""


def test_service_level_of_v1():
    """The same in v1, but for what v1 has no words for."""
    one = resource(load(V1_SERVICE)[0])
    mine = set(service_level(one.parent, WHO, sealer()))
    theirs = set(service_level(load(SERVICE)[0], WHO, sealer()))

    assert {s.name for s in mine ^ theirs} == {"service.build_env.A", "service.regions"}


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        ("{}", [("newest", 100, "", True)]),
        (
            "{trafficStatuses: [{type: 1, percent: 100}], latestReadyRevision: p/r-2}",
            [("r-2", 100, "", True)],
        ),
        (
            "{traffic: [{type: revision, revision: r-1, percent: 99}, {revision: r-2, tag: t}]}",
            [("r-1", 99, "", False), ("r-2", 0, "t", False)],
        ),
        (
            "{instanceSplits: [{type: INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST, percent: 100}]}",
            [("newest", 100, "", True)],
        ),
    ],
)
def test_traffic(parent, expected):
    """Where requests go, as observed, else as asked for, else to the newest."""
    found = traffic(load(parent)[0], "newest")

    assert [(t.revision, t.percent, t.tag, t.latest) for t in found] == expected


def test_status():
    """A revision's own conditions, and its share; retired is not broken."""
    [found] = load(
        "conditions: [{type: Ready, state: CONDITION_SUCCEEDED}, {type: X},"
        " {type: Active, state: 3, revisionReason: 3}]"
    )
    conditions = found["conditions"]
    targets = traffic(
        load("{traffic: [{revision: r, percent: 5, tag: b}, {revision: r, tag: a}]}")[0], ""
    )
    found = status(conditions, "r", targets)

    assert (found.ready, found.active, found.active_reason) == (True, False, "Retired")
    assert (found.percent, found.tags) == (5, ("a", "b"))
    assert status(None, "r", ()).ready is None
