"""
One command of gcloud, tried on services as they are: nothing that it does reaches Cloud Run.

What the command asks for is read from where it really is, once, and from then on only what the
command makes of it counts. It is all in memory, with its plain values, and only whoever knows the
password of the rehearsal is answered.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from drift_audit.emulator import cloud_run_v1, deploys
from drift_audit.emulator.desk import Asked, Desk, Rpc
from drift_audit.emulator.gcloud import environment
from drift_audit.emulator.rest import USER, Rest
from drift_audit.emulator.server import LOOPBACK
from drift_audit.emulator.state import INVOKER, Held, Revision, State, is_job
from drift_audit.emulator.status import denied
from drift_audit.emulator.world import World
from drift_audit.errors import DriftAuditError

GETS = ("v1.Services/GetService", "v1.Jobs/GetJob")
WRITES = (
    *("v1.Services/ReplaceService", "v1.Services/CreateService"),
    *("v1.Jobs/ReplaceJob", "v1.Jobs/CreateJob"),
)
SERVED = (
    *GETS,
    *WRITES,
    *("v1.Revisions/ListRevisions", "v1.Revisions/GetRevision", "ServiceUsage/GetService"),
    *("v1.Services/TestIamPermissions", "v1.Services/GetIamPolicy", "v1.Services/SetIamPolicy"),
)
"""All that a deploy asks for. Whatever else it wants is not known here, and the command fails."""


_PROJECT = re.compile(r"projects/([^/]+)/secrets/")


@dataclass(frozen=True)
class Original:
    """A service with some of its revisions, newest first, or a job: messages of v2."""

    message: Any = field(repr=False)
    revisions: Sequence[Any] = field(default=(), repr=False)


class Rehearsal:
    """
    Cloud Run v1 over HTTP for one command, at a port that the system chooses. Use as a context
    manager.

    `live` gives the original of a full name, `revision` one more revision, None where there is
    none, and `invokers` the members that may invoke a service. If they raise DriftAuditError the
    command is refused, and the error is kept in `failed`.
    """

    def __init__(
        self,
        live: Callable[[str], Original | None],
        revision: Callable[[str], Any | None],
        invokers: Callable[[str], Collection[str]],
    ) -> None:
        self._live, self._revision, self._invokers = live, revision, invokers
        self._called_by: dict[str, Collection[str]] = {}
        self._asked: set[str] = set()
        self._loaded: dict[str, Held] = {}
        self.failed: DriftAuditError | None = None
        self._password = secrets.token_urlsafe()
        self._numbers: dict[str, str] = {}  # v1 names other projects by numbers alone
        self._world = World.model_construct(caller="", numbers=self._numbers)
        self._state = State(self._world)
        every = cloud_run_v1.rpcs(self._state, self._world)
        served = {name: every[name] for name in SERVED}
        served |= {name: self._after(self.fetch, every[name]) for name in GETS}
        put = "v1.Services/ReplaceService"
        served[put] = self._after(self._fetch_targets, every[put])
        for name in ("v1.Services/GetIamPolicy", "v1.Services/SetIamPolicy"):
            served[name] = self._after(self._fetch_policy, every[name])
        self._desk = Desk(self._world, self._state, served, ())
        self._rest = Rest(LOOPBACK, 0, self._desk, self._world, self._password)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which gcloud talks to the rehearsal, and to nobody else."""
        return {
            **environment(f"{LOOPBACK}:{self._rest.port}"),
            "CLOUDSDK_PROXY_USERNAME": USER,
            "CLOUDSDK_PROXY_PASSWORD": self._password,
        }

    @property
    def strange(self) -> list[str]:
        """What was asked for and is not known here."""
        return list(dict.fromkeys(c.method for c in self._desk.calls if not c.served))

    @property
    def written(self) -> list[str]:
        """Full names of what the command wrote."""
        now = {**self._state.services, **self._state.jobs}
        return [name for name, held in now.items() if held is not self._loaded.get(name)]

    def before(self, name: str) -> Original | None:
        """How something is that was asked for; None where there is no such thing."""
        held = self._loaded.get(name)
        return _original(held) if held else None

    def after(self, name: str) -> Original:
        """How something that was written is after the command."""
        return _original(self._state.written(name)[name])

    def invokers(self, name: str) -> tuple[Collection[str], Collection[str]] | None:
        """Who may invoke a service, before and after; None where the command did not ask."""
        if name not in self._called_by:
            return None
        granted = (b["members"] for b in self._state.policies[name] if b["role"] == INVOKER)
        return self._called_by[name], {member for members in granted for member in members}

    def carried(self, name: str) -> Original:
        """
        How something would be after a deploy that changes nothing: what of it is not as it was is
        what a rehearsal cannot tell.
        """
        held, state = self._loaded[name], State(self._world)
        state.written(name)[name] = held
        same = deploys.document(held, self._world)
        if not is_job(name):
            same["spec"]["template"]["metadata"]["name"] = f"{held.short}-carried"
        return _original(deploys.replace(state, self._world, name, same))

    def __enter__(self) -> Self:
        self._rest.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._rest.stop()

    def _after(self, fetch: Callable[[Asked], None], rpc: Rpc) -> Rpc:
        """A method that has read first what it is about. Raises Refusal, and keeps why."""

        def answer(asked: Asked) -> Any:
            try:
                with self._state.lock:
                    fetch(asked)
            except DriftAuditError as error:
                self.failed = self.failed or error
                raise denied(asked.name) from None
            return rpc.answer(asked)

        return replace(rpc, answer=answer)

    def fetch(self, asked: Asked) -> None:
        """Read something where it really is, unless it was. Raises what `live` does."""
        name = asked.name
        if name not in self._asked:
            self._asked.add(name)
            if found := self._live(name):
                for project in _PROJECT.findall(str(found.message)):
                    self._numbers[project] = self._world.number(project)
                self._state.written(name)[name] = self._loaded[name] = _held(found)

    def _fetch_policy(self, asked: Asked) -> None:
        """Read who may invoke a service; nobody may what is not there yet."""
        name = asked.name
        if name not in self._called_by:
            members = self._invokers(name) if name in self._loaded else ()
            self._called_by[name] = members
            bound = [{"role": INVOKER, "members": sorted(members)}] if members else []
            self._state.policies[name] = bound

    def _fetch_targets(self, asked: Asked) -> None:
        """Read the revisions that traffic is sent to and that were not read yet."""
        held = self._state.services.get(asked.name)
        if held is None:
            return
        targets = asked.body.get("spec", {}).get("traffic", ())
        wanted = {target.get("revisionName", "") for target in targets} - {""}
        for short in sorted(wanted - {r.short for r in held.revisions}):
            if found := self._revision(f"{asked.name}/revisions/{short}"):
                more = Revision(found, held.message.generation)
                held = replace(held, revisions=(*held.revisions, more))
                self._state.services[asked.name] = self._loaded[asked.name] = held


def _held(original: Original) -> Held:
    client = f"{original.message.client} {original.message.client_version}".strip()
    revisions = (Revision(one, original.message.generation, client) for one in original.revisions)
    return Held(original.message, tuple(revisions))


def _original(held: Held) -> Original:
    return Original(held.message, [revision.message for revision in held.revisions])
