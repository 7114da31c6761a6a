"""The sealing key from a version of a secret: the one payload that is read, and by whom."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path

import pytest
import requests

from drift_audit.collector.connection import Connection
from tests import watch
from tests.canary import files_below, leaks
from tests.command import SEAL_KEY, run
from tests.manifests import CANARY
from tests.test_doctor import NEEDED, OTHER_KEY
from tests.worlds import playing, reached

ROOT = Path(__file__).parents[1]
NAME = "projects/ops/secrets/drift-audit-key/versions/2"
VARIABLE = "DRIFT_AUDIT_SEAL_KEY_SECRET"
SCOPE = ["--project=shop", "--region=europe-west1"]
PROMOTE = ["baseline", "promote", "--service=api", *SCOPE, "--reason=r", "--by=me"]

WORLD = f"""
permissions: {{shop: [{", ".join(NEEDED)}]}}
secrets:
  - project: ops
    name: drift-audit-key
    versions: {{1: enabled, 2: enabled, 3: disabled, 4: enabled, 5: destroyed}}
    aliases: {{prod: 2}}
    payloads: {{1: {OTHER_KEY}, 2: {SEAL_KEY}, 3: {SEAL_KEY}, 4: {CANARY}}}
  - {{project: ops, name: private, versions: {{1: enabled}}}}
services:
  - project: shop
    region: europe-west1
    service: api
    revisions:
      - {{name: api-00001-a, at: 2026-01-01T08:00:00Z, image: r/api, env: {{PASSWORD: {CANARY}}}}}
"""


def kept_in_a_secret(emulator, name=NAME):
    """What points the command at an emulator, and at a key in it."""
    found = reached(emulator) | {VARIABLE: name}
    del found["DRIFT_AUDIT_SEAL_KEY"]
    return found


def test_key_in_a_secret(tmp_path):
    """A baseline sealed with the key of a secret compares on another night, and with its variable."""
    total: Counter[str] = Counter()
    with playing(WORLD, key=NAME, total=total) as emulator:
        env = kept_in_a_secret(emulator)
        promoted = run(*PROMOTE, cwd=tmp_path, env=env)
        first = len(emulator.calls)
        audited = run("audit", *SCOPE, cwd=tmp_path, env=env)
        calls = emulator.calls[first:]
        variable = run("audit", *SCOPE, cwd=tmp_path, env=reached(emulator))
    payloads = [call for call in calls if call.kind == "payload"]

    assert promoted.code == 0, promoted.block
    assert (audited.code, variable.code) == (0, 0), audited.block
    assert [(call.about, call.deadline) for call in payloads] == [(NAME, True)]
    assert (total[watch.KEY], total[watch.PAYLOAD]) == (2, 0)
    seen = (promoted.block + audited.block).encode() + b"".join(files_below(tmp_path).values())
    assert leaks(seen, [CANARY, SEAL_KEY]) == []


def test_control_another_payload(tmp_path):
    """A payload that no test names, though it is one of the same secret, fails its test."""

    def careless():
        with playing(WORLD, key=NAME, total=Counter()) as emulator:
            env = kept_in_a_secret(emulator, NAME.replace("versions/2", "versions/1"))
            run("audit", *SCOPE, cwd=tmp_path, env=env)

    with pytest.raises(watch.Misbehaved, match=r"^1 calls for a payload$"):
        careless()


def test_reads_of_the_key_are_told():
    """What is read is told at the end of the tests, and apart from what must not be."""
    told = watch.told(Counter({watch.CALLS: 3, watch.KEY: 1}))

    assert told == [
        "3 calls of the program: 0 without a deadline, 0 for a payload, 0 that write",
        "1 payloads read: for the sealing key, where a test named it",
    ]


def test_one_module_asks_for_payloads():
    """Nowhere else in the program is there a call for a payload; the emulator answers it."""
    found = {
        str(path.relative_to(ROOT / "drift_audit"))
        for path in (ROOT / "drift_audit").rglob("*.py")
        if "access_secret_version" in path.read_text()
    }

    assert found == {"collector/key_secret.py"}


LIST = "gcloud secrets versions list drift-audit-key --project=ops"
DESCRIBE = "gcloud secrets versions describe {} --secret=drift-audit-key --project=ops"
GRANT = (
    "gcloud secrets add-iam-policy-binding {} --project=ops --member=MEMBER"
    " --role=roles/secretmanager.secretAccessor"
)
FORM = "give projects/PROJECT/secrets/SECRET/versions/NUMBER"
ANOTHER = "another key could stand behind it tomorrow"
BASE = "projects/ops/secrets/drift-audit-key/versions"


@pytest.mark.parametrize(
    ("name", "says", "hint"),
    [
        (f"{BASE}/latest", ANOTHER, FORM),
        (f"{BASE}/prod", ANOTHER, FORM),
        (f"{BASE}/", ANOTHER, FORM),
        (f"{BASE}/02", "names no version of a secret", FORM),
        ("drift-audit-key", "names no version of a secret", FORM),
        ("projects/ops/secrets/drift-audit-key", "names no version of a secret", FORM),
        (f"{BASE}/2/more", "names no version of a secret", FORM),
        (f"{BASE}/9", f"the key: {BASE}/9 is not there", LIST),
        (f"{BASE}/3", "the service answered FAILED_PRECONDITION", DESCRIBE.format(3)),
        (f"{BASE}/5", "permission denied", GRANT.format("drift-audit-key")),
        ("projects/ops/secrets/private/versions/1", "permission denied", GRANT.format("private")),
        (f"{BASE}/4", f"what {BASE}/4 holds: not 32 or more bytes", "head -c 32 /dev/urandom"),
    ],
)
def test_keys_that_cannot_be_used(tmp_path, name, says, hint):
    """A key that is named and cannot be used ends the run; nothing else takes its place."""
    with playing(WORLD, key=name, total=Counter()) as emulator:
        env = kept_in_a_secret(emulator, name)
        ran = run("audit", *SCOPE, cwd=tmp_path, env=env)
        told = run("doctor", *SCOPE, "--format=json", cwd=tmp_path, env=env)
    [key] = [c for c in json.loads(told.out)["checks"] if c["check"] == "key"]

    assert (ran.code, ran.out) == (4, "")
    assert says in ran.err
    assert hint in ran.err
    assert (key["state"], key["code"]) == ("missing", 4)
    assert says in key["says"]
    assert leaks((ran.block + told.block).encode(), [CANARY, SEAL_KEY]) == []


def test_where_the_key_is_looked_for(tmp_path):
    """A variable wins over a file, and that over a secret, which then is not read."""
    (tmp_path / "seal.key").write_text(OTHER_KEY)
    told = []
    with playing(WORLD, key=NAME, total=Counter()) as emulator:
        env = kept_in_a_secret(emulator)
        for more in (
            {},
            {"DRIFT_AUDIT_SEAL_KEY_FILE": "seal.key"},
            {"DRIFT_AUDIT_SEAL_KEY": SEAL_KEY},
        ):
            env |= more
            before = len([c for c in emulator.calls if c.kind == "payload"])
            ran = run("doctor", *SCOPE, "--format=json", cwd=tmp_path, env=env)
            read = len([c for c in emulator.calls if c.kind == "payload"]) - before
            [key] = [c for c in json.loads(ran.out)["checks"] if c["check"] == "key"]
            told.append((key["says"].partition(";")[0], read))

    assert told == [
        (f"found: {NAME}, which {VARIABLE} names", 1),
        ("found: seal.key, which DRIFT_AUDIT_SEAL_KEY_FILE names", 0),
        ("found: the variable DRIFT_AUDIT_SEAL_KEY", 0),
    ]


def test_doctor_holds_baselines_against_the_secret(tmp_path):
    """The doctor tells whether the baselines are sealed with the version that is named."""
    versions = {2: 0, 1: 3}
    found = {}
    with playing(WORLD, key=NAME) as emulator:
        run(*PROMOTE, cwd=tmp_path, env=kept_in_a_secret(emulator))
    for version, code in versions.items():
        name = f"{BASE}/{version}"
        with playing(WORLD, key=name) as emulator:
            env = kept_in_a_secret(emulator, name)
            ran = run("doctor", *SCOPE, "--format=json", cwd=tmp_path, env=env)
        [found[version]] = [c for c in json.loads(ran.out)["checks"] if c["check"] == "key"]

        assert ran.code == code, ran.block

    named = f"which {VARIABLE} names"
    assert found[2]["says"] == f"found: {BASE}/2, {named}; 1 baseline is sealed with it"
    assert found[1]["says"] == f"{BASE}/1, {named}: 1 baseline sealed with another"
    assert found[1]["names"] == ["shop/europe-west1/api"]


def test_key_without_credentials(tmp_path):
    """Without credentials the secret cannot be read, and the hint is that of every other call."""
    (tmp_path / "f.json").write_text("[]")
    ran = run("audit", "--input=f.json", cwd=tmp_path, env={VARIABLE: NAME})

    assert ran.code == 4
    assert ran.err.startswith("drift-audit: the key: no usable application default credentials")
    assert "gcloud auth application-default login" in ran.err


def test_init_finds_the_key(tmp_path):
    """Where a secret holds the key, `init` makes no other."""
    with playing(WORLD, key=NAME) as emulator:
        ran = run("init", cwd=tmp_path, env=kept_in_a_secret(emulator))

    assert (ran.code, "is there already" in ran.err) == (0, True)
    assert not (tmp_path / ".config").exists()


def test_payload_over_both_fronts():
    """The emulator gives what the world says a version holds, over gRPC and HTTP, by alias too."""
    url = "http://{}/v1/projects/ops/secrets/drift-audit-key/versions/{}:access"
    with playing(WORLD, watched=False) as emulator:
        client = Connection(secrets_emulator=emulator.address).secret_manager()
        reply = client.access_secret_version(name=NAME)
        told = [requests.get(url.format(emulator.rest, v), timeout=5) for v in (2, "prod", 3, 9)]
    data = [base64.b64decode(one.json()["payload"]["data"]).decode() for one in told[:2]]

    assert (reply.name, reply.payload.data.decode()) == (NAME, SEAL_KEY)
    assert data == [SEAL_KEY, SEAL_KEY]
    assert [(one.status_code, one.json()["error"]["status"]) for one in told[2:]] == [
        (400, "FAILED_PRECONDITION"), (404, "NOT_FOUND"),
    ]  # fmt: skip


def test_payloads_of_a_world():
    """A world says only of its own versions what they hold, and prints without that."""
    with playing(WORLD, watched=False) as emulator:
        assert SEAL_KEY not in repr(emulator._desk._world)
    with pytest.raises(Exception, match="a payload of a version that is not there"):
        playing(WORLD.replace("payloads: {1:", "payloads: {9:"), watched=False).__enter__()
