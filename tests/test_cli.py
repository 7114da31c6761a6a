"""The commands, run as a user runs them: exit code, standard output, standard error, files."""

from __future__ import annotations

import json

import pytest

from drift_audit.report import Report
from tests.canary import leaks
from tests.command import SEALED, run
from tests.manifests import CANARY, PASSWORD, service


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
    globs = run("snapshot", "--print-gcloud", "--project=a,b;c", "--service=w*", cwd=here)

    assert "--project=PROJECT --region=REGION" in general.out
    assert globs.out.splitlines() == [
        "gcloud run services list --project=a --region=REGION --format=json > a.REGION.services.json",
        "gcloud run revisions list --project=a --region=REGION --format=json > a.REGION.revisions.json",
        "gcloud run services list '--project=b;c' --region=REGION --format=json > 'b;c.REGION.services.json'",
        "gcloud run revisions list '--project=b;c' --region=REGION --format=json > 'b;c.REGION.revisions.json'",
        "gcloud secrets versions list SECRET --project=a --format=json > a.SECRET.versions.json",
        "gcloud secrets versions list SECRET '--project=b;c' --format=json > 'b;c.SECRET.versions.json'",
    ]


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


def test_gcloud_variables_stand_behind_the_policy(here):
    """What gcloud's own variables say counts where neither a flag nor the policy says it."""
    (here / "drift-audit.toml").write_text('[scope]\nregions = ["r1"]')
    env = {"GOOGLE_CLOUD_PROJECT": "from-gcloud", "CLOUDSDK_RUN_REGION": "r2"}
    ran = run("snapshot", "--print-gcloud", cwd=here, env=env)
    asked = run("snapshot", "--print-gcloud", "--project=shop", "--region=r3", cwd=here, env=env)

    assert "--project=from-gcloud --region=r1" in ran.out
    assert "--project=shop --region=r3" in asked.out


def test_policy_does_not_narrow_files(here):
    """The services that the policy names are where a live audit looks; files are what they are."""
    (here / "drift-audit.toml").write_text('[scope]\nservices = ["web"]')

    assert run("audit", "--input=before.json", cwd=here).code == 0
    assert run("compare", "before.json", "after.json", cwd=here).code == 10


def test_folder_of_files(here):
    """A folder is read whole, whatever the case of its suffixes; what was passed over is named."""
    folder = here / "exports"
    folder.mkdir()
    (here / "before.json").rename(folder / "BEFORE.JSON")
    (folder / "notes.txt").touch()
    (folder / "more").mkdir()
    ran = run("audit", "--input=exports", "--format=json", cwd=here)
    report = json.loads(ran.out)

    assert report["counts"]["services"] == 1
    assert report["notes"] == ["exports: passed over more, notes.txt"]


@pytest.mark.parametrize("output", ["md=x", "htm=x", "txt=x", "json=x", "x.HTML"])
def test_kinds_of_outputs(here, output):
    """A kind is named by its format or by its suffix, in whatever case."""
    assert run("compare", "before.json", "after.json", "-o", output, cwd=here).code == 10
    assert (here / output.rpartition("=")[2]).read_text()


def test_output_into_a_pipe(here):
    """An output that is a pipe gets the report, whole."""
    ran = run("compare", "before.json", "after.json", "-o", "json=/dev/stderr", cwd=here)

    assert ran.code == 10
    assert json.loads(ran.err)["verdict"] == "drift"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"exit_code": 0, "verdict": "incomplete"}, "the file"),
        ({"exit_code": 7}, "the file"),
        ({"verdict": "clean"}, "the file"),
        ({"unseen": [{"where": "x", "reason": "y"}]}, "the file"),
        ({"counts": {}}, "the file"),
        ({"exit_code": "10"}, "exit_code"),
        ({CANARY: {}}, "(another name)"),
        ({"rules": {CANARY: 1}}, "rules.(another name)"),
    ],
)
def test_report_that_was_changed_by_hand(here, change, place):
    """A stored report that contradicts itself is refused, never rendered."""
    run("compare", "before.json", "after.json", "-o", "r.json", cwd=here)
    report = json.loads((here / "r.json").read_text())
    (here / "r.json").write_text(json.dumps({**report, **change}))
    ran = run("render", "r.json", cwd=here)

    assert ran.code == 4
    assert ran.err.startswith(
        f"drift-audit: r.json: bad-report: not a report of this version: {place}\n"
    )


def test_policy_flags(here):
    """A named policy may be a mounted link or lie in pyproject.toml; two answers are refused."""
    (here / "real.toml").write_bytes(b'\xef\xbb\xbffail_on = "never"')
    (here / "mounted.toml").symlink_to("real.toml")
    (here / "sub").mkdir()
    (here / "sub/pyproject.toml").write_text('[tool."drift-audit"]\nfail_on = "never"')
    compare = ["compare", "before.json", "after.json"]
    both = run(*compare, "--config=real.toml", "--no-config", cwd=here)
    variable = {"DRIFT_AUDIT_CONFIG": "real.toml"}
    (here / "drift-audit.toml").symlink_to("real.toml")
    found = run(*compare, cwd=here)

    assert run(*compare, "--config=mounted.toml", cwd=here).code == 0
    assert run(*compare, "--config=sub/pyproject.toml", cwd=here).code == 0
    assert run(*compare, "--no-config", cwd=here, env=variable).code == 10
    assert (both.code, found.code) == (2, 2)
    assert "--config and --no-config exclude each other" in both.err
    assert "drift-audit.toml: link: a symbolic link" in found.err
