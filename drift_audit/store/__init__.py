"""Where baselines are kept: one protocol, one home so far (a folder, made for git)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from drift_audit.snapshot import Address
from drift_audit.store.baseline import StoredBaseline


class Store(Protocol):
    """Baselines by service. All calls raise StoreError for what is damaged or does not belong."""

    def read(self, service: Address) -> StoredBaseline | None:
        """The baseline of a service, or None if there is none."""

    def write(self, baseline: StoredBaseline) -> str:
        """Keep a baseline in place of the one before it; tells where."""

    def addresses(self) -> Iterator[Address]:
        """Every service that has a baseline, by project, region and name."""
