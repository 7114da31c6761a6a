"""Before the deploy: what is there now against a file of what will be, by the real command."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.canary import files_below, leaks
from tests.command import SEALED, run
from tests.terraform import PLANS, lost, stored
from tests.worlds import playing, reached

WORLD = """
numbers: {shop: "123456789012", other: "999"}
secrets:
  - {project: shop, name: service-secret, versions: {1: enabled}}
  - {project: other, name: jwt-key, versions: {3: enabled}}
services:
  - project: shop
    region: europe-west1
    service: api
    labels: {team: api}
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        by: one@example.com
        client: terraform 1.11.4
        image: r/api:1
        container: app
        connector: projects/shop/locations/europe-west1/connectors/c1
        egress: private-ranges-only
        cloud_sql: ["shop:europe-west1:db"]
        min_instances: 1
        max_instances: 20
        service_account: api@shop.iam.gserviceaccount.com
        env:
          LOG_LEVEL: info
          SERVICE_SECRET: {secret: service-secret}
          JWT_SECRET_KEY: {secret: jwt-key, version: "3", project: other}
        files: {/etc/key/tls: {secret: service-secret, version: "1"}}
"""

PLAN = str(PLANS / "lost.json")
SEVERAL = str(PLANS / "several.json")
CANARY = "cnry-plan-41f7c09a3d"


def compared(folder, *words, text=WORLD, code=10):
    """What a comparison with what is live says, as the report."""
    with playing(text) as emulator:
        ran = run("compare", *words, "--format=json", cwd=folder, env=reached(emulator))
    assert ran.code == code, ran.block
    return json.loads(ran.out)


def told(report):
    """Rules and places of what was found."""
    [service] = report["services"]
    places = ("key", "mount", "setting")
    return {
        (f["rule"], next(filter(None, (f["address"][p] for p in places)), ""))
        for f in service["findings"]
    }


def test_a_plan_that_drops_keys(tmp_path):
    """The founding incident ends before it begins: the gate fails and names both keys."""
    report = compared(tmp_path, "SERVING", PLAN)
    [service] = report["services"]

    assert report["headline"] == (
        "api drops 2 keys that api-00001-a had: JWT_SECRET_KEY, SERVICE_SECRET"
    )
    assert told(report) == {
        ("key-lost", "JWT_SECRET_KEY"),
        ("key-lost", "SERVICE_SECRET"),
        ("setting-changed", "image"),
        ("image-unpinned", "image"),
    }
    assert report["coverage"]["looked_up"] == report["coverage"]["looked_up_found"] == 1
    assert (service["reference"], service["candidate"]) == ("api-00001-a", "(planned)")


def test_nobody_is_blamed_for_a_plan(tmp_path):
    """Nothing was deployed: no deploy made it, no command did, and none puts it right."""
    [service] = compared(tmp_path, "SERVING", PLAN)["services"]
    said = [(f["first_seen"], f["cause"], f["remedy"]) for f in service["findings"]]

    assert set(said) == {(None, None, None)}
    assert (service["remedy"], service["candidate_facts"]["percent"]) == (None, 0)


def test_a_plan_that_changes_nothing(tmp_path):
    """What is as it was is clean, whatever the provider writes for what is not set."""
    state = json.loads((PLANS / "lost" / "terraform.tfstate").read_text())
    before = state["resources"][0]["instances"][0]["attributes"]
    change = {"before": before, "after": before, "after_unknown": {}, "actions": ["no-op"]}
    (tmp_path / "plan.json").write_text(json.dumps(lost(change)))
    report = compared(tmp_path, "SERVING", "plan.json", code=0)

    assert (report["verdict"], report["counts"]["changes"]) == ("clean", 0)
    assert report["notes"] == ["plan.json: service api: the plan leaves it as it is"]


def test_a_plan_that_is_not_known(tmp_path):
    """What the plan does not know is told as changed and not seen: the gate does not say clean."""
    plan = stored("lost")
    change = plan["resource_changes"][0]["change"]
    [container] = change["after"]["template"][0]["containers"]
    container["env"] += [{"name": "SERVICE_SECRET", "value_source": []}]
    mask = [{}, {"value": True}]
    change["after_unknown"] = {"template": [{"containers": [{"env": mask}], "timeout": True}]}
    del change["after"]["template"][0]["timeout"]
    del plan["configuration"]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    report = compared(tmp_path, "SERVING", "plan.json", code=3)
    changes = {
        c["key"] or c["setting"]: (c["before"], c["after"])
        for c in report["services"][0]["changes"]
    }

    assert changes == {
        "JWT_SECRET_KEY": ("secret", "absent"),
        "SERVICE_SECRET": ("secret", "unreadable"),
        "image": ("r/api:1", "r/api:2"),
        "timeout_seconds": (300, "(known after apply)"),
    }
    assert [missed["where"] for missed in report["unseen"]] == [
        "key SERVICE_SECRET", "template.timeout of api",
    ]  # fmt: skip


def test_a_plan_that_failed(tmp_path):
    """A plan that holds a part of what would change is never enough."""
    report = compared(tmp_path, "SERVING", str(PLANS / "failed.json"), "--service=api", code=3)

    assert len(report["unseen"]) == 2
    assert report["verdict"] == "incomplete"


def test_secrets_that_come_with_the_plan(tmp_path):
    """Secrets are looked up before the deploy; one that the plan creates is not missing."""
    report = compared(tmp_path, "SERVING", f"{SEVERAL}#api")
    missing = {place for rule, place in told(report) if rule == "secret-not-found"}

    assert missing == {"GONE"}
    assert {s["what"] for s in report["skipped"]} == {"the state of fresh@latest"}


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (["SEVERAL#gone"], "service gone: the plan deletes it", ""),
        (["SEVERAL", "--service=gone"], "service gone: the plan deletes it", ""),
        (["SEVERAL#moved"], "the plan deletes it, and creates shop/europe-west4/moved", ""),
        (
            ["SEVERAL"],
            "speaks of 6 services: api, forgotten, gone, kept, moved",
            "plan.json#SERVICE",
        ),
        (["SEVERAL#nobody"], "speaks of 6 services", "plan.json#SERVICE"),
        (["SEVERAL#nobody", "--service=api"], "no revision nobody", ""),
        (["NEW#dynamic"], "the plan does not know template.containers.env yet", ""),
        (["NEW#nightly"], "speaks of", "plan.json#SERVICE"),
    ],
)
def test_services_that_cannot_be_compared(words, says, hint, tmp_path):
    """A service that the plan deletes, or that is not named, is no candidate: that is an error."""
    word, *flags = words
    name, sharp, fragment = word.partition("#")
    shutil.copy(PLANS / f"{name.lower()}.json", tmp_path / "plan.json")
    with playing(WORLD) as emulator:
        ran = run(
            "compare",
            "SERVING",
            f"plan.json{sharp}{fragment}",
            *flags,
            cwd=tmp_path,
            env=reached(emulator),
        )

    assert ran.code == 4, ran.block
    assert says in ran.err
    assert hint in ran.err


def test_words_for_services_of_a_plan(tmp_path):
    """A service of a plan is named after its file, as addresses name it, or by flags."""
    shutil.copy(PLANS / "several.state.json", tmp_path / "state.json")
    shutil.copy(SEVERAL, tmp_path / "plan.json")
    shutil.copy(PLANS / "new.json", tmp_path / "new.json")
    ran = [
        run("compare", *words, "--format=json", cwd=tmp_path)
        for words in (
            ("state.json#api", "plan.json#api"),
            ("state.json", "plan.json", "--service=api"),
            ("state.json#moved", "plan.json#moved", "--region=europe-west4"),
            ("new.json#nightly.job", "new.json#queue.worker-pool"),
        )
    ]
    services = [json.loads(r.out)["services"][0] for r in ran]

    assert [r.code for r in ran] == [0, 0, 10, 10], [r.block for r in ran]
    assert [(s["service"], s["kind"]) for s in services] == [
        ("api", "service"), ("api", "service"), ("moved", "service"), ("queue", "worker-pool"),
    ]  # fmt: skip
    assert services[0]["changes"] == services[1]["changes"]
    assert (services[0]["reference"], services[0]["candidate"]) == ("api-00001-a", "(planned)")


def test_audit_of_a_plan(tmp_path):
    """A plan is an input like any other: what it deletes or does not know leaves the audit incomplete."""
    shutil.copy(SEVERAL, tmp_path / "plan.json")
    whole = run("audit", "--input=plan.json", "--format=json", cwd=tmp_path)
    narrow = run("audit", "--input=plan.json", "--service=kept", "--format=json", cwd=tmp_path)
    report = json.loads(whole.out)

    assert (whole.code, narrow.code) == (3, 0), whole.block
    assert [u["where"] for u in report["unseen"]] == ["service gone", "service moved"]
    assert len(report["services"]) == 5
    assert len(report["notes"]) > 1
    assert json.loads(narrow.out)["notes"] == [
        "plan.json: service kept: the plan leaves it as it is"
    ]


def test_a_service_without_a_name_may_be_any(tmp_path):
    """What is asked for by name may be what the plan has no name for yet."""
    shutil.copy(PLANS / "new.json", tmp_path / "plan.json")
    ran = run("audit", "--input=plan.json", "--service=que*", "--format=json", cwd=tmp_path)
    pools = run("audit", "--input=plan.json", "--kind=worker-pool", "--format=json", cwd=tmp_path)

    assert [u["where"] for u in json.loads(ran.out)["unseen"]] == ["a service"]
    assert json.loads(pools.out)["unseen"] == []


def test_required_keys_before_the_first_deploy(tmp_path):
    """What the policy requires is held against a plan of something that is not there yet."""
    policy = (
        '[[service]]\nmatch = "old-*"\n[service.required]\nJWT = { from = "secret" }\nMORE = {}\n'
    )
    (tmp_path / "drift-audit.toml").write_text(policy)
    shutil.copy(PLANS / "new.json", tmp_path / "plan.json")
    ran = run("audit", "--input=plan.json", "--service=old-0", "--format=json", cwd=tmp_path)
    found = {
        f["address"]["key"]
        for f in json.loads(ran.out)["services"][0]["findings"]
        if f["rule"] == "key-missing"
    }

    assert found == {"MORE"}


def test_a_plan_is_no_baseline(tmp_path):
    """What nobody has deployed is not known to be good."""
    ran = run("baseline", "promote", PLAN, "--reason=x", "--by=me", cwd=tmp_path, env=SEALED)

    assert (ran.code, "what is only planned is not known to be good" in ran.err) == (4, True)


MANIFEST = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: api, annotations: {run.googleapis.com/ingress: internal}}
spec:
  template:
    spec:
      serviceAccountName: api@shop.iam.gserviceaccount.com
      containers:
        - name: app
          image: r/api:1
          env: [{name: LOG_LEVEL, value: info}]
"""


def test_a_manifest_replaces_everything(tmp_path):
    """What a manifest leaves out is gone when it replaces the service, or is its default."""
    (tmp_path / "api.yaml").write_text(MANIFEST)
    report = compared(tmp_path, "SERVING", "api.yaml", "--project=shop", "--region=europe-west1")
    [service] = report["services"]
    changes = {
        c["key"] or c["mount"] or c["setting"]: (c["before"], c["after"])
        for c in service["changes"]
    }

    assert changes == {
        "JWT_SECRET_KEY": ("secret", "absent"),
        "SERVICE_SECRET": ("secret", "absent"),
        "/etc/key/tls": ("secret", "absent"),
        "cloud_sql.shop:europe-west1:db": ("attached", "absent"),
        "scaling.max_instances": (20, 100),
        "scaling.min_instances": (1, 0),
        "service.ingress": ("all", "internal"),
        "service.label.team": ("sealed", "absent"),
        "vpc.connector": ("c1", "absent"),
        "vpc.egress": ("private-ranges-only", "absent"),
    }
    assert (service["candidate"], service["remedy"]) == ("(planned)", None)


def test_the_service_itself_is_compared_with_a_file(tmp_path):
    """Where another revision serves than the newest, ingress and the like are those of now all the same."""
    (tmp_path / "api.yaml").write_text(MANIFEST)
    newer = "      - {name: api-00002-b, at: 2026-01-02T08:00:00Z}\n"
    pinned = "    traffic: [{to: api-00001-a, percent: 100}]\n"
    text = WORLD.replace("    revisions:\n", f"{pinned}    revisions:\n") + newer
    report = compared(
        tmp_path, "SERVING", "api.yaml", "--project=shop", "--region=europe-west1", text=text
    )
    changes = {c["setting"]: (c["before"], c["after"]) for c in report["services"][0]["changes"]}

    assert report["services"][0]["reference"] == "api-00001-a"
    assert changes["service.ingress"] == ("all", "internal")
    assert changes["service.traffic"] == ("pinned 100%", "latest 100%")


COMMANDS = [
    ("audit", "--input=plan.json", "--verbosity=debug"),
    ("audit", "--input=plan.json", "--format=json"),
    ("audit", "--input=plan.json", "--format=markdown", "-o", "report.html", "-o", "report.json"),
    ("compare", "plan.json#api", "plan.json#web", "--format=json"),
    ("compare", "plan.json#old-0", "plan.json#dynamic"),
    ("snapshot", "--input=plan.json", "-o", "all.json"),
    ("history", "api", "--input=plan.json"),
    ("audit", "--input=broken.json"),
    ("audit", "--input=tfstate.json"),
]


def test_nothing_of_a_plan_leaves(tmp_path):
    """A plan holds its sensitive values in clear, five times over: none of them is in any output."""
    plan = stored("new")
    places = ("variables", "planned_values", "resource_changes", "configuration")
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    (tmp_path / "broken.json").write_text(json.dumps(plan)[:-1] + f', "{CANARY}": "{CANARY}" x}}')
    (tmp_path / "tfstate.json").write_text(
        json.dumps({"terraform_version": CANARY, "resources": CANARY})
    )
    given = {p.name for p in tmp_path.iterdir()}
    ran = [run(*words, cwd=tmp_path, env=SEALED) for words in COMMANDS]
    written = {n: data for n, data in files_below(tmp_path).items() if n not in given}
    found = [name for r in ran for name in leaks(r.block.encode(), [CANARY])]

    assert [name for name in places if CANARY in json.dumps(plan[name])] == list(places)
    assert [r.code for r in ran] == [3, 3, 3, 3, 4, 3, 3, 4, 4], [r.block for r in ran]
    assert {"report.html", "report.json", "all.json"} <= written.keys()
    assert found + [n for data in written.values() for n in leaks(data, [CANARY])] == []
