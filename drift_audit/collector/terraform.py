"""
What `terraform show -json` says of Cloud Run: how a plan would leave services, worker pools and
jobs, or how a state knows them. OpenTofu writes the same.

Format: developer.hashicorp.com/terraform/internals/json-format. Members that it may get later are
passed over, as that page asks; other major versions are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from drift_audit.collector import nodes
from drift_audit.collector.attributes import NothingToRead
from drift_audit.collector.instance import Instance, Withheld, is_ours, without_keys
from drift_audit.collector.nodes import Object
from drift_audit.collector.resources import Resource
from drift_audit.headline import some
from drift_audit.snapshot import Unseen
from drift_audit.strict import Node, Path, Refused

Doc = Mapping[str, Any]

SHOW = "terraform show -json PLAN > plan.json"

SECRET = "google_secret_manager_secret"
"""What a service may be bound to in the plan that creates it."""


@dataclass(frozen=True)
class Shown:
    """
    What a plan or a state holds. `coming` are the secrets that a plan creates, by project and name;
    `unseen` concerns all of it.
    """

    resources: list[Resource] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    coming: set[tuple[str, str]] = field(default_factory=set)
    unseen: list[Unseen] = field(default_factory=list)


def check(data: bytes) -> None:
    """Refuse what people give in place of the JSON: a saved plan, and the log of a run."""
    if data.startswith(b"PK\x03\x04"):
        raise Refused("binary-plan", "a plan as Terraform saves it, which is no text", hint=SHOW)
    if data[:99].lstrip().startswith(b'{"@level"'):
        raise Refused("plan-log", "the log of terraform plan -json, not the plan", hint=SHOW)


def is_terraform(doc: Node) -> bool:
    """Tell whether a document is a plan or a state of Terraform, in whatever format."""
    return isinstance(doc, dict) and ("format_version" in doc or "terraform_version" in doc)


def read(doc: Doc, path: Path, file: str) -> Shown:
    """
    Everything of Cloud Run in one plan or state; `file` is how messages call it.

    Raises Refused, also for a document without anything of Cloud Run.
    """
    one = Object(doc, path)
    _check_version(one)
    is_plan = not doc.keys().isdisjoint(("planned_values", "resource_changes", "prior_state"))
    shown = _plan(one, file) if is_plan else _state(one)
    if not (shown.resources or shown.withheld):
        for missed in shown.unseen:
            raise Refused("unfinished-plan", missed.reason, path=path)
        what = "plan" if is_plan else "state"
        reason = f"a {what} without services, worker pools and jobs of Cloud Run"
        raise Refused("wrong-kind", reason, path=path)
    return shown


def _check_version(one: Object) -> None:
    if "format_version" not in one.doc:
        reason = "a state as Terraform stores it, in a format of its own"
        hint = "terraform show -json > state.json"
        raise Refused("raw-state", reason, path=one.path, hint=hint)
    version = one.text("format_version")
    if not re.fullmatch(r"1(\.[0-9]{1,4})?", version):
        old = version.startswith("0.")
        reason = "of a Terraform before 1.1" if old else "of no Terraform that is known here"
        raise Refused("format-version", reason, path=(*one.path, "format_version"), hint=SHOW)


# States


def _state(one: Object) -> Shown:
    shown = Shown()
    for found in _ours(one.inside("values").inside("root_module")):
        values = found.inside("values")
        shown.resources.append(Instance(found.doc, values.doc, values.path).resource())
    return shown


def _ours(module: Object) -> Iterator[Object]:
    """The resources of Cloud Run in a module and in those inside it."""
    yield from (found for found in module.objects("resources") if is_ours(found.doc))
    for child in module.objects("child_modules"):
        yield from _ours(child)


# Plans


def _plan(one: Object, file: str) -> Shown:
    shown = Shown(unseen=list(_shortcomings(one, file)))
    configured = _configuration(one)
    changes = one.objects("resource_changes")
    for change in changes:
        if is_ours(change.doc):
            _add(shown, _Change(change, configured, file))
        elif change.text("type") == SECRET and "create" in change.inside("change").texts("actions"):
            secret = change.inside("change").inside("after")
            shown.coming.add((secret.text("project"), secret.text("secret_id")))
    for deferred in one.objects("deferred_changes"):
        inner = deferred.inside("resource_change")
        if is_ours(inner.doc):
            planned = _Change(inner, configured, file)
            put_off = planned.after or planned.before
            shown.withheld.extend([put_off.withheld("the plan puts it off")] if put_off else [])
    _check_whole(one, {change.text("address") for change in changes})
    _settle(shown, file)
    return shown


def _settle(shown: Shown, file: str) -> None:
    """What one resource gives up and another takes over is shown as the other leaves it."""
    kept = {one.identity.address: i for i, one in enumerate(shown.resources)}
    for one in [w for w in shown.withheld if w.identity.address in kept]:
        shown.withheld.remove(one)
        i, resource = kept[one.identity.address], shown.resources[kept[one.identity.address]]
        told = f"{file}: {one.unseen.where}: besides, {one.unseen.reason}"
        shown.resources[i] = replace(resource, notes=(*resource.notes, told))


def _shortcomings(one: Object, file: str) -> Iterator[Unseen]:
    """Why the plan may not hold everything."""
    if one.flag("errored") is True:
        yield Unseen(where=file, reason="planning ended with an error: the plan holds a part")
    if nodes.flag(one.doc.get("complete"), *one.path, "complete") is False:
        reason = "the plan is not complete: another one has to follow it"
        yield Unseen(where=file, reason=reason)


def _check_whole(one: Object, changed: set[str]) -> None:
    """Planned values leave out what is not known; the changes alone tell that it is there."""
    for found in _ours(one.inside("planned_values").inside("root_module")):
        if found.text("address") not in changed:
            reason = "planned values without the resource_changes that belong to them"
            where = (*one.path, "resource_changes")
            raise Refused("missing-changes", reason, path=where, hint=SHOW)


def _add(shown: Shown, change: _Change) -> None:
    """Add how one change leaves its service, or that it leaves none."""
    before, after = change.before, change.after
    here, there = (one and one.identity.address for one in (before, after))
    if before is not None and "delete" in change.actions and here != there:
        instead = f", and creates {there}" if there else ""
        shown.withheld.append(before.withheld(f"the plan deletes it{instead}"))
    left = before if change.actions == ("forget",) else after
    if left is None:
        return
    try:
        resource = left.resource()
    except NothingToRead as missing:
        shown.withheld.append(left.withheld(f"the plan does not know {missing.where} yet"))
        return
    shown.resources.append(replace(resource, notes=tuple(change.notes(left))))


_WORDS = {
    ("no-op",): "the plan leaves it as it is",
    ("create",): "the plan creates it",
    ("forget",): "the plan forgets it: it stays as it is, and Terraform no longer looks after it",
    ("delete", "create"): "the plan deletes it and creates it anew",
    ("create", "delete"): "the plan creates it anew and deletes it",
    ("create", "forget"): "the plan creates it anew and forgets what is there",
}


class _Change:
    """One of `resource_changes`: what is done with a resource, how it is, how that leaves it."""

    def __init__(self, change: Object, configured: _Configured, file: str) -> None:
        inner = change.inside("change")
        self.actions = tuple(inner.texts("actions"))
        self._doc, self._inner, self._file = change.doc, inner, file
        unknown, config = inner.doc.get("after_unknown"), configured.get(_place(change))
        self.before = self._instance("before")
        self.after = self._instance("after", unknown=unknown, config=config)

    def _instance(self, side: str, **told: Any) -> Instance | None:
        if self._inner.doc.get(side) is None:
            return None
        values = self._inner.inside(side)
        return Instance(self._doc, values.doc, values.path, planned=True, **told)

    def notes(self, left: Instance) -> Iterator[str]:
        """What must be known of how the plan comes to that; nothing for a plain update."""
        who = f"{self._file}: {left.name}"
        if said := _WORDS.get(self.actions):
            gone = "; who may invoke it and its revisions go with it"
            yield f"{who}: {said}" + (gone if "delete" in self.actions else "")
        if left.left:
            yield f"{who}: Cloud Run decides on {some(left.left)}: its defaults are taken"


_Configured = Mapping[tuple[str, ...], Doc]
"""What the configuration sets of each resource, by its modules, its type and its name."""


def _place(change: Object) -> tuple[str, ...]:
    modules = without_keys(change.text("module_address")).split(".")[1::2]
    return *modules, change.text("type"), change.text("name")


def _configuration(one: Object) -> _Configured:
    found: dict[tuple[str, ...], Doc] = {}

    def walk(module: Object, names: tuple[str, ...]) -> None:
        for each in module.objects("resources"):
            if is_ours(each.doc):
                place = (*names, each.text("type"), each.text("name"))
                found[place] = each.inside("expressions").doc
        calls = module.inside("module_calls")
        for name in calls.doc:
            walk(calls.inside(name).inside("module"), (*names, name))

    walk(one.inside("configuration").inside("root_module"), ())
    return found
