"""
The key that seals plain values: from the environment, or from the user's configuration folder.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from pathlib import Path

import click

from drift_audit import files
from drift_audit.cli.notice import notice
from drift_audit.errors import InputError, StoreError
from drift_audit.seal import KEY_BYTES, SealKey

VARIABLE = "DRIFT_AUDIT_SEAL_KEY"
FILE_VARIABLE = "DRIFT_AUDIT_SEAL_KEY_FILE"


def default_file() -> Path:
    """Where the key of this user is kept."""
    return Path(click.get_app_dir("drift-audit")) / "seal.key"


def named_file() -> Path | None:
    """The key file that the environment names."""
    name = os.environ.get(FILE_VARIABLE)
    return Path(name) if name else None


def where() -> str:
    """Where `find` looks: the first of the three places that is named."""
    if os.environ.get(VARIABLE):
        return f"the variable {VARIABLE}"
    named = named_file()
    return f"{named}, which {FILE_VARIABLE} names" if named else str(default_file())


def find() -> SealKey | None:
    """
    The lasting key, if there is one. Raises StoreError for one that cannot be used, and for a
    named one that is not there: nothing else may quietly take its place.
    """
    if text := os.environ.get(VARIABLE):
        return _parse(text, f"the variable {VARIABLE}")
    if (named := named_file()) is not None:
        return _read(named.resolve())  # a mounted secret is a link that all may read
    path = default_file()
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path}: {files.reason(error)}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and not stat.S_ISLNK(mode):
        raise StoreError(f"{path}: others may read the key", hint=f"chmod 600 {path}")
    return _read(path)


def there() -> bool:
    """
    Whether the lasting key is there, so that none is to be created. Raises StoreError for one that
    is there and cannot be used.
    """
    named = None if os.environ.get(VARIABLE) else named_file()
    return find() is not None if named is None or os.path.lexists(named) else False


def _read(path: Path) -> SealKey:
    try:
        data = files.read(str(path))
    except InputError as error:
        raise StoreError(f"the key: {error}", hint="drift-audit init creates one") from None
    return _parse(data.decode("ascii", "replace"), str(path))


def for_this_run() -> SealKey:
    """The lasting key if there is one, else a key that dies with the run."""
    return find() or for_one_run()


def for_one_run() -> SealKey:
    """A new key that dies with the run."""
    return SealKey(secrets.token_bytes(KEY_BYTES), lasting=False)


def for_storing(*, quiet: bool) -> SealKey:
    """
    The lasting key; at a terminal one is created if there is none.

    Raises StoreError where nobody could be asked to keep it.
    """
    key = find()
    if key is not None:
        return key
    if quiet or not sys.stdin.isatty():
        raise StoreError(
            "no lasting key to seal plain values with",
            hint=f"set {VARIABLE}, run drift-audit init at a terminal, or give --without-literals",
        )
    return create()


def create() -> SealKey:
    """
    A new lasting key in the file that the environment names, or in the user's configuration folder,
    readable by nobody else. A key that is there is never replaced: raises OutputError.
    """
    path = named_file() or default_file()
    key = SealKey(secrets.token_bytes(KEY_BYTES), lasting=True)
    files.create(path, f"{key.text}\n", mode=0o600)
    notice(f"created {path}: keep a copy, stored baselines are sealed with it")
    return key


def _parse(text: str, where: str) -> SealKey:
    try:
        return SealKey.parse(text)
    except ValueError as error:
        raise StoreError(
            f"{where}: {error}", hint="head -c 32 /dev/urandom | base64 makes a key"
        ) from None
