"""Opens a store, a folder or a bucket, and each of the things that it holds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from drift_audit import files
from drift_audit.cli import keys
from drift_audit.cli.connection import connection, impersonated
from drift_audit.cli.output import now
from drift_audit.errors import CommandError, StoreError

if TYPE_CHECKING:
    from drift_audit.seal import Sealer, SealKey
    from drift_audit.store.archive import Archive
    from drift_audit.store.baselines import Baselines
    from drift_audit.store.histories import Histories
    from drift_audit.store.home import Home
    from drift_audit.store.ledger import Ledger
    from drift_audit.store.nights import Nights
    from drift_audit.store.parts import Parts

BUCKET = "gs://"
"""What the name of a store in a bucket begins with."""


def open_home(path: str, *, create: bool = False) -> Home:
    """
    The folder or bucket of a store; a folder that was named must be there, unless it may be created
    now. Raises StoreError, and CommandError where what reads buckets is not installed.
    """
    if path.startswith(BUCKET):
        try:
            from drift_audit.store.bucket import NO_TRACES, open_bucket
        except ImportError:
            hint = "pip install 'drift-audit[gcs]'"
            raise CommandError(
                "a store in a bucket needs google-cloud-storage", hint=hint
            ) from None
        os.environ.setdefault(NO_TRACES, "true")
        emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
        return open_bucket(path, emulator, lambda: connection(impersonated()).credentials)
    from drift_audit.store.folder import Folder

    source = click.get_current_context().get_parameter_source("store")
    return Folder(path, demanded=not create and source is not ParameterSource.DEFAULT)


def kept_home(path: str) -> Home | None:
    """
    The folder or bucket of a store that is there; None for a folder that is not. Raises InputError
    where the system does not tell.
    """
    return open_home(path) if path.startswith(BUCKET) or files.is_folder(path) else None


def _demanded(path: str, hint: str) -> Home:
    home = kept_home(path)
    if home is None:
        raise StoreError(f"{path}: there is no such folder", hint=hint)
    return home


def _marked(path: str) -> tuple[Home, SealKey] | None:
    """A store that is there, with the lasting key that marks what is believed; else None."""
    home = kept_home(path)
    key = keys.find() if home else None
    return (home, key) if home and key else None


def open_store(path: str, *, create: bool = False) -> Baselines:
    """The baselines of a store. Raises what opening its home does."""
    from drift_audit.store.baselines import Baselines

    return Baselines(open_home(path, create=create))


def open_archive(path: str, seal: Sealer, *, full: bool) -> Archive | None:
    """
    What earlier audits with this store read. None without a lasting key, or a folder: what is
    sealed under the key of one run is of no use on another day.
    """
    from drift_audit.store.archive import Archive

    home = kept_home(path) if seal.lasting else None
    return Archive(home, seal, now(), full=full) if home else None


def open_ledger(path: str) -> Ledger | None:
    """
    What earlier audits with this store saw. None without a lasting key, or a folder. Raises
    StoreError for a key that cannot be used.
    """
    from drift_audit.store.ledger import Ledger

    found = _marked(path)
    return Ledger(*found) if found else None


def open_histories(path: str) -> Histories | None:
    """The same for the revisions that audits with this store have kept."""
    from drift_audit.store.histories import Histories

    found = _marked(path)
    return Histories(*found) if found else None


def demanded_histories(path: str) -> Histories:
    """The same where nothing else will do. Raises StoreError without a store, or a lasting key."""
    from drift_audit.store.histories import Histories

    home, key = _demanded(path, "give --store"), keys.find()
    if key is None:
        told = "no lasting key: what is kept is believed by whoever has the key that marked it"
        raise StoreError(told, hint=f"set {keys.VARIABLE}; it is looked for in {keys.where()}")
    return Histories(home, key)


def open_nights(path: str) -> Nights:
    """The nights of a store. Raises StoreError without one."""
    from drift_audit.store.nights import Nights

    return Nights(_demanded(path, "make it, or give --store"))


def open_parts(path: str) -> Parts:
    """The parts of runs in a store. Raises StoreError without a store, or a lasting key."""
    from drift_audit.store.parts import Parts

    key = keys.for_storing(quiet=True)
    return Parts(_demanded(path, "make it, or give --store"), key)
