"""How a command reaches the APIs: as whom, and whether an emulator answers in their place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drift_audit.collector.connection import Connection


def impersonated() -> Sequence[str]:
    """The service accounts that this command was told to act as, if it can be told."""
    context = click.get_current_context(silent=True)
    return (context and context.params.get("impersonate")) or ()


def connection(impersonate: Sequence[str]) -> Connection:
    """How to reach the APIs, or the emulators that the environment names."""
    from drift_audit.collector.connection import Connection

    return Connection(
        run_emulator=os.environ.get("CLOUD_RUN_EMULATOR_HOST", ""),
        secrets_emulator=os.environ.get("SECRET_MANAGER_EMULATOR_HOST", ""),
        rest_emulator=os.environ.get("CLOUD_RUN_EMULATOR_REST_HOST", ""),
        impersonate=impersonate,
    )
