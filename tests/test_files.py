"""The file system: guarded reading, and writing that leaves the old text or the new one."""

from __future__ import annotations

import fcntl
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from drift_audit import files
from drift_audit.errors import InputError, OutputError
from tests.command import environment

CANARY = "cnry-files-7f3a9c51e2"


def refused(path) -> str:
    with pytest.raises(InputError) as error:
        files.read(str(path))
    assert CANARY not in str(error.value)
    return str(error.value).rpartition(str(path))[2]


def test_regular_file(tmp_path):
    """A regular file is read as it is."""
    path = tmp_path / "a"
    path.write_bytes(b"\x00x")

    assert files.read(str(path)) == b"\x00x"


def test_links_are_not_followed(tmp_path):
    """A link in a pull request can point at anything: it is refused, loops and dangling ones too."""
    (tmp_path / "target").write_text(CANARY)
    for name, target in (
        ("link", "target"),
        ("loop", "loop"),
        ("dangling", "nowhere"),
        ("zero", "/dev/zero"),
    ):
        (tmp_path / name).symlink_to(target)

        assert refused(tmp_path / name) == ": link: a symbolic link, which is not followed"


def test_what_is_no_file(tmp_path):
    """A folder, a pipe and a device are refused at once, without waiting for a writer."""
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        assert refused(path) == ": not-a-file: not a regular file"


def test_missing_and_unreadable(tmp_path):
    """What is not there, and what cannot be opened, is told apart."""
    assert refused(tmp_path / "none") == ": missing: no such file"
    assert refused(tmp_path / "none" / "x") == ": missing: no such file"
    (tmp_path / "file").write_text("x")
    assert refused(tmp_path / "file" / "x") == ": unreadable: not a directory"


def test_too_big(tmp_path):
    """Size is checked before anything is parsed; a file that claims eight gigabytes costs nothing."""
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 8 * 2**30)

    assert refused(path) == ": too-big: larger than 8 MiB"


def test_memory_is_taken_for_what_is_there(tmp_path):
    """A large limit costs nothing: a small file is read where there is little memory."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * (files._AT_ONCE + 1))

    assert files.read(str(path), limit=2**62) == path.read_bytes()
    with pytest.raises(InputError, match="too-big"):
        files.read(str(path), limit=files._AT_ONCE)


def test_process_substitution_gets_a_hint(tmp_path):
    """Who hands over a pipe by its number is told what to do instead."""
    reader, writer = os.pipe()
    try:
        with pytest.raises(InputError) as error:
            files.read(f"/proc/self/fd/{reader}")
        assert "link" in str(error.value)
        if os.path.realpath("/dev/fd").startswith("/proc"):
            with pytest.raises(InputError):
                files.read(f"/dev/fd/{reader}")
    finally:
        os.close(reader)
        os.close(writer)


def test_listing(tmp_path):
    """A folder's files of a kind, by name, and the names of everything else in it."""
    for name in ("B.JSON", "a.yaml", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "d.json").mkdir()

    taken, others = files.listing(str(tmp_path), (".json", ".yaml"))

    assert taken == [str(tmp_path / "B.JSON"), str(tmp_path / "a.yaml")]
    assert others == ["c.txt", "d.json"]
    with pytest.raises(InputError):
        files.listing(str(tmp_path / "none"), ())


def test_write_replaces(tmp_path):
    """A file is written whole, keeps its permissions, and leaves no temporary behind."""
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o604)
    files.write(str(path), "new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert list(tmp_path.iterdir()) == [path]


def test_new_files_honour_the_umask(tmp_path):
    """Who may read a new file is the user's choice."""
    before = os.umask(0o027)
    try:
        files.write(str(tmp_path / "a"), "new")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_create_never_replaces(tmp_path):
    """What must be new is not written over, whatever it is."""
    path = tmp_path / "folder" / "key"
    files.create(path, "one", mode=0o600)
    link = tmp_path / "link"
    link.symlink_to("nowhere")

    for there in (path, link):
        with pytest.raises(OutputError, match="file exists"):
            files.create(there, "two", mode=0o600)
    assert path.read_text() == "one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_write_through_a_link(tmp_path):
    """An output that is a link keeps being one."""
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    files.write(str(tmp_path / "link"), "new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_write_to_a_device():
    """A device is written to, never replaced."""
    files.write("/dev/null", "x")

    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(OutputError, match="no space left"):
        files.write("/dev/full", "x")


@pytest.mark.parametrize("path", ["/nowhere/at/all", "/dev"])
def test_cannot_write(path):
    """What cannot be written is one line with the path and the reason."""
    with pytest.raises(OutputError, match=f"cannot write {path}: "):
        files.write(path, "x")


def test_failure_keeps_the_old_file(tmp_path):
    """When the disk fails in the middle, the old text stands and nothing is left over."""
    path = tmp_path / "a"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        with pytest.raises(OutputError, match="file too large"):
            files.write(str(path), "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_left_overs(tmp_path):
    """What a killed run left is swept by the next one; what somebody still writes, or is no file, is not."""
    left, alive, link, pipe = (
        tmp_path / files.TEMPORARY.format(name) for name in ("left", "alive", "link", "pipe")
    )
    left.write_text("half of it")
    link.symlink_to("left")
    os.mkfifo(pipe)
    with alive.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        files.write(str(tmp_path / "a"), "new")

    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a", alive, link, pipe])


WRITER = """
import sys
from drift_audit import files
for number in range(100):
    files.write(sys.argv[1], "x" * 1000)
"""


def test_writers_do_not_sweep_each_other(tmp_path):
    """Several processes that write into one folder at once all succeed, and leave nothing."""
    (tmp_path / "out").mkdir()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "out" / str(i % 2))],
            env=environment(tmp_path, measured=False), stderr=subprocess.PIPE,
        )
        for i in range(6)
    ]  # fmt: skip
    ended = [writer.communicate(timeout=60)[1] for writer in writers]

    assert ended == [b""] * 6
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0", "1"]


def test_shipped_folders():
    """The templates and the example come with the program."""
    assert (files.shipped("templates") / "report.html.j2").exists()
    assert (files.shipped("baselines") / "netra-staging").is_dir()
