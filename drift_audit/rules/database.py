"""The databases that a revision is attached to."""

from __future__ import annotations

from collections.abc import Iterator

from drift_audit.finding import Severity
from drift_audit.rules.engine import Case, Hit, change_rule
from drift_audit.rules.meaning import DATABASE


@change_rule("database-detached", Severity.HIGH)
def database_detached(case: Case) -> Iterator[Hit]:
    """
    A Cloud SQL instance is not attached any more.

    The socket that the application opens is not there. The revision still becomes Ready, and the
    first request that needs the database fails.

    Fix: attach the instance again, in a new revision.
    """
    for change in case.told_by("database-detached"):
        instance = change.at.name.removeprefix(DATABASE)
        yield Hit(change.at, f"Cloud SQL instance {instance} is not attached any more")


@change_rule("database-swapped", Severity.HIGH)
def database_swapped(case: Case) -> Iterator[Hit]:
    """
    Another Cloud SQL instance is attached than in the reference revision.

    The application writes to another database, or finds none where it looks.

    Fix: attach the instance of the reference again, or promote the revision after a move that was
    meant.
    """
    for change in case.told_by("database-swapped"):
        instance = change.at.name.removeprefix(DATABASE)
        verb = "is not attached any more" if change.after is None else "is attached instead"
        yield Hit(change.at, f"Cloud SQL instance {instance} {verb}")
