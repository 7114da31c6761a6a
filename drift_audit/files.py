"""
The only doors to the file system: reading what others wrote, guarded, and writing, whole or not
at all.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

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
            return file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{STDIN}: unreadable: {reason(error)}") from None


def _read_regular(path: str, limit: int) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            hint = "pipe it in and name it -" if path.startswith("/dev/fd/") else ""
            raise InputError(f"{path}: not-a-file: not a regular file", hint=hint)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit + 1)
    finally:
        os.close(descriptor)


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


def listing(folder: str, suffixes: tuple[str, ...]) -> list[str]:
    """The files of a folder with one of the suffixes, by name. Subfolders are not entered."""
    try:
        entries = sorted(Path(folder).iterdir())
    except OSError as error:
        raise _refused(folder, error) from None
    return [str(e) for e in entries if e.suffix in suffixes and not e.is_dir()]


def write(path: str, text: str, *, mode: int = 0o644) -> None:
    """
    Write a file so that a reader finds the old text or the new one, never a mixture.

    A temporary in the same folder, flushed to disk, takes the name; then the folder is flushed
    too. A device or pipe is written to as it is. Raises OutputError; nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            target.write_text(text)
        else:
            _replace(target, text.encode(), mode)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}") from None


def _replace(target: Path, data: bytes, mode: int) -> None:
    descriptor, temporary = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink()
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
