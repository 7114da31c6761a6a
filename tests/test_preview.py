"""What the real gcloud would do to a service, told before it does it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from drift_audit.cli import gcloud
from drift_audit.cli.gcloud import Command
from drift_audit.errors import CommandError
from tests.canary import files_below, leaks
from tests.command import Ran, environment, run
from tests.test_logs import events, finished
from tests.worlds import playing

pytestmark = pytest.mark.skipif(
    shutil.which("gcloud") is None,
    reason="THE REAL gcloud IS NOT INSTALLED: no command was tried before its deploy",
)

WORLD = """
numbers: {shop: "123456789012", other: "999"}
secrets:
  - {project: shop, name: service-secret, versions: {1: enabled, 2: enabled}}
  - {project: shop, name: foo, versions: {1: enabled}}
  - {project: other, name: jwt-key, versions: {3: enabled}}
services:
  - project: shop
    region: europe-west1
    service: api
    labels: {team: api}
    revisions:
      - name: api-00001-a
        at: 2026-01-01T08:00:00Z
        by: one@example.com
        client: gcloud 528.0.0
        image: r/api@sha256:0000000000000000000000000000000000000000000000000000000000000001
        container: app
        connector: projects/shop/locations/europe-west1/connectors/c1
        egress: private-ranges-only
        cloud_sql: ["shop:europe-west1:db"]
        min_instances: 1
        concurrency: 7
        service_account: api@shop.iam.gserviceaccount.com
        args: [--verbose]
        env:
          LOG_LEVEL: canary-of-the-log-level
          EMPTY: ""
          FEATURE_X: "on"
          SERVICE_SECRET: {secret: service-secret, version: "2"}
          JWT_SECRET_KEY: {secret: jwt-key, version: "3", project: other}
        files: {/etc/key/tls: {secret: service-secret, version: "1"}}
        sidecars: [{name: proxy, image: r/proxy@sha256:02, env: {A: x}}]
jobs:
  - project: shop
    region: europe-west1
    job: nightly
    at: 2026-01-01T08:00:00Z
    image: r/nightly@sha256:03
    timeout: 900
    max_retries: 0
    tasks: 3
    cloud_sql: ["shop:europe-west1:db"]
    env: {LEVEL: info, KEY: {secret: foo, version: "1"}}
"""

MANIFEST = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: api}
spec:
  template:
    spec:
      containers: [{name: app, image: r/api:3, env: [{name: LOG_LEVEL, value: new}]}]
"""

CANARY = "canary-of-the-log-level"
SAYS = "ERROR: (gcloud.run.services.update) argument: "
HIDDEN = "what it says could hold a value, and is not shown"
LIVE, IN_ARGS, IN_FILE, GIVEN = (f"q{n}Zx-canary-{n}-Vw8k" for n in (71, 72, 73, 74))


def preview(emulator, folder, *words, options=("--reference=SERVING",), place=True):
    """Run the real command in a folder that holds the files of a team."""
    (folder / "api.yaml").write_text(MANIFEST)
    (folder / "env.yaml").write_text("ONLY: canary-of-a-file\n")
    env = {
        "CLOUD_RUN_EMULATOR_HOST": emulator.address,
        "SECRET_MANAGER_EMULATOR_HOST": emulator.address,
    }
    where = ("--project=shop", "--region=europe-west1") if place else ()
    return run("preview", "--format=json", *where, *options, "--", *words, cwd=folder, env=env)


def told(ran: Ran) -> dict[str, tuple[str, str]]:
    """The changes of keys, files and settings by name, each with its two states."""
    [service] = json.loads(ran.out)["services"]
    names = ((c, c.get("key") or c.get("mount") or c.get("setting")) for c in service["changes"])
    return {name: (c["before"], c["after"]) for c, name in names}


LITERALS = {
    "LOG_LEVEL": ("literal", "absent"),
    "EMPTY": ("empty", "absent"),
    "FEATURE_X": ("literal", "absent"),
}
SECRETS = {"SERVICE_SECRET": ("secret", "absent"), "JWT_SECRET_KEY": ("secret", "absent")}
FILE = {"/etc/key/tls": ("secret", "absent")}
ONLY = {"ONLY": ("absent", "literal")}
UPDATE = ("gcloud", "run", "services", "update", "api")


@pytest.mark.parametrize(
    ("words", "changes", "code"),
    [
        ((*UPDATE, "--update-env-vars=NEW=1"), {"NEW": ("absent", "literal")}, 0),
        ((*UPDATE, "--set-env-vars=ONLY=1"), {**LITERALS, **ONLY}, 10),
        ((*UPDATE, "--env-vars-file=env.yaml"), {**LITERALS, **ONLY}, 10),
        ((*UPDATE, "--clear-env-vars"), LITERALS, 10),
        ((*UPDATE, "--remove-env-vars=SERVICE_SECRET"), {}, 0),
        (
            (*UPDATE, "--update-secrets=JWT_SECRET_KEY=foo:1"),
            {"JWT_SECRET_KEY": ("secret", "secret")},
            10,
        ),
        (
            (*UPDATE, "--set-secrets=ONLY=foo:1"),
            {**SECRETS, **FILE, "ONLY": ("absent", "secret")},
            10,
        ),
        (
            (*UPDATE, "--set-secrets=/etc/s/key=foo:1"),
            {**SECRETS, **FILE, "/etc/s/key": ("absent", "secret")},
            10,
        ),
        ((*UPDATE, "--clear-secrets"), {**SECRETS, **FILE}, 10),
        (
            (*UPDATE, "--remove-env-vars=LOG_LEVEL", "--update-secrets=LOG_LEVEL=foo:1,J=foo:1"),
            {"LOG_LEVEL": ("literal", "secret"), "J": ("absent", "secret")},
            0,
        ),
        ((*UPDATE, "--ingress=internal"), {"service.ingress": ("all", "internal")}, 0),
        (
            ("gcloud", "run", "deploy", "api", "--image=r/api:2"),
            {"image": (f"r/api@sha256:{1:064}", "r/api:2")},
            0,
        ),
        (
            (
                "gcloud",
                "beta",
                "run",
                "deploy",
                "api",
                "--image=r/api:2",
                "--no-traffic",
                "--tag=x",
            ),
            {
                "image": (f"r/api@sha256:{1:064}", "r/api:2"),
                "service.traffic": ("latest 100%", "pinned 100%"),
                "service.launch_stage": ("GA", "BETA"),
                "launch_stage": ("GA", "BETA"),
            },
            0,
        ),
    ],
    ids=lambda value: " ".join(value[3:]) if isinstance(value, tuple) else "",
)
def test_what_a_command_would_change(words, changes, code, tmp_path):
    """
    Each flag keeps and drops what it does on Cloud Run (`cloud-run-api.md` §6.1,
    `peers-and-cases.md` §4.3), and nothing but reads is asked of what is live.
    """
    with playing(WORLD) as emulator:
        ran = preview(emulator, tmp_path, *words)

    assert (ran.code, ran.err) == (code, "")
    assert {k: v for k, v in told(ran).items() if not k.startswith("label")} == changes
    assert CANARY not in ran.out


def test_what_a_replacement_would_change(tmp_path):
    """What a manifest does not hold is gone, settings too; the cause that is told is the command."""
    with playing(WORLD) as emulator:
        ran = preview(emulator, tmp_path, "gcloud", "run", "services", "replace", "api.yaml")

    changes = told(ran)
    [service] = json.loads(ran.out)["services"]
    causes = {f["cause"]["command"] for f in service["findings"] if f["cause"]}
    assert ran.code == 10
    assert (
        changes.items()
        >= {
            **SECRETS,
            **FILE,
            "LOG_LEVEL": ("literal", "literal"),
            "FEATURE_X": ("literal", "absent"),
            "service_account": ("api@shop.iam.gserviceaccount.com", "default"),
            "vpc.connector": ("c1", "absent"),
            "cloud_sql.shop:europe-west1:db": ("attached", "absent"),
            "scaling.min_instances": (1, 0),
        }.items()
    )
    assert causes == {"gcloud run services replace"}


def test_traffic(tmp_path):
    """Traffic that is sent to another revision makes that one the candidate, read when needed."""
    older = "traffic: [{to: api-00003-c, percent: 100}]\n    revisions:"
    more = (
        WORLD.replace("revisions:", older, 1).replace(
            "jobs:\n",
            "      - {name: api-00002-b, at: 2026-01-02T08:00:00Z, env: {SERVICE_SECRET: null}}\n"
            "      - {name: api-00003-c, at: 2026-01-03T08:00:00Z,"
            " env: {SERVICE_SECRET: {secret: service-secret, version: '2'}}}\n"
            "jobs:\n",
        )
    )  # fmt: skip
    words = ("gcloud", "run", "services", "update-traffic", "api", "--to-revisions=api-00002-b=100")
    with playing(more) as emulator:
        ran = preview(emulator, tmp_path, *words)

    [service] = json.loads(ran.out)["services"]
    assert (ran.code, service["candidate"], service["reference"]) == (
        10, "api-00002-b", "api-00003-c",
    )  # fmt: skip
    assert told(ran) == {"SERVICE_SECRET": ("secret", "absent")}


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (("update", "nightly", "--clear-secrets"), {"KEY": ("secret", "absent")}),
        (("update", "nightly", "--task-timeout=60"), {"timeout_seconds": (900, 60)}),
        (
            ("deploy", "nightly", "--image=r/nightly:2"),
            {"image": ("r/nightly@sha256:03", "r/nightly:2")},
        ),
    ],
)
def test_jobs(words, changes, tmp_path):
    """A job is compared with how it is set now: it has no revisions."""
    with playing(WORLD) as emulator:
        ran = preview(emulator, tmp_path, "gcloud", "run", "jobs", *words)

    assert (ran.err, told(ran)) == ("", changes)
    assert ran.code == (10 if "KEY" in changes else 0)


@pytest.mark.parametrize(
    ("flag", "rules", "code"),
    [
        ("--allow-unauthenticated", ["access-opened"], 10),
        ("--no-allow-unauthenticated", [], 0),
    ],
)
def test_who_may_call(flag, rules, code, tmp_path):
    """What a deploy does to the policy of a service is judged too; that is read for it."""
    known = WORLD.replace("    labels: {team: api}\n", "    invokers: [serviceAccount:web@shop]\n")
    with playing(known) as emulator:
        ran = preview(emulator, tmp_path, "gcloud", "run", "deploy", "api", "--image=r/api:2", flag)

    [service] = json.loads(ran.out)["services"]
    found = [
        f["rule"] for f in service["findings"] if f["address"]["setting"] == "service.invokers"
    ]
    assert (ran.code, found, ran.err) == (code, rules, "")


def test_what_is_not_there_yet(tmp_path):
    """A service and a job that the command is going to make are judged by the policy alone."""
    policy = '[[service]]\nmatch = "new*"\n[service.required]\nKEY = { from = "secret" }\n'
    (tmp_path / "drift-audit.toml").write_text(policy)
    with playing(WORLD) as emulator:
        ran = [
            preview(emulator, tmp_path, "gcloud", "run", *what, "new", "--image=r/new", options=())
            for what in (("deploy",), ("jobs", "deploy"))
        ]

    found = [[f["rule"] for f in json.loads(r.out)["services"][0]["findings"]] for r in ran]
    assert [r.code for r in ran] == [10, 10]
    assert all("key-missing" in rules for rules in found)


class Refused(NamedTuple):
    """A command that is not judged, the exit code, and what is said of it."""

    words: tuple[str, ...]
    code: int
    says: str


@pytest.mark.parametrize(
    "case",
    [
        Refused((), 2, "after -- comes the command"),
        Refused(("ls",), 2, "after -- comes the command"),
        Refused(("gcloud", "run", "services", "delete", "api"), 2, "only a deploy"),
        Refused(("gcloud", "run", "deploy", "api"), 2, "builds from source"),
        Refused(("gcloud", "run", "deploy", "api", "--source", "."), 2, "builds from source"),
        Refused(("gcloud", "run", "jobs", "deploy", "api", "--source=."), 2, "builds from source"),
        Refused((*UPDATE, "--platform=gke"), 2, "only what is deployed to Cloud Run itself"),
        Refused((*UPDATE, "--labels=a=b", "--dry-run"), 2, "a dry run changes nothing"),
        Refused(
            (*UPDATE, "--update-env-vars=SERVICE_SECRET=canary"),
            2,
            "Cannot update environment variable [SERVICE_SECRET] to string literal",
        ),
        Refused((*UPDATE, "--update-secrets=X=foo"), 2, "ended with 1"),
        Refused(
            (*UPDATE, "--remove-secrets=SERVICE_SECRET", "--update-env-vars=SERVICE_SECRET=canary"),
            2,
            "Cannot update environment variable [SERVICE_SECRET]",
        ),
        Refused((*UPDATE, "--update-env-vars", "canary"), 2, "could hold a value"),
        Refused((*UPDATE, "--no-such-flag=canary"), 2, "could hold a value"),
        Refused(("gcloud", "run", "services", "update", "nope", "--cpu=2"), 2, "nope"),
    ],
    ids=lambda case: " ".join(case.words[2:]),
)
def test_what_is_not_tried(case, tmp_path):
    """What cannot be tried, and what gcloud itself refuses, ends with the reason and no value."""
    with playing(WORLD) as emulator:
        ran = preview(emulator, tmp_path, *case.words)

    assert (ran.code, ran.out) == (case.code, "")
    assert case.says in ran.err
    assert "canary" not in ran.err


def test_settings_of_gcloud(tmp_path):
    """Without a word on where, it is where gcloud itself is set to deploy."""
    folder = tmp_path / ".config" / "gcloud" / "configurations"
    folder.mkdir(parents=True)
    text = "[core]\nproject = shop\n[run]\nregion = europe-west1\n"
    (folder / "config_default").write_text(text)
    (folder.parent / "active_config").write_text("default")
    with playing(WORLD) as emulator:
        ran = preview(emulator, tmp_path, *UPDATE, "--clear-env-vars", place=False)

    assert (ran.code, told(ran)) == (10, LITERALS)


def test_who_acts_is_left_out(tmp_path):
    """Flags that say who deploys are passed over: nobody does, and no credentials are asked for."""
    who = ("--impersonate-service-account", "ci@shop.iam.gserviceaccount.com", "--account=one")
    with playing(WORLD) as emulator:
        ran = preview(emulator, tmp_path, *UPDATE, *who, "--clear-env-vars")

    assert (ran.code, told(ran)) == (10, LITERALS)


def test_nothing_is_read_without_permission(tmp_path):
    """What may not be read is told as such, and gcloud's own message is not."""
    name = "projects/shop/locations/europe-west1/services/api"
    with playing(WORLD, denied=[name]) as emulator:
        ran = preview(emulator, tmp_path, *UPDATE, "--clear-env-vars")

    assert (ran.code, ran.out) == (3, "")
    assert "permission" in ran.err


CONNECT = re.compile(r"(?:connect|sendto|sendmsg)\(.*?sa_family=(AF_\w+)(.*)")
LOOPBACK = re.compile(r'inet_addr\("127\.|"::1"|"::ffff:127\.')


def elsewhere(trace: str) -> list[str]:
    """Every address in a trace of system calls that is neither of this machine nor a file."""
    calls = (CONNECT.search(line) for line in trace.splitlines())
    spoken = [
        (c[1], c[2]) for c in calls if c and c[1] not in ("AF_UNIX", "AF_NETLINK", "AF_UNSPEC")
    ]
    return [rest for _, rest in spoken if not LOOPBACK.search(rest)]


def traced(folder: Path, env: dict[str, str], *words: str) -> str:
    """The network calls of a preview and of all that it starts."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: nobody watched whom gcloud speaks to")
    log = folder / "trace"
    trace = ("strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log))
    command = [*trace, sys.executable, "-m", "drift_audit", "preview", *words]
    subprocess.run(
        command, cwd=folder, env=environment(folder, env), capture_output=True, check=False
    )
    return log.read_text(errors="replace") if log.exists() else ""


def test_nobody_else_is_spoken_to(tmp_path):
    """Of the network nothing but loopback is used, by us or by gcloud."""
    with playing(WORLD) as emulator:
        env = {
            "CLOUD_RUN_EMULATOR_HOST": emulator.address,
            "SECRET_MANAGER_EMULATOR_HOST": emulator.address,
        }
        place = ("--project=shop", "--region=europe-west1")
        trace = traced(tmp_path, env, *place, "--", *UPDATE, "--clear-env-vars")

    assert "127.0.0.1" in trace
    assert elsewhere(trace) == []


def test_the_guard_of_the_network_works(tmp_path):
    """A gcloud that speaks to somebody else is found out."""
    script = tmp_path / "gcloud"
    reach = (
        "import socket; s=socket.socket(); s.setblocking(False); s.connect_ex(('192.0.2.1', 80))"
    )
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{reach}"\n')
    script.chmod(0o755)
    with playing(WORLD) as emulator:
        env = {"CLOUD_RUN_EMULATOR_HOST": emulator.address}
        words = (str(script), "run", "services", "update", "api", "--cpu=1")
        trace = traced(tmp_path, env, "--project=shop", "--region=europe-west1", "--", *words)

    assert "192.0.2.1" in "".join(elsewhere(trace))


def test_no_value_leaves(tmp_path):
    """
    Neither values of the live service nor those of the command, or of its files, stand in any
    output, in a message, or in what is left on the disk, whether the command is judged or fails.
    """
    folder, temporary = tmp_path / "here", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    (folder / "given.yaml").write_text(f"FROM_FILE: {IN_FILE}\n")
    live = WORLD.replace(CANARY, LIVE).replace("--verbose", f"--token={IN_ARGS}")
    given = [
        (f"--set-env-vars=GIVEN={GIVEN}",),
        ("--env-vars-file=given.yaml",),
        (f"--update-env-vars=SERVICE_SECRET={GIVEN}",),
        (f"--update-env-vars={GIVEN}",),
        ("--update-env-vars", "given.yaml", f"--args={GIVEN}", "--no-such"),
    ]
    with playing(live) as emulator:
        env = {
            "CLOUD_RUN_EMULATOR_HOST": emulator.address,
            "SECRET_MANAGER_EMULATOR_HOST": emulator.address,
            "TMPDIR": str(temporary),
        }
        where = ("--project=shop", "--region=europe-west1", "--verbosity=debug")
        pages = [word for kind in ("html", "md", "json") for word in ("-o", f"page.{kind}")]
        ran = [
            run("preview", *where, *pages, "--", *UPDATE, *flags, cwd=folder, env=env)
            for flags in given
        ]
    (folder / "given.yaml").unlink()

    told = b"".join([*(f"{r.out}{r.err}".encode() for r in ran), *files_below(tmp_path).values()])
    assert [r.code for r in ran] == [10, 10, 2, 2, 2]
    assert list(temporary.iterdir()) == []
    assert leaks(told, [LIVE, IN_ARGS, IN_FILE, GIVEN]) == []


def test_without_gcloud(tmp_path):
    """Where there is no gcloud, that is said, with what to do instead."""
    env = {"PATH": "", "CLOUD_RUN_EMULATOR_HOST": "127.0.0.1:1"}
    ran = [
        run("preview", *where, "--", *UPDATE, "--cpu=2", cwd=tmp_path, env=env)
        for where in ((), ("--project=shop", "--region=europe-west1"))
    ]

    assert [r.code for r in ran] == [2, 2]
    assert all("gcloud is not installed" in r.err for r in ran)


STAND_IN = """#!/bin/sh
echo "$FAILS" | sed 's/;/\\n/g' >&2
exit 1
"""


@pytest.mark.parametrize(
    ("flags", "fails", "told"),
    [
        (("--cpu=2",), "ERROR: (gcloud.run.services.update) no such thing", "no such thing"),
        (("--cpu=2",), "ERROR: gcloud crashed (ValueError): odd;;more", "gcloud crashed (ValueError): odd"),
        (("--cpu=2",), "Deploying...", "it does not say why"),
        (("--update-env-vars=^@^A=one,two@B=three",), f"{SAYS}[one,two]", HIDDEN),
        (("--update-env-vars=^@^A=one,two@B=three",), f"{SAYS}[three]", HIDDEN),
        (("--update-env-vars=^@^A=one,two@B=three",), f"{SAYS}[A]", "[A]"),
        (("--update-env-vars=A=x",), f"{SAYS}[x]", HIDDEN),
        (("--update-env-vars=A=x",), f"{SAYS}extra", "extra"),
        (("--env-vars-file=given.yaml",), f"{SAYS}[hidden]", HIDDEN),
        (("--env-vars-file=given.yaml",), f"{SAYS}[KEY]", "[KEY]"),
        (("--env-vars-file=absent.yaml",), f"{SAYS}[absent.yaml]", "[absent.yaml]"),
        (("--region=europe-west1", "--tag=one"), f"{SAYS}[one]", "[one]"),
    ],
)  # fmt: skip
def test_what_gcloud_says(flags, fails, told, tmp_path, monkeypatch):
    """What gcloud says when it fails is repeated, unless a value of the command stands in it."""
    (tmp_path / "given.yaml").write_text("KEY: hidden\n")
    script = tmp_path / "gcloud"
    script.write_text(STAND_IN.replace("$FAILS", fails))
    script.chmod(0o755)
    command = Command((str(script), *UPDATE[1:], *flags))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError) as error:
        gcloud.run(command, {}, lambda: ())

    assert str(error.value).startswith("gcloud run services update ended with 1: ")
    assert str(error.value).endswith(told)


def test_events(tmp_path):
    """A preview tells its findings and its end to logs like an audit, and no value."""
    update = "gcloud run services update api --remove-secrets=SERVICE_SECRET".split()
    with playing(WORLD, watched=False) as emulator:
        options = ("--reference=SERVING", "--log-format=json")
        ran = preview(emulator, tmp_path, *update, options=options)
    found = events(ran.err, "finding")
    end = finished(ran.err)

    assert ("key-lost", "SERVICE_SECRET") in {(f["rule"], f.get("key")) for f in found}
    assert (end["command"], end["exit_code"], end["verdict"]) == ("preview", ran.code, "drift")
    assert leaks(ran.err.encode(), [CANARY]) == []
