"""
Services and jobs with their plain values, for the rehearsal of a command: in memory, in the process
that read them, and nowhere else. What is compared is sealed as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from drift_audit.collector.api import Api, Location
from drift_audit.collector.budget import Budget, Missing, Unanswered
from drift_audit.collector.connection import Connection
from drift_audit.collector.listing import Message
from drift_audit.collector.parents import Parent
from drift_audit.collector.protobuf import to_json
from drift_audit.collector.resources import from_v2, join
from drift_audit.collector.series import Series
from drift_audit.errors import SourceError
from drift_audit.inventory import Service
from drift_audit.seal import Sealer
from drift_audit.strict import Refused


class Originals:
    """Reads one service or job at a time, as it is now. Nothing is written anywhere."""

    def __init__(self, connection: Connection, budget: Budget) -> None:
        self._api = Api(connection, budget)

    def read(self, name: str) -> tuple[Message, list[Message]] | None:
        """
        The service of a full name with the revisions that it names, newest first, or the job. None
        where there is no such thing. Raises SourceError.
        """
        _, project, _, region, collection, _ = name.split("/")
        at = Location(project, region)
        families = self._api.families.values()
        family = next(f for f in families if f.collection == collection)
        try:
            message = self._api.parent(at, family, name)
        except Missing:
            return None
        except Unanswered as error:
            raise SourceError(f"{name}: {error}") from None
        try:
            wanted = Parent(name, message, "").wanted
            revisions = [self._api.revision(at, one) for one in wanted]
        except (Missing, Unanswered, Refused) as error:
            reason = str(error) or "a revision that it names is not there"
            raise SourceError(f"{name}: {reason}") from None
        newest = message.latest_created_revision if wanted else ""
        revisions.sort(key=lambda r: (r.name == newest, r.create_time.ToNanoseconds(), r.name))
        return message, revisions[::-1]

    def revision(self, name: str) -> Message | None:
        """One revision by its full name, None where there is none. Raises SourceError."""
        _, project, _, region, *_ = name.split("/")
        try:
            return self._api.revision(Location(project, region), name)
        except Missing:
            return None
        except Unanswered as error:
            raise SourceError(f"{name}: {error}") from None

    def invokers(self, name: str) -> frozenset[str]:
        """Who may invoke a service, by its own policy. Raises SourceError."""
        _, project, _, region, *_ = name.split("/")
        try:
            return self._api.invokers(Location(project, region), name)
        except (Missing, Unanswered) as error:
            reason = str(error) or "it is not there any more"
            raise SourceError(f"the policy of {name}: {reason}") from None


def sealed(message: Message, revisions: Sequence[Message], sealer: Sealer) -> Service:
    """The same, sealed: what a collection makes of it. Raises SourceError."""
    try:
        parent = from_v2(to_json(message))
        series = Series(parent, sealer)
        read = [series.snapshot(one) for one in revisions]
        return join(parent, read, sealer, complete=parent.identity.kind == "job")
    except Refused as refused:
        raise SourceError(f"{message.name}: {refused}") from None
