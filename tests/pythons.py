"""
`python -m tests.pythons [--control] [PYTHON...]`: the same bytes from every Python that is supported.

Those that pyproject.toml names are looked for on the PATH, unless some are given. Each gets an
environment of its own, with what requirements.txt pins, and runs the same commands over the same
inputs: the demo, files of five services in every format, a world that is played to it, real manifests, and
inputs that are refused, as the words of an error could be those of Python.

The figures are printed as JSON; the exit code is 1 where one Python tells something else than another,
or is not here. With `--control` a tool that tells its Python takes the place of ours.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.command import SEALED, environment
from tests.test_determinism import FORMATS, POLICY, exported, played, sha256
from tests.warm import Warm
from tests.worlds import playing, reached

HERE = Path(__file__).parent
ROOT = HERE.parent
OUTPUTS = [f"--output=report.{kind}" for kind in FORMATS]

OURS = ("-m", "drift_audit")
TELLING = ("-c", "import sys; print(sys.prefix)")
"""A tool whose output is another one under each Python."""

Bytes = Mapping[str, str]
"""The digest of all that one Python wrote, by command and file."""


def supported() -> list[str]:
    """The versions of Python that pyproject.toml names."""
    names = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    versions = (name.rpartition(" :: ")[2] for name in names if " :: Python :: " in name)
    return [version for version in versions if version.startswith("3.")]


def found(version: str) -> Path | None:
    """A Python of that version on the PATH; one that does not start is none."""
    name = shutil.which(f"python{version}")
    if name is None:
        return None
    asked = subprocess.run(
        [name, "-c", "import sys; print(sys.executable)"],
        capture_output=True,
        text=True,
        check=False,
    )
    return Path(asked.stdout.strip()) if asked.returncode == 0 else None


def ready(python: Path, folder: Path) -> Path:
    """The Python of an environment that has what users install."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    own = folder / "bin" / "python"
    pip = [own, "-m", "pip", "install", "-q", "--require-hashes", "-r", ROOT / "requirements.txt"]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    return own


def ran(python: Path, folder: Path, inputs: Sequence[Path], program: Sequence[str] = OURS) -> Bytes:
    """What one Python makes of every command, the first of which is the program that is given."""
    told: dict[str, str] = {}
    env = environment(folder, SEALED, measured=False)
    helped = subprocess.run([python, *program, "--help"], env=env, capture_output=True, check=False)
    told["help: stdout"] = sha256(helped.stdout)
    warm = Warm(environment(ROOT, measured=False), str(python))

    def command(name: str, *arguments: str, more: Mapping[str, str] | None = None) -> None:
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        before = set(place.iterdir())
        done = warm(arguments, place, {**env, **(more or {})}, limited=False)
        written = {path.name: path.read_bytes() for path in set(place.iterdir()) - before}
        parts = {"exit": b"%d" % done.code, "stdout": done.out, "stderr": done.err, **written}
        told.update({f"{name}: {part}": sha256(data) for part, data in parts.items()})

    command("explain", "explain", "key-missing")
    command("demo", "demo")
    several = exported(folder / "files", _as_it_is)
    (folder / "files" / "drift-audit.toml").write_text(POLICY)
    command("files", "audit", "--project=shop", *several, *OUTPUTS)
    with playing(played(_as_it_is)) as emulator:
        scope = ("--project=shop", "--region=r1", "--kind=service")
        command("live", "audit", *scope, *OUTPUTS, more=reached(emulator))
    for path in inputs:
        command(str(path.relative_to(HERE)), "audit", f"--input={path}", "--output=report.json")
    return told


def _as_it_is(_: list[object]) -> None:
    """An order that changes nothing."""


def documents() -> list[Path]:
    """Every real manifest and hostile input that is stored here."""
    found = (path for folder in ("real", "nasty") for path in (HERE / folder).rglob("*"))
    return sorted(path for path in found if path.suffix in (".yaml", ".yml", ".json", ".txt"))


def differences(told: Mapping[str, Bytes]) -> list[str]:
    """What is not the same under all of them."""
    parts = sorted({part for one in told.values() for part in one})
    return [
        f"{part}: {len(digests)} different ones"
        for part in parts
        if len(digests := {one.get(part) for one in told.values()}) > 1
    ]


def campaign(
    pythons: Sequence[Path], folder: Path, inputs: Sequence[Path], program: Sequence[str] = OURS
) -> tuple[dict[str, int], list[str]]:
    """Run everything under each of some Pythons that have all they need: figures and problems."""
    told = {}
    for number, python in enumerate(pythons):
        place = folder / str(number)
        place.mkdir()
        told[str(python)] = ran(python, place, inputs, program)
    different = differences(told)
    outputs = min(map(len, told.values()), default=0)
    return {"pythons": len(told), "outputs": outputs, "different": len(different)}, different


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every Python and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.pythons")
    parser.add_argument(
        "pythons", nargs="*", type=Path, metavar="PYTHON", help="in place of those on the PATH"
    )
    parser.add_argument("--control", action="store_true", help="a tool that tells its Python")
    given = parser.parse_args(arguments)
    absent = []
    pythons = list(given.pythons)
    if not pythons:
        here = {version: found(version) for version in supported()}
        absent = [
            f"there is no Python {version} here" for version, one in here.items() if one is None
        ]
        pythons = [one for one in here.values() if one is not None]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "runs").mkdir()
        own = [ready(python, folder / f"python-{n}") for n, python in enumerate(pythons)]
        program = TELLING if given.control else OURS
        figures, problems = campaign(own, folder / "runs", documents(), program)
    print(json.dumps({"figures": figures, "problems": absent + problems}, indent=1))
    return 1 if absent or problems else 0


if __name__ == "__main__":
    sys.exit(main())
