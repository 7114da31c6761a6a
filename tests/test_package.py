"""What users install: the same bytes wherever it is built, all that the program needs, and nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from drift_audit import __version__
from tests.command import environment
from tests.deployment import ALL

ROOT = Path(__file__).parents[1]
PARTS = ("drift_audit", "templates", "baselines", "tests", "docs")
"""The folders that a build looks at; others change while tests run."""

PLACES: dict[str, tuple[int, dict[str, str]]] = {
    "here": (0o022, {"TZ": "UTC", "PYTHONHASHSEED": "1", "LC_ALL": "C"}),
    "elsewhere": (0o077, {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8"}),
}
"""Two machines, as far as a build can tell them apart."""

EPOCH = "1750000000"


def built(source, out, place, epoch=EPOCH):
    """The SHA-256 of each file of a build, by name."""
    umask, more = PLACES[place]
    env = environment(out.parent, {**more, "SOURCE_DATE_EPOCH": epoch}, measured=False)
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    subprocess.run(words, cwd=source, env=env, umask=umask, check=True, capture_output=True)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.iterdir())}


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The sources, as a checkout has them, in a folder of another name."""
    folder = tmp_path_factory.mktemp("any") / "sources"
    for name in PARTS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith(".coverage"):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def dist(source):
    """Wheel and sdist, and their digests."""
    out = source.parent / "dist"
    return out, built(source, out, "here")


@pytest.fixture(scope="session")
def wheel(dist):
    """The wheel."""
    [found] = dist[0].glob("*.whl")
    return found


@pytest.fixture(scope="session")
def unpacked(dist, tmp_path_factory):
    """The sdist as it is unpacked."""
    [found] = dist[0].glob("*.tar.gz")
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(found) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"drift_audit-{__version__}"


def test_same_bytes_wherever_it_is_built(dist, source, tmp_path):
    """Another folder, umask, time zone, locale, hash seed and age of the files make no difference."""
    other = shutil.copytree(source, tmp_path / "a longer name" / "copy")
    for path in other.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1, 1))
    digests = dist[1]

    assert [Path(name).suffix for name in digests] == [".whl", ".gz"]
    assert built(other, tmp_path / "out", "elsewhere") == digests


def test_control_other_bytes_are_noticed(dist, source, tmp_path):
    """One letter more in one module, and both files differ; so do they where the time is another one."""
    other = shutil.copytree(source, tmp_path / "copy")
    later = built(other, tmp_path / "later", "here", epoch="1750000002")
    with (other / "drift_audit" / "errors.py").open("a") as file:
        file.write("\n")
    edited = built(other, tmp_path / "edited", "here")

    for name, digest in dist[1].items():
        assert edited[name] != digest
        assert later[name] != digest


SHIPPED = (
    "drift_audit/*.py",
    "drift_audit/py.typed",
    "drift_audit/rules/rules.json",
    "drift_audit/templates/*",
    "drift_audit/baselines/*.json",
    f"drift_audit-{__version__}.dist-info/*",
)
"""All that a wheel may hold, as patterns; a star passes slashes."""


def foreign(names):
    """What of the names a wheel must not hold."""
    private = re.compile(
        r"(^|/)(tests?|docs|bench|snapshots?|corpus|golden|cases)/|test_|\.key$|\.lock$"
    )
    return [n for n in names if private.search(n) or not any(fnmatchcase(n, p) for p in SHIPPED)]


def test_wheel_holds_what_the_program_needs_and_no_more(wheel):
    """The package, all its data and the licence are in it; tests, documentation and leftovers are not."""
    inside = zipfile.ZipFile(wheel).namelist()
    needed = {
        "drift_audit/py.typed",
        *(str(p.relative_to(ROOT)) for p in (ROOT / "drift_audit").rglob("*.py")),
        *(
            f"drift_audit/{p.relative_to(ROOT)}"
            for folder in ("templates", "baselines")
            for p in (ROOT / folder).rglob("*")
            if p.is_file()
        ),
    }
    about = {n.partition(".dist-info/")[2] for n in inside if ".dist-info/" in n}

    assert len(needed) > 100
    assert needed <= set(inside)
    assert foreign(inside) == []
    assert len(inside) == len(set(inside))
    assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


@pytest.mark.parametrize(
    "name",
    [
        "tests/test_x.py",
        "drift_audit/tests/x.py",
        "drift_audit/x.pyc",
        "drift_audit/seal.key",
        "docs/x.md",
    ],
)
def test_control_foreign_files_are_noticed(name):
    """What has no place in a wheel is named."""
    assert foreign(["drift_audit/errors.py", name]) == [name]


def test_wheel_works_elsewhere(wheel, tmp_path):
    """Installed without its repository: the program starts, the demo runs, `init` writes all that it can."""
    site = tmp_path / "site"
    install = ("install", "--quiet", "--no-index", "--no-deps", "--target", str(site), str(wheel))
    env = {**environment(tmp_path, measured=False), "PYTHONPATH": str(site)}
    subprocess.run([sys.executable, "-m", "pip", *install], cwd=tmp_path, env=env, check=True)

    def ran(*words):
        done = subprocess.run(
            [sys.executable, str(site / "bin" / "drift-audit"), *words],
            cwd=tmp_path, env=env, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout

    assert ran("--version").split()[-1] == __version__
    for words in (["demo"], ["init", "--no-key"], ["init", f"--with={ALL}"]):
        ran(*words)
    for name in ("report.html", "report.md", "report.json"):
        golden = (ROOT / "tests/golden" / f"demo-{name}").read_text()
        assert (tmp_path / name).read_text() == golden
    assert (tmp_path / "drift-audit.toml").exists()


def test_sdist_builds_the_same_wheel(dist, unpacked, tmp_path):
    """Who builds from the sdist gets the wheel that is published."""
    out = tmp_path / "out"
    built(unpacked, out, "elsewhere")
    [again] = out.glob("*.whl")

    assert hashlib.sha256(again.read_bytes()).hexdigest() == dist[1][again.name]


def test_sdist_holds_no_leftovers(unpacked):
    """It has what the wheel is made of, the tests and the pages, and nothing of the workplace."""
    top = {p.name for p in unpacked.iterdir()}
    odd = [p.name for p in unpacked.rglob("*") if p.suffix in {".pyc", ".key"} or p.name == ".venv"]

    assert {
        "drift_audit",
        "templates",
        "baselines",
        "tests",
        "docs",
        "LICENSE",
        "SECURITY.md",
    } <= top
    assert not top & {"dist", "bench", ".git", ".github", ".venv"}
    assert odd == []
