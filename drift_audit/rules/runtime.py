"""How much of the service runs, on what, and what it starts."""

from __future__ import annotations

from collections.abc import Iterator

from drift_audit.finding import Severity
from drift_audit.rules.engine import Case, Hit, change_rule
from drift_audit.rules.meaning import one_for_each_container


@change_rule("max-instances-raised", Severity.MEDIUM)
def max_instances_raised(case: Case) -> Iterator[Hit]:
    """
    More instances may run at a time than before.

    Each opens its own connections: a database that carried the old number may refuse the new one,
    at the first peak and not before.

    Fix: set the limit of the reference again, or check what every database behind it can carry.
    """
    yield from case.plain_hits("max-instances-raised")


@change_rule("max-instances-lowered", Severity.MEDIUM)
def max_instances_lowered(case: Case) -> Iterator[Hit]:
    """
    Fewer instances may run at a time than before.

    At a peak requests wait, and then fail with 429.

    Fix: set the limit of the reference again, or promote the revision if it was meant.
    """
    yield from case.plain_hits("max-instances-lowered")


@change_rule("min-instances-lowered", Severity.LOW)
def min_instances_lowered(case: Case) -> Iterator[Hit]:
    """
    Fewer instances are kept ready than before.

    Requests wait for cold starts, and what only a start notices, a destroyed secret version for
    one, shows up more often.

    Fix: set the number of the reference again, or promote the revision if it was meant.
    """
    yield from case.plain_hits("min-instances-lowered")


@change_rule("min-instances-raised", Severity.INFO)
def min_instances_raised(case: Case) -> Iterator[Hit]:
    """
    More instances are kept ready than before.

    Usually meant. They cost money while nobody calls, and each holds its connections.

    Fix: promote the revision, or set the number of the reference again.
    """
    yield from case.plain_hits("min-instances-raised")


@change_rule("concurrency-changed", Severity.MEDIUM)
def concurrency_changed(case: Case) -> Iterator[Hit]:
    """
    An instance takes another number of requests at a time.

    With more, requests share memory and connections that were measured for fewer; with fewer,
    more instances start.

    Fix: set the number of the reference again, or promote the revision if it was meant.
    """
    yield from case.plain_hits("concurrency-changed")


@change_rule("resources-changed", Severity.MEDIUM)
def resources_changed(case: Case) -> Iterator[Hit]:
    """
    CPU, memory, or the time that a request may take is another.

    Less memory ends in instances that are killed, less CPU or time in requests that are, and a CPU
    that idles between requests stops all work in the background.

    Fix: set it as the reference had it, or promote the revision if it was meant.
    """
    yield from case.plain_hits("resources-changed")


@change_rule("sandbox-changed", Severity.MEDIUM)
def sandbox_changed(case: Case) -> Iterator[Hit]:
    """
    The revision runs in another execution environment.

    The generations differ in system calls, in the file systems that can be mounted, and in how long
    a cold start takes.

    Fix: set the environment of the reference again, or promote the revision if it was meant.
    """
    yield from case.plain_hits("sandbox-changed")


@change_rule("encryption-key-changed", Severity.HIGH)
def encryption_key_changed(case: Case) -> Iterator[Hit]:
    """
    The image is encrypted under another key, or under none of yours, or a revoked key has another
    effect.

    A rule of your organisation may ask for the key, and its revocation is what stops the service
    when it must be stopped.

    Fix: set the key of the reference again, or promote the revision if it was meant.
    """
    yield from case.plain_hits("encryption-key-changed")


@change_rule("command-changed", Severity.MEDIUM)
def command_changed(case: Case) -> Iterator[Hit]:
    """
    A container starts something else, elsewhere, or listens on another port.

    The same image does other work: another number of workers, another mode, another entry point.

    Fix: set it as the reference had it, or promote the revision if it was meant.
    """
    yield from case.plain_hits("command-changed")


@change_rule("probe-changed", Severity.MEDIUM)
def probe_changed(case: Case) -> Iterator[Hit]:
    """
    Cloud Run asks in another way whether a container is well.

    Without a probe a broken instance gets requests; with a stricter one a slow instance is
    restarted again and again.

    Fix: set the probe of the reference again, or promote the revision if it was meant.
    """
    yield from case.plain_hits("probe-changed")


@change_rule("volume-changed", Severity.HIGH)
def volume_changed(case: Case) -> Iterator[Hit]:
    """
    A volume is gone, new, or another one at the same path.

    Files that the application expects are not there, or what it writes is lost with the instance.

    Fix: mount the volume of the reference again, or promote the revision if it was meant.
    """
    yield from case.plain_hits("volume-changed")


@change_rule("container-lost", Severity.MEDIUM)
def container_lost(case: Case) -> Iterator[Hit]:
    """
    A container that ran beside the others is gone.

    A proxy to a database, an agent that ships logs or traces: the rest of the revision starts
    without it. Its keys and files are told by themselves.

    Fix: deploy the container again, or promote the revision if it was meant to go.
    """
    for change in one_for_each_container(case.told_by("container-lost")):
        yield Hit(change.at, f"container {change.at.container} is gone")


@change_rule("container-added", Severity.MEDIUM)
def container_added(case: Case) -> Iterator[Hit]:
    """
    A container runs beside the others that was not there before.

    It shares the network of the revision, its service account, and the memory of the instance.

    Fix: promote the revision if the container was meant, or deploy without it.
    """
    for change in one_for_each_container(case.told_by("container-added")):
        yield Hit(change.at, f"container {change.at.container} is new")
