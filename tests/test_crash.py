"""
Crashes: kills, faults of system calls, full and read-only disks leave the old file or the new one. The
short form of `make crash`; docs/crash-safety.md has the long one.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys

import pytest

from drift_audit import files
from tests import commands
from tests.canary import files_below, leaks
from tests.command import SEALED, environment, run
from tests.manifests import CANARY, PASSWORD, SECRET, service
from tests.syscalls import disorder

KILLS = 96
PROMOTE = "baseline promote --by=me --project=shop --no-config".split()
SNAPSHOT = "snapshot --project=shop --no-config -o all.json".split()
PLACE = "shop/europe-west1"


def campaign(folder, *arguments):
    """Figures and exit code of a campaign in a process of its own: it forks, and that must be cheap."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", *arguments],
        env=environment(folder, measured=False), capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


def test_kills(tmp_path):
    """Whenever a writer is killed, the last file or the one before is there, and the next write mends it."""
    code, figures = campaign(tmp_path, f"--kills={KILLS}", "--faults=none")
    told = figures["kills"].values()

    assert (code, [one["problems"] for one in told]) == (0, [[]] * 8)
    assert sum(one["kills"] for one in told) == KILLS
    assert sum(one["left"] for one in told) > 0, "no kill struck in the middle of a write"


def test_faults_of_system_calls(tmp_path):
    """Whichever call fails, nothing is torn, the command says 4 or 5 and where, and can be repeated."""
    code, figures = campaign(tmp_path, "--kills=0", "--faults=few")
    faults = figures["faults"]
    if faults["skipped"]:
        pytest.skip(f"{faults['skipped']}: no system call was made to fail, no order was checked")

    assert (code, faults["problems"]) == (0, [])
    assert min(faults["struck"].values()) > 0
    assert faults["refused"] > 50


def test_control_broken_writers_are_found(tmp_path):
    """A writer that opens, writes and closes is found by kills and faults, one that flushes nothing by order."""
    code, figures = campaign(tmp_path, "--kills=100", "--faults=few", "--control")
    faults = figures["faults"]

    assert code == 1
    assert figures["kills"]["naive"]["torn"] > 0
    if not faults["skipped"]:
        told = "\n".join(faults["problems"])
        assert "naive: inject=write:error=ENOSPC:when=1: torn" in told
        assert "report.json before it was flushed" in told


NEW = [
    'openat(AT_FDCWD<@>, "@/.t", O_WRONLY|O_CREAT) = 3<@/.t>',
    'write(3<@/.t>, ""..., 3) = 3',
    "fsync(3<@/.t>) = 0",
    'rename("@/.t", "@/a") = 0',
    "fsync(3<@>) = 0",
    'write(1</dev/null>, ""..., 5) = 5',
]


@pytest.mark.parametrize(
    ("without", "told"), [(None, 0), (2, 1), (4, 2)], ids="right file-not folder-not".split()
)
def test_order_of_system_calls(tmp_path, without, told):
    """A name that is given before the content is flushed is told, and a success before the name is."""
    calls = [call.replace("@", str(tmp_path)) for i, call in enumerate(NEW) if i != without]

    assert len(disorder(calls, tmp_path)) == told


# Disks

MOUNTED = """
set -eu
mount -t tmpfs -o size=$1k none "$2"
cp -a "$3/." "$2"
cd "$2"
if [ "$4" = ro ]; then
    mount --bind . "$5"; mount -o remount,bind,ro "$5"; cd "$5"
fi
shift 5
code=0; "$@" || code=$?
cp -a . "$OUT"
exit $code
"""


@functools.cache
def unprivileged():
    """Whether this machine lets a user mount something for himself."""
    probe = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return (
        bool(shutil.which("unshare"))
        and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    )


def on_disk(kept, tmp_path, *command, kilobytes=96, kind="rw"):
    """Run a command on a small disk that holds what was kept; what is there then comes to `to`."""
    if not unprivileged():
        pytest.skip("unshare cannot mount here: no full and no read-only disk was tried")
    for name in ("disk", "bound", "to"):
        (tmp_path / name).mkdir()
    script = [
        *("unshare", "-Urm", "sh", "-c", MOUNTED, "sh", str(kilobytes), str(tmp_path / "disk")),
        *(str(kept / "from"), kind, str(tmp_path / "bound"), *command),
    ]
    env = environment(tmp_path, {**SEALED, "OUT": str(tmp_path / "to")})
    return subprocess.run(script, env=env, capture_output=True, text=True, check=False)


DRIFT_AUDIT = (sys.executable, "-m", "drift_audit")
FILLER = 60
"""Kilobytes of the disk that are taken already."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with a promoted baseline and an old snapshot, and an input larger than what is left."""
    here = tmp_path_factory.mktemp("kept")
    folder = here / "from"
    folder.mkdir()
    (folder / "before.json").write_text(json.dumps(service(env=[SECRET, PASSWORD])))
    run(*PROMOTE, "before.json", "--reason=r1", cwd=folder, env=SEALED)
    run(*SNAPSHOT, "--input=before.json", cwd=folder, env=SEALED)
    (folder / "filler").write_bytes(b"x" * FILLER * 1024)
    many = [PASSWORD, *({"name": f"KEY_{i}", "value": f"v{i}"} for i in range(400))]
    (here / "large.json").write_text(json.dumps(service(env=many)))
    return here


WRITES = [
    ([*PROMOTE, "{}/large.json", "--reason=r2"], f"baselines/{PLACE}/api.json"),
    ([*SNAPSHOT, "--input={}/large.json"], "all.json"),
    (
        "compare before.json {}/large.json --no-config -o report.json".split(),
        "report.json",
    ),
]


@pytest.mark.parametrize(("arguments", "path"), WRITES, ids=["promote", "snapshot", "report"])
@pytest.mark.parametrize("kind", ["rw", "ro"], ids=["full", "read-only"])
def test_disk_that_takes_nothing(kept, tmp_path, kind, arguments, path):
    """On a full or read-only disk a command ends with 4 or 5, names the file, and all is as it was."""
    before = files_below(kept / "from")
    done = on_disk(
        kept, tmp_path, *DRIFT_AUDIT, *(a.format(kept) for a in arguments), kind=kind,
        kilobytes=96 if kind == "rw" else 1024,
    )  # fmt: skip
    after = files_below(tmp_path / "to")

    assert done.returncode in (4, 5), done.stderr
    assert path in done.stderr
    assert ("read-only file system" if kind == "ro" else "no space left on device") in done.stderr
    assert after == before
    assert leaks((done.stdout + done.stderr).encode(), [CANARY]) == []


def test_control_naive_writer_on_a_full_disk(kept, tmp_path):
    """A writer that opens, writes and closes leaves half a file on the same disk."""
    code = "import pathlib, tests.writers as w; w.naive(pathlib.Path('all.json'), w.told(1) + ' ' * 2**17)"
    done = on_disk(kept, tmp_path, sys.executable, "-c", code)

    assert done.returncode == 1
    with pytest.raises(json.JSONDecodeError):
        json.loads((tmp_path / "to" / "all.json").read_text())


# Standard output


PRINTING = f"""
baseline promote before.json --by=me --project=shop --reason=r
baseline promote before.json --by=me --project=shop --reason=r --dry-run
baseline verify
baseline list
baseline show {PLACE}/api
baseline log {PLACE}/api
snapshot --input=before.json --project=shop
history api --input=revisions.json --project=shop
"""


@pytest.mark.parametrize("closed", [False, True], ids=["full", "closed"])
def test_output_that_nobody_gets(here, closed):
    """Where standard output takes nothing, every command that prints ends with 5 and says so in one line."""
    run(*PROMOTE, "before.json", "--reason=r", cwd=here, env=SEALED)
    reader, out = os.pipe() if closed else (None, os.open("/dev/full", os.O_WRONLY))
    if closed:
        os.close(reader)
    why = b"broken pipe" if closed else b"no space left on device"
    for line in PRINTING.split("\n")[1:-1]:
        done = subprocess.run(
            [*DRIFT_AUDIT, *line.split()], cwd=here, env=environment(here, SEALED),
            stdout=out, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip

        assert done.returncode == 5, line
        assert done.stderr == b"drift-audit: cannot write to standard output: " + why + b"\n"
    os.close(out)


# What only strace can bring about


def watched(tmp_path, script):
    """What a script prints that runs a command under strace; skips where that cannot be."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "here")],
        env=environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "CannotTrace" in done.stderr:
        pytest.skip("strace cannot be used: neither links nor sweepers were tried")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


NO_LINKS = """
import pathlib, sys
from tests import commands, syscalls
folder = pathlib.Path(sys.argv[1])
syscalls.prepare(commands.INIT, folder)
ran = syscalls.traced(commands.INIT, folder, "inject=?link,?linkat:error=EPERM")
print(ran.code, len(ran.struck))
"""
TAKEN = """
import pathlib, sys
from drift_audit import errors, files
from tests import commands, syscalls
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
(folder / "seal.key").write_text("the first")
def again():
    try:
        files.create(pathlib.Path("seal.key"), "another", mode=0o600)
    except errors.OutputError as error:
        print(error, flush=True)
        return error.code
again = commands.Command("again", again, None, None, ())
ran = syscalls.traced(again, folder, "inject=?link,?linkat:error=EPERM")
print(ran.code, len(ran.struck), (folder / "seal.key").read_text())
"""


def test_key_where_files_have_one_name(tmp_path):
    """Where the system gives a file no second name a key is created all the same, and whole."""
    assert watched(tmp_path, NO_LINKS) == ["0", "1"]
    assert commands.INIT.written(tmp_path / "here")
    assert [*(tmp_path / "here").rglob(files.TEMPORARY.format("*"))] == []


def test_key_that_is_there_where_files_have_one_name(tmp_path):
    """And one that is there is not replaced either."""
    assert watched(tmp_path, TAKEN) == ["5", "1", "the", "first"]


SWEPT = """
import pathlib, sys, threading
from drift_audit import files
from tests import commands, syscalls
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
def sweeping():
    while True:
        files._sweep(folder)
threading.Thread(target=sweeping, daemon=True).start()
def write():
    files.write("a", "new")
    return 0
slow = commands.Command("slow", write, None, None, ())
ran = syscalls.traced(slow, folder, "inject=flock:delay_enter=500000:when=1")
made = [call for call in ran.calls if "O_CREAT" in call]
print(ran.code, len(made) > 1, (folder / "a").read_text())
"""


def test_temporary_that_is_swept_before_it_is_locked(tmp_path):
    """A writer whose temporary was taken for a left-over makes another one."""
    assert watched(tmp_path, SWEPT) == ["0", "True", "new"]
