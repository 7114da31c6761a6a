"""Plans and states of Terraform: what is read of them, what they leave open, what is refused."""

from __future__ import annotations

import json

import pytest

from drift_audit.binding import Empty, LiteralValue, SecretReference, Unreadable
from drift_audit.collector.exports import Files, read
from drift_audit.errors import InputError
from tests.builders import sealer
from tests.provider import CALLS, message, parts
from tests.terraform import (
    NAMES,
    PLANS,
    TERRAFORM,
    Terraform,
    collected,
    documents,
    lost,
    newest,
    services,
    stored,
    unseen,
)

with_terraform = pytest.mark.skipif(
    TERRAFORM is None,
    reason="THE REAL terraform IS NOT INSTALLED: only what it wrote once was read",
)


# The real terraform


@with_terraform
@pytest.mark.parametrize("name", NAMES)
def test_stored_plans_are_what_terraform_writes(name, tmp_path, request):
    """A plan that terraform makes now reads as the stored one does, notes and all."""
    fresh = Terraform(tmp_path / name, name).plan()
    if request.config.getoption("force_regen"):
        (PLANS / f"{name}.json").write_text(json.dumps(fresh) + "\n")
    before, now = documents(tmp_path, stored(name)), documents(tmp_path, fresh)

    assert before.resources
    assert Files([now], sealer()).collect() == Files([before], sealer()).collect()
    assert now.notes == before.notes


@with_terraform
def test_control_a_provider_that_knows_everything(tmp_path):
    """A provider that calls nothing unknown is told from ours."""

    def proposed(request):
        return message((1, parts(request)[3]), (5, True))

    fresh = Terraform(tmp_path / "new", "new").plan({**CALLS, "PlanResourceChange": proposed})

    assert collected(tmp_path, fresh) != collected(tmp_path, stored("new"))


@with_terraform
def test_state_is_what_terraform_writes(tmp_path, request):
    """The same holds for a state."""
    fresh = Terraform(tmp_path / "several", "several").state()
    if request.config.getoption("force_regen"):
        (PLANS / "several.state.json").write_text(json.dumps(fresh) + "\n")

    assert collected(tmp_path, fresh) == collected(tmp_path, stored("several.state"))


@with_terraform
def test_what_people_give_instead(tmp_path):
    """A saved plan, the log of a run and a raw state are refused, with the command that helps."""
    Terraform(tmp_path / "lost", "lost").plan()
    refused = {}
    for file in ("saved.tfplan", "log.json", "terraform.tfstate"):
        with pytest.raises(InputError) as error:
            read(str(tmp_path / "lost" / file))
        refused[file] = (str(error.value).split(": ")[1], error.value.hint)

    show = "terraform show -json PLAN > plan.json"
    assert refused == {
        "saved.tfplan": ("binary-plan", show),
        "log.json": ("plan-log", show),
        "terraform.tfstate": ("raw-state", "terraform show -json > state.json"),
    }


# What a plan says


def test_both_resources_jobs_and_worker_pools(tmp_path):
    """Services of either resource, of modules, counted or for each name, jobs and worker pools."""
    found = services(collected(tmp_path, stored("new")))
    names = ["api", "nightly.job", "old-0", "old-1", "queue.worker-pool", "vpc", "web"]

    assert list(found) == names
    assert {(s.project, s.region) for s in found.values()} == {("shop", "europe-west1")}
    assert {s.newest.revision for s in found.values()} == {"(planned)"}


def test_keys_of_a_plan(tmp_path):
    """The five states of a key. What is not known is unreadable, and never absent."""
    api = newest(collected(tmp_path, stored("new")), "api")
    sources = {key: binding.source for (_, key), binding in api.keys.items()}

    assert {key: type(source) for key, source in sources.items()} == {
        "DB_PASSWORD": LiteralValue, "EMPTY": Empty, "JWT": SecretReference,
        "LATER": Unreadable, "VERSION": Unreadable,
    }  # fmt: skip
    assert str(sources["JWT"]) == "projects/other/secrets/jwt@7"
    assert [(m.path, m.state) for m in api.mounts] == [("/etc/key/tls.pem", "unreadable")]


def test_settings_of_a_plan(tmp_path):
    """Settings are read under the names of all sources; one that is not known is called so."""
    inventory = collected(tmp_path, stored("new"))
    api, old, job = (newest(inventory, name) for name in ("api", "old-0", "nightly.job"))

    assert [api.setting(n) for n in ("timeout_seconds", "cpu", "cpu_idle", "port", "image")] == [
        60, "2", False, 9000, "r/api:1",
    ]  # fmt: skip
    assert api.setting("service_account") == "(known after apply)"
    assert isinstance(api.setting("args"), LiteralValue)
    assert [old.setting(n) for n in ("scaling.max_instances", "memory", "service.ingress")] == [
        7, "1Gi", "internal",
    ]  # fmt: skip
    assert old.setting("cloud_sql.shop:europe-west1:db") == "attached"
    assert old.setting("vpc.connector") == "(known after apply)"
    assert (job.setting("tasks"), job.setting("max_retries")) == (3, 0)


def test_unknown_is_unseen(tmp_path):
    """All that a plan does not know travels to the verdict; what hangs on it is not shown at all."""
    of_keys = "comes from what the plan does not know yet"
    yet = "the plan does not know it yet"
    connector = "template.metadata.annotations.run.googleapis.com/vpc-access-connector"

    assert unseen(collected(tmp_path, stored("new"))) == {
        "key LATER": of_keys,
        "key VERSION": of_keys,
        "file /etc/key/tls.pem": of_keys,
        **{f"template.serviceAccount of {name}": yet for name in ("api", "web")},
        **{f"template.volumes.secret.items.version of {name}": yet for name in ("api", "web")},
        **{f"{connector} of old-{i}": yet for i in (0, 1)},
        "template.vpcAccess of vpc": yet,
        "a service": "the plan does not know its name yet (google_cloud_run_v2_service.open)",
        "service dynamic": "the plan does not know template.containers.env yet"
        " (google_cloud_run_v2_service.dynamic)",
    }


def test_what_is_left_to_cloud_run(tmp_path):
    """What nobody sets is the default of Cloud Run, and the notes name it."""
    found = documents(tmp_path, stored("new"))
    notes = [note.partition(": ")[2] for note in found.notes if "worker-pool queue" in note]
    api = newest(Files([found], sealer()).collect(), "api")
    of_template = "template.containers.resources, template.serviceAccount"
    decided = f"{of_template}, instanceSplits, launchStage"

    assert notes == [
        "worker-pool queue: the plan creates it",
        f"worker-pool queue: Cloud Run decides on {decided}: its defaults are taken",
    ]
    assert (api.setting("concurrency"), api.setting("service.ingress")) == (80, "all")


def test_without_configuration_nothing_is_left(tmp_path):
    """A plan that was cut down no longer says what is set: all that is unknown stays unseen."""
    plan = stored("new")
    del plan["configuration"]
    missed = unseen(collected(tmp_path, plan))

    assert "template.timeout of nightly" not in missed
    assert {"template.template.timeout of nightly", "launchStage of nightly"} <= missed.keys()
    assert "the plan does not know traffic yet" in missed["service web"]
    assert "the plan does not know instanceSplits yet" in missed["worker-pool queue"]


def test_other_changes(tmp_path):
    """What is kept, forgotten or taken over is shown with a note; what is deleted is not seen."""
    found = documents(tmp_path, stored("several"))
    inventory = Files([found], sealer()).collect()
    notes = [note.partition(": ")[2] for note in found.notes]
    forgotten = "it stays as it is, and Terraform no longer looks after it"
    replaced = "who may invoke it and its revisions go with it"

    assert list(services(inventory)) == ["api", "forgotten", "kept", "taken", "moved"]
    assert [note for note in notes if "decides" not in note] == [
        f"service forgotten: the plan forgets it: {forgotten}",
        "service kept: the plan leaves it as it is",
        f"service moved: the plan deletes it and creates it anew; {replaced}",
        "service taken: the plan creates it",
        "service taken: besides, the plan deletes it (google_cloud_run_service.taken)",
    ]
    assert unseen(inventory) == {
        "service gone": "the plan deletes it (google_cloud_run_v2_service.gone)",
        "service moved": "the plan deletes it, and creates shop/europe-west4/moved"
        " (google_cloud_run_v2_service.moved)",
    }


def test_state(tmp_path):
    """A state tells how services are deployed: the revision has a name, and serves."""
    inventory = collected(tmp_path, stored("several.state"))
    found, taken = services(inventory), newest(inventory, "taken")

    assert len(found) == 6
    assert (found["api"].newest.revision, found["api"].serving) == ("api-00001-a", ("api-00001-a",))
    assert not found["api"].newest.identity.planned
    assert (taken.revision, taken.setting("service.ingress")) == ("taken-00001-a", "all")


def test_a_plan_that_is_not_whole(tmp_path):
    """An error while planning, or a plan that another one must follow, leaves things unseen."""
    reasons = [missed.reason for missed in collected(tmp_path, stored("failed")).unseen]
    plan = stored("failed")
    plan["resource_changes"] = plan["planned_values"] = None
    with pytest.raises(InputError, match="unfinished-plan: planning ended with an error"):
        documents(tmp_path, plan)

    assert reasons == [
        "planning ended with an error: the plan holds a part",
        "the plan is not complete: another one has to follow it",
    ]


def test_put_off(tmp_path):
    """A change that Terraform puts off to a later plan is not seen."""
    plan = stored("lost")
    [change] = plan["resource_changes"]
    plan |= {"deferred_changes": [{"reason": "x", "resource_change": change}]}
    plan |= {"resource_changes": [], "planned_values": {}}

    assert unseen(collected(tmp_path, plan)) == {
        "service api": "the plan puts it off (google_cloud_run_v2_service.backend)"
    }


def test_entries_of_one_name_in_a_set(tmp_path):
    """Nobody can tell which of two entries of a set wins; equal ones are one entry already."""
    plan = lost()
    [one] = plan["resource_changes"]
    [container] = one["change"]["after"]["template"][0]["containers"]
    container["env"] += [{"name": "LOG_LEVEL", "value": "debug", "value_source": []}]
    [api] = collected(tmp_path, plan).services
    [binding] = api.newest.bindings

    assert binding.source.reason == "comes from several entries of a set, which has no order"


def test_order_of_a_set_means_nothing(tmp_path):
    """A plan with its variables turned around is the same plan."""
    plan = stored("new")
    for change in plan["resource_changes"]:
        inner = change["change"]
        for side in ("after", "after_unknown"):
            for template in inner[side].get("template") or ():
                for container in template.get("containers") or ():
                    if isinstance(container.get("env"), list):
                        container["env"].reverse()

    assert plan != stored("new")
    assert collected(tmp_path, plan) == collected(tmp_path, stored("new"))


def test_a_value_beside_a_reference(tmp_path):
    """A key with both is refused, as in every other source."""
    plan = lost()
    [one] = plan["resource_changes"]
    [container] = one["change"]["after"]["template"][0]["containers"]
    source = [{"secret_key_ref": [{"secret": "s", "version": ""}]}]
    container["env"] = [{"name": "A", "value": "x", "value_source": source}]
    with pytest.raises(InputError, match="value-and-reference: A has a value and a reference"):
        collected(tmp_path, plan)
    container["env"][0]["value"] = ""

    assert str(collected(tmp_path, plan).services[0].newest.bindings[0].source) == "s@latest"


def test_attributes_that_nobody_knows(tmp_path):
    """A field of a newer provider is sealed and told; one that it leaves at zero is none."""
    plan = lost(newer_field="x", newer_block=[{"inner_part": [{"a_b": "1"}]}], unset_block=[])
    plan["resource_changes"][0]["change"]["after"] |= {"newer_flag": False, "newer_number": 0}
    api = newest(collected(tmp_path, plan), "api")
    unknown = [s.name for s in api.all_settings if "unknown" in s.name]

    assert unknown == ["service.unknown.newerBlock", "service.unknown.newerField"]


def test_attributes_of_terraform_alone(tmp_path):
    """They are passed over by rule, and the rule says which."""
    plan = lost(deletion_protection=True, timeouts={"create": "20m"})
    api = newest(collected(tmp_path, plan), "api")
    passed_over = {"deletion_protection", "timeouts", "id", "effective_labels", "etag", "uri"}

    assert passed_over <= set(api.seen.ignored)


def test_manual_scaling_to_zero(tmp_path):
    """No instances are a setting where somebody counts them by hand, and nothing where nobody does."""
    manual, automatic = (
        newest(collected(tmp_path, lost(scaling=[scaling])), "api")
        for scaling in (
            {"scaling_mode": "MANUAL", "manual_instance_count": 0, "max_instance_count": 0},
            {"scaling_mode": "AUTOMATIC", "manual_instance_count": 0, "max_instance_count": 0},
        )
    )

    assert manual.setting("service.scaling.manual_instances") == 0
    assert automatic.setting("service.scaling.manual_instances") is None
    assert automatic.setting("service.scaling.max_instances") is None


def test_what_is_not_of_cloud_run(tmp_path):
    """Data sources and resources of other kinds are passed over, in states and in plans."""
    state, plan = stored("several.state"), stored("several")
    data = {"mode": "data", "type": "google_cloud_run_v2_service", "name": "x", "values": {}}
    other = {"mode": "managed", "type": "google_pubsub_topic", "name": "x", "values": {}}
    before = collected(tmp_path, state), collected(tmp_path, plan)
    state["values"]["root_module"]["resources"] += [data, other]
    plan["resource_changes"] += [data, other]
    plan["deferred_changes"] = [{"resource_change": data}, {"resource_change": other}]

    assert (collected(tmp_path, state), collected(tmp_path, plan)) == before


@pytest.mark.parametrize("address", ["google_cloud_run_v2_service.backend", "x y"])
def test_addresses_are_shown_without_keys(tmp_path, address):
    """The key of an instance may be any text: messages go without it, and without what is none."""
    plan = lost({"actions": ["delete"], "after": None})
    plan["resource_changes"][0]["address"] = f'module.a["b]c"].{address}["\\"x"]'
    plan["planned_values"] = {}
    shown = f"module.a.{address}" if " " not in address else "google_cloud_run_v2_service"

    assert unseen(collected(tmp_path, plan)) == {"service api": f"the plan deletes it ({shown})"}
