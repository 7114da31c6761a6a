"""The commands, run as a user runs them: exit code, standard output, standard error, files."""

from __future__ import annotations

import json

import pytest

from drift_audit.report import Report
from tests.builders import LASTING
from tests.canary import files_below, leaks
from tests.command import SEALED, run
from tests.manifests import CANARY, PASSWORD, SECRET, service

# Comparing


@pytest.mark.parametrize(
    "arguments",
    [
        ["before.json", "after.json"],
        ["revisions.json#api-00001-a", "revisions.json#api-00002-b"],
        ["~1", "--input=revisions.json"],
        ["~1", "LATEST", "--input=revisions.json"],
        ["api-00001-a", "api-00002-b", "--input=revisions.json"],
        ["before.json", "LATEST", "--input=revisions.json"],
        ["api-00001-a", "after.json", "--input=revisions.json"],
        [
            "projects/123/locations/europe-west1/services/api/revisions/api-00001-a",
            "LATEST",
            "--input=revisions.json",
        ],
    ],
)
def test_words_for_revisions(here, arguments):
    """However the two are named, the same key is lost between them."""
    ran = run("compare", *arguments, "--format=json", cwd=here)
    report = json.loads(ran.out)

    assert ran.code == 10, ran.block
    assert [(c["key"], c["before"], c["after"]) for c in report["services"][0]["changes"]] == [
        ("JWT", "secret", "absent")
    ]
    assert leaks(ran.block.encode(), [CANARY]) == []


def test_standard_input(here):
    """One side may come from standard input; both may not."""
    data = (here / "before.json").read_bytes()
    ran = run("compare", "-", "after.json", cwd=here, stdin=data)

    assert ran.code == 10
    assert run("compare", "-", "-", cwd=here, stdin=data).code == 2


def test_serving_and_tags_from_files(here):
    """Where the service is described, SERVING and tags name its revisions."""
    described = service(
        status={
            "latestCreatedRevisionName": "api-00002-b",
            "latestReadyRevisionName": "api-00002-b",
            "traffic": [
                {"revisionName": "api-00001-a", "percent": 100},
                {"revisionName": "api-00002-b", "tag": "candidate"},
            ],
        }
    )
    (here / "service.json").write_text(json.dumps(described))
    inputs = ["--input=service.json", "--input=revisions.json"]
    named = run("compare", "SERVING", "tag:candidate", *inputs, cwd=here)
    default = run("compare", *inputs, cwd=here)

    assert (named.code, default.code) == (10, 10)
    assert "(named as SERVING)" in named.told
    assert "(serves the most traffic now)" in default.told


def test_file_without_a_project_compares_with_one_that_has(here):
    """A manifest from git holds no project: plain values compare all the same."""
    manifest = service(env=[SECRET, PASSWORD])
    manifest["metadata"] = {"name": "api"}
    (here / "manifest.json").write_text(json.dumps(manifest))

    assert run("compare", "before.json", "manifest.json", cwd=here).code == 0
    assert run("compare", "before.json", "manifest.json", cwd=here, env=SEALED).code == 0


# Baselines, snapshots, reports


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
    lacking = run("baseline", "promote", "before.json", "--reason=r", cwd=here, env=SEALED)
    unread = run(
        "baseline", "promote", "blind.json", "--reason=r", "--no-config", cwd=here, env=SEALED
    )

    assert (lacking.code, unread.code) == (4, 4)
    assert "lacks required keys: MISSING" in lacking.err
    assert "was not read whole: envFrom" in unread.err
    assert not (here / "baselines").exists()


def test_baseline_under_another_key(here):
    """Without the key of the store the verdict is incomplete, never clean and never a thousand changes."""
    promote = ["baseline", "promote", "before.json", "--reason=r", "--project=shop"]
    run(*promote, cwd=here, env={"DRIFT_AUDIT_SEAL_KEY": LASTING.text})
    ran = run("audit", "--input=before.json", "--project=shop", cwd=here, env=SEALED)

    assert ran.code == 3
    assert "1 plain value: sealed under another key" in ran.out


def test_empty_list_of_baselines(here):
    """An empty store says so."""
    ran = run("baseline", "list", cwd=here)

    assert (ran.code, ran.err) == (0, "no baselines in baselines\n")


def test_snapshot_and_compare(here):
    """Stored snapshots compare with files under the same key."""
    taken = run("snapshot", "--input=before.json", "-o", "snap.json", cwd=here, env=SEALED)
    printed = run("snapshot", "--input=before.json", cwd=here, env=SEALED)
    ran = run("compare", "snap.json", "after.json", cwd=here, env=SEALED)

    assert (taken.code, taken.out, ran.code) == (0, "", 10)
    assert printed.out == (here / "snap.json").read_text()
    assert leaks(printed.out.encode(), [CANARY]) == []


def test_snapshot_without_literals(here):
    """Left out by choice: no key is needed, and the report says that values were not compared."""
    taken = run(
        "snapshot", "--input=before.json", "--without-literals", "-o", "snap.json", cwd=here
    )
    ran = run("compare", "snap.json", "before.json", "--without-literals", cwd=here)

    assert (taken.code, ran.code) == (0, 0)
    assert "plain values were left out by choice" in ran.out


def test_incomplete_snapshot(here):
    """What could not be read ends with 3, and what was read is written all the same."""
    listed = {"kind": "ServiceList", "metadata": {"continue": "x"}, "items": [service()]}
    (here / "part.json").write_text(json.dumps(listed))
    part = run("snapshot", "--input=part.json", "-o", "snap.json", cwd=here, env=SEALED)
    nothing = run("snapshot", "--input=revisions.json", "--service=x", cwd=here, env=SEALED)

    assert (part.code, nothing.code) == (3, 3)
    assert "not seen: part.json: the list goes on" in part.err
    assert (here / "snap.json").exists()
    assert "nothing was collected" in nothing.err


def test_print_gcloud(here):
    """Someone without access gets the commands that collect the same."""
    ran = run(
        "snapshot", "--print-gcloud", "--project=shop", "--region=r1", "--service=api", cwd=here
    )
    general = run("snapshot", "--print-gcloud", cwd=here)

    assert ran.out.splitlines() == [
        "gcloud run services describe api --project=shop --region=r1 --format=json > api.service.json",
        "gcloud run revisions list --service=api --project=shop --region=r1 --format=json > api.revisions.json",
        "gcloud secrets versions list SECRET --project=shop --format=json > SECRET.versions.json",
    ]
    assert "--project=PROJECT --region=REGION" in general.out


def test_render_again(here):
    """A stored report renders as any format, with its own exit code, and without collecting."""
    first = run("compare", "before.json", "after.json", "-o", "r.json", "-o", "html=-", cwd=here)
    again = run("render", "r.json", "-o", "again.html", "--format=markdown", cwd=here)
    piped = run("render", "-", "--format=json", cwd=here, stdin=(here / "r.json").read_bytes())

    assert (first.code, again.code, piped.code) == (10, 10, 10)
    assert first.out.startswith("<!DOCTYPE html>")
    assert again.out.startswith("# Verdict: drift")
    assert (here / "again.html").read_text() in first.out
    assert Report.model_validate_json(piped.out) == Report.model_validate_json(
        (here / "r.json").read_bytes()
    )


def test_min_severity_hides_but_counts(here):
    """Findings below the lowest severity are left out of pages; the JSON and the counts keep them."""
    ran = run(
        "compare", "before.json", "after.json", "--min-severity=high", "-o", "r.json", cwd=here
    )
    report = Report.model_validate_json((here / "r.json").read_bytes())

    assert "credential-in-plain" not in ran.out
    assert "findings below high are not shown" in ran.out
    assert report.counts.medium >= 1
    assert any(f.rule == "credential-in-plain" for f in report.all_findings)


def test_require_baseline(here):
    """Where a baseline is demanded and missing, the run ends with 4 and still reports."""
    ran = run("audit", "--input=before.json", "--require-baseline", cwd=here)

    assert ran.code == 4
    assert "result: clean (exit 4)" in ran.out


@pytest.mark.parametrize(
    ("arguments", "env", "code"),
    [
        ([], {}, 10),
        (["--fail-on=never"], {}, 0),
        (["--fail-on=critical"], {}, 0),
        ([], {"DRIFT_AUDIT_FAIL_ON": "critical"}, 0),
        (["--fail-on=high"], {"DRIFT_AUDIT_FAIL_ON": "critical"}, 10),
    ],
)
def test_fail_on(here, arguments, env, code):
    """The flag before the environment before the policy."""
    assert run("compare", "before.json", "after.json", *arguments, cwd=here, env=env).code == code


@pytest.mark.parametrize("name", ["drift-audit.toml", "pyproject.toml"])
def test_policy_is_found(here, name):
    """The policy of this folder applies, from its own file or from pyproject.toml."""
    table = "" if name == "drift-audit.toml" else "[tool.drift-audit]\n"
    (here / name).write_text(f'{table}fail_on = "never"\n')

    assert run("compare", "before.json", "after.json", cwd=here).code == 0
    assert run("compare", "before.json", "after.json", "--no-config", cwd=here).code == 10


def test_pyproject_of_others(here):
    """A pyproject.toml that does not speak of us is not read."""
    (here / "pyproject.toml").write_text("[tool.other]\nx = 1\n")

    assert run("compare", "before.json", "after.json", cwd=here).code == 10


def test_unreadable_policy(here):
    """A policy that is no text is refused."""
    (here / "drift-audit.toml").write_bytes(b"\xff")

    assert run("compare", "before.json", "after.json", cwd=here).code == 2


def test_reveal(here):
    """A revealed key shows its values; nothing else does."""
    (here / "before.json").write_text(
        json.dumps(service(env=[PASSWORD, {"name": "LEVEL", "value": "info"}]))
    )
    (here / "after.json").write_text(
        json.dumps(service(env=[PASSWORD, {"name": "LEVEL", "value": "debug"}]))
    )
    ran = run("compare", "before.json", "after.json", "--reveal=LEVEL", cwd=here)
    hidden = run("compare", "before.json", "after.json", cwd=here)

    assert "LEVEL changed from info to debug" in ran.out
    assert "info to debug" not in hidden.out
    assert leaks((ran.out + hidden.out).encode(), [CANARY]) == []
