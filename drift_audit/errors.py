"""
Errors that end a run. Each class owns its exit code; the message is one line, the hint the next
step.

    DriftAuditError
    ├── CommandError   2   the command line cannot be carried out
    ├── PolicyError    2   drift-audit.toml is wrong
    ├── SourceError    3   nothing could be collected: no credentials, no answer
    ├── InputError     4   a file was refused
    ├── StoreError     4   a baseline, or the key that seals it, was refused
    └── OutputError    5   an output could not be written

What concerns one service, one secret or one field is not an error but a value: see `Unseen`.
No message holds a value that was read from a configuration.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """
    What the command told its caller. 1 is never returned on purpose: a crash must not look like a
    verdict.
    """

    CLEAN = 0
    USAGE = 2
    INCOMPLETE = 3
    REFUSED = 4
    OUTPUT = 5
    DRIFT = 10
    DEFECT = 70
    INTERRUPTED = 130
    TERMINATED = 143


class DriftAuditError(Exception):
    """The run cannot go on. `hint` is the next thing to type, empty where there is none."""

    code: ClassVar[ExitCode]

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class CommandError(DriftAuditError):
    """The command line asks for something that cannot be done."""

    code = ExitCode.USAGE


class PolicyError(DriftAuditError):
    """The policy file does not say what a policy can say."""

    code = ExitCode.USAGE


class SourceError(DriftAuditError):
    """Nothing could be collected at all."""

    code = ExitCode.INCOMPLETE


class InputError(DriftAuditError):
    """
    A file was refused: where, by which rule, why. Never what stood there.

    The message reads `FILE:LINE: RULE: REASON`.
    """

    code = ExitCode.REFUSED


class StoreError(DriftAuditError):
    """A stored baseline, or the key that seals it, was refused."""

    code = ExitCode.REFUSED


class OutputError(DriftAuditError):
    """The verdict is known, but an output could not be written."""

    code = ExitCode.OUTPUT
