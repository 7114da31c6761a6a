"""The databases that a revision is attached to."""

from __future__ import annotations

from collections.abc import Iterator

from drift_audit.finding import Severity
from drift_audit.rules.engine import Case, Fleet, Hit, change_rule, fleet_rule
from drift_audit.rules.load import gravity, used_databases
from drift_audit.rules.meaning import DATABASE
from drift_audit.snapshot import Address


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


@fleet_rule("database-unavailable", Severity.HIGH)
def database_unavailable(fleet: Fleet) -> Iterator[Hit]:
    """
    A Cloud SQL instance that services use is stopped, is not there, or does not work.

    Every connection to it fails. The revisions are Ready all the same, for Cloud Run does not ask.

    Fix: start or repair the instance, or attach the one that is meant.
    """
    limits = fleet.inventory.limits
    for one in limits.databases if limits else ():
        if (trouble := one.trouble) is not None:
            users = [c for c in fleet.candidates if one.name in used_databases([c], fleet.policy)]
            who = ", ".join(dict.fromkeys(c.address.service for c in users))
            at = Address(setting=f"database/{one.name}")
            yield Hit(at, f"{one.name} {trouble.says}; used by {who}", gravity(trouble))
