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
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from drift_audit.renderer import FORMATS
from tests import forked, planted, raising
from tests.bucket import NAME, Cloud, bucket
from tests.canary import files_below, unpacked
from tests.command import environment
from tests.planted import SCOPE, Lookout, Planted
from tests.tickets import SINKS, Desk, serving

PROGRAM = (sys.executable, "-m", "drift_audit")

TOKENS = {
    "GITHUB_TOKEN": "token of GitHub",
    "JIRA_API_TOKEN": "token of Jira",
    "SERVICENOW_PASSWORD": "password of ServiceNow",
    "CI_DEPLOY_PASSWORD": "a variable of the caller",
    "AWS_SECRET_ACCESS_KEY": "another variable of the caller",
}


@dataclass
class Day:
    """A folder in which the command is run, and everything that it can leave a value in."""

    folder: Path
    plant: Planted
    look: Lookout
    env: dict[str, str]
    cloud: Cloud
    desks: dict[str, Desk]
    few: bool = False
    first: Callable[[], object] = lambda: None
    addresses: str = ""
    sinks: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def run(
        self,
        *arguments: str,
        live: bool = False,
        env: Mapping[str, str | None] | None = None,
        real: bool = False,
        wrapped: Sequence[str] = (),
        stdin: bytes = b"",
        out: str = "",
        meanwhile: Callable[[int], None] = lambda _: None,
        before: Callable[[], object] | None = None,
    ) -> forked.Ended:
        """
        Run `drift-audit` and look at all that it says and writes. `real` is a process of its own from
        the first, as it must be where the interpreter itself is told something, or for standard input;
        `wrapped` is a command to run that in.
        """
        given = {**self.env, **forked.pointing(self.addresses), **(env or {})}
        kept = {name: value for name, value in given.items() if value is not None}
        kept.setdefault("DRIFT_AUDIT_SEAL_KEY", self.plant.key())
        if env and "DRIFT_AUDIT_SEAL_KEY" in env and env["DRIFT_AUDIT_SEAL_KEY"] is None:
            del kept["DRIFT_AUDIT_SEAL_KEY"]
        words = [*arguments, *(SCOPE if live else ())]
        there = files_below(self.folder)
        if real or stdin or wrapped:
            ended = self._process(words, kept, stdin, wrapped)
        else:
            first = before or self.first
            if words[0] not in self.known:  # so that the next of its kind is quick
                self.known.add(words[0])
                forked.warm(words, self.folder, kept)
                there = files_below(self.folder)
            ended = forked.run(words, self.folder, kept, first=first, meanwhile=meanwhile, out=out)
        self._look(words, ended, there)
        return ended

    def _process(
        self, words: Sequence[str], env: Mapping[str, str], stdin: bytes, wrapped: Sequence[str]
    ) -> forked.Ended:
        done = subprocess.run(
            [*wrapped, *PROGRAM, *words],
            cwd=self.folder, env=dict(env), input=stdin, capture_output=True, check=False,
        )  # fmt: skip
        return forked.Ended(done.returncode, done.stdout, done.stderr)

    def _look(self, words: Sequence[str], ended: forked.Ended, there: Mapping[str, bytes]) -> None:
        said = "log of JSON lines" if "--log-format=json" in words else "standard error"
        self.looked(_format(words), ended.out, words)
        self.looked(said, ended.err, words)
        for name, data in files_below(self.folder).items():
            if there.get(name) != data:
                self.looked(_sink(name), name.encode() + b"\n" + data, words)
        for name, (_, data) in self.cloud.objects.items():
            self.looked(f"bucket, {_part(name)}", unpacked(name, data), words)
        for name, desk in self.desks.items():
            secret = {"authorization", "cookie"}
            for one in desk.asked:
                head = [v for k, v in one.headers.items() if k not in secret]
                told = "\n".join([one.line, *one.query.values(), *head]).encode()
                self.looked(f"sent to {name}", told + b"\n" + one.body, words)
            desk.asked.clear()

    def looked(self, sink: str, data: bytes, words: Sequence[str]) -> None:
        """Search some bytes; a sink counts where it held any."""
        self.sinks[sink] += bool(data.strip())
        for found in self.look.found(data):
            self.problems.append(f"{sink}: {found}: {' '.join(words)[:120]}")

    def tokens(self, sink: str) -> dict[str, str]:
        """The credentials for a place where reports are sent to, which stand nowhere else."""
        if sink != "notify":
            return {name: self.plant(of) for name, of in TOKENS.items()}
        host = self.desks["notify"].url.removeprefix("http://")
        password = self.plant("URL of a chat")
        return {"DRIFT_AUDIT_NOTIFY_OPS": f"json://bot:{password}@{host}/in?wait=0.1"}

    def watch(self, process: int) -> None:
        """Look at what a run tells those that it starts, until it is over."""
        known = {f"{name}={value}".encode() for name, value in self.env.items()}
        while _state(process) not in ("", "Z"):
            for one in _below(process):
                about = Path(f"/proc/{one}")
                with suppress(OSError):
                    given = (about / "environ").read_bytes().split(b"\0")
                    environ = b"\n".join(entry for entry in given if entry not in known)
                    self.looked("command line of a child", (about / "cmdline").read_bytes(), ["?"])
                    self.looked("environment of a child", environ, ["?"])
            time.sleep(0.02)

    def expect(self, what: str, ended: forked.Ended, *codes: int) -> None:
        """Notice a run that ended otherwise: who looks at nothing finds nothing."""
        if ended.code not in codes:
            said = ended.err.decode(errors="replace")[-300:]
            self.problems.append(f"{what} ended with {ended.code}: {said}")

    def well(self, *arguments: str, codes: Sequence[int] = (0, 10), **options: object) -> None:
        """A run that goes well."""
        self.figures["success_runs"] += 1
        ended = self.run(*arguments, **options)  # type: ignore[arg-type]  # those of `run`
        self.expect(" ".join(arguments), ended, *codes)


def _format(words: Sequence[str]) -> str:
    for i, word in enumerate(words):
        if word.startswith("--format="):
            return f"{words[0]} --format={word.partition('=')[2]}"
        if word == "--format":
            return f"{words[0]} --format={words[i + 1]}"
    return f"{words[0] if words else 'nothing'}: standard output"


def _sink(name: str) -> str:
    head, *rest = Path(name).parts
    if head in ("store", "baselines"):
        return f"store, {_part('/'.join(rest))}"
    return f"file {name}" if not rest and head.startswith("r.") else f"{head}{'/' if rest else ''}"


def _part(name: str) -> str:
    head = name.removeprefix("prod/").partition("/")[0]
    return head if head.startswith(("_", ".")) else "baselines"


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


def _below(process: int) -> Iterator[int]:
    """The processes that one has started, and those that they have."""
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for one in map(int, (task / "children").read_text().split()):
                yield one
                yield from _below(one)


OUTPUTS = ("json", "html", "md", "sarif", "xml", "txt")


def goes_well(day: Day) -> None:
    """Every way on which the program succeeds."""
    formats = sorted(FORMATS)[:: 4 if day.few else 1]
    written = [f"-or.{suffix}" for suffix in OUTPUTS] + ["-o", "github=r.github", "-o", "brief=r.brief"]  # fmt: skip
    (day.folder / "drift-audit.toml").write_text("[scope]\n")  # sarif points at it
    whole = ["audit", "--check-access", "--read-limits", "--detect"]
    (day.folder / "store").mkdir()
    for number, store in enumerate(("store", f"gs://{NAME}/prod")):
        kept = [f"--store={store}", "--night"]
        env = {"SOURCE_DATE_EPOCH": str(1768478400 + number)}
        day.well(*whole, *kept, *written, "--metrics-file=r.prom", "--log-format=json", live=True, env=env)  # fmt: skip
        day.well("audit", "--no-config", *kept, live=True, env={"SOURCE_DATE_EPOCH": "1768578400"})
        promote = ["baseline", "promote", "api-00001-a", "--service=api", "--reason=r", "--by=me", f"--store={store}"]  # fmt: skip
        day.well(*promote, live=True)
        day.well("audit", "--no-config", f"--store={store}", "-o", "r.json", live=True)
        day.well("baseline", "list", f"--store={store}")
        day.well("history", "api", "--format=json", f"--store={store}", live=True)
        for part in (1, 2):
            day.well("audit", "--no-config", f"--shard={part}/2", "--run=joined", f"--store={store}", live=True)  # fmt: skip
        day.well("merge", "--no-config", "--run=joined", f"--store={store}", "-o", "r.merged.json")
        day.well("render", "--format=site", f"--store={store}", "-o", "r.site.html")
        if day.few:
            break
    for format_ in formats:
        day.well("render", "r.json", f"--format={format_}")
        if not day.few:
            day.well("audit", "--no-config", f"--format={format_}", live=True)
    day.well("snapshot", "-o", "r.snapshot.json", live=True)
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
    app = {"PYTHONPATH": f"{day.folder}:{day.env['PYTHONPATH']}"}
    day.well("schema", "export", "app:Settings", "-o", "r.keys.json", env=app, meanwhile=day.watch)
    if shutil.which("gcloud"):
        _previews(day)


def _previews(day: Day) -> None:
    flags = ["--no-config", "--project=shop", "--region=europe-west1", "--reference=SERVING"]
    update = ["--", "gcloud", "run", "services", "update", "api"]
    given = f"--update-env-vars=NEW={day.plant('a command of gcloud')}"
    day.well("preview", *flags, *update, "--remove-env-vars=LEVEL", meanwhile=day.watch)
    day.well("preview", *flags, "--format=json", "-o", "r.html", *update, given)


@contextmanager
def opened(
    seed: int, *, few: bool = False, first: Callable[[], object] = lambda: None
) -> Iterator[Day]:
    """A day in a folder of its own, with an emulator, a bucket and desks for tickets."""
    plant = Planted(seed)
    planted.known(plant)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place) / "work"
        for name in ("", "tmp", "home"):
            (folder / name).mkdir()
        planted.write(folder, plant)
        for place_ in (*TOKENS.values(), "URL of a chat", "a command of gcloud", "password of a proxy", "private key of an account"):  # fmt: skip
            plant(place_)
        env = environment(folder / "home") | {name: plant(of) for name, of in TOKENS.items()}
        proxy = f"http://u:{plant('password of a proxy')}@127.0.0.1:9"
        env |= {"TMPDIR": str(folder / "tmp"), "HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1,localhost"}  # fmt: skip
        plant.key()
        emulator = stack.enter_context(forked.child(partial(planted.playing, plant), forked.reached))  # fmt: skip
        cloud = stack.enter_context(bucket())
        desks = {sink.name: stack.enter_context(serving(sink.service)) for sink in SINKS}
        values = Lookout(plant.values)
        yield Day(folder, plant, values, env | cloud.env, cloud, desks, few, first, emulator.said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print the figures."""
    from tests import mishaps

    parser = argparse.ArgumentParser(prog="python -m tests.leakage")
    parser.add_argument("--every", type=int, default=1, help="raise at one of so many statements")
    parser.add_argument("--few", action="store_true", help="fewer formats and mishaps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--control", action="store_true", help="a program that leaks")
    given = parser.parse_args(arguments)
    first = leaking if given.control else lambda: None
    with opened(given.seed, few=given.few, first=first) as day:
        goes_well(day)
        mishaps.happen(day)
        figures = {
            "canaries": len(day.plant.values),
            "sinks": sum(map(bool, day.sinks.values())),
            "encodings": day.look.encodings,
            **day.figures,
        }
        problems = day.problems
    with raising.benched(given.seed, first) as bench:
        raising.campaign(bench, given.every, given.seed)
    figures["raised_at_statements"] = bench.figures["raised"]
    figures["statements_reached"] = bench.figures["reached"]
    problems += bench.problems
    figures["leaks"] = len(problems)
    print(json.dumps({"figures": figures, "problems": problems}, indent=1))
    return 1 if problems else 0


def leaking() -> None:
    """The control: a sealer that keeps values, a log that quotes them, and defects that tell all."""
    import logging

    from drift_audit import seal
    from drift_audit.cli import notice

    sealed = seal.Sealer.seal_at

    def kept(self: seal.Sealer, home: object, container: str, kind: str, name: str, *values: str) -> object:  # fmt: skip
        logging.getLogger("drift_audit.seal").warning("%s", values)
        found = sealed(self, home, container, kind, name, *values)  # type: ignore[arg-type]
        return found.but(clear=values[0])

    seal.Sealer.seal_at = kept  # type: ignore[method-assign,assignment]
    defect = notice.defect

    def told(message: str, error: BaseException, *, hint: str = "") -> None:
        defect(f"{message}: {error}", error, hint=hint)

    notice.defect = told


if __name__ == "__main__":
    sys.exit(main())
