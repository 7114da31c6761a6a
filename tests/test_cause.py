"""Causes: the shape of a loss names the command that made it."""

from __future__ import annotations

import datetime as dt

import pytest

from drift_audit.cause import Causes, probable_cause
from drift_audit.differ import compare
from drift_audit.finding import First
from drift_audit.history import first_with
from drift_audit.inventory import Service, TrafficTarget
from drift_audit.snapshot import Label
from tests.builders import snapshot

SECRET = {"secret": "s", "version": "1"}
BEFORE: dict = {
    "env": {"LOG_LEVEL": "info", "REGION_NAME": "eu", "JWT": SECRET, "DB": SECRET},
    "files": {"/etc/key": SECRET},
    "settings": {
        "service_account": "api@shop.iam",
        "vpc.connector": "c1",
        "vpc.egress": "all-traffic",
        "cloud_sql.p:r:db": "attached",
    },
}
ACCOUNT_LOST = {**BEFORE["settings"], "service_account": "default"}


@pytest.mark.parametrize(
    ("after", "command", "because"),
    [
        (
            {"env": {"LOG_LEVEL": "info", "REGION_NAME": "eu", "DB": SECRET}},
            "gcloud run deploy with --set-secrets",
            "2 secrets are gone, and every plain value kept",
        ),
        (
            {"env": {"LOG_LEVEL": "info", "REGION_NAME": "eu"}},
            "gcloud run deploy with --clear-secrets or --set-secrets",
            "3 secrets are gone, and every plain value kept",
        ),
        (
            {"env": {"LOG_LEVEL": "info", "JWT": SECRET, "DB": SECRET}, "files": BEFORE["files"]},
            "gcloud run deploy with --set-env-vars or --env-vars-file",
            "1 plain value is gone, and every secret kept",
        ),
        (
            {"env": {"JWT": SECRET, "DB": SECRET}, "files": BEFORE["files"]},
            "gcloud run deploy with --clear-env-vars",
            "2 plain values are gone, and every secret kept",
        ),
        (
            {"env": {"ONLY": "1"}},
            "gcloud run deploy with --set-env-vars and --set-secrets, or services replace",
            "plain values and secrets are gone at once",
        ),
        (
            {"env": {"ONLY": "1"}, "settings": ACCOUNT_LOST},
            "gcloud run services replace",
            "plain values, secrets and the service account are gone at once",
        ),
        (
            {
                "env": {"ONLY": "1"},
                "settings": {"service_account": "api@shop.iam", "concurrency": 80},
            },
            "gcloud run services replace",
            "plain values, secrets, a database and the way into the VPC are gone at once",
        ),
        (
            {
                "env": {"LOG_LEVEL": "", "REGION_NAME": "eu", "JWT": SECRET},
                "files": BEFORE["files"],
            },
            "gcloud run deploy with --set-secrets",
            "1 secret is gone, and every plain value kept",
        ),
    ],
)
def test_shapes(after, command, because):
    """Each way of losing keys has a shape of its own."""
    after = {"settings": BEFORE["settings"], **after}
    cause = probable_cause(snapshot(BEFORE), snapshot(after))

    assert (cause.command, cause.because) == (command, because)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BEFORE, BEFORE),
        (BEFORE, {**BEFORE, "env": {**BEFORE["env"], "NEW": "1"}}),
        ({"JWT": SECRET}, {}),
        ({"A": "1"}, {}),
        ({"A": ""}, {"B": "1"}),
        ({"A": "", "JWT": SECRET}, {"JWT": SECRET}),
    ],
)
def test_no_shape_no_cause(before, after):
    """Where nothing points at one command, no command is named."""
    assert probable_cause(snapshot(before), snapshot(after)) is None


def test_job():
    """The commands for jobs are called otherwise."""
    after = {**BEFORE, "env": {"LOG_LEVEL": "info", "REGION_NAME": "eu"}}
    reference, candidate = snapshot(BEFORE, kind="job"), snapshot(after, kind="job")
    at = candidate.address
    job = Service(project=at.project, region=at.region, service=at.service, kind="job")
    causes = Causes(reference, job, candidate)
    found = {causes.of(change, None).command for change in compare(reference, candidate)}

    assert found == {"gcloud run jobs deploy with --clear-secrets or --set-secrets"}


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        (ACCOUNT_LOST, "gcloud run jobs replace"),
        (
            BEFORE["settings"],
            "gcloud run jobs deploy with --set-env-vars and --set-secrets, or jobs replace",
        ),
    ],
)
def test_job_that_lost_everything(settings, command):
    """So are those that replace a whole job."""
    after = snapshot({"env": {"ONLY": "1"}, "settings": settings}, kind="job")

    assert probable_cause(snapshot(BEFORE, kind="job"), after).command == command


@pytest.mark.parametrize(
    ("env", "because"),
    [
        (
            {"LOG_LEVEL": "info", "REGION_NAME": "eu", "JWT": "plain"},
            "3 secrets are gone, and every plain value kept",
        ),
        (
            {"LOG_LEVEL": SECRET, "JWT": SECRET, "DB": SECRET},
            "2 plain values are gone, and every secret kept",
        ),
    ],
)
def test_kind_that_changed_counts_as_gone(env, because):
    """A secret that is a plain value now is one secret less, and the reverse."""
    files = {} if "LOG_LEVEL" in env and env["LOG_LEVEL"] == "info" else BEFORE["files"]
    after = snapshot({**BEFORE, "env": env, "files": files})

    assert probable_cause(snapshot(BEFORE), after).because == because


def test_secret_of_another_version_is_not_gone():
    """What is still a secret is not counted, whichever it is."""
    env = {"LOG_LEVEL": "info", "REGION_NAME": "eu", "DB": {"secret": "s", "version": "2"}}
    cause = probable_cause(snapshot(BEFORE), snapshot({**BEFORE, "env": env}))

    assert cause.because == "1 secret is gone, and every plain value kept"


def test_action_with_two_inputs():
    """Where two flags may have been given, so may the two inputs."""
    labels = (Label(name="managed-by", value="github-actions"),)
    after = snapshot({**BEFORE, "env": {"ONLY": "1"}, "files": {}}, labels=labels)

    assert probable_cause(snapshot(BEFORE), after).because.endswith(
        "secrets_update_strategy: overwrite and env_vars_update_strategy: overwrite"
    )


def test_action():
    """Where google's action for GitHub deploys, the input is told that stands for the flag."""
    labels = (Label(name="managed-by", value="github-actions"),)
    after = {**BEFORE, "env": {"LOG_LEVEL": "info", "REGION_NAME": "eu"}}
    cause = probable_cause(snapshot(BEFORE), snapshot(after, labels=labels))

    assert cause.because == (
        "2 secrets are gone, and every plain value kept;"
        " for deploy-cloudrun that is secrets_update_strategy: overwrite"
    )


def test_action_and_a_cause_without_flags():
    """What none of its inputs does was not done through one."""
    labels = (Label(name="managed-by", value="github-actions"),)
    after = snapshot({"env": {"ONLY": "1"}, "settings": ACCOUNT_LOST}, labels=labels)

    assert "deploy-cloudrun" not in probable_cause(snapshot(BEFORE), after).because


def test_another_client():
    """That something else deployed than before is told beside the shape."""
    after = {**BEFORE, "env": {"LOG_LEVEL": "info", "REGION_NAME": "eu"}}
    pair = snapshot(BEFORE, client="gcloud"), snapshot(after, client="cloud-console")

    assert probable_cause(*pair).because == (
        "2 secrets are gone, and every plain value kept; the client changed from gcloud to cloud-console"
    )


@pytest.mark.parametrize(("then", "now"), [("gcloud", "gcloud"), ("", "gcloud"), ("gcloud", "")])
def test_no_other_client(then, now):
    """Nothing is said where the client is the same, or one of the two is not known."""
    after = {**BEFORE, "env": {"LOG_LEVEL": "info", "REGION_NAME": "eu"}}
    cause = probable_cause(snapshot(BEFORE, client=then), snapshot(after, client=now))

    assert cause.because == "2 secrets are gone, and every plain value kept"


@pytest.mark.parametrize(("client", "told"), [("", False), ("gcloud", True)])
def test_plan_has_a_cause_where_it_says_by_what_command(client, told):
    """A file of what is to come names no command; a preview of one does."""
    before = snapshot(BEFORE, revision="api-00001-old")
    side = {**BEFORE, "env": {"LOG_LEVEL": "info", "REGION_NAME": "eu"}}
    after = snapshot(side, client=client).as_planned
    at = after.address
    service = Service(project=at.project, region=at.region, service=at.service)
    change = next(c for c in compare(before, after) if c.at.key == "JWT")
    first = First(revision=after.identity.revision, previous=before.identity.revision)

    assert bool(Causes(before, service, after).of(change, first)) is told


A, B, C, D = (f"api-0000{n}-x" for n in range(1, 5))


def day(number):
    return dt.datetime(2026, 1, number, tzinfo=dt.UTC)


def told(*sides, serving=D, key="JWT"):
    """The cause of what became of a key over a chain of revisions, one a day, the last the candidate."""
    names = (A, B, C, D)
    chain = [
        snapshot({"env": side}, revision=name, create_time=day(n))
        for n, (name, side) in enumerate(zip(names, sides, strict=False), 1)
    ]
    reference, candidate = chain[0], chain[-1]
    at = candidate.address
    service = Service(
        project=at.project,
        region=at.region,
        service=at.service,
        revisions=tuple(reversed(chain)),
        traffic=(TrafficTarget(revision=serving, percent=100),),
        complete=True,
    )
    [change] = [c for c in compare(reference, candidate) if c.at.key == key]
    first = first_with(service, reference, candidate, change.at)
    cause = Causes(reference, service, candidate).of(change, first)
    return cause and (cause.command, cause.because)


BESIDE = {"LOG_LEVEL": "info", "DB": SECRET}
BOUND, BARE, PLAIN = {**BESIDE, "JWT": SECRET}, BESIDE, {**BESIDE, "JWT": "x"}


def test_kind_changed_in_two_steps():
    """gcloud takes two deploys to turn one kind into the other; between them the key is not there."""
    there, back = told(BOUND, BARE, PLAIN, serving=C), told(PLAIN, BARE, BOUND, serving=C)

    assert there == (
        "gcloud run deploy with --remove-secrets, then with --update-env-vars",
        f"{B} did not have the key at all",
    )
    assert back == (
        "gcloud run deploy with --remove-env-vars, then with --update-secrets",
        f"{B} did not have the key at all",
    )


def test_kind_changed_in_one_step():
    """A secret that becomes a plain value at once was not gcloud; the other way gcloud can."""
    assert told(BOUND, PLAIN, serving=B) == (
        "gcloud run services replace, the console or Terraform",
        "gcloud refuses to turn a secret into a plain value in one step",
    )
    assert told(PLAIN, BOUND, serving=B) is None


def test_causes_of_two_deploys():
    """Each deploy has the cause of what it lost itself."""
    sides = {**BOUND, "FLAG": "1"}, {**BESIDE, "FLAG": "1"}, {"DB": SECRET}
    chain = [
        snapshot({"env": env}, revision=name, create_time=day(n))
        for n, (name, env) in enumerate(zip((A, B, C), sides, strict=True), 1)
    ]
    at = chain[0].address
    service = Service(
        project=at.project, region=at.region, service=at.service, revisions=tuple(chain)
    )
    causes = Causes(chain[0], service, chain[2])
    lost = {c.at.key: c for c in compare(chain[0], chain[2])}

    assert [
        causes.of(lost[key], First(revision=after, previous=before)).command
        for key, before, after in (("JWT", A, B), ("FLAG", B, C))
    ] == ["gcloud run deploy with --set-secrets", "gcloud run deploy with --clear-env-vars"]


def test_where_nothing_is_known_of_the_step():
    """Without the revision before, or of the first there is, no cause is told; nor of a setting."""
    before, after = snapshot(BEFORE), snapshot({**BEFORE, "settings": ACCOUNT_LOST, "env": {}})
    at = after.address
    service = Service(project=at.project, region=at.region, service=at.service)
    causes = Causes(before, service, after)
    first = First(revision=after.revision, previous=before.revision)
    of_settings = [c for c in compare(before, after) if c.at.setting]

    assert [causes.of(c, first) for c in of_settings] == [None]
    assert causes.of(compare(before, after)[0], None) is None
    assert causes.of(compare(before, after)[0], First(revision=after.revision)) is None


def test_kind_that_was_never_another():
    """A key that came back as what it was before the reference, or never was, has no such cause."""
    assert told(BOUND, {**BESIDE, "JWT": {"secret": "other", "version": "1"}}, serving=B) is None
    assert told(BOUND, {**BESIDE, "JWT": ""}, PLAIN, serving=C) is None
    assert told(BOUND, {**BESIDE, "JWT": ""}, serving=B) is None
    assert told({**BESIDE, "JWT": ""}, BOUND, serving=B) is None
    assert told({**BESIDE, "JWT": ""}, BARE, BOUND, serving=C) is None
    assert told(BOUND, BARE, {**BESIDE, "JWT": ""}, serving=C) is None


@pytest.mark.parametrize(("serving", "tail"), [(A, f"; all requests still go to {A}"), (C, "")])
def test_traffic_that_did_not_follow(serving, tail):
    """A loss that nobody is served by yet is told as such."""
    found = told(BOUND, BARE, {**BESIDE, "NEW": "1"}, serving=serving)

    assert found == (
        "gcloud run deploy with --set-secrets",
        f"1 secret is gone, and every plain value kept{tail}",
    )
