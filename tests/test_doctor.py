"""What an audit lacks: said check by check, each with the command that fixes it."""

from __future__ import annotations

import base64
import json
import shlex
import shutil

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import compute_engine, external_account_authorized_user, identity_pool
from google.auth.credentials import AnonymousCredentials
from jsonschema import Draft202012Validator

from drift_audit.cli.access import ROLES, grouped
from drift_audit.collector import account, permissions
from drift_audit.collector.budget import Budget
from drift_audit.collector.connection import Connection
from drift_audit.names import KINDS
from tests.canary import files_below, leaks
from tests.command import SEAL_KEY, SEALED, run
from tests.manifests import CANARY, PASSWORD, service
from tests.resource_manager import Cloud, answering

NEEDED = list(permissions.needed(KINDS, find_regions=True))
TOKENS = "--role=roles/iam.serviceAccountTokenCreator"
RISKY = ["secretmanager.versions.access", "run.services.update", "run.services.delete"]
ROBOT = "auditor@shop.iam.gserviceaccount.com"
OTHER_KEY = base64.b64encode(b"another key, of 32 or more bytes").decode()


@pytest.fixture(scope="session")
def private_key():
    """A key as service accounts have it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, *form).decode()


def doctor(folder, cloud, *arguments, env=None):
    """The command, asked about a cloud."""
    with answering(cloud) as reached:
        return run("doctor", *arguments, cwd=folder, env={**reached, **(env or {})})


def diagnosed(folder, cloud, *arguments, env=None, code=0):
    """The checks of a diagnosis by project and what they are about, the last of each."""
    ran = doctor(folder, cloud, *arguments, "--format=json", env=env)

    assert ran.code == code, ran.block
    return {(c["project"], c["check"]): c for c in json.loads(ran.out)["checks"]}


def test_ready(tmp_path):
    """Where everything needed is held, the doctor says so and ends with 0."""
    ran = doctor(tmp_path, Cloud({"shop": NEEDED}), "--project=shop")

    assert (ran.code, ran.err) == (0, ""), ran.block
    assert ran.out.splitlines()[0] == "READY      an audit can be complete"
    assert "ok         regions      1 region found: europe-west1" in ran.out
    assert "holds the 13 permissions that an audit needs" in ran.told
    assert "cannot read what is in secrets" in ran.told
    assert "cannot change what it looks at" in ran.told


def test_lacking_permission(tmp_path):
    """What is lacking is named, with the roles that hold it and a role of exactly what is needed."""
    held = [
        p
        for p in NEEDED
        if p not in ("run.jobs.get", "run.jobs.list", "secretmanager.versions.get")
    ]
    found = diagnosed(tmp_path, Cloud({"shop": held}), "--project=shop", code=3)[
        "shop", "permissions"
    ]

    assert (found["state"], found["code"]) == ("missing", 3)
    assert found["says"].startswith("lacks run.jobs.get/list, secretmanager.versions.get;")
    assert found["fix"] == [
        "gcloud projects add-iam-policy-binding shop --member=MEMBER --role=roles/run.viewer --condition=None",
        "gcloud projects add-iam-policy-binding shop --member=MEMBER --role=roles/secretmanager.viewer --condition=None",
    ]
    assert found["instead"] == [
        f"gcloud iam roles create driftAudit --project=shop --title=drift-audit --permissions={','.join(NEEDED)}",
        "gcloud projects add-iam-policy-binding shop --member=MEMBER --role=projects/shop/roles/driftAudit --condition=None",
    ]


def test_only_what_is_in_scope_is_needed(tmp_path):
    """Who looks at jobs of one region needs no permission for services, nor for regions."""
    held = ["run.jobs.get", "run.jobs.list", *(p for p in NEEDED if p.startswith("secretmanager."))]
    asked = ["--project=shop", "--kind=job", "--region=r1"]
    found = diagnosed(tmp_path, Cloud({"shop": held}), *asked)

    assert sorted(found["shop", "permissions"]["names"]) == sorted(held)
    assert found["shop", "regions"]["says"] == "r1, as asked"


@pytest.mark.parametrize(
    ("held", "code", "says"),
    [
        ([*NEEDED, *permissions.LIMITS], 0, "holds the 15 permissions that an audit needs"),
        (NEEDED, 3, "lacks cloudsql.instances.get, vpcaccess.connectors.get"),
    ],
)
def test_limits(tmp_path, held, code, says):
    """Who wants limits to be read needs two permissions more, and is told the roles that hold them."""
    found = diagnosed(tmp_path, Cloud({"shop": held}), "--project=shop", "--read-limits", code=code)
    told = found["shop", "permissions"]
    roles = [word for fix in told["fix"] for word in fix.split() if "--role=" in word]

    assert told["says"] == says
    assert roles == (
        ["--role=roles/cloudsql.viewer", "--role=roles/vpcaccess.viewer"] if code else []
    )


def test_every_permission_is_granted_by_the_roles_that_are_named():
    """Each permission is one of an API whose role is known, and none is asked for twice."""
    tables = [*NEEDED, *permissions.LIMITS, *permissions.PAYLOADS, *permissions.WRITES]

    assert len(set(tables)) == len(tables) <= permissions.AT_ONCE
    assert {p.partition(".")[0] for p in tables} == ROLES.keys()
    assert {p.rpartition(".")[2] for p in NEEDED} == {"get", "list"}
    others = tables[len(NEEDED) + len(permissions.LIMITS) :]
    assert not {"get", "list"} & {p.rpartition(".")[2] for p in others}


def test_careless_account(tmp_path):
    """What should not be held is warned of by name, and nothing depends on it."""
    found = diagnosed(tmp_path, Cloud({"shop": NEEDED + RISKY}), "--project=shop")
    payloads, changes = found["shop", "payloads"], found["shop", "changes"]

    assert (payloads["state"], changes["state"]) == ("warning", "warning")
    assert payloads["names"] == ["secretmanager.versions.access"]
    assert changes["says"].endswith("remove the role that holds run.services.update/delete")
    assert changes["fix"][0].startswith(
        "gcloud projects get-iam-policy shop '--flatten=bindings[].members'"
    )


def test_several_projects(tmp_path):
    """Each project is told by itself; one that is not there was not seen."""
    (tmp_path / "projects").write_text("web\n")
    cloud = Cloud({"shop": NEEDED, "web": []}, regions=[f"r{n}" for n in range(9)])
    found = diagnosed(tmp_path, cloud, "--project=shop,gone", "--projects-file=projects", code=3)
    states = {p: found[p, "permissions"]["state"] for p in ("shop", "gone", "web")}

    assert states == {"shop": "ok", "gone": "not seen", "web": "missing"}
    assert found["gone", "permissions"]["says"] == "there is no such project"
    assert found["shop", "regions"]["says"] == "9 regions found"
    assert len(found["shop", "regions"]["names"]) == 9


@pytest.mark.parametrize(
    ("cloud", "project", "says", "fix"),
    [
        (Cloud({}, fails=403), "shop", "permission denied: there is no such project", "gcloud services enable"),
        (Cloud({}, fails=500), "shop", "the service answered INTERNAL", None),
        (Cloud({"shop": []}, answer={"permissions": "all"}), "shop", "an answer that is no list", None),
        (Cloud({"shop": []}, answer=[1]), "shop", "the service answered", None),
        (Cloud({"shop": []}), "no/project", "not the id of a project", None),
    ],
)  # fmt: skip
def test_not_seen(tmp_path, cloud, project, says, fix):
    """A project that gives no answer was not seen, and the audit would be incomplete."""
    found = diagnosed(tmp_path, cloud, f"--project={project}", "--region=r1", code=3)
    told = found[project, "permissions"]

    assert (told["state"], told["says"][: len(says)]) == ("not seen", says)
    assert [c[: len(fix)] for c in told["fix"]] == [fix] if fix else told["fix"] == []


def test_regions_not_seen(tmp_path):
    """Regions that nobody names make an audit incomplete, unless they are given."""
    cloud = Cloud({"shop": NEEDED}, regions=[])
    found = diagnosed(tmp_path, cloud, "--project=shop", code=3)["shop", "regions"]

    assert found["state"] == "not seen"
    assert found["fix"] == ["drift-audit doctor --project=shop --region=REGION"]
    assert diagnosed(tmp_path, cloud, "--project=shop", "--region=r1")


@pytest.mark.parametrize(
    ("unknown", "code"), [("run.workerpools.delete", 0), ("run.workerpools.get", 3)]
)
def test_permission_that_the_server_does_not_know(tmp_path, unknown, code):
    """One question that is refused does not spoil the others; it counts if it is needed."""
    cloud = Cloud({"shop": NEEDED}, unknown=(unknown,))
    ran = doctor(tmp_path, cloud, "--project=shop")

    assert ran.code == code, ran.block
    assert f"not seen permissions {unknown}: the service answered INVALID_ARGUMENT" in ran.told
    assert len(cloud.asked) == 1 + len([*NEEDED, *permissions.PAYLOADS, *permissions.WRITES])


def test_at_most_a_hundred_at_once():
    """A long list is asked for in parts, and the answers are one."""
    many = [f"run.things.verb{n}" for n in range(250)]
    cloud = Cloud({"shop": many[:120]})
    with answering(cloud) as env:
        rest = Connection(rest_emulator=env["CLOUD_RUN_EMULATOR_REST_HOST"]).rest()
        budget = Budget(lambda: 0.0)
        [access] = permissions.of(["shop"], many, rest, budget, find_regions=False)

    assert [len(part) for part in cloud.asked] == [100, 100, 50]
    assert access.permissions.held == set(many[:120])
    assert access.permissions.asked == set(many)


def test_no_project(tmp_path):
    """Without a project nobody can be asked, and the doctor says how to name one."""
    found = diagnosed(tmp_path, Cloud({}), code=3)["", "permissions"]

    assert (found["state"], found["fix"]) == ("not seen", ["drift-audit doctor --project=PROJECT"])


# Whose credentials


def credentials(folder, **content):
    """A file of credentials, and the variable that names it."""
    (folder / "adc.json").write_text(json.dumps(content))
    return {
        "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "adc.json"),
        "CLOUD_RUN_EMULATOR_HOST": "",
        "SECRET_MANAGER_EMULATOR_HOST": "",
    }


def person(folder, **more):
    """The credentials of somebody who logged in."""
    secret = {"client_id": CANARY, "client_secret": CANARY, "refresh_token": CANARY}
    return credentials(folder, type="authorized_user", **secret, **more)


def robot(folder, private_key):
    """The key file of a service account."""
    return credentials(
        folder,
        type="service_account",
        client_email=ROBOT,
        private_key=private_key,
        private_key_id=CANARY,
        token_uri="http://127.0.0.1:1/token",
    )


def test_service_account(tmp_path, private_key):
    """A service account is told by its address, and commands name it as IAM does."""
    env = robot(tmp_path, private_key)
    ran = doctor(tmp_path, Cloud({"shop": []}), "--project=shop", env=env)

    assert f"warning credentials {ROBOT}; CLOUD_RUN_EMULATOR_REST_HOST is set" in ran.told
    assert f"--member=serviceAccount:{ROBOT} --role=roles/run.viewer" in ran.out
    assert leaks(ran.block.encode(), [CANARY, private_key.splitlines()[3]]) == []


@pytest.mark.parametrize(
    ("more", "says", "member"),
    [
        ({"account": "ann@example.com"}, "ann@example.com, a person", "user:ann@example.com"),
        ({}, "a person, logged in with gcloud", "user:YOUR_ACCOUNT"),
        ({"account": "$(rm -r) x@y"}, "a person, logged in with gcloud", "user:YOUR_ACCOUNT"),
    ],
)
def test_person(tmp_path, more, says, member):
    """A person is told by name where the login left one; nothing else in the file is repeated."""
    ran = doctor(tmp_path, Cloud({"shop": []}), "--project=shop", env=person(tmp_path, **more))

    assert f"credentials {says};" in ran.told
    assert f"--member={member} --role=roles/run.viewer" in ran.out
    assert ran.err == ""
    assert leaks(ran.block.encode(), [CANARY]) == []


def test_impersonation(tmp_path, private_key):
    """Whoever acts for another account is told together with it."""
    env = robot(tmp_path, private_key)
    flag = "--impersonate-service-account=hop@shop.iam.gserviceaccount.com,reader@shop.iam.gserviceaccount.com"
    ran = doctor(tmp_path, Cloud({"shop": []}), "--project=shop", flag, env=env)

    assert f"reader@shop.iam.gserviceaccount.com, impersonated with those of {ROBOT};" in ran.told
    assert (
        "--member=serviceAccount:reader@shop.iam.gserviceaccount.com --role=roles/run.viewer"
        in ran.out
    )


@pytest.mark.parametrize(
    ("flags", "fix"),
    [
        ([], ["gcloud auth application-default login"]),
        (
            ["--impersonate-service-account=hop@x.com,reader@x.com"],
            [
                f"gcloud iam service-accounts add-iam-policy-binding {on} --member={member} {TOKENS}"
                for on, member in (
                    ("hop@x.com", "user:YOUR_ACCOUNT"),
                    ("reader@x.com", "serviceAccount:hop@x.com"),
                )
            ],
        ),
    ],
)
def test_credentials_that_are_not_accepted(tmp_path, flags, fix):
    """Credentials that are refused are missing; behind an impersonation each link is named."""
    cloud = Cloud({}, fails=401)
    asked = ["--project=shop", "--region=r1", *flags]
    found = diagnosed(tmp_path, cloud, *asked, env=person(tmp_path), code=3)

    assert found["", "credentials"]["state"] == "missing"
    assert found["", "credentials"]["says"].endswith(": the credentials were not accepted")
    assert found["", "credentials"]["fix"] == fix


def test_no_credentials(tmp_path):
    """Without credentials there is a login to type, and what stands behind it was not seen."""
    ran = run("doctor", "--project=shop", "--project=web", cwd=tmp_path)

    assert (ran.code, ran.err) == (3, "")
    assert "missing credentials no usable application default credentials were found" in ran.told
    assert "\n  gcloud auth application-default login\n" in ran.out
    assert ran.out.count("not seen   permissions  without credentials nobody answers") == 2


def test_quota_project(tmp_path):
    """A login that no project pays for is warned of, without a word of google's own."""
    env = {**person(tmp_path), "CLOUD_RUN_EMULATOR_REST_HOST": ""}
    ran = run("doctor", cwd=tmp_path, env=env)

    assert (
        "warning credentials a person, logged in with gcloud; without a quota project" in ran.told
    )
    assert "\n  gcloud auth application-default set-quota-project PROJECT\n" in ran.out
    assert ran.err == ""


def test_emulator_without_http(tmp_path):
    """An emulator that cannot be asked for permissions is said to be one."""
    env = {"CLOUD_RUN_EMULATOR_HOST": "127.0.0.1:1", "SECRET_MANAGER_EMULATOR_HOST": "127.0.0.1:1"}
    ran = run("doctor", "--project=shop", cwd=tmp_path, env=env)

    assert ran.code == 3
    assert "ok credentials nobody: emulators are asked, without credentials" in ran.told
    assert "CLOUD_RUN_EMULATOR_REST_HOST is not set: nobody can be asked" in ran.told


# This machine


@pytest.fixture
def kept(here):
    """A folder with a promoted baseline, and one that was changed by hand."""
    for name in ("api", "web"):
        (here / "one.json").write_text(json.dumps(service(name, env=[PASSWORD])))
        reason = ["--project=shop", "--reason=it worked", "--by=me"]
        ran = run("baseline", "promote", "one.json", *reason, cwd=here, env=SEALED)
        assert ran.code == 0, ran.block
    return here


GOOD = Cloud({"shop": NEEDED})


def test_baselines_and_their_key(kept):
    """Baselines that are whole, and sealed with the key that is there, are fine."""
    found = diagnosed(kept, GOOD, "--project=shop", env=SEALED)

    assert found["", "store"]["says"] == "baselines: 2 baselines, each as it was promoted"
    assert found["", "store"]["names"] == ["shop/europe-west1/api", "shop/europe-west1/web"]
    assert found["", "key"]["says"] == (
        "found: the variable DRIFT_AUDIT_SEAL_KEY; 2 baselines are sealed with it"
    )


@pytest.mark.parametrize(
    ("env", "code", "says", "fix"),
    [
        ({}, 3, "none, and without it 2 baselines cannot be compared", "export DRIFT_AUDIT_SEAL_KEY=KEY"),
        (
            {"DRIFT_AUDIT_SEAL_KEY": OTHER_KEY}, 3,
            "the variable DRIFT_AUDIT_SEAL_KEY: 2 baselines sealed with another",
            "drift-audit baseline promote --project=shop --region=europe-west1 --service=api --reason=REASON",
        ),
        ({"DRIFT_AUDIT_SEAL_KEY": CANARY}, 4, "the variable DRIFT_AUDIT_SEAL_KEY: not 32", "head -c 32"),
        ({"DRIFT_AUDIT_SEAL_KEY_FILE": "none.key"}, 4, "the key: ", "drift-audit init"),
        ({"DRIFT_AUDIT_SEAL_KEY_FILE": "seal.key"}, 0, "found: seal.key, which", None),
    ],
)  # fmt: skip
def test_keys(kept, env, code, says, fix):
    """A key that is not there, not one, or not theirs is told with the way out."""
    (kept / "seal.key").write_text(SEAL_KEY)
    (kept / "seal.key").chmod(0o600)
    found = diagnosed(kept, GOOD, "--project=shop", env=env, code=code)["", "key"]

    assert found["says"].startswith(says)
    assert [one.startswith(fix) for one in found["fix"][:1]] == ([True] if fix else [])


def test_key_file_that_others_may_read(kept):
    """The command that fixes a careless key file is the one to type."""
    path = kept / ".config" / "drift-audit" / "seal.key"
    path.parent.mkdir(parents=True)
    path.write_text(SEAL_KEY)
    path.chmod(0o644)
    found = diagnosed(kept, GOOD, "--project=shop", code=4)["", "key"]

    assert found["fix"] == [f"chmod 600 {path}"]


def test_named_key_file(kept):
    """A named file may be a link that all may read, as mounted secrets are; not one that all may change."""
    real, link = kept / "..data.key", kept / "mounted.key"
    real.write_text(f"{SEAL_KEY}\n")
    link.symlink_to(real)
    told = {}
    for mode in (0o444, 0o440, 0o644, 0o600, 0o646):
        real.chmod(mode)
        for path in (link, real):
            env = {"DRIFT_AUDIT_SEAL_KEY_FILE": str(path)}
            code = 4 if mode == 0o646 else 0
            found = diagnosed(kept, GOOD, "--project=shop", env=env, code=code)["", "key"]
            told[path.name, mode] = found["state"], found["fix"]
    mend = {0o600: ("ok", []), 0o646: ("missing", [f"chmod o-w {real}"])}
    careless = ("warning", [f"chmod 600 {real}"])

    assert {mode: t for (name, mode), t in told.items() if name == link.name} == (
        dict.fromkeys((0o444, 0o440, 0o644), ("ok", [])) | mend
    )
    assert {mode: t for (name, mode), t in told.items() if name == real.name} == (
        dict.fromkeys((0o444, 0o440, 0o644), careless) | mend
    )


def test_key_file_that_leads_nowhere(kept):
    """A link that leads to itself, or to nothing, is a key that cannot be used, and no defect."""
    (kept / "loop.key").symlink_to(kept / "loop.key")
    (kept / "none.key").symlink_to(kept / "nothing")
    for name in ("loop.key", "none.key"):
        env = {"DRIFT_AUDIT_SEAL_KEY_FILE": name}
        found = diagnosed(kept, GOOD, "--project=shop", env=env, code=4)["", "key"]

        assert found["says"].startswith("the key: ")


def test_damaged_baselines(kept):
    """A baseline that was changed by hand is named; the others are read all the same."""
    path = kept / "baselines/shop/europe-west1/web.json"
    path.write_text(path.read_text().replace("it worked", "it did not"))
    ran = doctor(kept, GOOD, "--project=shop", env=SEALED)

    assert ran.code == 4
    assert "ok store baselines: 1 baseline, each as it was promoted" in ran.told
    assert "web.json: the content does not match its sha256; restore the file" in ran.told


def test_many_damaged_baselines(kept):
    """Those that are refused are named up to ten, and counted after that."""
    for number in range(13):
        path = kept / f"baselines/shop/europe-west1/other-{number}.json"
        shutil.copy(kept / "baselines/shop/europe-west1/web.json", path)
    ran = doctor(kept, GOOD, "--project=shop", env=SEALED)

    assert ran.code == 4
    assert ran.told.count("is the baseline of shop/europe-west1/web") == 10
    assert "3 more baselines refused" in ran.told


def test_store_that_is_not_there(tmp_path):
    """A folder that was named must be there; the one that nobody named need not be."""
    named = diagnosed(tmp_path, GOOD, "--project=shop", "--store=elsewhere", code=4)
    default = diagnosed(tmp_path, GOOD, "--project=shop")

    assert named["", "store"]["says"].startswith("elsewhere: there is no such folder")
    assert default["", "store"]["state"] == "ok"


@pytest.mark.parametrize(
    ("content", "arguments", "state", "says"),
    [
        ('[scope]\nprojects = ["shop"]\n[[service]]', [], "ok", "drift-audit.toml is valid: 1 entry for services, 0 waivers"),
        (f"fail_on = '{CANARY}'", [], "missing", "drift-audit.toml: fail_on: not one of"),
        ("fail_on = 'x'", ["--no-config"], "ok", "none is read, as asked"),
        ("", ["--config=none.toml"], "missing", "cannot read the policy: none.toml: missing"),
    ],
)  # fmt: skip
def test_policy(tmp_path, content, arguments, state, says):
    """A policy that is wrong ends with 2, as it would an audit; the rest is looked at all the same."""
    (tmp_path / "drift-audit.toml").write_text(content)
    code = 2 if state == "missing" else 0
    found = diagnosed(tmp_path, GOOD, "--project=shop", *arguments, code=code)

    assert leaks(json.dumps(list(found.values())).encode(), [CANARY]) == []
    assert found["", "policy"]["state"] == state
    assert found["", "policy"]["says"].startswith(says)
    assert found["shop", "permissions"]["state"] == "ok"


def test_pyproject_of_others(tmp_path):
    """A pyproject.toml that does not speak of us is no policy."""
    (tmp_path / "pyproject.toml").write_text("[tool.other]\n")

    assert diagnosed(tmp_path, GOOD, "--project=shop")["", "policy"]["says"].startswith("none here")


def test_scope_of_the_policy(tmp_path):
    """Where an audit would look is where the doctor looks."""
    policy = '[scope]\nprojects = ["shop"]\nregions = ["r1"]\nkinds = ["job"]\n'
    (tmp_path / "drift-audit.toml").write_text(policy)
    found = diagnosed(tmp_path, Cloud({"shop": []}), code=3)

    assert found["shop", "permissions"]["names"][:2] == ["run.jobs.get", "run.jobs.list"]
    assert found["shop", "regions"]["names"] == ["r1"]


# What is printed


def test_what_is_printed_fits_and_holds_no_secret(kept, private_key):
    """Neither the policy's values, nor a key, a token or a hostile name reaches what is printed."""
    (kept / "drift-audit.toml").write_text(f'reveal = ["{CANARY}"]\n')
    env = {**robot(kept, private_key), "DRIFT_AUDIT_SEAL_KEY_FILE": "seal.key"}
    (kept / "seal.key").write_text(SEAL_KEY)
    secrets = [CANARY, SEAL_KEY, private_key.splitlines()[3]]
    hostile = "--project=shop,x\x1b[31m;rm -r .,::error::"
    cloud = Cloud({"shop": RISKY})
    before = files_below(kept).keys()
    told = doctor(kept, cloud, hostile, "--verbosity=debug", env=env)
    asked = doctor(kept, cloud, hostile, "--verbosity=debug", "--format=json", env=env)
    prose = [
        row for row in told.out.splitlines() if not row.startswith(("  gcloud", "  drift-audit"))
    ]

    assert (told.code, asked.code) == (3, 3), told.block
    assert max(map(len, prose)) <= 80
    assert "\x1b" not in told.block + asked.block
    assert not any(row.startswith("::") for row in told.block.splitlines())
    assert leaks((told.block + asked.block).encode(), secrets) == []
    assert files_below(kept).keys() == before


def test_hostile_name_in_a_command(tmp_path):
    """What is to be typed is quoted for the shell."""
    asked = ["--project=shop", "--region=r1", "--impersonate-service-account=x;rm -r ."]
    found = diagnosed(tmp_path, Cloud({}, fails=401), *asked, env=person(tmp_path), code=3)

    assert shlex.split(found["", "credentials"]["fix"][0])[4] == "x;rm -r ."


def test_colours_and_json(tmp_path):
    """Colours say nothing that the words do not; the JSON is what its schema says."""
    plain = doctor(tmp_path, GOOD, "--project=shop")
    coloured = doctor(tmp_path, GOOD, "--project=shop", "--color=always")
    found = json.loads(doctor(tmp_path, GOOD, "--project=shop", "--format=json").out)
    schema = json.loads(run("schema", "show", "diagnosis", cwd=tmp_path).out)
    Draft202012Validator(schema).validate(found)

    assert "\x1b[" in coloured.out
    assert "\x1b[" not in plain.out
    assert (found["document"], found["exit_code"]) == ("drift-audit/diagnosis", 0)


def test_grouped():
    """Permissions of one resource are told together."""
    assert grouped(["run.jobs.get", "run.jobs.list", "run.services.get"]) == (
        "run.jobs.get/list, run.services.get"
    )


POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q"
FEDERATED = {
    "audience": POOL,
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {"file": "/none"},
}
ACTING = {
    "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-"
    f"/serviceAccounts/{ROBOT}:generateAccessToken"
}


@pytest.mark.parametrize(
    ("credentials", "words", "member"),
    [
        (compute_engine.Credentials(), "the service account of this machine", "MEMBER"),
        (compute_engine.Credentials(service_account_email=ROBOT), ROBOT, f"serviceAccount:{ROBOT}"),
        (
            identity_pool.Credentials(**FEDERATED),
            "a workload of another identity provider",
            "MEMBER",
        ),
        (identity_pool.Credentials(**FEDERATED, **ACTING), ROBOT, f"serviceAccount:{ROBOT}"),
        (
            external_account_authorized_user.Credentials(token=CANARY),
            "a person of another identity provider",
            "MEMBER",
        ),
        (AnonymousCredentials(), "an account without a name", "MEMBER"),
    ],
)
def test_other_credentials(credentials, words, member):
    """Machines, workloads and people of elsewhere are told by what google's library knows of them."""
    assert account.of(credentials)[:2] == (words, member)
