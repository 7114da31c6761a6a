"""
The key that seals plain values: from the environment, which may name a file or a secret that holds
it, or from the user's configuration folder.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
import time
from pathlib import Path

import click

from drift_audit import files, names
from drift_audit.cli.connection import connection, impersonated
from drift_audit.cli.notice import notice
from drift_audit.errors import InputError, SourceError, StoreError
from drift_audit.seal import KEY_BYTES, NO_KEY, SealKey

VARIABLE = "DRIFT_AUDIT_SEAL_KEY"
FILE_VARIABLE = "DRIFT_AUDIT_SEAL_KEY_FILE"
SECRET_VARIABLE = "DRIFT_AUDIT_SEAL_KEY_SECRET"

_VERSION = re.compile(rf"{names.SECRET_PATH.pattern}/versions/(?P<version>[^/]*)")
_SECONDS = 60.0
"""Time for Secret Manager to answer."""


def default_file() -> Path:
    """Where the key of this user is kept."""
    return Path(click.get_app_dir("drift-audit")) / "seal.key"


def named_file() -> Path | None:
    """The key file that the environment names."""
    name = os.environ.get(FILE_VARIABLE)
    return Path(name) if name else None


def where() -> str:
    """Where `find` looks: the first of the four places that is named."""
    if os.environ.get(VARIABLE):
        return f"the variable {VARIABLE}"
    named = named_file()
    if named:
        return f"{named}, which {FILE_VARIABLE} names"
    if secret := os.environ.get(SECRET_VARIABLE):
        return f"{secret}, which {SECRET_VARIABLE} names"
    return str(default_file())


def find() -> SealKey | None:
    """
    The lasting key, if there is one. Raises StoreError for one that cannot be used, and for a
    named one that is not there: nothing else may quietly take its place.
    """
    if text := os.environ.get(VARIABLE):
        return _parse(text, f"the variable {VARIABLE}")
    if (named := named_file()) is not None:
        return _read_named(named)
    if secret := os.environ.get(SECRET_VARIABLE):
        return _once(secret)
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


def exposed() -> Path | None:
    """The named key file, if it is the user's own, others may read it, and that can be mended."""
    named = None if os.environ.get(VARIABLE) else named_file()
    if named is None:
        return None
    facts = named.lstat()
    mine = stat.S_ISREG(facts.st_mode) and facts.st_uid == os.getuid()
    fixed = os.statvfs(named).f_flag & os.ST_RDONLY  # a volume of secrets
    return named if mine and facts.st_mode & 0o077 and not fixed else None


def _read_named(path: Path) -> SealKey:
    """The key of a file that was named."""
    return _read(target(path))


def target(path: Path) -> Path:
    """
    The file that a name leads to: a mounted secret is a link, and a file that all may read. Raises
    StoreError for one that all may write to: it could hold anybody's key.
    """
    found = Path(os.path.realpath(path))
    try:
        changeable = found.stat().st_mode & stat.S_IWOTH
    except OSError:
        changeable = 0  # what is wrong with it is told when it is read
    if changeable:
        raise StoreError(f"{found}: others may change the key", hint=f"chmod o-w {found}")
    return found


def _once(name: str) -> SealKey:
    """The key that a secret holds, read once in a run."""
    context = click.get_current_context(silent=True)
    known = context.meta if context else {}
    if SECRET_VARIABLE not in known:
        known[SECRET_VARIABLE] = _read_secret(name)
    found: SealKey = known[SECRET_VARIABLE]
    return found


def _read_secret(name: str) -> SealKey:
    """The key that a version of a secret holds. Raises StoreError."""
    told = _VERSION.fullmatch(name)
    if told is None or not names.is_pinned(told["version"]):
        why = "names no version of a secret"
        if told is not None and names.is_floating(told["version"]):
            why = "names no version by its number: another key could stand behind it tomorrow"
        form = "projects/PROJECT/secrets/SECRET/versions/NUMBER"
        raise StoreError(f"the variable {SECRET_VARIABLE} {why}", hint=f"give {form}")
    from drift_audit.collector.budget import DENIED, Budget, Missing, Unanswered
    from drift_audit.collector.key_secret import KeySecret

    link = connection(impersonated())
    place = f"{told['secret']} --project={told['project']}"
    try:
        client = link.secret_manager()
        data = KeySecret(name, client, Budget(time.monotonic, _SECONDS)).read()
    except SourceError as error:
        raise StoreError(f"the key: {error}", hint=error.hint) from None
    except Missing:
        hint = f"gcloud secrets versions list {place}"
        raise StoreError(f"the key: {name} is not there", hint=hint) from None
    except Unanswered as error:
        hint = f"gcloud secrets versions describe {told['version']} --secret={place}"
        if str(error) == DENIED:
            who = f"--member={link.whose().member} --role=roles/secretmanager.secretAccessor"
            hint = f"gcloud secrets add-iam-policy-binding {place} {who}"
        raise StoreError(f"the key: cannot read {name}: {error}", hint=hint) from None
    return _parse(data.decode("ascii", "replace"), f"what {name} holds")


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
    return fresh(lasting=False)


def fresh(*, lasting: bool) -> SealKey:
    """A new key, which is kept nowhere."""
    return SealKey(secrets.token_bytes(KEY_BYTES), lasting=lasting)


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
    key = fresh(lasting=True)
    keep(key, str(named_file() or default_file()))
    return key


def keep(key: SealKey, path: str) -> None:
    """Write a key into a file that nobody else may read. Raises OutputError if one is there."""
    files.create(Path(path), f"{key.text}\n", mode=0o600)
    notice(f"created {path}: keep a copy, stored baselines are sealed with it")


def _parse(text: str, where: str) -> SealKey:
    try:
        return SealKey.parse(text)
    except ValueError:  # whose words could quote what was parsed
        hint = "head -c 32 /dev/urandom | base64 makes a key"
        raise StoreError(f"{where}: {NO_KEY}", hint=hint) from None
