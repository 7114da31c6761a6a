"""
What stands between this machine and a complete audit, check by check.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from drift_audit.errors import ExitCode
from drift_audit.frozen import Frozen

State = Literal["ok", "warning", "missing", "not seen"]

_ORDER = (ExitCode.USAGE, ExitCode.REFUSED, ExitCode.INCOMPLETE)
"""What ends an audit first: the policy is read before the store, and that before anything live."""


class Check(Frozen):
    """
    One thing that was looked at: how it stands, in a sentence and by the names it is about.

    `fix` holds the commands that put it right and `instead` others that would; `code` is what an
    audit would end with because of it, 0 where it would go on.
    """

    check: str
    project: str = ""
    state: State
    says: str
    names: tuple[str, ...] = ()
    fix: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    code: int = 0


class Diagnosis(Frozen):
    """All checks, in the order in which an audit meets them."""

    schema_version: Literal[1] = 1
    document: Literal["drift-audit/diagnosis"] = "drift-audit/diagnosis"
    exit_code: int
    checks: tuple[Check, ...]

    @staticmethod
    def of(checks: Iterable[Check]) -> Diagnosis:
        """The checks, and the code that the first of their obstacles stands for."""
        made = tuple(checks)
        codes = {check.code for check in made}
        worst = next((code for code in _ORDER if code in codes), ExitCode.CLEAN)
        return Diagnosis(exit_code=int(worst), checks=made)

    @property
    def ready(self) -> bool:
        """Whether an audit can be complete."""
        return self.exit_code == ExitCode.CLEAN
