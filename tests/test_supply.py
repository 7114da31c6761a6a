"""What is installed beside us: pinned, billed and audited, with exemptions that end; and the threat table."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from drift_audit import __version__
from tests.command import environment
from tests.sbom import bill, pins

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FOR_USERS = [*PROJECT["dependencies"], *(d for e in EXTRAS if e != "dev" for d in EXTRAS[e])]
LOCKS = {
    "requirements.txt": FOR_USERS,
    "requirements-dev.txt": [*PROJECT["dependencies"], *EXTRAS["dev"]],
    ".github/tools.txt": (ROOT / ".github/tools.in").read_text().split(),
}


# Locks


def lacking(lock, wanted):
    """What of the wanted a lock does not pin within its bounds, or pins without a digest."""
    found = pins(lock)
    held = {(p.name, p.version) for p in found if p.digests}
    asked = [Requirement(one) for one in wanted]
    bare = [p.name for p in found if not p.digests]
    return bare + [
        r.name
        for r in asked
        if not any(n == canonicalize_name(r.name) and r.specifier.contains(v) for n, v in held)
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_locks_hold_what_is_named(name):
    """Each dependency that is named anywhere is pinned within its bounds, all of them with digests."""
    assert lacking((ROOT / name).read_text(), LOCKS[name]) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (r"^click==.*?(?=^\S)", "", ["click"]),
        (r"^click==\S+", "click==8.1.0", ["click"]),
        (r"(?<=^annotated-types==)(\S+)[^#]*", r"\1\n    ", ["annotated-types"]),
    ],
    ids=["gone", "too old", "without a digest"],
)
def test_control_lock_that_lacks_something(old, new, said):
    """A lock from which a pin was taken, or its digests, is noticed."""
    lock = (ROOT / "requirements.txt").read_text()
    spoiled = re.sub(old, new, lock, count=1, flags=re.MULTILINE | re.DOTALL)

    assert spoiled != lock
    assert lacking(spoiled, FOR_USERS) == said


def test_locks_agree():
    """What is tested is what users and workflows install: no package has another version there."""
    tested = {(p.name, p.version) for p in pins((ROOT / "requirements-dev.txt").read_text())}
    names = {name for name, _ in tested}
    for lock in ("requirements.txt", ".github/tools.txt"):
        for pin in pins((ROOT / lock).read_text()):
            assert pin.name not in names or (pin.name, pin.version) in tested, f"{lock}: {pin.name}"


def test_locks_name_no_host():
    """No lock tells where it was made."""
    assert all("://" not in (ROOT / name).read_text() for name in LOCKS)


# Bill of materials


NOON = dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def document():
    """The bill of what is checked out."""
    return json.loads(bill((ROOT / "requirements.txt").read_text(), PROJECT, NOON))


def test_bill_is_valid_and_always_the_same(tmp_path):
    """`make sbom` writes what the schema of CycloneDX takes, twice the same bytes; a wrong one is refused."""
    check = JsonStrictValidator(SchemaVersion.V1_6)
    texts = []
    for seed in ("1", "2"):
        path = tmp_path / seed / "sbom.cdx.json"
        env = environment(tmp_path, {"PYTHONHASHSEED": seed}, measured=False)
        words = [sys.executable, "-m", "tests.sbom", str(path)]
        subprocess.run(words, cwd=ROOT, env=env, check=True)
        texts.append(path.read_text())

    assert texts[0] == texts[1]
    assert check.validate_str(texts[0]) is None
    assert check.validate_str(texts[0].replace('"library"', '"nothing"')) is not None


def test_bill_holds_every_dependency(document):
    """Each pin is in it with its digests, each dependency below who needs it, and our own version on top."""
    told = {(c["name"], c["version"]): c for c in document["components"]}
    needs = {d["ref"]: d.get("dependsOn", []) for d in document["dependencies"]}
    direct = {ref.removeprefix("pkg:pypi/").partition("@")[0] for ref in needs["drift-audit"]}
    locked = pins((ROOT / "requirements.txt").read_text())

    assert document["metadata"]["component"]["version"] == __version__
    assert document["metadata"]["timestamp"] == NOON.isoformat()
    assert direct == {canonicalize_name(Requirement(one).name) for one in FOR_USERS}
    assert told.keys() == {(p.name, p.version) for p in locked}
    for pin in locked:
        [files] = told[pin.name, pin.version]["externalReferences"]
        assert {h["content"] for h in files["hashes"]} == {*pin.digests}
    assert {*needs} == {"drift-audit", *(c["bom-ref"] for c in document["components"])}


def test_bill_tells_what_every_user_gets(document):
    """What belongs to an extra alone is optional, what every installation brings is required."""
    scope = {c["name"]: c["scope"] for c in document["components"]}
    base = {canonicalize_name(Requirement(one).name) for one in PROJECT["dependencies"]}

    assert {scope[name] for name in base} == {"required"}
    assert scope["grpcio"] == "required"
    assert {scope[n] for n in ("apprise", "pygithub", "prometheus-client", "pynacl")} == {
        "optional"
    }


def test_control_lock_that_is_none():
    """A range where a version should stand makes no bill."""
    with pytest.raises(ValueError, match="click is not pinned"):
        pins("click>=8.2\n")


# Exemptions


TODAY = "2026-01-15"
GOOD = '[[exemption]]\nid = "CVE-2026-12345"\nreason = "no XML here"\nuntil = 2026-01-15\n'


def exempt(tmp_path, text):
    """Exit code, words and complaints of the program, started as the workflow does."""
    (tmp_path / "exemptions.toml").write_text(text)
    words = ["-m", "tests.exemptions", str(tmp_path / "exemptions.toml"), f"--today={TODAY}"]
    env = environment(tmp_path, measured=False)
    done = subprocess.run(
        [sys.executable, "-S", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_exemptions_become_words_for_the_auditor(tmp_path):
    """One that holds today is a word for pip-audit; without any there is none."""
    assert exempt(tmp_path, GOOD) == (0, "--ignore-vuln=CVE-2026-12345\n", "")
    assert exempt(tmp_path, "") == (0, "", "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("until = 2026-01-15", "until = 2026-01-14", "was exempt until 2026-01-14"),
        ("until = 2026-01-15", "until = 2026-04-16", "more than 90 days"),
        ("until = 2026-01-15", 'until = "2026-01-15"', "is not a day"),
        ("until = 2026-01-15", "until = 2026-01-15T00:00:00", "is not a day"),
        ("until = 2026-01-15\n", "", "not exactly id, reason, until"),
        ("no XML here", " ", "no reason"),
        ("CVE-2026-12345", "--no-deps", "not the id of an advisory"),
        (GOOD, GOOD + GOOD, "stands there twice"),
        ("[[exemption]]", "[[exemptions]]", "something else than"),
    ],
)
def test_control_exemption_that_does_not_hold(tmp_path, old, new, said):
    """One that is over, endless, without reason or not understood ends the audit, and nothing is exempt."""
    code, words, told = exempt(tmp_path, GOOD.replace(old, new))

    assert (code, words) == (1, "")
    assert said in told


def test_own_exemptions_can_be_read():
    """Ours are well formed; whether they still hold is asked each night, and never of an old checkout."""
    document = tomllib.loads((ROOT / ".github/audit-exemptions.toml").read_text())

    assert document.keys() <= {"exemption"}
    for entry in document.get("exemption", []):
        assert entry.keys() == {"id", "reason", "until"}


# The threat table


SECURITY = (ROOT / "SECURITY.md").read_text()
ROW = re.compile(r"^\| (TM\d+b?) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)


def unproven(page):
    """Rows whose proof names nothing, or a file, test or target that is not there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found = []
    for threat, _, _, proof in ROW.findall(page):
        named = re.findall(r"`([^`]+)`", proof)
        for one in named:
            if one.startswith("make "):
                there = one.removeprefix("make ") in targets
            else:
                name, _, test = one.partition("::")
                there = (ROOT / name).is_file()
                there = there and (not test or f"def {test}(" in (ROOT / name).read_text())
            if not there:
                found.append(f"{threat}: {one}")
        if not named:
            found.append(f"{threat}: no proof")
    return found


def test_threats_are_all_answered():
    """Each threat of the model has one row, and all that a row names as its proof is there."""
    numbers = [*(f"TM{n}" for n in range(1, 14)), "TM13b", *(f"TM{n}" for n in range(14, 25))]

    assert [row[0] for row in ROW.findall(SECURITY)] == numbers
    assert unproven(SECURITY) == []


@pytest.mark.parametrize(
    ("proof", "said"),
    [
        ("`tests/test_nothing.py`", "TM1: tests/test_nothing.py"),
        ("`tests/test_supply.py::test_nothing`", "TM1: tests/test_supply.py::test_nothing"),
        ("`make nothing`", "TM1: make nothing"),
        ("we are careful", "TM1: no proof"),
    ],
)
def test_control_proof_that_is_not_there(proof, said):
    """A row that names a file, a test or a target that nobody has is noticed."""
    assert unproven(f"| TM1 | a threat | an answer | {proof} |") == [said]


def test_security_page_is_reached():
    """README leads to it, and it leads to what is read and kept."""
    assert "](SECURITY.md)" in (ROOT / "README.md").read_text()
    assert "](docs/security.md)" in SECURITY
    assert "*Report a vulnerability*" in SECURITY
