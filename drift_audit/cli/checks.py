"""
What `doctor` looks at on this machine: the policy, the store, and the key that seals what it holds.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from drift_audit.cli import keys
from drift_audit.cli.stores import open_store
from drift_audit.cli.subject import PYPROJECT, find_policy, policy_file
from drift_audit.diagnosis import Check
from drift_audit.errors import CommandError, DriftAuditError, ExitCode, PolicyError, StoreError
from drift_audit.headline import number
from drift_audit.patterns import load
from drift_audit.policy import Policy
from drift_audit.seal import SealKey
from drift_audit.store.baseline import StoredBaseline

MOST = 10
"""Baselines that are told one by one."""

_COMMANDS = ("chmod ", "drift-audit ", "gcloud ", "head ")


def typed(error: DriftAuditError) -> tuple[str, ...]:
    """The hint of an error, where it is a command and not a sentence."""
    command = error.hint.removesuffix(" creates one").removesuffix(" makes a key")
    return (command,) if command.startswith(_COMMANDS) else ()


def told(error: DriftAuditError) -> str:
    """An error with its hint, where that is a sentence."""
    return f"{error}; {error.hint}" if error.hint and not typed(error) else str(error)


def policy(config: str | None, *, no_config: bool) -> tuple[Policy, Check]:
    """The policy, or an empty one in place of one that is wrong."""
    try:
        found = find_policy(config, no_config=no_config)
    except PolicyError as error:
        return Policy(), _refused("policy", error)
    file = None if no_config else policy_file(config)
    if file is None or (file == PYPROJECT and found == Policy()):
        none = "none here, so nothing is required; drift-audit init writes one"
        says = "none is read, as asked" if no_config else none
        return found, Check(check="policy", state="ok", says=says)
    services, waivers = number(len(found.service), "entry"), number(len(found.waiver), "waiver")
    says = f"{file} is valid: {services} for services, {waivers}"
    return found, Check(check="policy", state="ok", says=says)


def patterns(found: Policy) -> Iterator[Check]:
    """Whether the library is there whose patterns the policy asks for."""
    if not found.detect:
        return
    try:
        says = f"{load().library}, as the policy asks"
    except CommandError as error:
        yield Check(
            check="patterns",
            state="missing",
            says=f"the policy asks for them, and {error}",
            fix=(error.hint,),
            code=int(error.code),
        )
    else:
        yield Check(check="patterns", state="ok", says=says)


def store(path: str) -> tuple[list[StoredBaseline], list[Check]]:
    """The baselines that can be read, and what the others are refused for."""
    found: list[StoredBaseline] = []
    refused: list[Check] = []
    try:
        kept = open_store(path)
        for at in kept.addresses():
            try:
                baseline = kept.read(at)
            except StoreError as error:
                refused.append(_refused("store", error))
            else:
                found += [baseline] if baseline else []
    except StoreError as error:
        refused.append(_refused("store", error))
    if len(refused) > MOST:
        says = f"{number(len(refused) - MOST, 'more baseline')} refused"
        refused[MOST:] = [Check(check="store", state="missing", says=says, code=refused[0].code)]
    if refused and not found:
        return found, refused
    names = tuple(str(baseline.snapshot.address) for baseline in found)
    says = f"{path}: {number(len(found), 'baseline')}, each as it was promoted"
    if not found:
        says = f"{path}: no baselines; audits compare with what serves most traffic"
    return found, [Check(check="store", state="ok", says=says, names=names), *refused]


def _refused(check: str, error: DriftAuditError) -> Check:
    """An audit would end with this error."""
    return Check(
        check=check, state="missing", says=told(error), fix=typed(error), code=int(error.code)
    )


def key(baselines: Sequence[StoredBaseline]) -> Check:
    """Whether the lasting key is there, and is the one that the baselines were sealed with."""
    try:
        found = keys.find()
    except StoreError as error:
        return _refused("key", error)
    strange = [b for b in baselines if b.sealed_with - _ids(found, b)]
    names = tuple(str(b.snapshot.address) for b in strange)
    if strange and found is None:
        says = f"none, and without it {number(len(strange), 'baseline')} cannot be compared"
        return _wrong_key(says, names, [f"export {keys.VARIABLE}=KEY"])
    if strange:
        says = f"{keys.where()}: {number(len(strange), 'baseline')} sealed with another"
        return _wrong_key(says, names, _promotions(strange))
    if found is None:
        says = "none, and none is needed yet; drift-audit init creates one for baselines"
        return Check(check="key", state="ok", says=says)
    says = f"found: {keys.where()}"
    if sealed := sum(bool(b.sealed_with) for b in baselines):
        verb = "is" if sealed == 1 else "are"
        says = f"{says}; {number(sealed, 'baseline')} {verb} sealed with it"
    if (careless := keys.exposed()) is not None:
        mend = f"chmod 600 {shlex.quote(str(careless))}"
        says = f"{says}; others on this machine may read it"
        return Check(check="key", state="warning", says=says, fix=(mend,))
    return Check(check="key", state="ok", says=says)


def _wrong_key(says: str, baselines: tuple[str, ...], fix: Iterable[str]) -> Check:
    """An audit would not be complete: it could not compare what these baselines have sealed."""
    code = int(ExitCode.INCOMPLETE)
    return Check(
        check="key", state="missing", says=says, names=baselines, fix=tuple(fix), code=code
    )


def _ids(found: SealKey | None, baseline: StoredBaseline) -> set[str]:
    return {found.id(baseline.snapshot.address)} if found else set()


def _promotions(baselines: Sequence[StoredBaseline]) -> Iterator[str]:
    """The commands that seal baselines anew."""
    for one in baselines[:MOST]:
        at = one.snapshot.address
        service, _, kind = at.service.partition(".")
        words = [f"--project={at.project}", f"--region={at.region}", f"--service={service}"]
        words += [f"--kind={kind}"] if kind else []
        yield f"drift-audit baseline promote {shlex.join(words)} --reason=REASON"
