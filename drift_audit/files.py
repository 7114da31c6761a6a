"""
The doors to files that people name: reading what others wrote, guarded, and writing, whole or not
at all.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from drift_audit.errors import InputError, OutputError

LIMIT = 8 * 2**20
"""The largest input in bytes. Parsing stays within seconds and a few hundred megabytes below it."""

STDIN = "-"


def read(path: str, *, limit: int = LIMIT) -> bytes:
    """
    Read one regular file, or standard input for `-`.

    Links, devices, pipes and folders are refused unread, and so is what is larger than the limit: a
    file in a pull request may point at anything. Raises InputError.
    """
    data = _read_stdin(limit) if path == STDIN else _read_regular(path, limit)
    if len(data) > limit:
        raise InputError(
            f"{path}: too-big: larger than {limit // 2**20} MiB",
            hint="one file per service is enough",
        )
    return data


def _read_stdin(limit: int) -> bytes:
    try:
        with open(0, "rb", closefd=False) as file:
            return _up_to(limit, file)
    except OSError as error:
        raise InputError(f"{STDIN}: unreadable: {reason(error)}") from None


def _read_regular(path: str, limit: int) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise _refused(path, error) from None
    except ValueError:
        raise InputError(f"{path}: unreadable: no name of a file") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            hint = "pipe it in and name it -" if path.startswith("/dev/fd/") else ""
            raise InputError(f"{path}: not-a-file: not a regular file", hint=hint)
        with open(descriptor, "rb", closefd=False) as file:
            return _up_to(limit, file)
    finally:
        os.close(descriptor)


_AT_ONCE = 2**24
"""Bytes that memory is taken for before they are there."""


def _up_to(limit: int, file: BinaryIO) -> bytes:
    """What a file holds, and no more than one byte beyond the limit."""
    parts, left = [], limit + 1
    while left and (part := file.read(min(left, _AT_ONCE))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def is_folder(path: str) -> bool:
    """
    Whether a path is a folder, links followed. Raises InputError where the system does not tell:
    the name may be too long, or lead through a folder that is closed.
    """
    try:
        return stat.S_ISDIR(Path(path).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _refused(path, error) from None


def is_there(path: str) -> bool:
    """Whether something is at a path, as far as the system tells: what it refuses is not there."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def is_same(one: str, other: str) -> bool:
    """Whether two paths lead to one file, as far as the system tells."""
    try:
        return one == other or Path(one).samefile(other)
    except OSError:
        return False


def _refused(path: str, error: OSError) -> InputError:
    if error.errno == errno.ELOOP:
        return InputError(f"{path}: link: a symbolic link, which is not followed")
    if error.errno == errno.ENOENT:
        return InputError(f"{path}: missing: no such file")
    return InputError(f"{path}: unreadable: {reason(error)}")


def reason(error: OSError) -> str:
    """Why the system refused, in its words and without the path."""
    return (error.strerror or "refused by the system").lower()


def shipped(name: str) -> Path:
    """A folder that comes with the program: inside the package, or beside it in a checkout."""
    package = Path(__file__).parent
    packaged = package / name
    return packaged if packaged.is_dir() else package.parent / name


def listing(folder: str, suffixes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """
    The files of a folder with one of the suffixes, in whatever case, and everything else in it,
    by name. Subfolders are not entered. Raises InputError.
    """
    try:
        entries = sorted(Path(folder).iterdir())
        taken = [e for e in entries if e.suffix.lower() in suffixes and not e.is_dir()]
    except OSError as error:
        raise _refused(folder, error) from None
    return [str(e) for e in taken], [e.name for e in entries if e not in taken]


ORDINARY = 0o666
"""What new files may be, before the umask of the user takes away."""


def write(path: str, content: str | bytes) -> None:
    """Write a file so that a reader finds the old content or the new. Raises OutputError."""
    write_parts(path, (content,))


def write_parts(path: str, parts: Iterable[str | bytes]) -> None:
    """
    Write a file, part by part as they come, so that a reader finds the old content or the new,
    never a mixture. Text becomes UTF-8.

    A temporary in the same folder, flushed to disk, takes the name, and with it the permissions of
    the file it replaces; then the folder is flushed too. A device or pipe is written to as it is.
    Raises OutputError; nothing is left behind, and what runs that were killed have left is removed.
    """
    try:
        old = _mode(path)
        if path.startswith("/dev/") or (old is not None and not stat.S_ISREG(old)):
            with Path(path).open("wb") as file:
                file.writelines(map(_encoded, parts))
            return
        target = Path(os.path.realpath(path))
        with _whole(target.parent, parts, ORDINARY) as temporary:
            if old is not None:
                temporary.chmod(stat.S_IMODE(old))
            temporary.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}") from None


def create(path: Path, text: str, *, mode: int) -> None:
    """
    Write a file that must not be there yet, and its folder: it is there whole, or not at all.
    Raises OutputError if it is there already.
    """
    try:
        make_folder(path.parent, mode=0o700)
        with _whole(path.parent, (text,), mode) as temporary:
            _name(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot create {path}: {reason(error)}") from None


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """
    Make a folder and those above it. All are on disk when this returns: a file that is flushed in
    a folder that is not would be lost with it. Raises OSError.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(mode, parents=True, exist_ok=True)
    for one in reversed(missing):
        _flush(one.parent)


def _mode(path: str) -> int | None:
    """Kind and permissions of what stands there, links followed; None for nothing."""
    try:
        return Path(path).stat().st_mode
    except FileNotFoundError:
        return None


def _encoded(part: str | bytes) -> bytes:
    return part.encode() if isinstance(part, str) else part


def _name(temporary: Path, path: Path) -> None:
    """Give a whole file a name that nothing has yet. Raises OSError."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        if os.path.lexists(path):  # a file has one name there: look, then rename
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        temporary.rename(path)
    else:
        _drop(temporary)


TEMPORARY = ".drift-audit-{}.tmp"
"""What a file is called until it is whole. Whoever writes it holds its lock."""


@contextmanager
def _whole(folder: Path, parts: Iterable[str | bytes], mode: int) -> Iterator[Path]:
    """
    A file with its content on disk, to be renamed; when it was, the folder is flushed. Where
    something fails it is removed. Raises OSError.
    """
    _sweep(folder)
    temporary, descriptor = _locked_new(folder, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(map(_encoded, parts))
            file.flush()
            os.fsync(descriptor)
            yield temporary
    except BaseException:
        _drop(temporary)
        raise
    _flush(folder)


def _locked_new(folder: Path, mode: int) -> tuple[Path, int]:
    """A new temporary, and its descriptor, which holds the lock where there are locks."""
    while True:
        path = folder / TEMPORARY.format(os.urandom(8).hex())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # it was taken for a left-over before it was locked


def _sweep(folder: Path) -> None:
    """Remove what runs that were killed have left: the system gave up the locks of those."""
    with suppress(OSError):
        for left in [*folder.glob(TEMPORARY.format("*"))]:
            _remove_unlocked(left)


def _remove_unlocked(left: Path) -> None:
    with suppress(OSError):
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(left, flags)
        try:
            there = os.fstat(descriptor)
            if stat.S_ISREG(there.st_mode) and there.st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
        finally:
            os.close(descriptor)


def _drop(temporary: Path) -> None:
    """Remove a temporary; where that fails too the next run sweeps it."""
    with suppress(OSError):
        temporary.unlink()


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
