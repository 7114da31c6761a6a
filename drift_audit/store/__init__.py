"""Where baselines are kept, and what audits ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from drift_audit.snapshot import Address
from drift_audit.store.baseline import StoredBaseline


class Store(Protocol):
    """Baselines by service. All calls raise StoreError for what is damaged or does not belong."""

    def read(self, service: Address, uid: str = "") -> StoredBaseline | None:
        """The baseline of a service, or None if there is none; `uid` tells which service it is."""

    def addresses(self) -> Iterator[Address]:
        """Every service that has a baseline, by project, region and name."""
