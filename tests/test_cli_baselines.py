"""Promoting, listing and using baselines, run as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.builders import LASTING
from tests.canary import files_below, leaks
from tests.command import SEALED, environment, run
from tests.manifests import CANARY, service
from tests.worlds import playing, reached


def test_promote_and_audit(here):
    """A promoted revision is what later audits compare with."""
    promoted = run(
        "baseline",
        "promote",
        "before.json",
        "--reason=release 42",
        "--by=me",
        "--project=shop",
        cwd=here,
        env=SEALED,
    )
    listed = run("baseline", "list", cwd=here)
    shown = run("baseline", "show", "shop/europe-west1/api", cwd=here)
    audited = run("audit", "--input=after.json", "--project=shop", cwd=here, env=SEALED)

    assert promoted.block == (
        "exit 0\n--- stdout\n(template) is the baseline of shop/europe-west1/api:"
        " baselines/shop/europe-west1/api.json\n--- stderr\n"
    )
    assert (
        listed.out == "shop/europe-west1/api (template): promoted on 2026-01-15 by me: release 42\n"
    )
    assert json.loads(shown.out)["reason"] == "release 42"
    assert audited.code == 10
    assert "baseline: promoted on 2026-01-15 by me: release 42" in audited.told
    assert leaks(b"".join(files_below(here / "baselines").values()), [CANARY]) == []


def test_promote_refuses(here):
    """A revision that lacks required keys, or was not read whole, does not become a baseline."""
    (here / "drift-audit.toml").write_text("[[service]]\nrequired = {MISSING = {}}")
    blind = service()
    blind["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "x"}}]
    (here / "blind.json").write_text(json.dumps(blind))
    promote = ["baseline", "promote", "--reason=r", "--project=shop"]
    lacking = run(*promote, "before.json", cwd=here, env=SEALED)
    unread = run(*promote, "blind.json", "--no-config", cwd=here, env=SEALED)
    numbered = run("baseline", "promote", "before.json", "--reason=r", cwd=here, env=SEALED)
    empty = run("baseline", "promote", "before.json", "--reason= ", cwd=here, env=SEALED)
    nobody = run(*promote, "before.json", "--by=", cwd=here, env=SEALED)

    assert (lacking.code, unread.code) == (4, 4)
    assert "is not as the policy requires: MISSING is required and absent" in lacking.err
    assert "was not read whole: envFrom" in unread.err
    assert (numbered.code, empty.code, nobody.code) == (4, 2, 2)
    assert "the project is known by its number alone" in numbered.err
    assert not (here / "baselines").exists()


def test_baseline_under_another_key(here):
    """Without the key of the store the verdict is incomplete, never clean and never a thousand changes."""
    promote = ["baseline", "promote", "before.json", "--reason=r", "--project=shop"]
    run(*promote, cwd=here, env={"DRIFT_AUDIT_SEAL_KEY": LASTING.text})
    ran = run("audit", "--input=before.json", "--project=shop", cwd=here, env=SEALED)

    assert ran.code == 3
    assert "1 plain value: sealed under another key or name" in ran.out


def test_empty_list_of_baselines(here):
    """An empty store says so."""
    ran = run("baseline", "list", cwd=here)

    assert (ran.code, ran.err) == (0, "no baselines in baselines\n")


def test_require_baseline(here):
    """Where a baseline is demanded and missing, the run ends with 4 and still reports."""
    ran = run("audit", "--input=before.json", "--require-baseline", cwd=here)

    assert ran.code == 4
    assert "result: clean (exit 4)" in ran.out


def test_unfit_baseline_in_a_comparison(here):
    """A baseline that violates the policy is not the known good one, and the report says why."""
    promote = ["baseline", "promote", "--by=me", "--reason=r", "--project=shop"]
    run(*promote, "revisions.json#api-00002-b", cwd=here, env=SEALED)
    (here / "drift-audit.toml").write_text("[[service]]\nrequired = {JWT = {}}")
    described = service(
        status={
            "latestCreatedRevisionName": "api-00002-b",
            "traffic": [{"revisionName": "api-00001-a", "percent": 100}],
        }
    )
    (here / "service.json").write_text(json.dumps(described))
    inputs = ["--input=service.json", "--input=revisions.json", "--project=shop"]
    demanded = run("compare", "KNOWN_GOOD", *inputs, cwd=here, env=SEALED)
    default = run("compare", *inputs, cwd=here, env=SEALED)

    assert demanded.code == 4
    assert (
        "has no known good revision: api-00002-b: the baseline violates the policy" in demanded.err
    )
    assert "baseline-violates-schema" in default.out


LIVE = ["--service=api", "--project=shop", "--region=europe-west1"]


def test_promoting_what_was_not_seen(here):
    """A revision whose secrets were not seen is refused; one that is not Ready is told of."""
    promote = ["baseline", "promote", "LATEST", "--reason=r", "--by=me", *LIVE]
    with playing() as emulator:
        failed = run(*promote, cwd=here, env=reached(emulator))
    with playing(denied=["projects/shop/secrets/jwt"]) as emulator:
        blind = run(*promote, cwd=here, env=reached(emulator))

    assert (failed.code, blind.code) == (0, 4)
    assert failed.err.splitlines() == [
        "api-00003-c is not Ready",
        "api-00003-c reads jwt@prod, which is disabled",
        "api-00003-c reads gone@latest, which is not-found",
        "api-00003-c reads jwt@1, which is destroyed",
    ]
    assert "api-00003-c was not read whole: jwt@prod was not seen" in blind.err


NOBODY = 54321


@pytest.mark.skipif(os.getuid() != 0, reason="not root: a user without a name was not tried")
def test_promoting_as_nobody(here):
    """A user whom the machine does not know is asked for a name."""
    here.chmod(0o777)
    code = f"import os; from drift_audit.cli.baseline import user; os.setuid({NOBODY}); user()"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        env=environment(here, measured=False),
        capture_output=True,
        check=False,
    )

    assert ran.stderr.decode().rstrip().endswith("CommandError: nobody is logged in here")


def test_named_store_must_be_there(here):
    """A store that was named and is not there is refused; a promotion makes it."""
    missing = [
        run(*command, "--store=none", cwd=here, env=SEALED)
        for command in (
            ["audit", "--input=before.json"],
            ["compare", "before.json", "after.json"],
            ["baseline", "list"],
            ["baseline", "show", "shop/r1/api"],
        )
    ]
    promote = ["baseline", "promote", "before.json", "--reason=r", "--by=me", "--project=shop"]

    assert {(ran.code, "none: there is no such folder" in ran.err) for ran in missing} == {
        (4, True)
    }
    assert run(*promote, "--store=none", cwd=here, env=SEALED).code == 0
    assert "api (template): promoted" in run("baseline", "list", "--store=none", cwd=here).out


def test_waived_requirements_do_not_spoil_a_baseline(here):
    """What the owner accepted makes neither a promotion nor a baseline unfit."""
    (here / "drift-audit.toml").write_text(
        "[[service]]\nrequired = {MISSING = {}}\n"
        '[[waiver]]\nrule = "key-missing"\nat = "shop"\nowner = "o"\nreason = "r"\nuntil = 2026-12-31'
    )
    place = ["before.json", "--project=shop"]
    promoted = run("baseline", "promote", *place, "--reason=r", "--by=me", cwd=here, env=SEALED)
    audited = run("audit", "--input=before.json", "--project=shop", cwd=here, env=SEALED)

    assert (promoted.code, audited.code) == (0, 0)
    assert "baseline: promoted on" in audited.told
    assert "1 waived" in audited.told
