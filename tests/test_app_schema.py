"""What an application requires, held against services: by the policy, and by `schema check`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from drift_audit.app_schema import AppSchema, read_schema
from drift_audit.errors import InputError, PolicyError
from drift_audit.policy import ServicePolicy, read_policy
from drift_audit.report import Report
from tests.builders import HOME
from tests.canary import leaks
from tests.command import SEALED, run
from tests.manifests import CANARY
from tests.worlds import playing, reached

KEYS = [
    {"field": "jwt", "names": ["JWT"], "required": "yes", "secret": True},
    {"field": "db_password", "names": ["DB_PASSWORD"], "required": "yes"},
    {"field": "api_token", "names": ["API_TOKEN"], "required": "presumably"},
]


def document(*keys, **more):
    return {"settings": "app.settings:Settings", "keys": list(keys or KEYS), **more}


@pytest.fixture
def shop(here):
    """The folder with a service before and after it lost a key, and what its application requires."""
    (here / "keys.json").write_text(json.dumps(document()))
    return here


def findings(report):
    return {(f.rule, f.address.name) for f in report.all_findings}


def checked(*words, **options):
    ran = run("schema", "check", "keys.json", *words, "--format=json", **options)
    return ran, Report.model_validate_json(ran.out)


def test_check_of_files(shop):
    """A manifest is held against the document: what is missing fails the run, the rest is told."""
    lacking, report = checked("--input=after.json", cwd=shop)
    whole = run("schema", "check", "keys.json", "--input=before.json", cwd=shop)

    assert (lacking.code, report.verdict) == (10, "drift")
    assert report.headline == "api lacks 1 required key: JWT"
    assert findings(report) == {("key-missing", "JWT"), ("key-presumably-missing", "API_TOKEN")}
    assert (whole.code, whole.err) == (0, "")
    assert "CLEAN no required key is missing in 1 service" in whole.told
    assert "API_TOKEN is presumably required and absent" in whole.told
    assert "note keys.json: 2 required, 1 presumably, 0 optional" in whole.told
    assert "reference nothing: only what the revision itself holds was asked for" in whole.told


def test_check_reads_standard_input(shop):
    """The document may come from a pipe."""
    ran = run(
        "schema", "check", "-", "--input=after.json", cwd=shop, stdin=json.dumps(document()).encode()
    )  # fmt: skip

    assert ran.code == 10, ran.block


def test_check_of_the_live_service(tmp_path):
    """Every revision in use is held against the document, over gRPC, and nothing of Secret Manager."""
    key = {"field": "jwt", "names": ["JWT"], "required": "yes", "secret": True}
    (tmp_path / "keys.json").write_text(json.dumps(document(key)))
    with playing() as emulator:
        scope = ["--project=shop", "--region=europe-west1", "--service=api", "--kind=service"]
        ran, report = checked(*scope, cwd=tmp_path, env=reached(emulator))
        called = {call.method for call in emulator.calls}

    assert ran.code == 10, ran.block
    assert {s.candidate: findings_of(s) for s in report.services} == {
        "api-00003-c": {"key-missing", "key-undeclared"},
        "api-00002-b": {"key-undeclared"},
    }
    assert not any("Secret" in method for method in called)


def findings_of(service):
    return {finding.rule for finding in service.findings}


def test_check_that_sees_nothing_is_incomplete(shop):
    """No service, or one that cannot be read, is never clean."""
    (shop / "empty").mkdir()
    nothing = run("schema", "check", "keys.json", "--input=empty", cwd=shop)
    absent, report = checked("--input=before.json", "--service=web", cwd=shop)

    assert (nothing.code, absent.code) == (3, 3)
    assert report.verdict == "incomplete"


def test_check_counts_expected_services(shop):
    """A service that the policy expects and that is not there leaves the check incomplete."""
    policy = '[scope]\nexpect = ["shop/europe-west1/web"]\n'
    (shop / "drift-audit.toml").write_text(policy)
    ran, report = checked("--input=before.json", cwd=shop)

    assert ran.code == 3
    assert ("service-missing", "web") in findings(report)


def test_check_takes_severities_and_waivers(shop):
    """Of the policy the severities and waivers count, and not what else it requires."""
    (shop / "drift-audit.toml").write_text(
        '[[service]]\nrequired = {OTHER = {}}\n[severity]\nkey-presumably-missing = "high"\n'
        '[[waiver]]\nrule = "key-missing"\nat = "*/*/*/env/*/JWT"\nowner = "me"\nreason = "known"\n'
        "until = 2026-02-01\n"
    )
    ran, report = checked("--input=after.json", cwd=shop)
    waived = {f.address.name for f in report.all_findings if f.waived}
    bare = run("schema", "check", "keys.json", "--input=after.json", "--no-config", cwd=shop)

    assert ran.code == 10
    assert waived == {"JWT"}
    assert findings(report) == {("key-missing", "JWT"), ("key-presumably-missing", "API_TOKEN")}
    assert "JWT is required and absent" in bare.told


def test_check_of_another_container(shop):
    """The application may be in a container that requests do not reach."""
    ran, report = checked("--input=before.json", "--container=worker", cwd=shop)

    assert ran.code == 10
    assert {f.address.container for f in report.all_findings} == {"worker"}


def test_check_tells_of_other_sources(shop):
    """A report says that what is absent may come from elsewhere."""
    (shop / "keys.json").write_text(json.dumps(document(other_sources=True)))
    _, report = checked("--input=after.json", cwd=shop)

    assert report.notes[1:] == (
        "the settings have other sources too: what is absent here may come from there",
    )


def test_no_value_in_a_check(shop):
    """No page of a check holds a plain value."""
    pages = ["-o", "r.html", "-o", "r.md", "-o", "r.json"]
    ran = run("schema", "check", "keys.json", "--input=after.json", *pages, cwd=shop)
    written = b"".join((shop / name).read_bytes() for name in ("r.html", "r.md", "r.json"))

    assert leaks(ran.block.encode() + written, [CANARY]) == []


def test_policy_names_the_document(shop):
    """An audit holds services against the document that the policy names, from its own folder."""
    (shop / "policy").mkdir()
    (shop / "keys.json").rename(shop / "policy" / "keys.json")
    (shop / "policy" / "p.toml").write_text('[[service]]\nmatch = "api"\nschema = "keys.json"\n')
    ran = run("audit", "--input=after.json", "--config=policy/p.toml", "--format=json", cwd=shop)
    report = Report.model_validate_json(ran.out)
    critical = {f.says for f in report.all_findings if f.severity.word == "critical"}

    assert ran.code == 10, ran.block
    assert critical == {"JWT is required and absent"}


def test_policy_beside_what_a_link_leads_to(shop):
    """A policy that is mounted, as a link, finds the document that is mounted beside it."""
    (shop / "data").mkdir()
    (shop / "keys.json").rename(shop / "data" / "keys.json")
    (shop / "data" / "p.toml").write_text('[[service]]\nschema = "keys.json"\n')
    (shop / "p.toml").symlink_to(shop / "data" / "p.toml")
    ran = run("audit", "--input=after.json", "--config=p.toml", cwd=shop)

    assert "JWT is required and absent" in ran.told


def test_required_by_a_schema_counts_as_required(shop):
    """A lost key that the schema requires is critical, and its loss makes a baseline unfit."""
    (shop / "drift-audit.toml").write_text('[[service]]\nschema = "keys.json"\n')
    place = ["--project=shop", "--region=europe-west1"]
    lost = run("compare", "before.json", "after.json", "--format=json", cwd=shop)
    promoted = run(
        "baseline", "promote", "after.json", *place, "--reason=r", cwd=shop, env=SEALED
    )  # fmt: skip
    report = Report.model_validate_json(lost.out)
    [finding] = [f for f in report.all_findings if f.rule == "key-lost"]

    assert finding.severity.word == "critical"
    assert promoted.code == 4, promoted.block
    assert "JWT is required and absent" in promoted.err


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("none.json", "none.json: missing: no such file"),
        ("-", "-: not-a-file: a policy names files"),
        ("broken.json", "broken.json: bad-schema: not a list of required keys of this version"),
        ("link.json", "link.json: link: a symbolic link, which is not followed"),
    ],
)
def test_document_that_a_policy_cannot_have(shop, schema, says):
    """What is wrong with a document is told with its place in the policy, and ends with 2."""
    (shop / "broken.json").write_text(json.dumps({"keys": CANARY}))
    (shop / "link.json").symlink_to("keys.json")
    (shop / "drift-audit.toml").write_text(f'[[service]]\nschema = "{schema}"\n')
    ran = run("audit", "--input=after.json", cwd=shop)

    assert ran.code == 2, ran.block
    assert ran.err.startswith(f"drift-audit: drift-audit.toml: service[0].schema: {says}"), ran.err
    assert leaks(ran.block.encode(), [CANARY]) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "the file"),
        ("[]", "the file"),
        ("{}", "settings"),
        (json.dumps(document() | {"keys": []}), "keys"),
        (json.dumps(document({"field": "a", "names": []})), "keys.0.names"),
        (json.dumps(document({"field": "a", "names": [""]})), "keys.0.names.0"),
        (
            json.dumps(document({"field": "a", "names": ["A"], "default": CANARY})),
            "keys.0.(another name)",
        ),
        (json.dumps(document() | {CANARY: 1}), "(another name)"),
        (
            json.dumps(document({"field": "a", "names": ["A"], "required": CANARY})),
            "keys.0.required",
        ),
        (json.dumps(document(schema_version=2)), "schema_version"),
        (json.dumps(document(document="drift-audit/report")), "document"),
    ],
)
def test_document_that_is_none(shop, text, place):
    """Another document is refused by its place, without what stands there, and ends with 4."""
    (shop / "keys.json").write_text(text)
    ran = run("schema", "check", "keys.json", "--input=after.json", cwd=shop)

    assert ran.code == 4
    assert ran.err == (
        f"drift-audit: keys.json: bad-schema: not a list of required keys of this version: {place}\n"
        "  drift-audit schema export MODULE:CLASS > required-keys.json\n"
    )


def test_document_of_a_policy_is_a_path():
    """A document cannot stand in the policy itself, and a policy without files names none."""
    with pytest.raises(PolicyError, match=re.escape("service[0].schema: not the path of a")):
        read_policy("[[service]]\nschema = {settings = 'a:B'}")
    with pytest.raises(PolicyError, match=re.escape("service[0].schema: keys.json: not read here")):
        read_policy("[[service]]\nschema = 'keys.json'")
    with pytest.raises(ValueError, match=r"keys\.json: not read here"):
        ServicePolicy.model_validate({"schema": "keys.json"})


def test_what_a_policy_requires_of_a_service():
    """A service requires what the schema of its own entry does, and no other."""
    read = read_schema(json.dumps(document()), "keys.json")
    policy = read_policy(
        '[[service]]\nmatch = "api"\ncontainer = "app"\nschema = "keys.json"',
        schemas=lambda _: read,
    )
    other = HOME.but(service="web")

    assert list(policy.schemas(HOME)) == [("app", read)]
    assert list(policy.schemas(other)) == []
    assert [policy.requires(at.at(key=key)) for at, key in
            ((HOME, "jwt"), (HOME, "API_TOKEN"), (HOME, "OTHER"), (other, "JWT"))] == [
        True, False, False, False,
    ]  # fmt: skip
    assert not policy.requires(HOME)


def test_summary():
    """The three kinds of keys are counted."""
    read = AppSchema.model_validate_json(
        json.dumps(document(*KEYS, {"field": "a", "names": ["A"]}))
    )

    assert read.summary == "2 required, 1 presumably, 1 optional"


def test_schema_of_the_document(tmp_path):
    """The JSON Schema of the document is printed, and what is exported fits it."""
    ran = run("schema", "show", "required-keys", cwd=tmp_path)
    exported = json.loads((Path(__file__).parent / "golden" / "required-keys.json").read_text())

    assert ran.code == 0
    jsonschema.validate(exported, json.loads(ran.out))


def test_doctor_reads_the_document_too(shop):
    """A policy that names a document which is not there is one that is wrong."""
    (shop / "drift-audit.toml").write_text('[[service]]\nschema = "none.json"\n')
    ran = run("doctor", "--format=json", cwd=shop)

    assert "none.json: missing: no such file" in ran.out


def test_unreadable_document():
    """A document that is not text is refused like any other."""
    with pytest.raises(InputError, match=r"keys\.json: bad-schema"):
        read_schema(b"\xff\xfe", "keys.json")
