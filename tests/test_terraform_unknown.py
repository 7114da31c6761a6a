"""What of a plan nobody knows yet, and what is refused: never absent, never taken for a default."""

from __future__ import annotations

import json

import pytest

from drift_audit.binding import LiteralValue
from drift_audit.collector.attributes import field_name
from drift_audit.errors import InputError
from tests.terraform import collected, cut, documents, lost, newest, stored, unseen

# What is refused


REFUSED = {
    "format-version: of a Terraform before 1.1": lambda: lost() | {"format_version": "0.2"},
    "format-version: of no Terraform that is known here": lambda: (
        lost() | {"format_version": "2.0"}
    ),
    "raw-state: a state as Terraform stores it": lambda: cut(lost(), "format_version"),
    "missing-changes: planned values without": lambda: cut(lost(), "resource_changes"),
    "wrong-kind: a plan without services": lambda: {"format_version": "1.2", "planned_values": {}},
    "wrong-kind: a state without services": lambda: {"format_version": "1.0"},
    "missing-name: google_cloud_run_v2_service.it has no name": lambda: of_one({}),
    "wrong-type: template is there more than once": lambda: lost(template=[{}, {}]),
    "no-containers: no containers": lambda: lost(template=[{}]),
    "wrong-type: actions is not a list": lambda: lost({"actions": "update"}),
    "wrong-type: after is not an object": lambda: lost({"after": "x"}),
    "not-a-string: name is not text": lambda: lost(template=[{"containers": [{"env": [{}]}]}]),
    "bad-name: the name of the service": lambda: lost(name="a b"),
}


def of_one(values):
    kind = "google_cloud_run_v2_service"
    resource = {"type": kind, "address": f"{kind}.it", "values": values}
    return {"format_version": "1.0", "values": {"root_module": {"resources": [resource]}}}


@pytest.mark.parametrize("says", REFUSED)
def test_refusals(says, tmp_path):
    """What cannot be read is refused with the file, the rule and the reason."""
    with pytest.raises(InputError, match=rf"plan\.json:1: {says}"):
        collected(tmp_path, REFUSED[says]())


def test_lines_of_refusals(tmp_path):
    """In a plan that is written over several lines, the one of the resource is told."""
    text = json.dumps(lost(name="a b"), indent=1)
    line = text[: text.index('"after": {')].count("\n") + 1
    with pytest.raises(InputError, match=rf"plan\.json:{line}: bad-name"):
        collected(tmp_path, text)


# What is not known


TEMPLATE = "template.volumes.0.secret.0"
UNKNOWN = {
    "template": "template",
    "template.containers": "template.containers",
    "template.containers.0.env": "template.containers.env",
    "template.containers.0.env.0": "template.containers.env.name",
    "template.containers.0.env.0.name": "template.containers.env.name",
    "template.containers.0.volume_mounts": "template.containers.volumeMounts",
    "template.volumes": "template.volumes",
    "template.volumes.0": "template.volumes",
    "template.volumes.0.name": "template.volumes.name",
    "template.volumes.0.secret": "template.volumes.secret",
    "template.volumes.0.secret.0.items": "template.volumes.secret.items",
    "template.volumes.0.secret.0.items.0.path": "template.volumes.secret.items.path",
    "traffic": "traffic",
    "traffic.0.percent": "traffic.percent",
}


def with_unknown(where, plan):
    """A plan that does not know something, and has nothing in its place."""
    [one] = plan["resource_changes"]
    inner, mask = one["change"]["after"], one["change"]["after_unknown"]
    deeper = where.replace("template.", "template.0.", 1).split(".")
    *way, last = [int(step) if step.isdecimal() else step for step in deeper]
    for step in way:
        inner = inner[step]
        if isinstance(mask, list):
            mask += [{} for _ in range(step + 1 - len(mask))]
        elif step not in mask or mask[step] is True:
            mask[step] = []
        mask = mask[step]
    if isinstance(inner, list):
        inner[last] = None
        mask += [False] * (last + 1 - len(mask))
    else:
        inner.pop(last, None)
    mask[last] = True
    return plan


@pytest.mark.parametrize("where", UNKNOWN)
def test_what_all_hangs_on(where, tmp_path):
    """A service of which nobody can say what keys and files it will have is not shown at all."""
    plan = cut(with_unknown(where, stored("lost")), "configuration")

    assert unseen(collected(tmp_path, plan)) == {
        "service api": f"the plan does not know {UNKNOWN[where]} yet"
        " (google_cloud_run_v2_service.backend)"
    }


OPEN_ENDS = {
    "template.containers.0.image": ("image", "(known after apply)"),
    "template.containers.0.args": ("args", LiteralValue),
    "template.containers.0.args.0": ("args", LiteralValue),
    "template.containers.0.resources.0.limits": ("cpu", "(known after apply)"),
    "template.containers.0.resources": ("memory", "(known after apply)"),
    "template.containers.0.startup_probe": ("startup_probe.period", "(known after apply)"),
    "template.scaling": ("scaling.max_instances", "(known after apply)"),
    "template.vpc_access": ("vpc.connector", "(known after apply)"),
    "template.timeout": ("timeout_seconds", "(known after apply)"),
    "template.labels": ("label.(known after apply)", LiteralValue),
    "template.volumes.1.cloud_sql_instance.0.instances": (
        "cloud_sql.(known after apply)",
        "attached",
    ),
    "ingress": ("service.ingress", "(known after apply)"),
    "newer_attribute": ("service.unknown.newerAttribute", LiteralValue),
}


@pytest.mark.parametrize("where", OPEN_ENDS)
def test_settings_that_are_not_known(where, tmp_path):
    """A setting that is not known is called so, and is never the default."""
    name, value = OPEN_ENDS[where]
    plan = stored("lost")
    [one] = plan["resource_changes"]
    one["change"]["after"]["template"][0]["containers"][0]["args"] = ["--a", "--b"]
    inventory = collected(tmp_path, cut(with_unknown(where, plan), "configuration"))
    api = newest(inventory, "api")
    [found] = {s.value for s in api.all_settings if s.name == name}
    step = ".".join(s for s in where.split(".") if not s.isdecimal())

    assert isinstance(found, value) if isinstance(value, type) else found == value
    assert list(unseen(inventory)) == [f"{field(step)} of api"]


def field(path):
    return ".".join(field_name(step) for step in path.split("."))


def test_a_secret_that_is_not_known(tmp_path):
    """A file of a secret that is not known is unreadable; one that nobody mounts is a setting."""
    plan = cut(with_unknown(f"{TEMPLATE}.secret", stored("lost")), "configuration")
    mounted = newest(collected(tmp_path, plan), "api")
    [one] = plan["resource_changes"]
    one["change"]["after"]["template"][0]["containers"][0]["volume_mounts"] = []
    idle = newest(collected(tmp_path, plan), "api")

    assert [(m.path, m.state) for m in mounted.mounts] == [("/etc/key/tls", "unreadable")]
    assert "secret (known after apply)" in str(idle.setting("unmounted_volumes"))


def test_a_file_that_is_named_after_its_secret(tmp_path):
    """Without items the name of the file is that of the secret: nobody knows which file that is."""
    plan = cut(with_unknown(f"{TEMPLATE}.secret", stored("lost")), "configuration")
    [one] = plan["resource_changes"]
    one["change"]["after"]["template"][0]["volumes"][0]["secret"][0]["items"] = []

    assert unseen(collected(tmp_path, plan)) == {
        "service api": "the plan does not know template.volumes.secret yet"
        " (google_cloud_run_v2_service.backend)"
    }


def test_a_place_that_is_not_known(tmp_path):
    """A project or region that the plan does not know is left open, for flags to fill in."""
    plans = stored("new")
    for change in plans["resource_changes"]:
        for name in ("project", "location"):
            change["change"]["after"].pop(name, None)
            change["change"]["after_unknown"] |= {name: True}
    found = documents(tmp_path, plans)
    places = [
        {(who.project, who.region) for who in one.identities}
        for one in (found, found.named("shop", "europe-west1"))
    ]

    assert places == [{("-", "-")}, {("shop", "europe-west1")}]
