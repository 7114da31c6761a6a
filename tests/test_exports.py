"""Files in: every shape that people have is read, joined, or refused with file, line and rule."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from drift_audit.collector.exports import Files, read
from drift_audit.errors import ExitCode, InputError
from drift_audit.inventory import Evidence
from drift_audit.store.baseline import promotion
from tests.builders import LASTING, NOW, sealer, snapshot
from tests.manifests import revision, service, v2


def found(tmp_path, *documents, services=(), suffix="json"):
    """What some documents, each in a file of its own, come to."""
    paths = []
    for i, document in enumerate(documents):
        path = tmp_path / f"{i}.{suffix}"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        paths.append(str(path))
    return Files([read(p) for p in paths], sealer(), services).collect()


def names(inventory):
    return [(s.service, [r.revision for r in s.revisions]) for s in inventory.services]


@pytest.mark.parametrize(
    "document",
    [
        service(),
        [service()],
        {"apiVersion": "v1", "kind": "List", "items": [service()]},
        {"kind": "ServiceList", "metadata": {}, "items": [service()]},
        {"items": [service()]},
        {"services": [v2()]},
        [v2()],
        {"asset_type": "run.googleapis.com/Service", "resource": {"data": service()}},
        [{"assetType": "run.googleapis.com/Service", "resource": {"data": service()}}],
    ],
)
def test_shapes_of_services(document, tmp_path):
    """A service alone, in a list of any kind, in v2, and in an asset inventory."""
    assert [s.service for s in found(tmp_path, document).services] == ["api"]


@pytest.mark.parametrize(
    ("field", "kind", "template"),
    [
        ("services", "service", {"containers": [{"image": "r/i"}]}),
        ("workerPools", "worker-pool", {"containers": [{"image": "r/i"}]}),
        ("jobs", "job", {"template": {"containers": [{"image": "r/i"}]}}),
    ],
)
def test_answers_of_the_rest_api(field, kind, template, tmp_path):
    """A page of the list of each kind, as the API of v2 answers it."""
    one = {"name": f"projects/shop/locations/r1/{field}/nightly", "template": template}
    [read] = found(tmp_path, {field: [one]}).services

    assert (read.kind, read.address.service.partition(".")[0]) == (kind, "nightly")


def test_yaml_and_json_are_alike(tmp_path):
    """The same export in either format is the same inventory."""
    document = service(env=[{"name": "A", "value": "x"}])
    as_json, as_yaml = (
        found(tmp_path, document),
        found(tmp_path, yaml.safe_dump(document), suffix="yaml"),
    )

    assert as_json.services == as_yaml.services


def test_several_documents_in_one_file(tmp_path):
    """Every document is read; those that hold nothing are no documents."""
    text = "---\n".join([yaml.safe_dump(service()), yaml.safe_dump(service("web")), "# the end\n"])

    assert [s.service for s in found(tmp_path, text, suffix="yaml").services] == ["api", "web"]


def test_revisions_join_their_service(tmp_path):
    """A description and a list of revisions are one service; the template stands aside for its revision."""
    described = service(
        status={
            "latestCreatedRevisionName": "api-2",
            "latestReadyRevisionName": "api-1",
            "traffic": [{"revisionName": "api-1", "percent": 100}],
        }
    )
    listed = [revision("api-1"), revision("api-2", at="2026-01-02T00:00:00Z")]
    [one] = found(tmp_path, described, listed).services

    assert [r.revision for r in one.revisions] == ["api-2", "api-1"]
    assert (one.latest_created, one.latest_ready, one.serving) == ("api-2", "api-1", ("api-1",))
    assert one.complete
    assert one.unseen == ()
    assert [r.status.percent for r in one.revisions] == [0, 100]


def test_template_stands_for_the_newest(tmp_path):
    """Where the newest revision was not listed, the template is it."""
    described = service(
        status={"latestCreatedRevisionName": "api-2", "latestReadyRevisionName": "api-2"}
    )
    [one] = found(tmp_path, described, revision("api-1")).services

    assert [r.revision for r in one.revisions] == ["api-2", "api-1"]
    assert not one.complete


def test_manifest_is_its_own_newest(tmp_path):
    """A manifest from git has a template and no revisions; it serves itself."""
    [one] = found(tmp_path, service()).services

    assert one.newest is one.revisions[0]
    assert one.serving == ("",)
    assert one.revision("") is one.newest
    assert one.settings


def test_what_the_service_names_must_be_there(tmp_path):
    """A revision in the traffic, or called newest or Ready, that is not there is unseen."""
    described = service(
        traffic=[{"revisionName": "api-7", "percent": 99}, {"revisionName": "api-8", "percent": 0}],
        status={"latestCreatedRevisionName": "api-9", "latestReadyRevisionName": "api-6"},
    )
    [one] = found(tmp_path, described).services

    assert {u.where for u in one.unseen} == {"revision api-6", "revision api-7", "revision api-8"}


def test_lists_say_what_they_lack(tmp_path):
    """A list with a continuation, and a region that did not answer, are unseen."""
    listed = {
        "kind": "ServiceList",
        "metadata": {"continue": "x"},
        "items": [service()],
        "unreachable": ["us-east1"],
    }
    token = {"revisions": [], "nextPageToken": "x"}
    unseen = found(tmp_path, listed, token).unseen

    assert [u.reason for u in unseen] == [
        "the list goes on after the last item of the file",
        "did not answer when the file was made",
        "the list goes on after the last item of the file",
    ]


def test_empty_list_is_nothing(tmp_path):
    """An empty list, which gcloud prints when it failed, holds no service."""
    assert found(tmp_path, []).services == ()


def test_services_by_glob(tmp_path):
    """Other services than those that are asked for are left out."""
    listed = [service("api"), service("web"), service("api-two")]

    assert [s.service for s in found(tmp_path, listed, services=["api*"]).services] == [
        "api",
        "api-two",
    ]


def secret(version, state, project="123", name="jwt"):
    return {"name": f"projects/{project}/secrets/{name}/versions/{version}", "state": state}


REF = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "jwt", "key": "latest"}}}


def test_secret_versions(tmp_path):
    """A list of versions tells the state of what is read, and what latest means."""
    versions = [secret(2, "DISABLED"), secret(3, "DESTROYED"), secret(1, 1)]
    inventory = found(tmp_path, service(env=[REF]), versions)
    [binding] = inventory.services[0].revisions[0].bindings

    assert (binding.source.resolved, binding.source.version_state) == (3, "destroyed")
    assert inventory.evidence == {Evidence.SECRET_VERSIONS}
    assert len(inventory.secrets) == 1


def test_times_of_secret_versions(tmp_path):
    """When a version was created and is destroyed stands in what gcloud lists."""
    times = {
        "createTime": "2026-01-02T03:04:05.123456Z",
        "scheduledDestroyTime": "2026-03-01T00:00:00Z",
    }
    inventory = found(tmp_path, service(env=[REF]), [secret(1, "DISABLED") | times])
    [binding] = inventory.services[0].revisions[0].bindings

    assert binding.source.created_at.isoformat() == "2026-01-02T03:04:05.123456+00:00"
    assert binding.source.destroyed_at.isoformat() == "2026-03-01T00:00:00+00:00"


def test_secrets_nobody_listed(tmp_path):
    """A secret whose versions were not given stays not looked at."""
    inventory = found(tmp_path, service(env=[REF]), [secret(1, "ENABLED", name="other")])
    [binding] = inventory.services[0].revisions[0].bindings

    assert binding.source.version_state is None


def test_twins(tmp_path):
    """The same plain credential in two services is noticed while it is sealed."""
    env = [{"name": "DB_PASSWORD", "value": "hunter2"}]
    inventory = found(tmp_path, service("api", env=env), service("web", env=env))

    assert [[at.service for at, _ in t.places] for t in inventory.twins] == [["api", "web"]]


def test_own_documents(tmp_path):
    """Snapshots, lists of them, and baselines read back."""
    one, two = (
        snapshot({"A": "x"}, revision=name, seal=sealer(key=LASTING)) for name in ("api-1", "api-2")
    )
    baseline = promotion(two, None, by="me", at=NOW, reason="r")
    listed = [json.loads(one.model_dump_json())]

    [service_] = found(tmp_path, listed, baseline.text()).services
    assert set(service_.revisions) == {one, two}


def refused(tmp_path, *documents, suffix="json"):
    with pytest.raises(InputError) as error:
        found(tmp_path, *documents, suffix=suffix)
    assert error.value.code is ExitCode.REFUSED
    return str(error.value).removeprefix(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('"Service"', "0.json:1: wrong-kind: neither a Cloud Run resource nor a snapshot"),
        ([["x"]], "0.json:1: wrong-kind: neither"),
        ({"a": 1}, "0.json:1: wrong-kind: neither"),
        ({"name": "projects/shop/x"}, "0.json:1: wrong-kind: not the name of a service"),
        (
            {"assetType": "compute.googleapis.com/Disk"},
            "0.json:1: wrong-kind: an asset that is not of Cloud Run",
        ),
        ({"assetType": "run.googleapis.com/X", "resource": {}}, "0.json:1: wrong-kind: neither"),
        (secret(1, "LOST"), "0.json:1: wrong-kind: a secret version without a state"),
        (
            {"document": "drift-audit/snapshot", "schema_version": 99},
            "0.json: bad-snapshot: not a snapshot",
        ),
        (
            {
                "assetType": "run.googleapis.com/Service",
                "deleted": True,
                "resource": {"data": v2()},
            },
            "0.json:1: wrong-kind: an asset that was deleted",
        ),
        ({"kind": {"x": "y"}, "apiVersion": "v1"}, "0.json:1: wrong-type: kind is not a scalar"),
        (v2(traffic=["x"]), "0.json:1: wrong-type: traffic is not an object"),
        ('{"a": {"\\ud800": 1}}', "0.json:1: encoding: a key holds half a character"),
        (
            {"document": "drift-audit/snapshot", "identity": {}, "containers": []},
            "0.json: bad-snapshot: not a snapshot",
        ),
        ([service(), service()], "0.json: duplicate-service: api is described twice"),
        (
            [revision("api-1"), revision("api-1", env=[{"name": "A"}])],
            "0.json: duplicate-revision: api-1 is described",
        ),
        (
            {"services": "x", "kind": "ServiceList", "items": "y"},
            "0.json:1: wrong-type: items is not a list",
        ),
    ],
)
def test_refused(document, message, tmp_path):
    """What is not ours, or contradicts itself, is one line with file, line and rule."""
    assert refused(tmp_path, document).startswith(message)


def test_line_of_a_refusal(tmp_path):
    """The line is that of the entry at fault, in JSON and in YAML, whatever document it stands in."""
    bad = service(env=[{"name": "A", "value": "x"}, {"name": "B", "value": 5}])
    text = yaml.safe_dump(service("web")) + "---\n" + yaml.safe_dump(bad)
    line = text.split("\n").index("        - name: B") + 1
    as_json = json.dumps([service("web"), bad], indent=1)

    assert refused(tmp_path, text, suffix="yaml").startswith(
        f"0.yaml:{line}: not-a-string: the value of B"
    )
    json_line = as_json.split("\n").index('         "name": "B",')
    assert refused(tmp_path, as_json).startswith(
        f"0.json:{json_line}: not-a-string: the value of B"
    )


def test_line_of_a_setting(tmp_path):
    """A field of the wrong type is refused with its own line, wherever it stands."""
    for path in ("resources.limits.cpu", "livenessProbe.httpGet.path", "ports", "volumeMounts"):
        document = service()
        [container] = document["spec"]["template"]["spec"]["containers"]
        *parents, leaf = path.split(".")
        for parent in parents:
            container = container.setdefault(parent, {})
        container[leaf] = [["x"]] if not parents else {"x": "cnry"}
        text = json.dumps(document, indent=1)
        line = next(i for i, row in enumerate(text.split("\n"), 1) if f'"{leaf}"' in row)

        assert int(refused(tmp_path, text).split(":")[1]) - line in (0, 1), path


def test_snapshot_in_yaml(tmp_path):
    """Our own snapshot as YAML is read like the JSON, and what is wrong in it is one line."""
    one = snapshot({"A": "x"}, create_time=NOW, seal=sealer(key=LASTING))
    text = yaml.safe_dump(json.loads(one.model_dump_json())).replace("'2026", "2026")
    text = re.sub(r"create_time: '?([^'\n]+)'?", r"create_time: \1", text)

    assert found(tmp_path, text, suffix="yaml").services[0].revisions == (one,)
    odd = text + "foo: yes\n"
    assert refused(tmp_path, odd, suffix="yaml") == (
        "0.yaml: bad-snapshot: not a snapshot of this version"
    )


def test_edited_snapshot(tmp_path):
    """A stored snapshot whose keys are repeated or out of order was edited: it is refused."""
    one = json.loads(snapshot({"A": "x", "B": "y"}).model_dump_json())
    swapped = {**one, "bindings": one["bindings"][::-1]}
    twice = {**one, "bindings": one["bindings"][:1] * 2}

    for edited in (swapped, twice):
        assert refused(tmp_path, edited) == "0.json: bad-snapshot: not a snapshot of this version"


def test_two_snapshots_of_one_revision(tmp_path):
    """The same snapshot twice is one; two that differ contradict each other."""
    one, other = (json.loads(snapshot({"A": value}).model_dump_json()) for value in "xy")

    assert names(found(tmp_path, [one, one])) == [("api", ["api-00002-new"])]
    assert refused(tmp_path, one, other).startswith(
        "1.json: duplicate-revision: api-00002-new is described twice"
    )


def test_list_of_several_kinds(tmp_path):
    """Everything that a document lists is read."""
    name = "projects/shop/locations/europe-west1/services/api/revisions/api-1"
    listed = {"services": [v2()], "revisions": [{"name": name, "containers": [{"image": "i"}]}]}

    assert names(found(tmp_path, listed)) == [("api", ["(template)", "api-1"])]


def test_services_that_are_not_there(tmp_path):
    """A service that is asked for by name and is in no file is unseen; a glob may match nothing."""
    inventory = found(tmp_path, service("api"), services=["api", "gone", "x*"])

    assert [(u.where, u.reason) for u in inventory.unseen] == [
        ("service gone", "was asked for and not found")
    ]


def test_one_project_by_id_and_by_number(tmp_path):
    """A URL that tells the number of a project makes one project of the two names."""
    ref = {"secretKeyRef": {"secret": "projects/123/secrets/jwt", "version": "1"}}
    name = "projects/shop/locations/europe-west1/services/{}/revisions/{}"
    other = {
        "name": name.format("web", "web-1"),
        "containers": [{"image": "i", "env": [{"name": "A", "valueSource": ref}]}],
    }
    described = v2(urls=["https://api-123.europe-west1.run.app"])
    api, web = found(tmp_path, described, revision("api-1"), other, [secret(1, 1)]).services

    assert (api.project, web.project) == ("shop", "shop")
    assert [r.revision for r in api.revisions] == ["(template)", "api-1"]
    [binding] = web.revisions[0].bindings
    assert (str(binding.source), binding.source.version_state) == ("jwt@1", "enabled")


def test_versions_by_either_name_of_a_project(tmp_path):
    """Lists of versions name the project by number; what is read is known under its id too."""
    described = v2(
        urls=["https://api-123.europe-west1.run.app"],
        template={
            "containers": [
                {
                    "image": "i",
                    "env": [
                        {"name": n, "valueSource": {"secretKeyRef": {"secret": s, "version": "1"}}}
                        for n, s in (("A", "jwt"), ("B", "projects/shop/secrets/jwt"))
                    ],
                }
            ]
        },
    )
    [one] = found(tmp_path, described, [secret(1, "DISABLED")]).services

    assert [b.source.version_state for b in one.revisions[0].bindings] == ["disabled", "disabled"]


def test_revision_keeps_its_own_number(tmp_path):
    """A revision that names its project by number keeps it under a service that tells none."""
    past = revision(
        "api-1", env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "1"}}}]
    )
    past["metadata"]["annotations"] = {"run.googleapis.com/secrets": "a:projects/123/secrets/jwt"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([v2(), past]))
    [one] = Files([read(str(path)).named("shop", "")], sealer()).collect().services

    assert str(one.revision("api-1").bindings[0].source) == "jwt@1"


def test_same_revision_twice_is_one(tmp_path):
    """The same revision in two files is the same revision."""
    assert names(found(tmp_path, [revision("api-1")], revision("api-1"))) == [("api", ["api-1"])]


def test_service_beside_other_regions(tmp_path):
    """One name in two regions is two services."""
    other = service()
    other["metadata"]["labels"] = {"cloud.googleapis.com/location": "us-east1"}

    assert [str(s.address) for s in found(tmp_path, service(), other).services] == [
        "123/europe-west1/api",
        "123/us-east1/api",
    ]


def test_project_number_from_a_url(tmp_path):
    """A URL of the service gives its project number away, so that its own secrets are its own."""
    document = v2(
        urls=["https://api-123.europe-west1.run.app", 5],
        generation="7",
        client="terraform",
        template={
            "revision": "api-1",
            "containers": [
                {
                    "image": "i",
                    "env": [
                        {
                            "name": "A",
                            "valueSource": {
                                "secretKeyRef": {"secret": "projects/123/secrets/s", "version": "1"}
                            },
                        }
                    ],
                }
            ],
        },
    )
    [one] = found(tmp_path, document).services
    [newest] = one.revisions

    assert newest.identity.project_number == "123"
    assert newest.identity.client == "terraform"
    assert str(newest.bindings[0].source) == "s@1"


def test_v2_revision_and_number_as_project(tmp_path):
    """v2 revisions are read alone; a number as project is a number."""
    document = {
        "name": "projects/123/locations/europe-west1/services/api/revisions/api-1",
        "createTime": "2026-01-01T00:00:00Z",
        "creator": "a@b",
        "containers": [{"image": "i"}],
        "conditions": [{"type": "Ready", "state": 4}],
    }
    [one] = found(tmp_path, {"revisions": [document]}).services

    assert (one.project, one.latest_created, one.traffic) == ("123", "", ())
    assert one.revisions[0].status.ready is True
    assert one.newest is one.revisions[0]


def test_v2_template_with_a_placeholder_name(tmp_path):
    """A placeholder as the name of a revision is no name."""
    document = v2(template={"revision": "api-${TAG}", "containers": [{"image": "i"}]})
    [one] = found(tmp_path, document).services

    assert one.revisions[0].revision == "(template)"


def test_v2_worker_pool(tmp_path):
    """Worker pools are read like services."""
    document = {
        "name": "projects/shop/locations/europe-west1/workerPools/jobs",
        "template": {"containers": [{"image": "i"}]},
        "futureField": "x",
    }
    [one] = found(tmp_path, {"workerPools": [document]}).services

    assert one.kind == "worker-pool"
    assert "service.unknown.futureField" in {s.name for s in one.settings}
    assert one.revisions[0].setting("port") is None
    assert [(c.name, c.ingress) for c in one.revisions[0].containers] == [("", False)]
    assert one.revisions[0].ingress == ""


def test_text_of_an_origin_does_not_show(tmp_path):
    """Where a resource was read from is kept for the line of a refusal, and never shown."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(service(env=[{"name": "A", "value": "cnry-origin"}])))
    documents = read(str(path))

    assert "cnry" not in repr([origin for origin, _ in documents.resources])


def test_place_of_documents(tmp_path):
    """A file tells the project and region that it names, and nothing where it names none."""
    (tmp_path / "a.json").write_text(json.dumps(service()))
    bare = service()
    bare["metadata"] = {"name": "api"}
    (tmp_path / "b.json").write_text(json.dumps(bare))

    assert read(str(tmp_path / "a.json")).place == ("123", "europe-west1")
    assert read(str(tmp_path / "b.json")).place == ("", "")
    assert read(str(tmp_path / "b.json")).named("shop", "us-east1").place == ("shop", "us-east1")


def test_latest_over_several_files(tmp_path):
    """The latest version is the highest of all files, in whatever order they come."""
    for n in (8, 7):
        version = {"name": f"projects/123/secrets/jwt/versions/{n}", "state": "ENABLED"}
        (tmp_path / f"{n}.json").write_text(json.dumps([version]))
    side = service(
        env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "jwt", "key": "latest"}}}]
    )
    (tmp_path / "api.json").write_text(json.dumps(side))
    for order in (["api", "7", "8"], ["8", "7", "api"]):
        documents = [read(str(tmp_path / f"{name}.json")) for name in order]
        [found] = Files(documents, sealer()).collect().services
        [(_, ref)] = found.revisions[0].references

        assert (ref.resolved, ref.version_state) == (8, "enabled")
