"""
Baselines in a folder, one file per service: `PROJECT/REGION/SERVICE.json`. Reviewed like code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drift_audit import files, names
from drift_audit.errors import InputError, OutputError, StoreError
from drift_audit.snapshot import UNKNOWN, Address
from drift_audit.store.baseline import StoredBaseline, read_baseline
from drift_audit.store.marked import FOLDER as ARCHIVE


class Folder:
    """
    A store in a folder, which is made when the first baseline is written, unless it was `demanded`.
    """

    def __init__(self, root: str, *, demanded: bool = False) -> None:
        self._root = Path(root)
        if demanded and not self._root.is_dir():
            raise StoreError(f"{root}: there is no such folder", hint="give the store's own folder")

    def read(self, service: Address) -> StoredBaseline | None:
        """The baseline of a service, or None. A service without a full name has none."""
        if UNKNOWN in (service.project, service.region, service.service):
            return None
        path = self._path(service)
        try:
            path.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {path}: {files.reason(error)}") from None
        self._check_inside(path)
        found = self._load(path)
        if found.snapshot.address != service:
            raise StoreError(f"{path}: is the baseline of {found.snapshot.address}")
        return found

    def write(self, baseline: StoredBaseline) -> str:
        """Keep a baseline, whole or not at all; tells the path."""
        path = self._path(baseline.snapshot.address)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._check_inside(path)
            files.write(str(path), baseline.text())
        except OSError as error:
            raise StoreError(f"cannot write {path}: {files.reason(error)}") from None
        except OutputError as error:
            raise StoreError(str(error)) from None
        return str(path)

    def addresses(self) -> Iterator[Address]:
        """Every service that has a baseline, by path."""
        for project in self._entries(self._root):
            if project.name == ARCHIVE:
                continue
            for region in self._entries(project):
                for file in self._entries(region):
                    if file.suffix == ".json":
                        yield Address(project=project.name, region=region.name, service=file.stem)

    def _entries(self, folder: Path) -> list[Path]:
        """What is in a folder of the store; nothing in what is no folder, such as a README."""
        try:
            return sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"cannot read {folder}: {files.reason(error)}") from None

    def _check_inside(self, path: Path) -> None:
        """Refuse a baseline that a link puts outside the store, or in another one's place."""
        inside = path.relative_to(self._root)
        if path.parent.resolve() != (self._root.resolve() / inside).parent:
            raise StoreError(f"{path.parent}: a link, which is not followed")

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
            (service.service, names.PLACE),
        )
        if not all(grammar.fullmatch(name) for name, grammar in grammars):
            raise StoreError(
                f"{service} does not name project, region and service",
                hint="give --project and --region",
            )
        return self._root / service.project / service.region / f"{service.service}.json"
