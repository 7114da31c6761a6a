"""
Baselines in a folder, one file per service: `PROJECT/REGION/SERVICE.json`. Reviewed like code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from drift_audit import files, names
from drift_audit.errors import InputError, OutputError, StoreError
from drift_audit.snapshot import UNKNOWN, Address
from drift_audit.store.baseline import StoredBaseline, read_baseline


class Folder:
    """A store in a folder. Made when the first baseline is written."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def read(self, service: Address) -> StoredBaseline | None:
        """The baseline of a service, or None. A service without a full name has none."""
        if UNKNOWN in (service.project, service.region, service.service):
            return None
        path = self._path(service)
        if not os.path.lexists(path):
            return None
        found = self._load(path)
        if found.snapshot.address != service:
            raise StoreError(f"{path}: is the baseline of {found.snapshot.address}")
        return found

    def write(self, baseline: StoredBaseline) -> str:
        """Keep a baseline, whole or not at all; tells the path."""
        path = self._path(baseline.snapshot.address)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(str(path), baseline.text())
        except OSError as error:
            raise StoreError(f"cannot write {path}: {files.reason(error)}") from None
        except OutputError as error:
            raise StoreError(str(error)) from None
        return str(path)

    def baselines(self) -> Iterator[StoredBaseline]:
        """Every baseline, by path."""
        for path in sorted(self._root.glob("*/*/*.json")):
            yield self._load(path)

    def _load(self, path: Path) -> StoredBaseline:
        try:
            data = files.read(str(path))
        except InputError as error:
            raise StoreError(str(error)) from None
        return read_baseline(data.decode("utf-8", "replace"), str(path))

    def _path(self, service: Address) -> Path:
        """The file of a service; only names that fit their grammar become part of a path."""
        grammars = (
            (service.project, names.PROJECT),
            (service.region, names.SERVICE),
            (service.service, names.SERVICE),
        )
        if not all(grammar.fullmatch(name) for name, grammar in grammars):
            raise StoreError(
                f"{service} does not name project, region and service",
                hint="give --project and --region",
            )
        return self._root / service.project / service.region / f"{service.service}.json"
