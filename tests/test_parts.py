"""The parts of a run that several processes share: which falls to whom, and what they come to together."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json

import pytest
from pydantic import ValidationError

from drift_audit.errors import StoreError
from drift_audit.inventory import Evidence, Inventory, Scope, Service, Twins
from drift_audit.limits import Limits, SqlInstance, VpcConnector
from drift_audit.part import Part, Shard, Terms, joined, missing, policy_digest
from drift_audit.policy import Policy, read_policy
from drift_audit.seal import SealKey
from drift_audit.snapshot import Unseen
from drift_audit.store.folder import Folder
from drift_audit.store.marked import LIMIT
from drift_audit.store.parts import Parts
from tests.builders import HOME, LASTING, NOW

WEB = HOME.but(service="web")
TERMS = Terms(version="1", policy="p", fail_on=None, require_baseline=False, asked=None, notes=())


def part(number=1, count=2, now=NOW, **found):
    inventory = Inventory(**({"scope": Scope(source="test")} | found))
    return Part(shard=Shard(number=number, count=count), now=now, terms=TERMS, inventory=inventory)


def service(name):
    return Service(project="shop", region="europe-west1", service=name)


@pytest.mark.parametrize(("number", "count"), [(0, 1), (2, 1), (-1, 3), (1, 0)])
def test_parts_that_there_are_not(number, count):
    """A part is one of those that there are, counted from one."""
    with pytest.raises(ValidationError) as error:
        Shard(number=number, count=count)

    assert error.value.errors()[0]["msg"] == "Value error, no such part"


def test_part_in_words():
    """A part says which one it is, and whether there are others."""
    assert (str(Shard()), Shard().whole) == ("part 1 of 1", True)
    assert (str(Shard(number=2, count=2)), Shard(number=2, count=2).whole) == ("part 2 of 2", False)


def test_services_fall_to_parts_for_good():
    """Which part a service falls to is the same in every run and version: its name decides."""
    for name in ("api", "web", "one", "two"):
        at = HOME.but(service=name)
        number = int(hashlib.sha256(str(at).encode()).hexdigest()[:16], 16) % 3 + 1
        mine = [n for n in (1, 2, 3) if Shard(number=n, count=3).holds(at)]

        assert mine == [number]
    assert Shard().holds(HOME)


def test_digest_of_a_policy():
    """The digest of a policy is another one for another policy, and the same for the same."""
    one, other = Policy(), read_policy("waiver_notice = 3")
    odd = read_policy('reveal = ["A"]')

    assert len({policy_digest(p) for p in (one, other, odd)}) == 3
    assert policy_digest(one) == hashlib.sha256(one.model_dump_json().encode()).hexdigest()


def test_parts_that_are_missing():
    """Each part that was not written is unseen, by its number."""
    assert missing([part(1, 1)]) == []
    assert missing([part(2, 4), part(3, 4)]) == [
        Unseen(where=f"part {number} of 4", reason="it was not written") for number in (1, 4)
    ]


def test_one_part_is_what_it_is():
    """A run of one part is joined to nothing."""
    only = part(1, 1, services=(service("web"), service("api")))

    assert joined([only]) is only.inventory


PLACES = [(home.at(key="A"), None) for home in (WEB, HOME)]
ONE = {
    "locations": 2, "listed": 3, "services": (service("web"),),
    "unseen": (Unseen(where="x", reason="b"), Unseen(where="y", reason="a")),
    "evidence": frozenset(), "secrets": frozenset({"s1"}), "remembered": frozenset({WEB}),
    "twins": (
        Twins(mark="3", places=((HOME.at(key="B"), None), (WEB.at(key="0"), None))),
        Twins(mark="1", places=(PLACES[0],)),
        Twins(mark="2", places=((WEB.at(key="Z"), None),)),
    ),
    "limits": Limits(
        databases=(SqlInstance(name="b"),), connectors=(VpcConnector(name="d"),),
        asked=frozenset({"b"}), unseen=(Unseen(where="u", reason="2"),),
    ),
}  # fmt: skip
TWO = {
    "locations": 3, "listed": 1, "services": (service("api"),),
    "unseen": (Unseen(where="x", reason="a"), Unseen(where="x", reason="b")),
    "evidence": frozenset(Evidence), "secrets": frozenset({"s2"}), "remembered": frozenset({HOME}),
    "twins": (
        Twins(mark="1", places=(PLACES[1],)),
        Twins(mark="2", places=((WEB.at(key="Y"), None),)),
    ),
    "limits": Limits(
        databases=(SqlInstance(name="a"), SqlInstance(name="b")), connectors=(VpcConnector(name="c"),),
        asked=frozenset({"a"}), unseen=(Unseen(where="t", reason="3"), Unseen(where="u", reason="2"), Unseen(where="u", reason="1")),
    ),
}  # fmt: skip


def test_parts_together():
    """What was found is all there once, in order; of the lists the shortest counts."""
    found = joined([part(1, **ONE), part(2, **TWO)])

    assert found.scope == Scope(source="test")
    assert (found.locations, found.listed) == (3, 1)
    assert [s.service for s in found.services] == ["api", "web"]
    assert [(u.where, u.reason) for u in found.unseen] == [("x", "a"), ("x", "b"), ("y", "a")]
    assert (found.evidence, found.secrets) == (frozenset(Evidence), frozenset({"s1", "s2"}))
    assert found.remembered == {HOME, WEB}
    assert [[str(at) for at, _ in twins.places] for twins in found.twins] == [
        [str(HOME.at(key="A")), str(WEB.at(key="A"))],
        [str(HOME.at(key="B")), str(WEB.at(key="0"))],
    ]
    assert [twins.mark for twins in found.twins] == ["", ""]
    assert [one.name for one in found.limits.databases] == ["a", "b"]
    assert [one.name for one in found.limits.connectors] == ["c", "d"]
    assert found.limits.asked == {"a", "b"}
    assert [(u.where, u.reason) for u in found.limits.unseen] == [
        ("t", "3"),
        ("u", "1"),
        ("u", "2"),
    ]


def test_limits_that_few_parts_asked_for():
    """Limits are those of the parts that asked for them; none where none did."""
    asked = joined([part(1, **(ONE | {"limits": None})), part(2, **TWO)])

    assert asked.limits.asked == {"a"}
    assert joined([part(1), part(2)]).limits is None


# What a store keeps of them


@pytest.fixture
def parts(tmp_path):
    return Parts(Folder(str(tmp_path)), LASTING)


def test_part_lies_in_the_folder_of_its_run(parts, tmp_path):
    """A part is marked with the key and for its place, and holds what it is as compressed JSON."""
    one = part(2, 3)
    told = parts.keep("r1", one)
    path = tmp_path / ".archive/parts/r1/2-of-3.json.gz"
    first, _, rest = path.read_bytes().partition(b"\n")
    head = json.loads(first)
    place = json.dumps(["drift-audit/v1 part", "parts/r1/2-of-3.json.gz"])
    bare = json.dumps(head | {"mark": ""}, separators=(",", ":")).encode() + b"\n"

    assert told == (str(path), True)
    assert head["document"] == "drift-audit/marked-part"
    assert head["mark"] == LASTING.mark(place, bare + rest)
    assert gzip.decompress(rest).decode() == one.model_dump_json()


def test_parts_come_back_in_order(parts, tmp_path):
    """The parts of a run are read in the order of their numbers, and what is no part is passed over."""
    made = [part(number, 10) for number in (10, 2, 1)]
    for one in made:
        parts.keep("r1", one)
    (tmp_path / ".archive/parts/r1/x.json.gz").write_bytes(b"")

    assert parts.read("r1") == [part(number, 10) for number in (1, 2, 10)]
    assert parts.read("r2") == []


@pytest.mark.parametrize(
    ("hours", "same"), [(0, True), (11, True), (-11, True), (12, False), (-12, False)]
)
def test_task_that_is_tried_again(parts, tmp_path, hours, same):
    """A second try leaves what the first has written, and a run of another day needs another name."""
    first = parts.keep("r1", part())
    later = part(now=NOW + dt.timedelta(hours=hours))

    if same:
        assert parts.keep("r1", later) == (first[0], False)
    else:
        with pytest.raises(StoreError) as error:
            parts.keep("r1", later)
        assert str(error.value) == f"{first[0]}: is that of another run"
        assert error.value.hint == "give each run a name of its own: --run=NAME"
    assert parts.read("r1") == [part()]


def test_newest_run(parts, tmp_path):
    """The newest run is the one whose first part is the youngest; an empty folder is none."""
    assert parts.newest() is None
    for run, days in (("run-b", 0), ("run-c", 2), ("run-a", 1)):
        for number in range(1, 3 - days // 2):
            parts.keep(run, part(number, now=NOW + dt.timedelta(days=days, hours=number)))
    (tmp_path / ".archive/parts/z").mkdir()
    (tmp_path / ".archive/parts/zz").write_text("")

    assert parts.newest() == "run-c"


def test_parts_that_somebody_touched(parts, tmp_path):
    """A part that was touched, moved, or written with another key is refused, with what to do."""
    where, _ = parts.keep("r1", part())
    path = tmp_path / ".archive/parts/r1/1-of-2.json.gz"
    data = path.read_bytes()
    other = SealKey(b"x" * 32, lasting=True)
    moved = path.with_name("2-of-2.json.gz")

    for store, name, content in (
        (parts, path, data[:-1]),
        (parts, moved, data),
        (Parts(Folder(str(tmp_path)), other), path, data),
    ):
        moved.unlink(missing_ok=True)
        name.write_bytes(content)
        with pytest.raises(StoreError) as error:
            store.read("r1")
        assert str(error.value) == f"{name}: written with another key, or touched since"
        assert error.value.hint == "merge with the key that its tasks had"
        path.write_bytes(data)
    assert where == str(path)


def test_part_of_another_version(parts, tmp_path):
    """A part that is marked and reads otherwise is of another version."""

    class Other(Part):
        more: int = 1

    parts.keep("r1", Other(**dict(part())))

    with pytest.raises(StoreError, match=r"1-of-2\.json\.gz: not a part of this version\Z"):
        parts.read("r1")


class Asked(Folder):
    """A folder that remembers how large a file it was asked for might be."""

    def __init__(self, root):
        super().__init__(str(root))
        self.limits: set[int] = set()

    def read(self, path, *, limit=0):
        self.limits.add(limit)
        return super().read(path, limit=limit)


def test_parts_may_be_large(tmp_path):
    """A part is read as far as a location of the archive may go."""
    home = Asked(tmp_path)
    Parts(Folder(str(tmp_path)), LASTING).keep("r1", part())
    Parts(home, LASTING).read("r1")

    assert home.limits == {LIMIT}


def test_part_that_vanishes(tmp_path):
    """A part that is listed and gone when it is read is refused as well."""

    class Gone(Folder):
        def read(self, path, **limit):
            return None

    home = Gone(str(tmp_path))
    Parts(Folder(str(tmp_path)), LASTING).keep("r1", part())

    with pytest.raises(StoreError, match="touched since"):
        Parts(home, LASTING).read("r1")
