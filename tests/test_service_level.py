"""What changes without a new revision: settings of the service, traffic and status."""

from __future__ import annotations

import pytest

from drift_audit.binding import LiteralValue
from drift_audit.collector.knative import resource
from drift_audit.collector.normalise import service_level, status, traffic
from drift_audit.collector.resources import from_v2
from drift_audit.snapshot import Identity
from drift_audit.strict import Refused, load
from tests.builders import sealer

WHO = Identity(project="shop", project_number="123", region="europe-west1", service="api")

SERVICE = """
ingress: INGRESS_TRAFFIC_INTERNAL_ONLY
launchStage: BETA
healthCheckDisabled: true
invokerIamDisabled: true
defaultUriDisabled: true
iapEnabled: true
description: what it is
labels: {team: a}
annotations: {note: b}
binaryAuthorization: {useDefault: true, breakglassJustification: because}
scaling: {minInstanceCount: 1, maxInstanceCount: 9, scalingMode: MANUAL, manualInstanceCount: 2}
customAudiences: [https://a.example]
multiRegionSettings: {regions: [b, a], multiRegionId: m}
buildConfig: {environmentVariables: {A: x}, serviceAccount: b@x, workerPool: w}
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
        "service.build_service_account": "b@x",
        "service.build_worker_pool": "w",
        "service.custom_audience.https://a.example": "present",
        "service.default_url_disabled": True,
        "service.description": "sealed",
        "service.health_check_disabled": True,
        "service.iap_enabled": True,
        "service.ingress": "internal",
        "service.invoker_iam_disabled": True,
        "service.label.team": "sealed",
        "service.launch_stage": "BETA",
        "service.multi_region_id": "m",
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
  labels: {cloud.googleapis.com/location: europe-west1, team: a, run.googleapis.com/multi-region-id: m}
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
    run.googleapis.com/health-check-disabled: 'true'
    run.googleapis.com/threat-detection: 'true'
    run.googleapis.com/regions: b,a
    run.googleapis.com/build-environment-variables: '{"A": "x"}'
    run.googleapis.com/build-service-account: b@x
    run.googleapis.com/build-worker-pool: w
apiVersion: serving.knative.dev/v1
kind: Service
spec:
  template: {spec: {containers: [{image: i}]}}
  traffic: [{latestRevision: true, percent: 90}, {revisionName: api-1, percent: 10}]
"""


def test_service_level_of_v1():
    """The same in v1."""
    mine = set(resource(load(V1_SERVICE)[0]).service_level(sealer()))
    theirs = set(service_level(load(SERVICE)[0], WHO, sealer()))

    assert mine == theirs


def setting(found, name):
    return next((s.value for s in found if s.name == name), None)


V2_SERVICE: dict = {
    "name": "projects/shop/locations/europe-west1/services/api",
    "template": {"containers": [{"image": "i"}]},
}


@pytest.mark.parametrize("ingress", [None, "INGRESS_TRAFFIC_UNSPECIFIED", 0])
def test_ingress_that_is_not_told(ingress):
    """Without an active revision v2 tells no ingress; a manifest without one means all."""
    manifest = V1_SERVICE.replace("run.googleapis.com/ingress: internal", "x: y")
    told = from_v2({**V2_SERVICE, "ingress": ingress}).service_level(sealer())

    assert setting(told, "service.ingress") is None
    assert setting(resource(load(manifest)[0]).service_level(sealer()), "service.ingress") == "all"


def test_health_checks_of_a_template():
    """v2 tells disabled health checks in the template of the service alone: no revision can."""
    template = {**V2_SERVICE["template"], "healthCheckDisabled": True}
    one = from_v2({**V2_SERVICE, "template": template})
    revision = from_v2({"name": V2_SERVICE["name"] + "/revisions/api-1", **V2_SERVICE["template"]})

    assert setting(one.service_level(sealer()), "service.health_check_disabled") is True
    assert one.snapshot(sealer()).setting("health_check_disabled") is True
    assert revision.snapshot(sealer()).setting("health_check_disabled") is None


def test_health_checks_of_both_levels():
    """v1 can say it of the service and of the template: each is told where it stands."""
    one = resource(load(V1_SERVICE)[0])

    assert setting(one.service_level(sealer()), "service.health_check_disabled") is True
    assert one.snapshot(sealer()).setting("health_check_disabled") is False


V1_FUTURE = V1_SERVICE.replace("spec:\n", "spec:\n  futureField: {x: cnry}\n")


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (resource(load(V1_FUTURE)[0]), "service.unknown.spec.futureField"),
        (from_v2({**V2_SERVICE, "futureField": {"x": "cnry"}}), "service.unknown.futureField"),
    ],
)
def test_unknown_fields_of_a_service(one, name):
    """A field of the service that nobody knows is sealed at its level, whatever revision is compared."""
    told = one.service_level(sealer())

    assert isinstance(setting(told, name), LiteralValue)
    assert not [s for s in one.snapshot(sealer()).settings if "unknown" in s.name]


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


def test_more_targets_than_can_be():
    """A list of targets that no service can have is refused."""
    with pytest.raises(Refused, match=r"^too-many: "):
        traffic({"traffic": [{"percent": 1}] * 3_001}, "newest")


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


def test_share_that_is_no_number():
    """A share of traffic that nobody can read is refused: nothing could be said of what serves."""
    with pytest.raises(Refused, match="a share of the traffic that is not a number") as error:
        traffic({"traffic": [{"type": "latest", "percent": "most"}]}, "api-00001-a")

    assert error.value.path[-1] == "percent"
