"""Comparison: a change exactly where the two sides differ, whatever the order."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import deepdiff
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.differ import (
    SIDED,
    Place,
    _keyed_alike,
    _log_records_are_errors,
    _plain,
    compare,
    incomparable,
    items,
    pair_containers,
    place_of,
    same_at,
    state_of,
)
from drift_audit.snapshot import SECTIONS
from tests.builders import KEY, LASTING, sealer, snapshot
from tests.strategies import pairs, sides

MIRROR = {"absent": "absent"}
REVISION = SECTIONS - {"service"}


def places(snapshot_):
    return {k: v for k, v in items(snapshot_).items() if k[2] not in SIDED}


@given(sides(), sides())
def test_compare_mirrors(one, other):
    """Swapping the sides swaps before and after and changes nothing else."""
    there = compare(snapshot(one), snapshot(other))
    back = compare(snapshot(other), snapshot(one))

    assert [(c.at, c.after, c.before, c.parts) for c in there] == [
        (c.at, c.before, c.after, c.parts) for c in back
    ]


@given(sides())
def test_equal_sides_do_not_differ(side):
    """Nothing comes from equal inputs."""
    assert compare(snapshot(side), snapshot(side)) == ()


@given(sides(), sides())
def test_change_exactly_where_keyed_sides_differ(one, other):
    """The addresses that change are those whose values differ, told without deepdiff."""
    before, after = snapshot(one), snapshot(other)
    told = {place_of(c.at) for c in compare(before, after)}
    there, here = places(before), places(after)
    if before.service is None or after.service is None:
        there, here = (
            {k: v for k, v in s.items() if not k[2].startswith("service.")} for s in (there, here)
        )

    assert told - {("setting", "", n) for n in SIDED} == {
        p
        for p in there.keys() | here.keys()
        if seen(there.get(p)) != seen(here.get(p)) and not same(there.get(p), here.get(p))
    }


def unshortened(before, after):
    """Where two snapshots differ and in which parts: deepdiff over all that they hold, and no more."""
    sections = SECTIONS if before.service is not None and after.service is not None else REVISION
    there, here = _keyed_alike(before, after, sections)
    one_sided = {p for p in there.keys() ^ here.keys() if p[2] in SIDED}
    compared = (there.keys() | here.keys()) - one_sided
    tree = deepdiff.DeepDiff(
        {p: _plain(there.get(p), here.get(p)) for p in compared},
        {p: _plain(here.get(p), there.get(p)) for p in compared},
        view="tree",
        threshold_to_diff_deeper=0,
        ignore_private_variables=False,
        ignore_type_in_groups=[(bool, int)],
    )
    found: dict[Place, set[str]] = {}
    for level in (level for levels in tree.values() for level in levels):
        place, part, *_ = level.path(output_format="list")
        found.setdefault(place, set()).add(part)
    return found


def shortened(before, after):
    return {place_of(c.at): set(c.parts) for c in compare(before, after)}


@given(pairs())
def test_short_cuts_lose_nothing(pair):
    """The parts that are passed by because they are equal hold no change that deepdiff would find."""
    before, after = map(snapshot, pair)

    assert shortened(before, after) == unshortened(before, after)


@pytest.mark.parametrize("section", ["containers", "bindings", "mounts", "settings", "service"])
def test_control_section_that_lies(section):
    """A section that says it is equal when it is not is noticed by the comparison with deepdiff."""

    class Liar(tuple):
        __slots__ = ()
        __hash__ = tuple.__hash__

        def __ne__(self, other):
            return False

    full = {
        "files": {"/a": {"secret": "a"}},
        "settings": {"cpu": "1"},
        "service": {"ingress": "all"},
    }
    before = snapshot({"env": {"A": "1"}, **full})
    after = snapshot(
        {"env": {"B": "1"}, "files": {}, "settings": {}, "service": {"ingress": "none"}}
    )
    blind = before.but(**{section: Liar(getattr(before, section))})

    assert shortened(before, after) == unshortened(before, after)
    assert (shortened(blind, after) == unshortened(blind, after)) is (section == "containers")


def seen(item):
    return item.model_dump_json() if item else None


def same(one, other):
    """Equal but for what a binding was resolved to, which only one side may know."""
    if one is None or other is None:
        return False
    plain = [strip(i.model_dump()) for i in (one, other)]
    resolved = [source(i).get("resolved") for i in (one, other)]
    return plain[0] == plain[1] and (None in resolved or resolved[0] == resolved[1])


def source(item):
    return item.model_dump().get("source") or {}


def strip(node):
    if isinstance(node, dict):
        return {k: strip(v) for k, v in node.items() if k not in ("resolved", "version_state")}
    return [strip(n) for n in node] if isinstance(node, (list, tuple)) else node


@given(sides(), sides())
def test_same_at_agrees_with_compare(one, other):
    """An address is the same on both sides exactly when no change names it."""
    before, after = snapshot(one), snapshot(other)
    changed = {c.at for c in compare(before, after)}

    for kind, container, name in items(after):
        at = after.address.at(container, **{kind: name})
        assert same_at(at, before, after) is (at not in changed)


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ({"A": "1"}, {"A": "2"}, {"digest"}),
        ({"A": "1"}, {"A": ""}, {"state", "digest"}),
        (
            {"A": {"secret": "s", "version": "1"}},
            {"A": {"secret": "s", "version": "2"}},
            {"version"},
        ),
        ({"A": {"secret": "s"}}, {"A": {"secret": "t"}}, {"secret"}),
        ({"A": {"secret": "s"}}, {"A": {"secret": "s", "project": "9"}}, {"project"}),
        (
            {"A": {"secret": "s", "resolved": 1}},
            {"A": {"secret": "s", "resolved": 2}},
            {"resolved"},
        ),
        ({"A": ["1", "2"]}, {"A": "2"}, {"shadowed"}),
        ({"A": "2"}, {"A": ["2", "2"]}, {"shadowed"}),
        ({"A": ["1", "2"]}, {"A": ["2", "1"]}, {"shadowed", "digest"}),
        ({"A": ["1", "2", "3"]}, {"A": ["2", "1", "3"]}, {"shadowed"}),
        ({"A": {"secret": "s"}}, {"A": "1"}, {"state", "project", "secret", "version", "digest"}),
        ({"A": {"secret": "s"}}, {}, {"state", "project", "secret", "version"}),
        ({"settings": {"cpu": "1"}}, {"settings": {"cpu": "2"}}, {"value"}),
        ({"settings": {"cpu": "1"}}, {"env": {}}, {"value"}),
    ],
)
def test_parts(before, after, parts):
    """A change names the parts that changed."""
    [change] = compare(snapshot(before), snapshot(after))

    assert change.parts == parts


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"A": {"secret": "s"}}, {"A": {"secret": "s", "resolved": 2}}),
        ({"A": {"secret": "s", "state": "enabled"}}, {"A": {"secret": "s", "state": "destroyed"}}),
        ({"A": {"secret": "s", "version": ""}}, {"A": {"secret": "s", "version": "latest"}}),
        ({"settings": {"image_digest": "sha256:00"}}, {}),
    ],
)
def test_what_only_one_side_can_tell_is_no_change(before, after):
    """What a source could not know, or what is no configuration, is not compared."""
    assert compare(snapshot(before), snapshot(after)) == ()


def test_image_digest_is_compared_when_both_know():
    """A tag that moved shows where both sides name the digest."""
    one, two = ({"settings": {"image_digest": f"sha256:{n}"}} for n in (1, 2))

    assert [c.at.setting for c in compare(snapshot(one), snapshot(two))] == ["image_digest"]


def test_mount_mode():
    """Other permissions of a mounted secret are a change of the mode alone."""
    one, two = ({"files": {"/a": {"secret": "s", "mode": m}}} for m in (256, 288))
    [change] = compare(snapshot(one), snapshot(two))

    assert (change.at.mount, change.parts) == ("/a", frozenset({"mode"}))


def test_service_level_needs_both_sides():
    """Service-level settings are compared when both sides know them, and only then."""
    known, other, unknown = (
        snapshot({"env": {}, "service": s} if s else {"env": {}})
        for s in ({"ingress": "all"}, {"ingress": "internal"}, None)
    )

    plain = snapshot({"env": {}, "service": {"traffic": "x"}})

    assert [c.at.setting for c in compare(known, other)] == ["service.ingress"]
    assert compare(known, unknown) == compare(plain, unknown) == compare(unknown, plain) == ()


def test_keys_that_look_like_paths():
    """Keys that deepdiff's own paths could not tell apart stay apart."""
    before, after = {"a']['b": "1", "a": "x", "__x": "1"}, {"a']['b": "2", "a": "x", "__x": "2"}
    changed = [c.at.key for c in compare(snapshot(before), snapshot(after))]

    assert changed == ["__x", "a']['b"]


def test_mass_rename_is_told_key_by_key():
    """Two sides that share little are not folded into one change."""
    before = snapshot({f"OLD_{n}": "v" for n in range(30)})
    after = snapshot({f"NEW_{n}": "v" for n in range(30)})

    assert len(compare(before, after)) == 60


def test_other_key_is_incomparable():
    """Literals under another key are no change; they are told as not compared."""
    one = snapshot({"A": "1", "B": ""}, seal=sealer(key=KEY))
    two = snapshot({"A": "1", "B": ""}, seal=sealer(key=LASTING))

    assert compare(one, two) == ()
    assert [(at.key, why) for at, why in incomparable(one, two)] == [
        ("A", "sealed under another key or name")
    ]


def test_entries_that_never_won_are_incomparable_too():
    """Of a key that stands twice, both entries are held against each other only under one key."""
    twice, bound = ["1", "2"], ["1", {"secret": "s", "version": "1"}]
    one = snapshot({"A": twice, "B": bound, "C": bound, "D": twice}, seal=sealer(key=KEY))
    other = {"A": ["9", "2"], "B": ["9", bound[1]], "C": [bound[1], bound[1]], "D": [*twice, "3"]}
    two = snapshot(other, seal=sealer(key=LASTING))
    same = snapshot(other, seal=sealer(key=KEY))

    assert [c.at.key for c in compare(one, two)] == ["C", "D"]
    assert [at.key for at, _ in incomparable(one, two)] == ["A", "B", "D"]
    assert [c.at.key for c in compare(one, same)] == ["A", "B", "C", "D"]
    assert incomparable(one, same) == ()


def test_what_cannot_be_compared_by_its_place():
    """Each value that cannot be compared is named where the candidate has it, in order, and once."""
    sides = [
        {
            "containers": {
                main: {"env": {"Z": "1", "A": "1", own: "1"}, "ingress": True},
                "side": {"env": {"A": "1"}, "settings": {"args": {"sealed": "x"}}},
            }
        }
        for main, own in (("old", "GONE"), ("new", "ADDED"))
    ]
    one, two = (snapshot(s, seal=sealer(key=k)) for s, k in zip(sides, (KEY, LASTING), strict=True))

    assert [str(at).removeprefix("shop/europe-west1/api/") for at, _ in incomparable(one, two)] == [
        "env/new/A",
        "env/new/Z",
        "env/side/A",
        "setting/side/args",
    ]
    assert [str(c.at).removeprefix("shop/europe-west1/api/") for c in compare(one, two)] == [
        "env/new/ADDED",
        "env/new/GONE",
    ]


def test_another_place_is_incomparable():
    """Lasting seals of one configuration under two projects are no thousand changes."""
    key = sealer(key=LASTING)
    one = snapshot({"A": "1", "B": "2"}, seal=key)
    two = snapshot({"A": "1", "B": "2"}, seal=key, project="123")

    assert compare(one, two) == ()
    assert [why for _, why in incomparable(one, two)] == ["sealed under another key or name"] * 2


def test_value_that_was_left_out_is_there():
    """A key whose value was left out is added or lost like any other."""
    one, two = snapshot({"env": {}}), snapshot({"A": "1"}, seal=sealer(keep=False))

    assert [(c.at.key, c.parts) for c in compare(one, two)] == [
        ("A", frozenset({"state", "digest"}))
    ]


def test_settings_of_no_container():
    """A setting of the revision is none of its containers', whatever these are called."""
    one, two = (
        snapshot({"containers": {name: {"ingress": True}}, "settings": {"timeout": seconds}})
        for name, seconds in (("old", 1), ("new", 2))
    )

    assert [(c.at.container, c.at.setting) for c in compare(one, two)] == [("", "timeout")]


def test_left_out_is_incomparable():
    """Literals that were left out are no change either, with another reason."""
    one, two = snapshot({"A": "1"}), snapshot({"A": "2"}, seal=sealer(keep=False))

    assert compare(one, two) == ()
    assert [why for _, why in incomparable(one, two)] == ["literals were left out"]


def test_sealed_settings():
    """Sealed settings compare like keys, and a setting that becomes plain differs."""
    one, two, plain = ({"settings": {"args": a}} for a in ({"sealed": "a"}, {"sealed": "b"}, "a"))

    assert len(compare(snapshot(one), snapshot(two))) == 1
    assert len(compare(snapshot(one), snapshot(plain))) == 1
    assert incomparable(snapshot(one), snapshot(plain)) == ()


@pytest.mark.parametrize(
    ("before", "after", "called"),
    [
        ({"": {}}, {"api-1": {"ingress": True}}, {"": "api-1"}),
        ({"app": {}, "proxy": {}}, {"app": {}, "proxy": {}}, {"app": "app", "proxy": "proxy"}),
        (
            {"app": {}, "proxy": {}},
            {"main": {"ingress": True}, "proxy": {}},
            {"app": "main", "proxy": "proxy"},
        ),
        ({"app": {}}, {"x": {}, "app": {}}, {"app": "app"}),
        ({"app": {}}, {"x": {"ingress": True}, "app": {"ingress": False}}, {"app": "app"}),
    ],
)
def test_containers_pair(before, after, called):
    """Containers pair by name, else by being the one that requests reach."""
    one, two = (snapshot({"containers": side}) for side in (before, after))

    assert pair_containers(one, two) == called


def test_renamed_container_is_no_change():
    """The same configuration in a container of another name does not differ."""
    one = snapshot({"containers": {"": {"env": {"A": "1"}}}})
    two = snapshot({"containers": {"api-1": {"ingress": True, "env": {"A": "1"}}}})

    assert compare(one, two) == ()


def test_state_of_settings():
    """A setting's state is its value, unless it is sealed."""
    one = snapshot({"settings": {"a": 1, "b": {"sealed": "x"}}})

    assert [state_of(s) for s in one.settings] == [1, "sealed"]
    assert state_of(None) == "absent"


def test_service_address_is_the_same_everywhere():
    """A service as a whole has no place in it that could differ."""
    one, two = snapshot({"A": "1"}), snapshot({"A": "2"})

    assert place_of(two.address) is None
    assert same_at(two.address, one, two)


def test_log_of_deepdiff_is_an_error():
    """When deepdiff logs that it gave up, the comparison fails instead of calling it equal."""
    with (
        pytest.raises(AssertionError, match="did not compare everything"),
        _log_records_are_errors("deepdiff"),
    ):
        logging.getLogger("deepdiff.diff").warning("max number of passes reached")
    logging.getLogger("deepdiff.diff").warning("and later nobody minds")


def test_log_of_others_is_none_of_it():
    """What other libraries log meanwhile ends no comparison."""
    with _log_records_are_errors("deepdiff"):
        logging.getLogger("other").warning("something else")


@pytest.mark.parametrize(("logger", "given_up"), [("deepdiff.diff", True), ("other", False)])
def test_comparison_that_was_given_up(logger, given_up):
    """A comparison during which deepdiff says that it gave up has no result; others may say what they like."""

    class Loud(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            logging.getLogger(logger).warning("max number of passes reached")
            return str.__eq__(self, other)

        def __ne__(self, other):
            return not self == other

    quiet = snapshot({"settings": {"cpu": "1"}})
    [cpu] = quiet.settings
    one, two = (quiet.but(settings=(cpu.but(value=Loud(cores)),)) for cores in "12")

    told = r"\Adeepdiff did not compare everything: WARNING\Z"
    with pytest.raises(AssertionError, match=told) if given_up else nullcontext():
        assert len(compare(one, two)) == 1


def test_control_default_deepdiff_hides_changes():
    """deepdiff as it comes misses what the arguments here are for."""
    before = {("key", "", f"OLD_{n}"): {"state": "literal"} for n in range(9)}
    after = {("key", "", f"NEW_{n}"): {"state": "literal"} for n in range(9)}

    folded = deepdiff.DeepDiff(before, after)
    private = deepdiff.DeepDiff({"__x": 1}, {"__x": 2})

    assert "values_changed" in folded
    assert private == {}


@given(st.permutations(["A", "B", "C", "D"]))
def test_changes_are_sorted(keys):
    """Changes come in one order, whatever the order of the input."""
    changed = [c.at.key for c in compare(snapshot({}), snapshot(dict.fromkeys(keys, "1")))]

    assert changed == sorted(keys)
