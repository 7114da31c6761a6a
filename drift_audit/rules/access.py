"""Who the service acts as, and who may call it."""

from __future__ import annotations

from collections.abc import Iterator

from drift_audit.differ import state_of
from drift_audit.finding import Severity
from drift_audit.rules.engine import Case, Hit, change_rule


@change_rule("service-account-changed", Severity.HIGH)
def service_account_changed(case: Case) -> Iterator[Hit]:
    """
    The revision runs as another service account.

    What the old account was granted, secrets, databases and buckets, the new one may not have, and
    it may have what the service was never meant to reach.

    Fix: set the account of the reference again, or promote the revision if it was meant.
    """
    yield from case.plain_hits("service-account-changed")


@change_rule("service-account-default", Severity.HIGH)
def service_account_default(case: Case) -> Iterator[Hit]:
    """
    The revision fell back to the default service account of Compute Engine.

    That happens when a deploy does not name the account. The default one lacks what the service
    was granted, and in many projects it may edit everything else.

    Fix: set the account of the reference again, in a new revision.
    """
    for change in case.told_by("service-account-default"):
        was = state_of(change.before)
        yield Hit(change.at, f"runs as the default account of Compute Engine, not as {was}")


@change_rule("access-opened", Severity.CRITICAL)
def access_opened(case: Case) -> Iterator[Hit]:
    """
    Callers are not checked any more, or anybody is one who may call.

    Without the check of the invoker, or without Identity-Aware Proxy, or where the policy names
    everybody, everyone whom the ingress lets in may call the service.

    Fix: turn the check on again, or take everybody out of the policy.
    """
    checks = {
        "service.invoker_iam_disabled": "callers need no permission to invoke the service any more",
        "service.iap_enabled": "Identity-Aware Proxy does not check callers any more",
        "service.invokers": "the policy of the service lets everybody invoke it",
    }
    for change in case.told_by("access-opened"):
        yield Hit(change.at, checks[str(change.at.setting)])


@change_rule("access-closed", Severity.MEDIUM)
def access_closed(case: Case) -> Iterator[Hit]:
    """
    Callers are checked that were not before.

    Usually a repair. Callers that have no permission get 403 from now on.

    Fix: grant the callers what they need, or promote the revision if they have it.
    """
    checks = {
        "service.invoker_iam_disabled": "callers need permission to invoke the service now",
        "service.iap_enabled": "Identity-Aware Proxy checks callers now",
        "service.invokers": "the policy of the service does not let everybody invoke it any more",
    }
    for change in case.told_by("access-closed"):
        yield Hit(change.at, checks[str(change.at.setting)])


@change_rule("invoker-lost", Severity.HIGH)
def invoker_lost(case: Case) -> Iterator[Hit]:
    """
    The policy of the service names somebody no more who could invoke it.

    Each of their calls is answered with 403, unless their project or folder lets them in. Told
    where the policies were read on both sides.

    Fix: grant the role again, or promote the service if that was meant.
    """
    for change in case.told_by("invoker-lost"):
        was, now = (str(state_of(side)).split(", ") for side in (change.before, change.after))
        lost = ", ".join(sorted(set(was) - set(now)))
        yield Hit(change.at, f"{lost} may not invoke the service any more")
