"""
What became of every key of the services of a location, as lines of text: few of them are looked at
to answer a question, and only those are parsed.

Nothing is told here that the histories do not tell; see `drift_audit.store.histories`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, cast

from drift_audit import names
from drift_audit.differ import Place
from drift_audit.finding import Cause
from drift_audit.kept import Deploy, KeptKeys, KeptLine, KeptStep, Record, untold
from drift_audit.snapshot import Address, Unseen
from drift_audit.store.marked import Head, Lines
from drift_audit.timeline import Step

KEYS = ("key", "mount")
DEPLOYS, APART, FILES, SERVICES = "deploys", "apart", "files", "services"
"""
Kinds of lines: what became of a key or mounted file; the deploys of a service, and those that stand
apart; the files that all was made of, and how many revisions of each service there are.
"""


USUAL = [
    ("changed", "literal", "the plain value changed"),
    ("there", "literal", "was a plain value"),
]
"""What most steps are: of those the number stands here. One may be added, none taken away."""


class IndexHead(Head):
    """The first line of an index."""

    document: Literal["drift-audit/key-index"] = "drift-audit/key-index"


@dataclass(frozen=True)
class File:
    """A file of a history as it was read: its version then, and why it was not believed, if so."""

    version: str
    wrong: str = ""


class KeyIndex:
    """
    The lines of one location. `lines` can be written down, and read again.

    A line is called by a list: name, kind, container, service. Those of keys and files hold steps,
    each with the number of the deploy.
    """

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.seen = {name: File(*told) for name, told in self._dict(FILES).items()}
        self.counts: dict[str, int] = self._dict(SERVICES)
        self._ats: dict[str, list[str]] | None = None

    def close(self) -> Lines:
        """The lines, with what they were made of."""
        seen = {name: [file.version, file.wrong] for name, file in sorted(self.seen.items())}
        self.lines[_called("", FILES, "", "")] = _json(seen)
        self.lines[_called("", SERVICES, "", "")] = _json(dict(sorted(self.counts.items())))
        return self.lines

    def uids(self, service: str) -> frozenset[str]:
        """The revisions of a service that are known."""
        return frozenset(deploy["uid"] for deploy in self._list(DEPLOYS, service))

    def record(self, service: str) -> Record:
        """All that is known of a service."""
        deploys = tuple(map(_deploy, self._list(DEPLOYS, service)))
        steps = {}
        for at in self._of(service):
            name, kind, container, _ = json.loads(at)
            if kind in KEYS:
                found = [_step(one, deploys) for one in json.loads(self.lines[at])]
                steps[cast("Place", (kind, container, name))] = found
        return Record(deploys=deploys, steps=steps, apart=tuple(self._list(APART, service)))

    def replace(self, service: str, record: Record) -> None:
        """Put what is known by now of a service in place of what was; nothing is nothing."""
        for at in self._of(service):
            del self.lines[at]
        self.counts.pop(service, None)
        if record.deploys:
            self.counts[service] = len(record.deploys)
        told: dict[str, list[Any]] = {
            _called("", DEPLOYS, "", service): [_bare(one) for one in record.deploys],
            _called("", APART, "", service): [*record.apart],
        }
        numbers = {deploy.revision: n for n, deploy in enumerate(record.deploys)}
        for (kind, container, name), steps in record.steps.items():
            listed = [_listed(step, numbers) for step in steps]
            told[_called(name, kind, container, service)] = listed
        written = {at: _json(one) for at, one in told.items() if one}
        self.lines |= written
        if self._ats is not None:
            self._ats[service] = [*written]

    def search(self, home: Address, services: str, keys: Sequence[str]) -> KeptKeys:
        """
        What deploys did to the keys and files whose names one of the globs matches, all without
        any, in the services that a glob matches. `home` names project and region. Of what no deploy
        changed the number is told, and all of it where one service is meant.
        """
        every = not names.is_glob(services)
        meant = {service for service in self.counts if matches(service, services)}
        lines: list[KeptLine] = []
        have, unchanged = set[str](), 0
        deploys: dict[str, list[dict[str, Any]]] = {}
        for at, text in self._called_so(keys):
            name, kind, container, service = json.loads(at)
            if kind not in KEYS or service not in meant:
                continue
            have.add(service)
            steps = json.loads(text)
            changed = len(steps) > 1 or _spelled(steps[0])[0] != "there"
            unchanged += not changed
            if not (changed or every):
                continue
            if service not in deploys:
                deploys[service] = self._list(DEPLOYS, service)
            kept = tuple(_kept(step, deploys[service]) for step in steps)
            where = home.but(service=service).at(container, **{kind: name})
            lines.append(KeptLine(at=where, steps=kept))
        return KeptKeys(
            services=len(meant),
            revisions=sum(self.counts[service] for service in meant),
            without=len(meant - have),
            unchanged=unchanged,
            lines=tuple(sorted(lines, key=lambda line: _order(line.at))),
            unseen=tuple(self._untold(home, meant)),
        )

    def _untold(self, home: Address, services: Collection[str]) -> Iterator[Unseen]:
        """What cannot be told of services."""
        start = f'["",{_json(APART)},'
        for at in self.lines:
            if at.startswith(start):
                service = json.loads(at)[3]
                if service in services:
                    where = str(home.but(service=service))
                    yield from untold(json.loads(self.lines[at]), where)

    def _called_so(self, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The lines of keys; where these are plain names, nothing else is looked at."""
        if keys and not any(map(names.is_glob, keys)):
            starts = tuple(f"[{_json(key)}," for key in keys)
            yield from ((at, text) for at, text in self.lines.items() if at.startswith(starts))
            return
        for at, text in self.lines.items():
            if not keys or any(fnmatchcase(json.loads(at)[0], key) for key in keys):
                yield at, text

    def _of(self, service: str) -> list[str]:
        """How the lines of a service are called."""
        if self._ats is None:
            self._ats = {}
            for at in self.lines:
                self._ats.setdefault(json.loads(at)[3], []).append(at)
        return self._ats.get(service, [])

    def _list(self, kind: str, service: str) -> list[Any]:
        told: list[Any] = json.loads(self.lines.get(_called("", kind, "", service), "[]"))
        return told

    def _dict(self, kind: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.lines.get(_called("", kind, "", ""), "{}"))
        return told


def matches(service: str, glob: str) -> bool:
    """Tell whether a glob matches the name of a service, as it stands in an address or without."""
    return fnmatchcase(service, glob) or fnmatchcase(names.taken_apart(service)[0], glob)


def _called(name: str, kind: str, container: str, service: str) -> str:
    return _json([name, kind, container, service])


def _json(told: Any) -> str:
    """In ASCII, without spaces: neither a tab nor the end of a line is in it."""
    return json.dumps(told, separators=(",", ":"))


def _bare(deploy: Deploy) -> dict[str, Any]:
    told: dict[str, Any] = deploy.model_dump(mode="json", exclude_defaults=True)
    return told


def _deploy(told: Mapping[str, Any]) -> Deploy:
    return Deploy.model_validate_json(_json(told))


def _listed(step: Step, numbers: Mapping[str, int]) -> list[Any]:
    number, told = numbers[step.revision], (step.what, step.state, step.says)
    if step.cause is not None:
        return [number, *told, step.cause.command, step.cause.because]
    return [number, USUAL.index(told)] if told in USUAL else [number, *told]


def _step(told: Sequence[Any], deploys: Sequence[Deploy]) -> Step:
    what, state, says, *cause = _spelled(told)
    revision = deploys[told[0]].revision
    return Step(revision=revision, what=what, state=state, says=says, cause=_cause(cause))


def _kept(told: Sequence[Any], deploys: Sequence[Mapping[str, Any]]) -> KeptStep:
    what, state, says, *cause = _spelled(told)
    return KeptStep(
        deploy=_deploy(deploys[told[0]]),
        previous=deploys[told[0] - 1]["revision"] if told[0] else "",
        what=what,
        state=state,
        says=says,
        cause=_cause(cause),
    )


def _spelled(told: Sequence[Any]) -> Sequence[Any]:
    """What a step came to, its state, what it says, and its cause if it has one."""
    _, first, *more = told
    return (first, *more) if more else USUAL[first]


def _cause(told: Sequence[str]) -> Cause | None:
    return Cause(command=told[0], because=told[1]) if told else None


def _order(at: Address) -> tuple[str, str, str, str]:
    return at.service, at.key or "", at.mount or "", at.container
