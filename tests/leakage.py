"""
`python -m tests.leakage [--every N] [--seed N] [--few] [--control]`: whether a value shows anywhere.

A world with a value of its own in every place that can hold one (`tests/planted.py`) is audited, compared,
stored, shown and attached by the real command, on every way that it can go well, and on many on which it
goes wrong (`tests/mishaps.py`). Whatever was printed, written, sent or left behind is searched for each of
the values, in every disguise. What sees values is then made to raise at each of its statements
(`tests/raising.py`): at one of N with `--every=N`, and with `--few` the formats and mishaps are fewer too.

The figures are printed as JSON; the exit code is 1 where a value showed, or nothing was looked at.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from drift_audit import seal
from drift_audit.binding import LiteralValue
from drift_audit.cli import notice
from drift_audit.renderer import FORMATS
from tests import mishaps, raising
from tests.bucket import NAME
from tests.day import Day, opened
from tests.tickets import SINKS

OUTPUTS = ("json", "html", "md", "sarif", "xml", "txt")


def goes_well(day: Day, *, control: bool = False) -> None:
    """Every way on which the program succeeds; the `control` is found on the first of them."""
    formats = sorted(FORMATS)[:: 4 if day.few else 1]
    written = [f"-or.{suffix}" for suffix in OUTPUTS] + ["-o", "github=r.github", "-o", "brief=r.brief"]  # fmt: skip
    (day.folder / "drift-audit.toml").write_text("[scope]\n")  # sarif points at it
    whole = ["audit", "--check-access", "--read-limits", "--detect"]
    (day.folder / "store").mkdir()
    day.well("snapshot", "-o", "r.snapshot.json", live=True)
    for number, store in enumerate(("store", f"gs://{NAME}/prod")):
        kept = [f"--store={store}", "--night"]
        env = {"SOURCE_DATE_EPOCH": str(1768478400 + number)}
        day.well(*whole, *kept, *written, "--metrics-file=r.prom", "--log-format=json", live=True, env=env)  # fmt: skip
        day.well("audit", "--no-config", *kept, live=True, env={"SOURCE_DATE_EPOCH": "1768578400"})
        promote = ["baseline", "promote", "api-00001-a", "--service=api", "--reason=r", "--by=me", f"--store={store}"]  # fmt: skip
        told = day.well(*promote, "--dry-run", live=True).out.decode()
        day.well(*promote, f"--sha256={told.split()[-1]}", live=True)
        day.well("audit", "--no-config", f"--store={store}", "-o", "r.json", live=True)
        day.well("baseline", "list", f"--store={store}")
        day.well("history", "api", "--format=json", f"--store={store}", live=True)
        for part in (1, 2):
            day.well("audit", "--no-config", f"--shard={part}/2", "--run=joined", f"--store={store}", live=True)  # fmt: skip
        day.well("merge", "--no-config", "--run=joined", f"--store={store}", "-o", "r.merged.json")
        day.well("render", "--format=site", f"--store={store}", "-o", "r.site.html")
        if day.few:
            break
    if control:
        return
    for format_ in formats:
        day.well("render", "r.json", f"--format={format_}")
        if not day.few:
            day.well("audit", f"--format={format_}", live=True)
    day.well("compare", "before.json", "after.json", "--no-config", "--format=html")
    day.well("compare", "SERVING", "plan.json", "--no-config", "--format=markdown", live=True)
    day.well("audit", "--input=folder", "--no-config", "--format=json", "--verbosity=debug")
    day.well("history", "api", "--input=revisions.json")
    day.well("doctor", "--no-config", "--read-limits", live=True, codes=(0, 3))
    day.well("explain", "credential-in-plain")
    for sink in SINKS:
        desk = day.desks[sink.name]
        env = {**sink.environment(desk), **day.tokens(sink.name)}
        day.well(*sink.arguments(desk, "--dry-run", report="r.json"), env=env)
        day.well(*sink.arguments(desk, report="r.json"), env=env)
    if not day.few:
        _more_goes_well(day)


def _more_goes_well(day: Day) -> None:
    audit = ["audit", "--no-config", "-o", "r.json"]
    day.well(*audit, "--verbosity=debug", "--progress=on", live=True)
    day.well(*audit, "--without-literals", "--reveal=NOTHING", live=True)
    day.well(*audit, "--log-format=text", live=True, env={"K_SERVICE": "gate"})
    day.well("snapshot", "--input=revisions.json", "--input=v2.json", "--project=shop")
    day.well("audit", "--input=-", "--no-config", stdin=(day.folder / "before.json").read_bytes())
    day.well("compare", "~1", "--service=api", "--no-config", "--format=json", live=True)
    day.well("doctor", "--no-config", "--format=json", live=True, codes=(0, 3))
    for word in ("show", "log"):
        day.well("baseline", word, "shop/europe-west1/api", "--store=store")
    day.well("baseline", "verify", "--store=store")
    day.well("seal", "rotate", "--new-key-file=new.key", "--by=me", "--store=store", "--no-config", live=False)  # fmt: skip
    day.well("init", "--into=made", "--with=terraform,gcloud,github", "--no-key", codes=(0,))
    day.well("schema", "check", "keys.json", "--input=before.json")
    day.well("history", "--kept", "*", "--store=store", codes=(0, 3, 4))
    app = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": f"{day.folder}:{day.env['PYTHONPATH']}"}
    day.well("schema", "export", "app:Settings", "-o", "r.keys.json", env=app, meanwhile=day.watch)
    if shutil.which("gcloud"):
        _previews(day)


def _previews(day: Day) -> None:
    flags = ["--no-config", "--project=shop", "--region=europe-west1", "--reference=SERVING"]
    update = ["--", "gcloud", "run", "services", "update", "api"]
    given = f"--update-env-vars=NEW={day.plant('a command of gcloud')}"
    day.well("preview", *flags, *update, "--remove-env-vars=LEVEL", codes=(3,), meanwhile=day.watch)
    day.well("preview", *flags, "--format=json", "-o", "r.html", *update, given, codes=(3,))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.leakage")
    parser.add_argument("--every", type=int, default=1, help="raise at one of so many statements")
    parser.add_argument("--few", action="store_true", help="fewer formats and mishaps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--control", action="store_true", help="a program that leaks")
    given = parser.parse_args(arguments)
    first = leaking if given.control else lambda: None
    with opened(given.seed, few=given.few, first=first) as day:
        goes_well(day, control=given.control)
        mishaps.happen(day, control=given.control)
        figures = {
            "canaries": len(day.plant.values),
            "sinks": sum(map(bool, day.sinks.values())),
            "encodings": day.look.encodings,
            **day.figures,
        }
        problems = day.problems
    with raising.benched(given.seed, first) as bench:
        raising.campaign(bench, given.every, given.seed, few=given.few)
    figures["raised_at_statements"] = bench.figures["raised"]
    figures["statements_reached"] = bench.figures["reached"]
    problems += bench.problems
    figures["leaks"] = len(problems)
    print(json.dumps({"figures": figures, "problems": problems}, indent=1))
    return 1 if problems else 0


def leaking() -> None:
    """The control: a sealer that keeps values, a log that quotes them, and defects that tell all."""
    sealed = seal.Sealer.seal_at

    def kept(*given: Any) -> LiteralValue:
        value = given[5]
        logging.getLogger("drift_audit.seal").warning("%s", value)
        return sealed(*given).but(clear=value)

    seal.Sealer.seal_at = kept  # type: ignore[method-assign,assignment]
    defect = notice.defect

    def told(message: str, error: BaseException, *, hint: str = "") -> None:
        defect(f"{message}: {error}", error, hint=hint)

    notice.defect = told


if __name__ == "__main__":
    sys.exit(main())
