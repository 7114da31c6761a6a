"""What goes wrong is one clear line and the documented code, and leaves nothing half written."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from drift_audit.cli.progress import progress
from drift_audit.report import Report
from tests.canary import files_below, leaks
from tests.command import environment, run
from tests.manifests import CANARY, service
from tests.worlds import SHOP


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["audit", "--input=none.json"], 4, "none.json: missing: no such file"),
        (["audit", "--input=empty"], 3, "nothing was audited"),
        (["audit", "--input=broken.json"], 4, "broken.json:1: not-json: cannot be parsed"),
        (["audit", "--input=deployment.json"], 4, "deployment.json:1: wrong-kind: a Deployment of apps"),
        (["audit"], 2, "no project to look at"),
        (["audit", "--nonsense"], 2, "no such option '--nonsense'"),
        (["nonsense"], 2, "no such command 'nonsense'"),
        (["audit", "--project=shop", "--region=r1"], 3, "no usable application default credentials"),
        (["audit", "--input=before.json", "-o", "report.xyz"], 2, "cannot tell the format of report.xyz"),
        (["audit", "--input=before.json", "-o", "none/report.json"], 5, "cannot write none/report.json"),
        (["audit", "--input=before.json", "--config=none.toml"], 2, "cannot read the policy: none.toml"),
        (["audit", "--input=before.json", "--config=bad.toml"], 2, "bad.toml: fail_on: not one of never"),
        (["audit", "--input=before.json", "--config=worse.toml"], 2, "worse.toml: service[1].required.A.from: "),
        (["audit", "--input="], 2, "--input names nothing"),
        (["audit", "--input=before.json", "-o", "json="], 2, "cannot tell the format of json="),
        (["compare", "before.json", "before.json"], 2, "before.json is on both sides"),
        (["compare", "revisions.json", "after.json"], 4, "revisions.json: holds 2 revisions"),
        (["compare", "revisions.json#nope", "after.json"], 4, "revisions.json: no revision nope"),
        (["compare", "nope", "--input=revisions.json"], 4, "has no revision nope"),
        (["compare", "tag:nope", "--input=revisions.json"], 4, "has no tag nope"),
        (["compare", "~7", "--input=revisions.json"], 4, "has only 2 revisions"),
        (["compare", "~x", "--input=revisions.json"], 4, "~x does not name a revision"),
        (["compare", f"~{'9' * 5_000}", "--input=revisions.json"], 4, "does not name a revision"),
        (["audit", f"--pace=cloud-run={'9' * 5_000}"], 2, "not API=READS, with READS from 1"),
        (["compare", "--input=revisions.json"], 4, "has no known good revision"),
        (["compare", "KNOWN_GOOD", "--input=revisions.json"], 4, "has no known good revision"),
        (["compare", "LATEST", "--input=two.json"], 4, "the scope holds 2 services: api, web"),
        (["compare", "LATEST", "LATEST", "--input=empty"], 4, "the scope holds 0 services: none"),
        (["snapshot", "--input=before.json"], 4, "no lasting key to seal plain values with"),
        (["baseline", "promote", "before.json", "--reason=r"], 4, "no lasting key"),
        (["baseline", "promote", "before.json"], 2, "missing option '--reason'"),
        (["baseline", "show", "shop"], 2, "give PROJECT/REGION/SERVICE"),
        (["baseline", "show", "shop/r1/api"], 4, "baselines has no baseline of shop/r1/api"),
        (["baseline", "show", "shop/../api"], 4, "does not name project, region and service"),
        (["render", "none.json"], 4, "none.json: missing"),
        (["render", "before.json"], 4, "before.json: bad-report: not a report of this version"),
        (["explain", "key-lots"], 2, "there is no rule key-lots"),
        (["emulator", "--world=none.yaml"], 4, "none.yaml: missing"),
        (["schema", "show", "nonsense"], 2, "'nonsense' is not one of"),
    ],
)  # fmt: skip
def test_bad_input(here, arguments, code, says):
    """Each kind of bad input is one clear line, the documented code, and leaves nothing behind."""
    (here / "empty").mkdir()
    (here / "broken.json").write_text(f'{{"a": "{CANARY}" oops')
    (here / "deployment.json").write_text(
        json.dumps({"apiVersion": "apps/v1", "kind": "Deployment"})
    )
    (here / "bad.toml").write_text(f'fail_on = "{CANARY}"')
    (here / "worse.toml").write_text("[[service]]\n[[service]]\nrequired = {A = {from = 'x'}}")
    (here / "two.json").write_text(json.dumps([service("api"), service("web")]))
    before = files_below(here).keys()
    ran = run(*arguments, cwd=here)

    assert ran.code == code, ran.block
    assert says in ran.err + ran.out, ran.block
    assert "Traceback" not in ran.err
    assert files_below(here).keys() == before
    assert leaks(ran.block.encode(), [CANARY]) == []


CLOSED = "closed/inside"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["audit", f"--input={CLOSED}"], 4),
        (["audit", f"--input={CLOSED}/before.json"], 4),
        (["audit", "--input=listed"], 4),
        (["audit", "--input=before.json", f"--store={CLOSED}"], 4),
        (["audit", "--input=before.json", f"--config={CLOSED}/policy.toml"], 2),
        (["audit", "--input=before.json", "-o", f"{CLOSED}/report.json"], 5),
    ],
)  # fmt: skip
def test_closed_folders(here, arguments, code):
    """What lies in a folder that is closed to the user is told as such."""
    for name in (CLOSED, "listed"):
        (here / name).mkdir(parents=True)
    (here / "listed" / "before.json").write_text("{}")
    (here / "closed").chmod(0)
    (here / "listed").chmod(0o400)
    command = [sys.executable, "-m", "drift_audit", *arguments]
    if os.getuid() == 0:  # nothing is closed to root until it gives that up
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    ran = subprocess.run(
        command, cwd=here, env=environment(here), capture_output=True, text=True, check=False
    )
    for name in ("closed", "listed"):
        (here / name).chmod(0o700)

    assert ran.returncode == code, ran.stderr
    assert "permission denied" in ran.stderr


def test_folder_that_is_gone(here, tmp_path):
    """A command that was started in a folder that is not there any more reads what lies elsewhere."""
    lost = tmp_path / "lost"
    lost.mkdir()
    audit = f"{sys.executable} -m drift_audit audit --input={here}/before.json --format=github"
    ran = subprocess.run(
        ["sh", "-c", f"rmdir {lost}; exec {audit}"],
        cwd=lost, env=environment(here), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "::warning title=medium baseline-missing" in ran.stdout


def test_unreachable_endpoint(here):
    """A server that is not there is an incomplete audit that says so."""
    env = {"CLOUD_RUN_EMULATOR_HOST": "127.0.0.1:1", "SECRET_MANAGER_EMULATOR_HOST": "127.0.0.1:1"}
    scope = ("--project=shop", "--region=r1", "--kind=service", "--timeout=2")
    audit = run("audit", *scope, cwd=here, env=env)
    compare = run("compare", "~1", *scope, "--service=api", cwd=here, env=env)

    assert (audit.code, compare.code) == (3, 3)
    assert "services of projects/shop/locations/r1: the service cannot be reached" in audit.told
    assert (
        compare.err
        == "drift-audit: service projects/shop/locations/r1/services/api: the service cannot be reached\n"
    )


def test_full_disk_and_closed_pipe(here):
    """A report that nobody got is told by the exit code, without a traceback."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "drift_audit", "audit", "--input=before.json"],
            cwd=here, env=environment(here), stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    reader, writer = os.pipe()
    os.close(reader)
    closed = subprocess.run(
        [sys.executable, "-m", "drift_audit", "audit", "--input=before.json"],
        cwd=here, env=environment(here), stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)

    assert (ended.returncode, closed.returncode) == (5, 5)
    assert (
        ended.stderr == b"drift-audit: cannot write to standard output: no space left on device\n"
    )
    assert closed.stderr == b"drift-audit: cannot write to standard output: broken pipe\n"


def test_incomplete_wins_over_a_lost_output(here):
    """Whoever tolerates a lost page must not tolerate blindness."""
    (here / "empty").mkdir()

    assert run("audit", "--input=empty", "-o", "none/x.json", cwd=here).code == 3


def test_all_outputs_are_tried(here):
    """One output that fails does not keep the others from being written."""
    ran = run("compare", "before.json", "after.json", "-o", "none/x.json", "-o", "b.json", cwd=here)

    assert ran.code == 5
    assert (here / "b.json").exists()
    assert "result: drift" in ran.out


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signals(here, number, code, word):
    """An interrupted run is never clean."""
    (here / "world.yaml").write_text(SHOP)
    process = subprocess.Popen(
        [sys.executable, "-m", "drift_audit", "emulator", "--world=world.yaml"],
        cwd=here, env=environment(here), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert b"CLOUD_RUN_EMULATOR_HOST=127.0.0.1:" in process.stdout.readline()
    assert b"SECRET_MANAGER_EMULATOR_HOST=127.0.0.1:" in process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)

    assert process.returncode == code
    assert err.strip() == f"drift-audit: {word}".encode()


def test_interrupt_at_a_terminal(here):
    """What is said after the ^C that a terminal shows begins a line of its own."""
    (here / "world.yaml").write_text(SHOP)
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "drift_audit", "emulator", "--world=world.yaml"],
        cwd=here, env=environment(here), stdin=its, stdout=its, stderr=its, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # no thread runs
    )  # fmt: skip
    os.close(its)
    patience = threading.Timer(20, process.kill)
    patience.start()
    said = b""
    while b"SECRET_MANAGER_EMULATOR_HOST" not in said:
        said += os.read(ours, 1024)
    os.write(ours, b"\x03")
    with suppress(OSError):  # so a terminal ends whose process has gone
        while part := os.read(ours, 1024):
            said += part
    os.close(ours)
    patience.cancel()

    assert process.wait(20) == 130
    assert said.endswith(b"^C\r\ndrift-audit: interrupted\r\n")


def test_nobody_listens(here):
    """When standard error is closed too, the code still tells."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "drift_audit", "audit"],
        cwd=here,
        env=environment(here),
        stderr=writer,
        check=False,
    )
    os.close(writer)

    assert ran.returncode == 2


@pytest.mark.parametrize(
    ("command", "closed", "code"),
    [
        ("audit --input=before.json", "2>&-", 0),
        ("audit --input=before.json", ">&-", 5),
        ("audit --input=before.json -o report.json", ">&- 2>&- <&-", 5),
        ("compare before.json after.json", ">&-", 5),
        ("compare - after.json", "<&-", 4),
        ("compare - after.json", "< /bin/true", 4),
        ("compare - after.json", "0> written", 4),
        ("baseline promote before.json --reason=r", "<&-", 4),
        ("nonsense", ">&- 2>&-", 2),
        ("", "2>&-", 2),
    ],
)
def test_closed_streams(here, command, closed, code):
    """A stream that the caller closed is no defect, and never another file's place."""
    line = f"exec {sys.executable} -m drift_audit {command} {closed}"
    ran = subprocess.run(
        ["bash", "-c", line], cwd=here, env=environment(here), capture_output=True, check=False
    )

    assert (ran.returncode, b"defect" in ran.stderr) == (code, False), ran.stderr
    if "report.json" in command:
        Report.model_validate_json((here / "report.json").read_bytes())


def test_progress(capsys):
    """Progress is shown where it is asked for, and nowhere else."""
    with progress("on", quiet=False) as tell:
        tell("services", 1, 2)
        tell("services", 2, 2)
    with progress("auto", quiet=False) as silent, progress("on", quiet=True) as quiet:
        silent("x", 1, 1)
        quiet("y", 1, 1)
    shown = capsys.readouterr()

    assert "services" in shown.err
    assert shown.out == ""
    assert "x" not in shown.err.replace("services", "")


def test_defect_tells_no_value(here):
    """A defect of ours ends with 70 and says where, without a message that could quote anything."""
    code = (
        "import sys; sys.argv = ['drift-audit', 'explain', 'x']\n"
        "import drift_audit.cli.explain as e\n"
        f"e.command.callback = lambda **_: (_ for _ in ()).throw(ValueError('{CANARY}'))\n"
        "from drift_audit.__main__ import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        env=environment(here),
        capture_output=True,
        check=False,
    )

    assert ran.returncode == 70
    assert b"a defect in drift-audit" in ran.stderr
    assert b"ValueError" in ran.stderr
    assert leaks(ran.stdout + ran.stderr, [CANARY]) == []
