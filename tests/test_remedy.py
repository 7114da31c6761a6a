"""Remedies: commands that know the types, hold no value, and cannot be read as something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.differ import compare
from drift_audit.inventory import Service, TrafficTarget
from drift_audit.remedy import Ground, pinned, remedy
from tests.builders import snapshot

UPDATE = "gcloud run services update api --project=shop --region=europe-west1"
JOB = UPDATE.replace("services", "jobs")
POOL = UPDATE.replace("gcloud run services", "gcloud beta run worker-pools")
SECRET = {"secret": "jwt", "version": "7"}


def put_back(before, after, *, versions=None, service=None, numbers=None, **identity):
    """The remedy for everything that differs between two sides of one service."""
    reference = snapshot(before, **{**identity, "revision": "api-00001-old"})
    candidate = snapshot(after, **identity)
    at = candidate.address
    found = service or {"revisions": (candidate, reference)}
    stands = Service(project=at.project, region=at.region, service=at.service, **found)
    ground = Ground(reference, candidate, stands, versions or {}, numbers or {})
    return remedy(compare(reference, candidate), ground)


@pytest.mark.parametrize(
    ("before", "after", "flags"),
    [
        ({"A": SECRET}, {}, "--update-secrets=A=jwt:7"),
        ({"A": {"secret": "jwt", "resolved": 3}}, {}, "--update-secrets=A=jwt:3"),
        ({"A": {"secret": "jwt"}}, {}, "--update-secrets=A=jwt:latest"),
        ({"A": {**SECRET, "project": "99"}}, {}, "--update-secrets=A=projects/99/secrets/jwt:7"),
        (
            {"A": {**SECRET, "project": "other", "project_number": "99"}},
            {},
            "--update-secrets=A=projects/99/secrets/jwt:7",
        ),
        ({"A": SECRET}, {"A": "plain"}, "--remove-env-vars=A --update-secrets=A=jwt:7"),
        ({"A": SECRET}, {"A": ""}, "--remove-env-vars=A --update-secrets=A=jwt:7"),
        ({"A": SECRET}, {"A": {"secret": "other"}}, "--update-secrets=A=jwt:7"),
        ({"A": "1", "B": "2"}, {}, "--update-env-vars=A=(VALUE),B=(VALUE)"),
        ({"A": "1"}, {"A": "2"}, "--update-env-vars=A=(VALUE)"),
        ({"files": {"/k": SECRET}}, {}, "--update-secrets=/k=jwt:7"),
        (
            {"A": SECRET, "B": SECRET},
            {"A": ""},
            "--remove-env-vars=A --update-secrets=A=jwt:7,B=jwt:7",
        ),
        (
            {"settings": {"service_account": "a@b", "cloud_sql.p:r:db": "attached"}},
            {"settings": {"service_account": "default"}},
            "--add-cloudsql-instances=p:r:db --service-account=a@b",
        ),
        (
            {},
            {"settings": {"vpc.connector": "c", "cloud_sql.p:r:db": "attached"}},
            "--clear-vpc-connector --remove-cloudsql-instances=p:r:db",
        ),
    ],
)
def test_restore(before, after, flags):
    """Each state is put back with the flags that gcloud takes for it, all in one command."""
    assert put_back(before, after).restore == f"{UPDATE} {flags}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"NEW": "1"}),
        ({"settings": {"unheard_of": 1}}, {}),
        ({"settings": {"service_account": "default"}}, {"settings": {"service_account": "a@b"}}),
        ({"settings": {"service_account": "$(id)"}}, {"settings": {"service_account": "a@b"}}),
        ({"A=B": "1"}, {}),
        ({"files": {"/a b": SECRET}}, {}),
        ({"A": ""}, {}),
        ({"A": {"unreadable": "?"}}, {}),
        ({}, {"settings": {"vpc.egress": "all-traffic"}}),
    ],
)
def test_no_command(before, after):
    """What no single command puts back gets none."""
    assert put_back(before, after).restore == ""


def test_project_by_number():
    """gcloud takes secrets of other projects by number alone; one that nobody told is asked for."""
    found = put_back({"A": {**SECRET, "project": "other"}}, {})

    assert found.restore == f"{UPDATE} --update-secrets=A=projects/(NUMBER)/secrets/jwt:7"
    assert found.note == (
        "(NUMBER) stands for the number of other:"
        " gcloud projects describe other --format='value(projectNumber)'"
    )


def test_project_whose_number_is_known():
    """The number that was looked up stands in the command, and nothing has to be asked."""
    found = put_back({"A": {**SECRET, "project": "other"}}, {}, numbers={"other": "99"})

    assert found.restore == f"{UPDATE} --update-secrets=A=projects/99/secrets/jwt:7"
    assert found.note == ""


@pytest.mark.parametrize(
    "secret", [{"secret": "j;t", "version": "7"}, {"secret": "jwt", "version": "7 8"}]
)
def test_name_that_a_shell_acts_on(secret):
    """A secret or a version with such a name is named, and stands in no command."""
    found = put_back({"A": secret}, {})

    assert (found.restore, found.note) == ("", "not put back: A")


def test_one_container_needs_no_name():
    """The flags of the only container go without its name, also those of the whole revision."""
    before: dict = {"containers": {"api-1": {"ingress": True, "env": {"A": SECRET}}}}
    before["settings"] = {"service_account": "a@b"}
    after = {
        "containers": {"api-1": {"ingress": True}},
        "settings": {"service_account": "default"},
    }

    assert put_back(before, after).restore == (
        f"{UPDATE} --service-account=a@b --update-secrets=A=jwt:7"
    )


def test_several_are_not_put_back():
    """What no flag brings back is named, all of it."""
    found = put_back({"settings": {"a.b": "1", "c.d": "1"}}, {})

    assert found.note == "not put back: a.b, c.d"


def test_job_has_flags_of_its_own():
    """A job calls some settings otherwise; its plain values are where its baseline is."""
    found = put_back({"settings": {"timeout_seconds": 60}}, {}, kind="job")
    valued = put_back({"A": "1"}, {}, kind="job")

    assert found.restore == f"{JOB} --task-timeout=60"
    assert valued.note == "(VALUE) stands for the plain value in the baseline of the job"


def test_switch_of_a_worker_pool():
    """gcloud has no flags for what is on or off in a worker pool."""
    found = put_back({"settings": {"cpu_idle": True}}, {}, kind="worker-pool")

    assert (found.restore, found.note) == ("", "not put back: cpu_idle")


def test_containers():
    """With several containers the flags of each stand behind its name."""
    before = {"containers": {"app": {"env": {"A": SECRET}}, "proxy": {"env": {"B": SECRET}}}}
    after: dict = {"containers": {"app": {}, "proxy": {}}}

    assert put_back(before, after).restore == (
        f"{UPDATE} --container=app --update-secrets=A=jwt:7 --container=proxy --update-secrets=B=jwt:7"
    )


def test_container_that_is_gone():
    """A container that the newest revision does not have takes no flags; the note says so."""
    before = {"containers": {"app": {}, "proxy": {"ingress": False, "env": {"A": SECRET}}}}
    found = put_back(before, {"containers": {"app": {}}})

    assert (found.restore, found.note) == ("", "not put back: A")
    assert found.rollback


def test_worker_pool():
    """A worker pool has commands of its own."""
    found = put_back({"A": SECRET}, {}, kind="worker-pool")
    place = "api --project=shop --region=europe-west1"

    assert found.restore == f"gcloud beta run worker-pools update {place} --update-secrets=A=jwt:7"
    assert found.rollback == (
        f"gcloud beta run worker-pools update-instance-split {place}"
        " --to-revisions=api-00001-old=100"
    )


@pytest.mark.parametrize(
    ("state", "restore", "note"),
    [
        ("enabled", True, ""),
        (None, True, ""),
        (
            "disabled",
            False,
            "jwt@7 is disabled now; not put back: A; no rollback: api-00001-old reads jwt@7",
        ),
        (
            "destroyed",
            False,
            "jwt@7 is destroyed now; not put back: A; no rollback: api-00001-old reads jwt@7",
        ),
        (
            "not-found",
            False,
            "jwt@7 is not-found now; not put back: A; no rollback: api-00001-old reads jwt@7",
        ),
        ("unseen", True, "whether jwt@7 can still be read is not known"),
    ],
)
def test_version_that_is_gone(state, restore, note):
    """A secret version that cannot be read any more is not bound again."""
    found = put_back({"A": SECRET}, {}, versions={("jwt", "7"): state})

    assert (bool(found.restore), found.note) == (restore, note)


def test_pinned():
    """What is looked up is the version that the reference resolved to, not what its alias means now."""
    asked = {
        "A": {"secret": "jwt", "resolved": 3, "state": "enabled"},
        "B": {"secret": "db"},
        "C": "1",
    }
    one = pinned(snapshot({"env": asked, "files": {"/k": asked["A"]}}))

    assert [(ref.secret, ref.version, ref.resolved, ref.version_state) for _, ref in one.references] == [
        ("jwt", "3", None, None), ("db", "latest", None, None), ("jwt", "3", None, None),
    ]  # fmt: skip


def test_two_services_have_no_remedy():
    """What one service has is no remedy for another."""
    one, other = snapshot({"A": SECRET}), snapshot({}, service="web")
    at = other.address
    stands = Service(project=at.project, region=at.region, service=at.service)

    assert remedy(compare(one, other), Ground(one, other, stands)) is None


def test_update_starts_from_the_newest():
    """Where the candidate is not the newest revision, or traffic is pinned, the note says it."""
    newest, candidate = snapshot({}, revision="api-00003-new"), snapshot({})
    reference = snapshot({"A": SECRET}, revision="api-00001-old")
    stands = {
        "revisions": (newest, candidate, reference),
        "latest_created": "api-00003-new",
        "traffic": (TrafficTarget(revision="api-00002-new", percent=100),),
    }
    found = put_back({"A": SECRET}, {}, service=stands)

    assert found.note == (
        "the command starts from api-00003-new, the newest revision;"
        " traffic is pinned: send it to the new revision afterwards"
    )


def test_no_rollback_to_what_is_not_there():
    """A revision that a whole list does not show cannot be rolled back to."""
    assert put_back({"A": SECRET}, {}, service={"complete": True}).rollback == ""
    assert put_back({"A": SECRET}, {}, service={"complete": False}).rollback != ""
    whole = {"complete": True, "revisions": (snapshot({}), snapshot({}, revision="api-00001-old"))}
    assert put_back({"A": SECRET}, {}, service=whole).rollback != ""


def test_flags_fit_what_the_newest_revision_holds():
    """gcloud binds no secret to a key that is plain in the revision that the update starts from."""
    newest, candidate = snapshot({"A": "plain"}, revision="api-00003-new"), snapshot({})
    stands = {"revisions": (newest, candidate), "latest_created": "api-00003-new"}
    bound = put_back({"A": SECRET}, {}, service=stands)
    secret = snapshot({"A": SECRET}, revision="api-00003-new")
    plain = put_back({"A": "1"}, {}, service={**stands, "revisions": (secret, candidate)})

    assert bound.restore.endswith("--remove-env-vars=A --update-secrets=A=jwt:7")
    assert plain.restore.startswith(f"{UPDATE} --no-traffic --remove-secrets=A && ")


@pytest.mark.parametrize(
    ("stands", "kind", "words"),
    [
        (
            {},
            "service",
            [
                f"{UPDATE} --no-traffic --remove-secrets=A",
                f"{UPDATE} --update-env-vars=A=(VALUE) --update-secrets=B=jwt:7",
                f"{UPDATE.replace('update api', 'update-traffic api')} --to-latest",
            ],
        ),
        (
            {"traffic": (TrafficTarget(revision="x", percent=100),)},
            "service",
            [
                f"{UPDATE} --no-traffic --remove-secrets=A",
                f"{UPDATE} --update-env-vars=A=(VALUE) --update-secrets=B=jwt:7",
            ],
        ),
        (
            {},
            "worker-pool",
            [
                f"{POOL} --no-promote --remove-secrets=A",
                f"{POOL} --update-env-vars=A=(VALUE) --update-secrets=B=jwt:7",
                f"{POOL.replace('update api', 'update-instance-split api')} --to-latest",
            ],
        ),
        (
            {},
            "job",
            [
                f"{JOB} --remove-secrets=A",
                f"{JOB} --update-env-vars=A=(VALUE) --update-secrets=B=jwt:7",
            ],
        ),
    ],
)
def test_two_deploys(stands, kind, words):
    """
    gcloud makes no plain value of a secret in one step: the key goes first, where nobody is served.
    """
    before, after = {"A": "1", "B": SECRET}, {"A": SECRET}
    stands = {"revisions": (snapshot(after, kind=kind),), "kind": kind, **stands}

    assert put_back(before, after, service=stands, kind=kind).restore == " && ".join(words)


def test_two_deploys_of_one_container_of_two():
    """What goes first goes from its container alone."""
    before = {"containers": {"app": {"env": {"A": "1"}}, "proxy": {}}}
    after = {"containers": {"app": {"env": {"A": SECRET}}, "proxy": {}}}

    assert put_back(before, after).restore.startswith(
        f"{UPDATE} --no-traffic --container=app --remove-secrets=A && "
    )


@pytest.mark.parametrize(
    ("before", "after", "flags"),
    [
        ({"cpu_idle": True}, {"cpu_idle": False}, "--cpu-throttling"),
        ({"startup_cpu_boost": False}, {"startup_cpu_boost": True}, "--no-cpu-boost"),
        ({"encryption_key": "k"}, {}, "--key=k"),
        ({}, {"encryption_key": "k"}, "--clear-key"),
        (
            {"vpc.network": "n", "vpc.subnetwork": "s", "vpc.egress": "all-traffic"},
            {},
            "--network=n --subnet=s --vpc-egress=all-traffic",
        ),
        ({}, {"vpc.network": "n", "vpc.subnetwork": "s", "vpc.egress": "x"}, "--clear-network"),
    ],
)
def test_settings(before, after, flags):
    """What is on or off has a flag for each, and what was not there is cleared."""
    found = put_back({"settings": before}, {"settings": after})

    assert (found.restore, found.note) == (f"{UPDATE} {flags}", "")


@pytest.mark.parametrize("disabled", [True, False])
def test_service_level_switch(disabled):
    """Who may call a service without being asked is put back either way."""
    name = "invoker_iam_disabled"
    found = put_back({"service": {name: disabled}}, {"service": {name: not disabled}})

    assert found.restore == f"{UPDATE} --{'no-' if disabled else ''}invoker-iam-check"


def test_invokers():
    """Who lost the permission to call gets it back, and everybody loses it, each by a command."""
    members = "group:a@b.c, serviceAccount:web@shop.iam"
    found = put_back(
        {"service": {"invokers": members}}, {"service": {"invokers": "allUsers, group:a@b.c"}}
    )
    binding = "gcloud run services {}-iam-policy-binding api --project=shop --region=europe-west1"

    assert (found.restore, found.note) == (
        " && ".join(
            [
                f"{binding.format('add')} --member=serviceAccount:web@shop.iam --role=roles/run.invoker",
                f"{binding.format('remove')} --member=allUsers --role=roles/run.invoker",
            ]
        ),
        "",
    )


def test_switches_stand_for_the_whole_revision():
    """Flags that gcloud takes for no container alone stand before all containers, and once."""
    boxes = {
        name: {"settings": {"cpu_idle": True}, "env": env}
        for name, env in (("app", {"A": SECRET}), ("proxy", {}))
    }
    after = {name: {"settings": {"cpu_idle": False}} for name in boxes}

    assert put_back({"containers": boxes}, {"containers": after}).restore == (
        f"{UPDATE} --cpu-throttling --container=app --update-secrets=A=jwt:7"
    )
    assert put_back({"containers": after}, {"containers": boxes}).restore == (
        f"{UPDATE} --no-cpu-throttling"
    )


@pytest.mark.parametrize("found", [True, False])
def test_no_rollback_to_what_does_not_start(found):
    """A revision that is not Ready, or reads a version that is gone, gets no traffic from us."""
    broken = {"env": {"A": SECRET, "B": "1"}, "status": {"ready": False}}
    reference = snapshot(broken, revision="api-00001-old")
    stands = {"revisions": (snapshot({}), *([reference] if found else []))}
    failed = put_back(broken, {}, service=stands)
    unreadable = put_back(
        {"A": SECRET, "B": "1"}, {"A": SECRET}, versions={("jwt", "7"): "destroyed"}
    )

    assert (failed.rollback, unreadable.rollback) == ("", "")
    assert "no rollback: api-00001-old is not Ready" in failed.note
    assert "no rollback: api-00001-old reads jwt@7" in unreadable.note
    assert unreadable.restore.endswith("--update-env-vars=B=(VALUE)")


def test_reference_is_as_it_was_found():
    """What the service says of the reference today counts, not how it was when it was kept."""
    failed = snapshot({"A": SECRET, "status": {}}, revision="api-00001-old")
    failed = failed.but(status=failed.status.but(ready=False))
    kept = put_back({"A": SECRET}, {}, service={"revisions": (snapshot({}), failed)})

    assert kept.rollback == ""
    assert "no rollback: api-00001-old is not Ready" in kept.note


def test_no_rollback_to_a_template():
    """What is no revision takes no traffic."""
    reference, candidate = snapshot({"A": SECRET}, revision=""), snapshot({})
    at = candidate.address
    service = Service(project=at.project, region=at.region, service=at.service)
    found = remedy(compare(reference, candidate), Ground(reference, candidate, service))

    assert (found.restore, found.rollback) == (f"{UPDATE} --update-secrets=A=jwt:7", "")


def test_no_rollback_of_service_settings():
    """What changes without a revision does not come back with one."""
    found = put_back({"service": {"ingress": "internal"}}, {"service": {"ingress": "all"}})

    assert found.restore.endswith("--ingress=internal")
    assert found.rollback == ""


def test_rollback():
    """The alternative sends all requests to the reference, if it is another revision."""
    rollback = put_back({"A": SECRET}, {}).rollback

    assert rollback == (
        "gcloud run services update-traffic api --project=shop --region=europe-west1"
        " --to-revisions=api-00001-old=100"
    )
    assert put_back({"A": SECRET}, {}, revision="api-00001-old").rollback == ""


def test_note_says_where_a_value_is():
    """A command that stands for a plain value says where to read it."""
    assert (
        put_back({"A": "1"}, {}).note
        == "(VALUE) stands for the plain value in revision api-00001-old"
    )
    assert put_back({"A": SECRET}, {}).note == ""
    followed = put_back({"A": {"secret": "jwt", "resolved": 3}}, {})
    assert followed.note == "jwt@latest stood for 3 and is pinned to it"
    assert put_back({"A": {**SECRET, "resolved": 7}}, {}).note == ""
    assert put_back({"A": {"secret": "jwt"}}, {}).note == ""


def test_unnamed_place_is_in_capitals():
    """What the input did not name is left to be filled in."""
    restore = put_back({"A": SECRET}, {}, project="-", region="-").restore

    assert "--project=(PROJECT) --region=(REGION)" in restore


@given(st.text(max_size=12), st.text(max_size=12))
def test_no_command_injection(key, value):
    """Whatever a key is called, a command holds no character that a shell acts on, and no value."""
    found = put_back({"env": {key or "k": value or "v", "SAFE": SECRET}}, {})

    assert set(found.restore) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=,./:@ ()"
    )
    assert not set(found.restore.replace("(VALUE)", "")) & set("()")
    assert "--update-secrets=SAFE=jwt:7" in found.restore


def test_member_that_a_shell_acts_on():
    """A member whose name a shell would read as something else stands in no command."""
    gone = "deleted:serviceAccount:web@shop.iam?uid=1"
    found = put_back({"service": {"invokers": gone}}, {"service": {"invokers": "nobody"}})

    assert found.restore == ""
