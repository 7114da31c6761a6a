"""The commands, run as a user runs them: exit code, standard output, standard error, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from drift_audit.report import Report
from tests.builders import LASTING
from tests.canary import files_below, leaks
from tests.command import SEALED, environment, run
from tests.manifests import CANARY, PASSWORD, SECRET, service, v2
from tests.worlds import playing

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


def test_live_word_against_a_file(here):
    """A template and another template have one name, and are two all the same."""
    data = (here / "before.json").read_bytes()

    assert run("compare", "LATEST", "after.json", "--input=-", cwd=here, stdin=data).code == 10


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


def test_gcloud_variables_stand_behind_the_policy(here):
    """What gcloud's own variables say counts where neither a flag nor the policy says it."""
    (here / "drift-audit.toml").write_text('[scope]\nregions = ["r1"]')
    env = {"GOOGLE_CLOUD_PROJECT": "from-gcloud", "CLOUDSDK_RUN_REGION": "r2"}
    ran = run("snapshot", "--print-gcloud", cwd=here, env=env)
    asked = run("snapshot", "--print-gcloud", "--project=shop", "--region=r3", cwd=here, env=env)

    assert "--project=from-gcloud --region=r1" in ran.out
    assert "--project=shop --region=r3" in asked.out


def test_one_revision_under_two_words(here):
    """Two words for one revision are refused: it never differs from itself."""
    (here / "copy").mkdir()
    inputs = ["--input=revisions.json"]
    words = [
        ["before.json", "copy/../before.json"],
        ["LATEST", "LATEST", *inputs],
        ["~0", "LATEST", *inputs],
        ["api-00002-b", "LATEST", *inputs],
    ]

    for arguments in words:
        ran = run("compare", *arguments, cwd=here)
        assert (ran.code, "never differs from itself" in ran.err) == (2, True), ran.block
    assert run("compare", "tag:", *inputs, cwd=here).code == 2


def test_two_services_are_named(here):
    """Services that are not the same may be compared, and the report says that they are two."""
    other = service("web", env=[SECRET, PASSWORD])
    (here / "web.json").write_text(json.dumps(other))
    ran = run("compare", "web.json", "after.json", cwd=here)

    assert "two services are compared: " in ran.told


@pytest.mark.parametrize("swapped", [False, True])
def test_project_by_number_and_by_id(here, swapped):
    """One file names the project by its number, the other by its id: they compare, and it is said."""
    by_id = v2(template={"containers": [{"image": "i", "env": [PASSWORD]}]})
    (here / "v2.json").write_text(json.dumps(by_id))
    pair = ["v2.json", "after.json"] if swapped else ["after.json", "v2.json"]
    ran = run("compare", *pair, "--format=json", cwd=here, env=SEALED)
    report = json.loads(ran.out)

    assert report["notes"] == ["project 123 is taken for shop"]
    assert report["services"][0]["changes"] == []


def test_restore_knows_the_versions_of_files(here):
    """A version that the files say is gone is not bound again."""
    name = "projects/123/secrets/jwt/versions"
    listed = [
        {"name": f"{name}/7", "state": "DESTROYED"},
        {"name": f"{name}/8", "state": "ENABLED"},
    ]
    (here / "versions.json").write_text(json.dumps(listed))
    inputs = ["--input=revisions.json", "--input=versions.json"]
    ran = run("compare", "~1", *inputs, "--format=json", cwd=here)
    [service] = json.loads(ran.out)["services"]

    assert service["remedy"]["restore"] == ""
    assert service["remedy"]["note"] == (
        "jwt@7 is destroyed now; not put back: JWT; no rollback: api-00001-a reads jwt@7"
    )


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


LIVE = ["--service=api", "--project=shop", "--region=europe-west1"]


def reached(emulator):
    """What points the command at an emulator."""
    hosts = {"CLOUD_RUN_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST"}
    return {**SEALED, **dict.fromkeys(hosts, emulator.address)}


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
    code = f"import os; from drift_audit.cli.baseline import _user; os.setuid({NOBODY}); _user()"
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


STAGES = """
services:
  - project: staging
    region: r1
    service: api
    revisions:
      - {name: api-00001-a, at: 2026-01-01T08:00:00Z, image: i, env: {A: "1", B: "1"}}
  - project: shop
    region: r1
    service: api
    revisions:
      - {name: api-00001-a, at: 2026-01-01T08:00:00Z, image: i, env: {A: "1"}}
      - {name: api-00002-b, at: 2026-01-02T08:00:00Z, env: {A: null}}
"""


def full(project, revision):
    return f"projects/{project}/locations/r1/services/api/revisions/{revision}"


def test_full_names(here):
    """A full name means the revision of that project, and no flag or other name may say otherwise."""
    with playing(STAGES) as emulator:
        ran = {
            words: run("compare", *words, cwd=here, env=reached(emulator))
            for words in (
                (full("shop", "api-00001-a"), full("shop", "api-00002-b")),
                (full("shop", "api-00001-a"), "LATEST"),
                (full("staging", "api-00001-a"), full("shop", "api-00002-b")),
                (full("staging", "api-00001-a"), "LATEST", "--project=shop"),
                (full("shop", "api-00001-a"), "LATEST", "--service=web"),
                (full("shop", "api-00001-a"), "LATEST", "--region=r2"),
            )
        }

    assert [r.code for r in ran.values()] == [10, 10, 2, 2, 2, 2]
    assert all(
        "is not where the other words and flags look" in r.err for r in list(ran.values())[2:]
    )


def test_service_settings_of_what_serves(here):
    """A comparison with the baseline looks at the service as it is set now, whoever serves."""
    serving = "    traffic: [{to: api-00001-a, percent: 100}, {to: LATEST, tag: candidate}]\n"
    shop = STAGES.replace(
        '    revisions:\n      - {name: api-00001-a, at: 2026-01-01T08:00:00Z, image: i, env: {A: "1"}}',
        serving
        + '    ingress: INGRESS\n    revisions:\n      - {name: api-00001-a, at: 2026-01-01T08:00:00Z, image: i, env: {A: "1"}}',
    )
    place = ["--project=shop", "--region=r1", "--service=api"]
    with playing(shop.replace("INGRESS", "internal")) as emulator:
        run("baseline", "promote", *place, "--reason=r", "--by=me", cwd=here, env=reached(emulator))
    with playing(shop.replace("INGRESS", "all")) as emulator:
        ran = run("compare", "KNOWN_GOOD", "SERVING", *place, cwd=here, env=reached(emulator))
        turned = run("compare", "SERVING", "KNOWN_GOOD", *place, cwd=here, env=reached(emulator))
        none = run(
            "compare", "SERVING", "KNOWN_GOOD", *place, "--store=.", cwd=here, env=reached(emulator)
        )

    assert ran.code == 10
    assert "service.ingress changed from internal to all" in ran.told
    assert turned.code == 2
    assert "has no known good revision: no baseline was promoted" in none.err


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


def test_two_files_need_only_two_revisions(here):
    """The revision that serves stands in the other file: nothing is unseen."""
    described = service(
        env=[PASSWORD],
        status={
            "latestCreatedRevisionName": "api-00002-b",
            "traffic": [{"revisionName": "api-00001-a", "percent": 100}],
        },
    )
    (here / "service.json").write_text(json.dumps(described))
    ran = run("compare", "revisions.json#api-00001-a", "service.json", cwd=here)
    serving = run("compare", "SERVING", "LATEST", "--input=service.json", cwd=here)
    unknown = run("compare", "SERVING", "LATEST", "--input=revisions.json", cwd=here)

    assert ran.code == 10, ran.out
    assert "has api-00001-a as SERVING, which was not among what was read" in serving.err
    assert "does not tell which revision SERVING is" in unknown.err


def test_words_before_files(here):
    """A file that is called like a word is named with its path."""
    (here / "LATEST").write_text("{}")
    (here / "~1").write_text("{}")

    assert run("compare", "~1", "LATEST", "--input=revisions.json", cwd=here).code == 10
    assert run("compare", "./~1", "LATEST", "--input=revisions.json", cwd=here).code == 4
