"""A stored report, read back: a file, standard input, or an object in a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drift_audit import files
from drift_audit.cli.stores import BUCKET, open_home
from drift_audit.errors import InputError

if TYPE_CHECKING:
    from drift_audit.report import Report

LIMIT = 256 * 2**20
"""Reports of large fleets are larger than the exports they come from."""


def stored_report(path: str) -> Report:
    """
    The report in a file, on standard input (`-`), or in a bucket (`gs://BUCKET/.../report.json`).
    Raises InputError for what is none, and for a bucket StoreError and CommandError.
    """
    from pydantic import ValidationError

    from drift_audit.frozen import place_in
    from drift_audit.report import Report

    data = _from_bucket(path) if path.startswith(BUCKET) else files.read(path, limit=LIMIT)
    try:
        return Report.model_validate_json(data)
    except ValidationError as error:
        raise InputError(
            f"{path}: bad-report: not a report of this version: {place_in(error, 'the file')}",
            hint="drift-audit audit -o report.json writes one",
        ) from None


def _from_bucket(path: str) -> bytes:
    folder, _, name = path.rpartition("/")
    stored = open_home(folder).read(name, limit=LIMIT) if name else None
    if stored is None:
        raise InputError(f"{path}: missing: no such object", hint=f"gcloud storage ls {folder}/")
    return stored.data
