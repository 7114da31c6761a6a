"""`seal rotate`: every baseline under a new key, as far as its values were read again."""

from __future__ import annotations

import json

import pytest

from drift_audit.seal import SealKey
from drift_audit.store.baseline import content_digest
from drift_audit.store.baselines import Baselines
from drift_audit.store.folder import Folder
from drift_audit.store.ledger import Ledger
from tests.bucket import NAME, bucket
from tests.builders import HOME
from tests.canary import files_below, leaks
from tests.command import SEAL_KEY, SEALED, run
from tests.manifests import CANARY, PASSWORD, SECRET, service
from tests.worlds import playing, reached

OTHER = "cnry-rotate-5d2b8e04c7"
OLDEST = "cnry-oldest-90cc3e17aa"
WORLD = f"""
numbers: {{shop: "123456789012"}}
secrets: [{{project: shop, name: jwt, versions: {{1: enabled}}}}]
services:
  - project: shop
    region: europe-west1
    service: api
    traffic: [{{to: api-00002-b, percent: 100}}]
    revisions:
      - {{name: api-00001-a, at: 2026-01-01T08:00:00Z, image: r/api, env: {{TOKEN: {OLDEST}}}}}
      - {{name: api-00002-b, at: 2026-01-02T08:00:00Z, env: {{TOKEN: {CANARY}, JWT: {{secret: jwt, version: "1"}}}}}}
  - project: shop
    region: europe-west1
    service: web
    revisions:
      - {{name: web-00001-a, at: 2026-01-01T08:00:00Z, image: r/web, env: {{TOKEN: {OTHER}}}}}
"""
LATER = WORLD.replace(
    "  - project: shop\n    region: europe-west1\n    service: web",
    "      - {name: api-00003-c, at: 2026-01-03T08:00:00Z, env: {TOKEN: " + OTHER + "}}\n"
    "  - project: shop\n    region: europe-west1\n    service: web",
    1,
)
"""The same with one deploy more."""

GONE = WORLD.replace("name: web-00001-a", "name: web-00007-z")
CHANGED = WORLD.replace(OTHER, "something-else")
WITHOUT = WORLD[: WORLD.index("  - project: shop\n    region: europe-west1\n    service: web")]
CANARIES = [CANARY, OTHER, OLDEST]

API, WEB = "shop/europe-west1/api", "shop/europe-west1/web"
LIVE = ["--project=shop", "--region=europe-west1", "--kind=service"]
ROTATE = ["seal", "rotate", "--new-key-file=new.key", "--by=me"]
NEW = {"DRIFT_AUDIT_SEAL_KEY": "", "DRIFT_AUDIT_SEAL_KEY_FILE": "new.key"}


@pytest.fixture
def promoted(tmp_path):
    """A folder with baselines of two services, sealed with the key of the tests."""
    with playing(WORLD) as emulator:
        for name in ("api", "web"):
            ran = run(
                *("baseline", "promote", "SERVING", f"--service={name}", *LIVE),
                *("--reason=release 1", "--by=you"), cwd=tmp_path, env=reached(emulator),
            )  # fmt: skip
            assert ran.code == 0, ran.err
    return tmp_path


def rotated(folder, *arguments, world=WORLD, env=None):
    with playing(world) as emulator:
        return run(*ROTATE, *arguments, cwd=folder, env={**reached(emulator), **(env or {})})


def audited(folder, world=WORLD, **env):
    with playing(world) as emulator:
        return run(
            *("audit", *LIVE, "--require-baseline", "--fail-on=high"),
            cwd=folder, env={**reached(emulator), **env},
        )  # fmt: skip


def stored(folder, service="api"):
    return Baselines(Folder(str(folder / "baselines"))).read(HOME.but(service=service))


def test_rotation(promoted):
    """Each baseline says what it said, under the new key, and follows the one before it."""
    before = {name: stored(promoted, name) for name in ("api", "web")}
    clean = audited(promoted)
    ran = rotated(promoted)
    after = {name: stored(promoted, name) for name in ("api", "web")}
    new, old = audited(promoted, **NEW), audited(promoted)
    verified = run("baseline", "verify", cwd=promoted)
    key = SealKey.parse((promoted / "new.key").read_text())

    assert ran.block == (
        f"exit 0\n--- stdout\n{API}: is sealed with the new key\n{WEB}: is sealed with the new key\n"
        "--- stderr\ncreated new.key: keep a copy, stored baselines are sealed with it\n"
        "from now on use the key in new.key instead of the variable DRIFT_AUDIT_SEAL_KEY\n"
    )
    assert (promoted / "new.key").stat().st_mode & 0o777 == 0o600
    assert (clean.code, new.code, old.code) == (0, 0, 3), new.out
    assert verified.out == f"{API}: ok, 2 promotions\n{WEB}: ok, 2 promotions\n"
    for name, one in before.items():
        again = after[name]
        assert again.previous == one.sha256
        assert again.sealed_with == {key.id(HOME.but(service=name))} != one.sealed_with
        assert again.reason.endswith("as it was promoted before: release 1")
        assert (again.waivers, again.known_good) == (one.waivers, one.known_good)
        assert content_digest(again.snapshot) != content_digest(one.snapshot)
    written = b"".join(files_below(promoted).values())
    assert leaks((ran.block + new.block + old.block).encode() + written, CANARIES) == []
    assert key.text not in ran.block


def test_revision_that_serves_no_more(promoted):
    """A baseline is rotated after later deploys too, with the settings of its service as it holds them."""
    before = stored(promoted).snapshot
    ran = rotated(promoted, world=LATER)
    after = stored(promoted).snapshot
    audit = audited(promoted, LATER, **NEW)

    assert (ran.code, after.revision, after.service) == (0, "api-00002-b", before.service)
    assert "not seen    nothing in scope" in audit.out
    assert "DRIFT 1 difference in 2 services" in audit.told


def test_rotating_twice(promoted):
    """What is sealed with the new key is passed by; a third key rotates it once more."""
    rotated(promoted)
    written = files_below(promoted / "baselines")
    again = rotated(promoted)
    passed = files_below(promoted / "baselines") == written
    third = rotated(promoted, "--new-key-file=third.key", env=NEW)

    assert again.out == "".join(f"{at}: is sealed with the new key already\n" for at in (API, WEB))
    assert (again.code, passed, third.code) == (0, True, 0)
    assert stored(promoted).sequence == 3
    assert stored(promoted).reason.count("rotated") == 1


def test_dry_run(promoted):
    """A dry run reads and holds everything against the seals, and writes nothing, not even a key."""
    before = files_below(promoted)
    ran = rotated(promoted, "--dry-run")
    wrong = rotated(promoted, "--dry-run", world=CHANGED)

    assert ran.out == "".join(f"{at}: would be sealed with the new key\n" for at in (API, WEB))
    assert (ran.code, wrong.code) == (0, 4)
    assert files_below(promoted) == before


@pytest.mark.parametrize(
    ("world", "told"),
    [
        (GONE, "web-00001-a is gone"),
        (CHANGED, "holds other values now"),
        (WITHOUT, "the service is not there"),
    ],
    ids="gone changed deleted".split(),
)
def test_what_cannot_be_read_again(promoted, world, told):
    """A baseline whose values cannot be read again is left and named; the others are rotated; exit 4."""
    before = stored(promoted, "web")
    ran = rotated(promoted, world=world)

    assert (ran.code, ran.out) == (
        4,
        f"{API}: is sealed with the new key\n{WEB}: left: {told}\n",
    )
    assert "1 baseline left as before" in ran.err
    assert stored(promoted, "web") == before
    assert "from now on" not in ran.err
    assert leaks((ran.block).encode(), CANARIES) == []


def test_server_that_does_not_answer(promoted):
    """Where nothing can be read everything is left, and told why."""
    nowhere = dict.fromkeys(
        ("CLOUD_RUN_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST"), "127.0.0.1:1"
    )
    ran = run(*ROTATE, "--timeout=2", cwd=promoted, env={**SEALED, **nowhere})

    # the first may have taken the time of the run, or all but too little of it
    late = ("the time of the run is used up", "no answer in time")
    told = [line.rpartition(": ")[2] for line in ran.out.splitlines() if "left: " in line]
    assert (ran.code, len(told), told[0]) == (4, 2, "the service cannot be reached"), ran.block
    assert told[1] in (told[0], *late), ran.block


def test_service_that_was_created_anew(promoted):
    """Values of a service that took the name of a deleted one are not those of the baseline."""
    path = promoted / f"baselines/{WEB}.json"
    baseline = stored(promoted, "web")
    path.write_text(baseline.but(service_uid="deleted").signed().text())
    ran = rotated(promoted)

    assert f"{WEB}: left: the service was deleted and created anew" in ran.out


def test_control_other_key(promoted):
    """Values that the key in use did not seal are never given new seals; nor is what was edited."""
    other = {"DRIFT_AUDIT_SEAL_KEY": "b3RoZXIta2V5LW9mLXRoZS10ZXN0cy0zMi1ieXRlcy1sb25nLS0="}
    ran = rotated(promoted, env=other)
    path = promoted / f"baselines/{API}.json"
    path.write_text(path.read_text().replace("release 1", "release 2"))
    edited = rotated(promoted)

    assert (ran.code, edited.code) == (4, 4)
    assert ran.out.count("is sealed with a key that is neither the one in use nor the new") == 2
    assert "the content does not match its sha256" in edited.out
    assert f"{WEB}: is sealed with the new key" in edited.out


def test_promotion_that_was_cut_off(promoted):
    """A rotation that was killed before it ended is ended by the next one."""
    rotated(promoted)
    (promoted / f"baselines/_history/{API}.000002.json").unlink()
    broken = run("baseline", "verify", cwd=promoted)
    ran = rotated(promoted)

    assert (broken.code, ran.code, run("baseline", "verify", cwd=promoted).code) == (4, 0, 0)


def test_what_audits_have_seen(promoted):
    """What audits saw before the rotation is kept under the new key, once everything is."""
    audited(promoted)
    home = Folder(str(promoted / "baselines"))
    old = SealKey.parse(SEAL_KEY)
    before = Ledger(home, old).of(HOME)
    rotated(promoted, world=CHANGED)
    kept = Ledger(home, old).of(HOME)
    rotated(promoted)
    new = SealKey.parse((promoted / "new.key").read_text())
    again = rotated(promoted)

    assert before == kept == Ledger(home, new).of(HOME)
    assert before.served
    assert "is lost" not in again.err


def test_files(here):
    """Exported files take the place of the live API; a baseline without values is passed by."""
    promote = ["baseline", "promote", "--by=me", "--project=shop", "--reason=r"]
    run(*promote, "before.json", cwd=here, env=SEALED)
    document = service("bare", env=[SECRET])
    (here / "bare.json").write_text(json.dumps(document))
    run(*promote, "bare.json", "--without-literals", cwd=here, env=SEALED)
    wrong = run(*ROTATE, "--input=bare.json", cwd=here, env=SEALED)
    (here / "changed.json").write_text(
        json.dumps(service(env=[SECRET, {**PASSWORD, "value": "x"}]))
    )
    changed = run(*ROTATE, "--input=changed.json", cwd=here, env=SEALED)
    right = run(*ROTATE, "--input=before.json", cwd=here, env=SEALED)
    (here / "new.key").rename(here / "old.key")
    audit = run(
        *("audit", "--input=before.json", "--project=shop", "--fail-on=critical"),
        cwd=here, env={"DRIFT_AUDIT_SEAL_KEY_FILE": "old.key"},
    )  # fmt: skip

    assert (wrong.code, changed.code, right.code, audit.code) == (4, 4, 0, 0)
    assert "bare: holds no sealed value" in right.out
    assert f"{API}: left: " in wrong.out
    assert f"{API}: left: holds other values now" in changed.out


def test_in_a_bucket(here):
    """The command does in a bucket what it does in a folder."""
    with bucket() as cloud:
        env = {**SEALED, **cloud.env}
        store = f"--store=gs://{NAME}/prod"
        promote = ["baseline", "promote", "before.json", "--by=me", "--project=shop", "--reason=r"]
        dry = run(*promote, store, "--dry-run", cwd=here, env=env)
        digest = dry.out.split()[-1]
        run(*promote, store, f"--sha256={digest}", cwd=here, env=env)
        ran = run(*ROTATE, store, "--input=before.json", cwd=here, env=env)
        verified = run("baseline", "verify", store, cwd=here, env=env)
        held = b"".join(data for _, data in cloud.objects.values())

    assert (ran.code, ran.out) == (0, f"{API}: is sealed with the new key\n")
    assert verified.out == f"{API}: ok, 2 promotions\n"
    assert leaks(held, [CANARY]) == []


@pytest.mark.parametrize(
    ("env", "key", "told"),
    [
        ({}, None, "there is no key in use"),
        (SEALED, "short", "the new key: new.key: not 32 or more bytes"),
        (SEALED, "", "the new key: .*new.key"),
    ],
    ids="none short folder".split(),
)
def test_keys_that_cannot_be_used(here, env, key, told):
    """Without a key in use, or with a new one that is none, nothing is read or written."""
    if key:
        (here / "new.key").write_text(key)
    elif key == "":
        (here / "new.key").mkdir()
    ran = run(*ROTATE, "--store=.", "--input=before.json", cwd=here, env=env)

    assert ran.code == 4
    assert told.partition(".*")[0] in ran.err
    assert key is None or not key or key not in ran.err.replace("shorter", "")


def test_new_key_that_others_may_change(here):
    """A new key that everybody may write to could be anybody's."""
    path = here / "new.key"
    path.write_text(SEAL_KEY)
    path.chmod(0o666)
    ran = run(*ROTATE, "--store=.", "--input=before.json", cwd=here, env=SEALED)

    assert ran.code == 4
    assert "others may change the key" in ran.err


def test_nothing_to_rotate(here):
    """A store without baselines says so."""
    ran = run(*ROTATE, "--input=before.json", cwd=here, env=SEALED)

    blank = run(*ROTATE, "--by= ", cwd=here, env=SEALED)

    assert (ran.code, ran.out, blank.code) == (0, "", 2)
    assert "no baselines in baselines" in ran.err
