"""
What became of every key since the reference, made small enough for a report.

Each revision stands alone while they are few. Where they are many, those that changed no key are
told with the one before them; where they are still too many, the oldest are told as one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from drift_audit.binding import State
from drift_audit.inventory import Service, by_age
from drift_audit.service_report import KeyHistory, KeyLine, RevisionFacts, Run, Stretch
from drift_audit.snapshot import Snapshot, Status
from drift_audit.timeline import timeline

FEW = 3
"""Of two revisions there is no history: what differs between them is told already."""

MOST = 60
"""The stretches that a history is told in at most."""


def key_history(service: Service, reference: Snapshot, candidate: Snapshot) -> KeyHistory | None:
    """
    The history of the keys and files that deploys changed, from the older of the two revisions on.
    None where there are no such, or hardly another revision.
    """
    sides = (r.but(status=Status()) for r in (reference, candidate))  # as it stood on another day
    known = {r.identity.revision: r for r in (*sides, *service.revisions)}
    oldest = min(by_age(reference), by_age(candidate))
    chain = [r for name, r in known.items() if name and by_age(r) >= oldest]
    told = timeline(service.but(revisions=tuple(chain)), unseen=())
    if len(chain) < FEW or not told.lines:
        return None
    number = {facts.revision: i for i, facts in enumerate(told.revisions)}
    steps = [
        {number[step.revision]: step.state for step in line.steps if step.state}
        for line in told.lines
    ]
    named = {number[r.revision] for r in (reference, candidate) if r.revision in number}
    serving = {i for i, facts in enumerate(told.revisions) if facts.percent}
    changed = {i for states in steps for i in states}
    spans = _spans(len(chain), changed, named | serving)
    lines = [
        KeyLine(
            container=line.at.container,
            key=line.at.key,
            mount=line.at.mount,
            runs=_runs(states, spans),
        )
        for line, states in zip(told.lines, steps, strict=True)
    ]
    newest = max(chain, key=by_age)
    gone = sum(line.runs[-1].state == "absent" for line in lines)
    return KeyHistory(
        complete=service.complete,
        stretches=tuple(_stretch([told.revisions[i] for i in span]) for span in spans),
        lines=tuple(lines),
        unchanged=len(newest.bindings) + len(newest.mounts) - len(lines) + gone,
    )


def _spans(count: int, changed: Collection[int], alone: Collection[int]) -> list[range]:
    """Revisions by their numbers, in stretches; some of them stand alone as long as they can."""
    if count <= MOST:
        return [range(i, i + 1) for i in range(count)]
    begins = [i for i in range(1, count) if i in changed or i in alone or i - 1 in alone]
    spans = [range(first, after) for first, after in pairwise([0, *begins, count])]
    over = len(spans) - MOST
    if over > 0:
        joined = range(spans[1].start, spans[over + 1].stop)
        spans = [spans[0], joined, *spans[over + 2 :]]
    return spans


def _runs(states: Mapping[int, State], spans: Sequence[range]) -> tuple[Run, ...]:
    """One key over the stretches, from the states that deploys left it in."""
    runs: list[Run] = []
    for span in spans:
        left = [states[i] for i in span if i in states]
        if left or not runs:
            runs.append(Run(state=left[-1] if left else "absent", stretches=1))
        else:
            runs[-1] = runs[-1].but(stretches=runs[-1].stretches + 1)
    return tuple(runs)


def _stretch(revisions: Sequence[RevisionFacts]) -> Stretch:
    first, last = revisions[0], revisions[-1]
    return Stretch(
        revision=first.revision,
        last=last.revision if len(revisions) > 1 else "",
        count=len(revisions),
        create_time=first.create_time,
        percent=sum(facts.percent for facts in revisions),
    )
