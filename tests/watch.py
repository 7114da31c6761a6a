"""
Watches what our program asks of emulators: nothing that writes, no payload but that of the sealing
key where a test names it, and no call that could wait for ever. What it saw is counted over the whole
run of the tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from drift_audit.emulator.desk import Call
from drift_audit.emulator.server import Emulator

CALLS, NO_DEADLINE, PAYLOAD, WRITE = "calls", "without a deadline", "for a payload", "that write"
KEY = "for the sealing key"
FAULTS, SCHEDULES = "single faults met", "schedules of several"
FLIPS, PROMOTIONS = "bytes of a baseline changed", "promotions accounted for"
SAME, WORLDS = "runs with the same bytes", "worlds read back from every format"
COMBINATIONS = "combinations of what decides the verdict"

seen: Counter[str] = Counter()
"""Every call of this process that was watched, those among them that must not be, and what campaigns count."""


class Misbehaved(AssertionError):
    """A call that our program must not make."""


@contextmanager
def over(emulator: Emulator, total: Counter[str] = seen, key: str = "") -> Iterator[None]:
    """
    Count every call that an emulator gets meanwhile into a total. `key` is the full name of the one
    version whose payload may be read. Raises Misbehaved.
    """
    first = len(emulator.calls)
    yield
    counted = count(emulator.calls[first:], key)
    total.update(counted)
    if wrong := +Counter({what: n for what, n in counted.items() if what not in (CALLS, KEY)}):
        raise Misbehaved(", ".join(f"{n} calls {what}" for what, n in wrong.items()))


def count(calls: Iterable[Call], key: str = "") -> Counter[str]:
    """How many calls there are, and how many of each kind that must not be. HTTP tells no deadline."""
    found: Counter[str] = Counter()
    for call in calls:
        found[CALLS] += 1
        found[NO_DEADLINE] += call.deadline is False
        mine = key != "" and call.about == key
        found[KEY] += call.kind == "payload" and mine
        found[PAYLOAD] += call.kind == "payload" and not mine
        found[WRITE] += call.kind == "write"
    return found


def told(total: Counter[str]) -> list[str]:
    """What was seen, line by line."""
    parts = [f"{total[what]} {what}" for what in (NO_DEADLINE, PAYLOAD, WRITE)]
    lines = [f"{total[CALLS]} calls of the program: {', '.join(parts)}"]
    if total[KEY]:
        lines.append(f"{total[KEY]} payloads read: {KEY}, where a test named it")
    if total[FAULTS] or total[SCHEDULES]:
        lines.append(f"{total[FAULTS]} {FAULTS}, {total[SCHEDULES]} {SCHEDULES}")
    return lines
