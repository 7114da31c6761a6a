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
from drift_audit.errors import InputError, OutputError, StoreError
from drift_audit.seal import KEY_BYTES, SealKey

VARIABLE = "DRIFT_AUDIT_SEAL_KEY"
FILE_VARIABLE = "DRIFT_AUDIT_SEAL_KEY_FILE"


def default_file() -> Path:
    """Where the key of this user is kept."""
    return Path(click.get_app_dir("drift-audit")) / "seal.key"


def find() -> SealKey | None:
    """The lasting key, if there is one. Raises StoreError for one that cannot be used."""
    if text := os.environ.get(VARIABLE):
        return _parse(text, f"the variable {VARIABLE}")
    path = Path(os.environ.get(FILE_VARIABLE) or default_file())
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path}: {files.reason(error)}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StoreError(f"{path}: others may read the key", hint=f"chmod 600 {path}")
    try:
        return _parse(files.read(str(path)).decode("ascii", "replace"), str(path))
    except InputError as error:
        raise StoreError(str(error)) from None


def for_this_run() -> SealKey:
    """The lasting key if there is one, else a key that dies with the run."""
    return find() or SealKey(secrets.token_bytes(KEY_BYTES), lasting=False)


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
    """A new lasting key in the user's configuration folder, readable by nobody else."""
    path = default_file()
    key = SealKey(secrets.token_bytes(KEY_BYTES), lasting=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OutputError(f"cannot create {path}: {files.reason(error)}") from None
    files.write(str(path), f"{key.text}\n", mode=0o600)
    notice(f"created {path}: keep a copy, stored baselines are sealed with it")
    return key


def _parse(text: str, where: str) -> SealKey:
    try:
        return SealKey.parse(text)
    except ValueError as error:
        raise StoreError(
            f"{where}: {error}", hint="head -c 32 /dev/urandom | base64 makes a key"
        ) from None
