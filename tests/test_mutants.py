"""The hunt for faults that no test notices: its copy is the same program, and its list is kept."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mutants import (
    CONTROLLED,
    ROOT,
    SURVIVORS,
    Group,
    Mutation,
    complaints,
    configured,
    counted,
    figures,
    groups,
    listed,
    main,
    mutation,
    place,
    read,
    undecorated,
)

MODULE = '''
from functools import cached_property

def twice(check):
    """Registers it, too."""
    made.append(check.__name__)
    return lambda: 2 * check()

def plus(number):
    return lambda check: lambda: check() + number

made = []

@plus(1)
@twice
def five():
    return 2

class Box:
    calls = 0

    @property
    def one(self):
        return 1

    @cached_property
    def once(self):
        self.calls += 1
        return self.calls

    @staticmethod
    def two():
        return 2
'''

DIFF = """--- a/drift_audit/rules/env.py
+++ b/drift_audit/rules/env.py
@@ -1,3 +1,3 @@
 def f(a):
-    return  a + 1
+    return  a - 1
"""

ONE = Mutation("drift_audit.rules.env", "f", "return a + 1", "return a - 1")
NAMED = "drift_audit.rules.env.x_f__mutmut_1"


def ran(source):
    space: dict[str, Any] = {}
    exec(compile(source, "module", "exec"), space)
    box = space["Box"]()
    return space["five"](), space["made"], box.one, (box.once, box.once), box.two()


def test_copy_without_decorators_is_the_same_program():
    """Decorators that are called in the next line do what they did; mutmut takes functions alone."""
    copy = undecorated(MODULE)

    assert ran(copy) == ran(MODULE) == (5, ["five"], 1, (1, 1), 2)
    assert copy.count("@") == MODULE.count("@staticmethod") == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (NAMED, ("drift_audit.rules.env", "f")),
        ("drift_audit.policy.x__located__mutmut_12", ("drift_audit.policy", "_located")),
        ("a.b.xǁLoadǁ_inputs__mutmut_4", ("a.b", "Load._inputs")),
    ],
)
def test_names_of_mutants_are_read(name, told):
    """A number says nothing once a line was added: module and function do."""
    assert place(name) == told


def test_mutation_is_known_by_its_lines():
    """The same fault is the same entry, wherever it stands and however it is indented."""
    assert mutation(NAMED, DIFF) == ONE


def test_results_are_read():
    """Names with their statuses, and nothing else that is printed."""
    assert dict(read(f"    {NAMED}: survived\n\n")) == {NAMED: "survived"}


@pytest.mark.parametrize(
    ("status", "found", "known", "told"),
    [
        ("killed", [], [], []),
        ("survived", [ONE], [ONE], []),
        ("survived", [ONE], [], ["survived, and is not listed"]),
        ("survived", [ONE, ONE], [ONE], ["survived, and is not listed"]),
        ("killed", [], [ONE], ["listed, and did not survive"]),
        ("not checked", [], [], ["1 mutants were not tried"]),
    ],
)
def test_list_and_survivors_agree(status, found, known, told):
    """What survives and is not listed is told, what is listed and is dead, and what was not tried."""
    lines = list(complaints({NAMED: status}, found, known, whole=True))

    assert [line.partition(":")[0] for line in lines] == told


def test_part_of_a_run_expects_no_more_than_it_tried():
    """Where some functions were asked for, the others of the list are not missed."""
    assert not list(complaints({NAMED: "killed"}, [], [ONE], whole=False))


def test_figures_tell_what_is_too_little():
    """Nine of ten are enough, and eight are not; nothing at all is not either."""
    names = [f"drift_audit.rules.env.x_f__mutmut_{n}" for n in range(10)]
    good = dict.fromkeys(names, "killed") | {names[0]: "survived"}
    bad = good | {names[1]: "no tests"}

    assert [line.startswith(" ") for line in figures(good)] == [True, True]
    assert [line.startswith("too few") for line in figures(bad)] == [True, True]
    assert [line.startswith("too few") for line in figures({})] == [True]


def test_counts_of_each_module():
    """Of what survived it is counted how much the list explains, each entry for as often as it stands."""
    other = Mutation("drift_audit.seal", "f", "a", "b")
    found = {f"drift_audit.rules.env.x_f__mutmut_{n}": "survived" for n in range(3)}
    found |= {"drift_audit.seal.x_f__mutmut_1": "timeout"}

    assert counted(found, [ONE, ONE, ONE], [ONE, other]) == {
        "figures": {
            "modules": 2, "faults": 4, "noticed": 1, "explained": 1, "noticed_percent": 25.0, "neither": 2,
        },
        "modules": {
            "drift_audit.rules.env": {"faults": 3, "noticed": 0, "explained": 1},
            "drift_audit.seal": {"faults": 1, "noticed": 1, "explained": 0},
        },
    }  # fmt: skip


ENV = Group("some", ("drift_audit/rules/e*v.py", "drift_audit/seal.py"), ("tests/test_rules.py",))


@pytest.mark.parametrize(
    ("asked", "globs"),
    [
        ([], []),
        (["some"], []),
        (["drift_audit.seal"], ["drift_audit.seal*"]),
        (["drift_audit.rules"], ["drift_audit.rules*"]),
        (["drift_audit.rules.env.x_key"], ["drift_audit.rules.env.x_key*"]),
        (["drift_audit.policy", "drift_audit.s*l"], ["drift_audit.s*l*"]),
        (["drift_audit.policy"], None),
        (["other"], None),
    ],
)
def test_what_is_asked_of_a_group(asked, globs):
    """A group is tried whole, or as far as its modules were named, or not at all."""
    assert ENV.globs(asked) == globs


def test_settings_of_a_group():
    """mutmut reads the modules and the tests of the group, beside what is so for all of them."""
    settings = configured((ROOT / "pyproject.toml").read_text(), ENV)
    told = tomllib.loads(settings)["tool"]["mutmut"]

    assert (tuple(told["only_mutate"]), told["source_paths"]) == (ENV.modules, ["drift_audit"])
    assert tuple(told["pytest_add_cli_args_test_selection"]) == ENV.tests


def test_groups_name_what_is_there():
    """Every glob of a group finds modules, no module is in two of them, and the tests are there."""
    names = [name for group in groups() for name in group.names]

    assert len(names) == len(set(names))
    for group in groups():
        assert all([*ROOT.glob(glob)] for glob in group.modules), group.name
        files = [test.partition("::") for test in group.tests if test.startswith("tests/")]
        assert files
        for file, _, function in files:
            assert (
                f"def {function}(" in (ROOT / file).read_text()
                if function
                else (ROOT / file).exists()
            )


def test_control_tests_that_look_at_nothing(capfd):
    """Where tests run a function and look at nothing, its faults survive, and that is told."""
    ended = main(["--control", "--at-once=1"])
    told = json.loads(capfd.readouterr().out)

    assert ended == 1
    assert told["figures"]["faults"] > told["figures"]["noticed"] + told["figures"]["explained"]
    assert any("_printable" in problem for problem in told["problems"]), CONTROLLED


def test_listed_survivors_stand_in_the_source():
    """A line that was changed since takes its entries with it; none is listed twice, or without why."""
    known = listed()

    assert len(known) == len(set(known))
    assert all(entry["why"].strip() for entry in yaml.safe_load(SURVIVORS.read_text()))
    for one in known:
        path = ROOT / Path(*one.module.split(".")).with_suffix(".py")
        assert one.before in " ".join(path.read_text().split()), one
