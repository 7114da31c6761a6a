"""How requests get in, and how the service gets out."""

from __future__ import annotations

from collections.abc import Iterator

from drift_audit.finding import Severity
from drift_audit.rules.engine import Case, Fleet, Hit, change_rule, fleet_rule
from drift_audit.rules.load import gravity, passages
from drift_audit.rules.meaning import sentence


@change_rule("network-path-lost", Severity.HIGH)
def network_path_lost(case: Case) -> Iterator[Hit]:
    """
    The revision has no way into a VPC any more.

    What it reached at a private address, a database or a cache, does not answer: calls end in
    timeouts, and nothing in a log names the connector.

    Fix: set the connector or the network of the reference again, in a new revision.
    """
    for change in case.told_by("network-path-lost"):
        yield Hit(change.at, f"{sentence(change)}; nothing leads into a VPC now")


@change_rule("network-path-swapped", Severity.MEDIUM)
def network_path_swapped(case: Case) -> Iterator[Hit]:
    """
    The revision goes into a VPC another way than the reference did.

    Another connector, subnetwork or tag means other addresses, other firewall rules and another
    capacity. What the old path could reach, the new one may not.

    Fix: set the path of the reference again, or promote the revision if the move was meant.
    """
    yield from case.plain_hits("network-path-swapped")


@change_rule("egress-changed", Severity.MEDIUM)
def egress_changed(case: Case) -> Iterator[Hit]:
    """
    Other traffic goes through the VPC than before.

    With all traffic sent there, public addresses need a NAT; with private ranges alone, calls to
    the public leave from an address that no partner has on its list.

    Fix: set the egress of the reference again, or promote the revision if it was meant.
    """
    yield from case.plain_hits("egress-changed")


@change_rule("ingress-opened", Severity.HIGH)
def ingress_opened(case: Case) -> Iterator[Hit]:
    """
    Requests come in from places that were shut out before.

    A service that only the load balancer or the VPC could reach answers the internet, past
    everything that the balancer checks.

    Fix: set the ingress of the reference again.
    """
    yield from case.plain_hits("ingress-opened")


@change_rule("ingress-narrowed", Severity.MEDIUM)
def ingress_narrowed(case: Case) -> Iterator[Hit]:
    """
    Requests are shut out that came in before.

    Callers outside get an error that looks as if the service did not exist.

    Fix: set the ingress of the reference again, or promote the revision if it was meant.
    """
    yield from case.plain_hits("ingress-narrowed")


@change_rule("default-url-changed", Severity.LOW)
def default_url_changed(case: Case) -> Iterator[Hit]:
    """
    The address that Google gives the service was turned on or off.

    Callers that use it lose the service, or find a way in that was closed.

    Fix: turn it back, or promote the revision if it was meant.
    """
    yield from case.plain_hits("default-url-changed")


@fleet_rule("connector-unavailable", Severity.HIGH)
def connector_unavailable(fleet: Fleet) -> Iterator[Hit]:
    """
    A VPC connector that services go through is not there, or does not work.

    What they reach at private addresses does not answer, and no new revision that names it comes
    up.

    Fix: create or repair the connector, or set the one that is meant.
    """
    for passage in fleet.once(passages):
        trouble = passage.read.trouble if passage.read else None
        if trouble is not None:
            who = ", ".join(dict.fromkeys(at.service for at in passage.through))
            says = f"connector {passage.name} {trouble.says}; used by {who}"
            yield Hit(passage.at, says, gravity(trouble))
