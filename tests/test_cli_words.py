"""Words for revisions, in comparisons: files, names, KNOWN_GOOD, SERVING, LATEST, tags, steps back."""

from __future__ import annotations

import json

import pytest

from tests.canary import leaks
from tests.command import SEALED, run
from tests.manifests import CANARY, PASSWORD, SECRET, service, v2
from tests.worlds import playing, reached


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
