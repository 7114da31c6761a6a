"""
What goes wrong in `tests.leakage`: servers that fail in every way they can, files that are broken, keys,
tokens and stores that are, disks that take nothing, signals, and an environment that makes libraries talk.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests import forked, planted
from tests.bucket import NAME
from tests.day import PROGRAM, Day
from tests.raising import EXCEPTIONS, Injector
from tests.tickets import SINKS

AUDIT = ("audit", "--no-config", "--timeout=2", "-o", "r.json")
COLLECTOR = Path(__file__).parents[1] / "drift_audit" / "collector"

LISTS, REVISIONS = "Services/ListServices", "Revisions/ListRevisions"
VERSIONS = "SecretManagerService/ListSecretVersions"
FAULTS = (
    *(f"{LISTS}:1+:{kind}" for kind in ("PERMISSION_DENIED", "UNAUTHENTICATED", "INTERNAL", "DATA_LOSS", "hang", "truncated", "oversize", "reset", "repeated-token", "early-end", "unreachable")),
    *(f"{REVISIONS}:1+:{kind}" for kind in ("PERMISSION_DENIED", "UNAVAILABLE", "INVALID_ARGUMENT", "hang", "reset-midway", "token-cycle", "unknown-field")),
    *(f"{VERSIONS}:1+:{kind}" for kind in ("RESOURCE_EXHAUSTED", "NOT_FOUND", "PERMISSION_DENIED")),
    "WorkerPools/ListWorkerPools:1+:INTERNAL",
    "Jobs/ListJobs:1+:expired-credential",
    f"{REVISIONS}:2:permission-flip",
    f"{LISTS}:2:generation-bump",
)  # fmt: skip


def happen(day: Day, *, control: bool = False) -> None:
    """
    All that goes wrong, one thing after the other; none of it may end well. The `control` needs
    nothing but defects.
    """
    ways = (_servers, _files, _keys, _tickets, _streams, _stops, _loud, _raised)
    every = [one for way in (ways[-1:] if control else ways) for one in way()]
    for number, (what, act) in enumerate(every):
        if day.few and number % (4 if control else 5):
            continue
        day.figures["failure_paths"] += 1
        ended = act(day)
        if ended.code in (0, 1, forked.STUCK):
            day.expect(what, ended, 2)


Mishap = tuple[str, Callable[[Day], forked.Ended]]


def _servers() -> Iterator[Mishap]:
    for fault in FAULTS:
        yield fault, partial(_faulty, fault)
    for name in ("projects/shop", "projects/shop/secrets/jwt", "projects/shop/locations/europe-west1"):  # fmt: skip
        yield f"{name} is denied", partial(_denied, name)
    nowhere = "127.0.0.1:1 127.0.0.1:1"
    yield "nobody answers", lambda day: day.run(*AUDIT, live=True, env=forked.pointing(nowhere))
    yield "no such project", lambda day: day.run(*AUDIT, "--project=none", "--region=r1")
    yield "an empty region", lambda day: day.run(*AUDIT, "--project=shop", "--region=r1")
    yield "no such service", lambda day: day.run(*AUDIT, "--service=gone", live=True)
    yield "no such revision", lambda day: day.run("compare", "~9", "--service=api", live=True)


def _faulty(fault: str, day: Day) -> forked.Ended:
    play = partial(planted.playing, day.plant, [fault])
    with forked.child(play, forked.reached, forked.fired) as emulator:
        env = forked.pointing(emulator.said)
        ended = day.run(*AUDIT, "--verbosity=debug", live=True, env=env)
    if emulator.last in ("", "0"):
        day.problems.append(f"{fault} never took effect")
    return ended


def _denied(name: str, day: Day) -> forked.Ended:
    document = planted.world(day.plant) | {"denied": [name]}
    with forked.child(partial(planted.playing, day.plant, (), document), forked.reached) as emulator:  # fmt: skip
        env = forked.pointing(emulator.said)
        return day.run("audit", "--no-config", "--log-format=json", live=True, env=env)


def _files() -> Iterator[Mishap]:
    for name, make in BROKEN.items():
        yield name, partial(_broken, name, make)


def _broken(name: str, make: Callable[[Day], Any], day: Day) -> forked.Ended:
    """Audit a file that is broken; its name tells by its end what it is."""
    made = make(day)
    path = day.folder / name
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        path.write_text(made if isinstance(made, str) else json.dumps(made))
    try:
        match path.suffix:
            case ".toml":
                return day.run("audit", "--input=before.json", f"--config={name}")
            case ".report":
                return day.run("render", name)
            case ".keys":
                return day.run("schema", "check", name, "--input=before.json")
            case ".txt":
                return day.run("audit", f"--projects-file={name}")
            case ".key":
                path.chmod(0o600)
                env = {"DRIFT_AUDIT_SEAL_KEY": None, "DRIFT_AUDIT_SEAL_KEY_FILE": name}
                return day.run("snapshot", "--input=before.json", env=env)
            case ".world":
                return day.run("emulator", f"--world={name}")
        return day.run("audit", f"--input={name}", "--no-config", "-o", "r.json", "--format=json")
    finally:
        path.unlink()


def _text(day: Day) -> str:
    return (day.folder / "before.json").read_text()


def _changed(day: Day, old: str, new: str) -> str:
    text = _text(day)
    assert old in text
    return text.replace(old, new, 1)


def _value(day: Day) -> str:
    return day.plant("before: env")


def _report(day: Day, **changed: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((day.folder / "r.json").read_text())
    return told | changed


BROKEN: dict[str, Callable[[Day], Any]] = {
    "cut-off.json": lambda d: _text(d)[:-40],
    "no-json.json": lambda d: f'{{"value": "{_value(d)}" oops',
    "no-utf8.json": lambda d: _text(d).replace(_value(d), f"{_value(d)}\udcff").encode("utf-8", "surrogateescape"),
    "twice.json": lambda d: _changed(d, '"value":', f'"value": "{_value(d)}", "value":'),
    "number.json": lambda d: _changed(d, f'"{_value(d)}"', "17"),
    "list.json": lambda d: _changed(d, f'"{_value(d)}"', f'["{_value(d)}"]'),
    "both.json": lambda d: _changed(d, '"value":', '"valueFrom": {"secretKeyRef": {"name": "x", "key": "1"}}, "value":'),
    "from.json": lambda d: _changed(d, '"valueFrom":', '"valueFrom2":'),
    "deep.json": lambda d: "[" * 5000 + f'"{_value(d)}"' + "]" * 5000,
    "name.json": lambda d: _changed(d, '"api"', f'"{_value(d)} x"'),
    "secret.json": lambda d: _changed(d, '"name": "jwt"', f'"name": "{_value(d)}/{_value(d)}"'),
    "alias.yaml": lambda d: f"a: &x {_value(d)}\nb: *x\n",
    "tag.yaml": lambda d: f"a: !!python/object/apply:os.system ['{_value(d)}']\n",
    "open.yaml": lambda d: f"a: '{_value(d)}\nb: [",
    "other.json": lambda d: {"kind": "Deployment", "apiVersion": "apps/v1", "spec": _value(d)},
    "plan-cut.json": lambda d: (d.folder / "plan.json").read_text()[:-90],
    "plan-wrong.json": lambda d: planted.plan(d.plant) | {"resource_changes": [_value(d)]},
    "severity.toml": lambda d: f'fail_on = "{_value(d)}"',
    "unknown.toml": lambda d: f'[scope]\npassword = "{_value(d)}"',
    "syntax.toml": lambda d: f'reveal = ["{_value(d)}"\n[scope',
    "required.toml": lambda d: f'[[service]]\n[service.required]\nA = {{ from = "{_value(d)}" }}',
    "until.toml": lambda d: f'[[waiver]]\nrule = "key-lost"\nat = "*"\nowner = "o"\nreason = "r"\nuntil = "{_value(d)}"',
    "missing.toml": lambda d: "[[service]]\nrequired = {GONE = {}}",
    "extra.report": lambda d: _report(d, password=_value(d)),
    "clean.report": lambda d: _report(d, verdict="clean", exit_code=0, notes=[_value(d)]),
    "named.report": lambda d: _report(d, **{_value(d): 1}),
    "wrong.report": lambda d: _report(d, verdict=_value(d)),
    "cut.report": lambda d: json.dumps(_report(d))[:-50] + _value(d),
    "wrong.keys": lambda d: {"settings": "a:S", "keys": [{"field": _value(d), "names": _value(d)}]},
    "named.keys": lambda d: {"settings": "a:S", "keys": [], _value(d): 1},
    "no.keys": lambda d: f'{{"keys": "{_value(d)}',
    "projects.txt": lambda d: f"shop\n{_value(d)} {_value(d)}!\n",
    "short.key": _value,
    "no.key": lambda d: b"\xff\xfe" + _value(d).encode("utf-16-le"),
    "wrong.world": lambda d: f"services: [{{project: shop, env: {{A: {_value(d)}}}}}]",
    "cut.world": lambda d: f"services: [{{project: '{_value(d)}",
}  # fmt: skip


def _keys() -> Iterator[Mishap]:
    audit = ("audit", "--no-config", "--store=store")
    payload = "projects/shop/secrets/jwt/versions/1"
    key = "DRIFT_AUDIT_SEAL_KEY"

    def with_(**env: str | None) -> Callable[[Day], forked.Ended]:
        return lambda day: day.run(*audit, live=True, env={key: None, **env})

    yield "a key that is none", lambda d: d.run(*audit, live=True, env={key: d.plant("the sealing key")})  # fmt: skip
    yield "another key", lambda d: d.run(*audit, "--fail-on=never", live=True, env={key: planted.Planted(9).key()})  # fmt: skip
    yield "no key to store with", lambda d: d.run("snapshot", "--input=before.json", env={key: None})  # fmt: skip
    yield "a payload that is no key", with_(DRIFT_AUDIT_SEAL_KEY_SECRET=payload)
    yield "a secret that is not there", with_(DRIFT_AUDIT_SEAL_KEY_SECRET="projects/shop/secrets/none/versions/1")  # fmt: skip
    yield "a key file that is not there", with_(DRIFT_AUDIT_SEAL_KEY_FILE="none.key")
    yield "a baseline that was edited", partial(_spoiled, lambda data: data.replace(b'"r"', b'"x"'))
    yield "a baseline that was cut", partial(_spoiled, lambda data: data[: len(data) // 2])
    yield "a baseline that holds a value", _foreign
    yield "a bucket that denies", partial(_bucket, denied="prod")
    yield "a bucket that is not there", lambda d: d.run(*audit[:2], "--store=gs://none-such", "--night", live=True)  # fmt: skip
    for word in ("show", "log"):
        yield f"no baseline to {word}", partial(_said, "baseline", word, "shop/r1/none")
    yield "a baseline is demanded", lambda d: d.run(*audit, "--service=web", "--require-baseline", live=True)  # fmt: skip


def _spoiled(spoil: Callable[[bytes], bytes], day: Day) -> forked.Ended:
    path = day.folder / "store" / "shop" / "europe-west1" / "api.json"
    kept = path.read_bytes()
    path.write_bytes(spoil(kept))
    try:
        day.run("baseline", "verify", "--store=store")
        return day.run("audit", "--no-config", "--store=store", live=True)
    finally:
        path.write_bytes(kept)


def _foreign(day: Day) -> forked.Ended:
    def spoil(data: bytes) -> bytes:
        return data.replace(b"{", f'{{"{_value(day)}": "{_value(day)}",'.encode(), 1)

    return _spoiled(spoil, day)


def _bucket(day: Day, denied: str) -> forked.Ended:
    day.cloud.denied = denied
    try:
        return day.run("audit", "--no-config", f"--store=gs://{NAME}/prod", "--night", live=True)
    finally:
        day.cloud.denied = ""


def _tickets() -> Iterator[Mishap]:
    for sink in SINKS:
        for code in (401, 403, 404, 413, 429, 500):
            yield f"{sink.name} answers {code}", partial(_refused, sink.name, code)
        yield f"{sink.name} answers nonsense", partial(_refused, sink.name, 0)
    token = "DRIFT_AUDIT_NOTIFY_OPS"
    for url in ("nonsense://u:{}@h/", "json://bot:{}@127.0.0.1:1/", "{}"):
        yield f"a chat at {url[:10]}", partial(_chat, token, url)
    yield "no token", lambda d: d.run("attach", "github", "r.json", "acme/shop#12", env={"GITHUB_TOKEN": None})  # fmt: skip


def _chat(token: str, url: str, day: Day) -> forked.Ended:
    told = {token: url.format(day.plant("URL of a chat"))}
    return day.run("attach", "notify", "r.json", "ops", env=told)


def _refused(name: str, code: int, day: Day) -> forked.Ended:
    desk = day.desks[name]
    [sink] = [one for one in SINKS if one.name == name]
    echo = day.plant("token of GitHub").encode()
    desk.always, desk.garbage = ((code, {"Retry-After": "0"}), None) if code else (None, echo)
    try:
        arguments = sink.arguments(desk, report="r.json")
        ended = day.run(*arguments, env={**sink.environment(desk), **day.tokens(name)})
    finally:
        desk.always = desk.garbage = None
    took = name == "notify" and not code  # whatever a chat says with 200 is a yes
    return forked.Ended(2, ended.out, ended.err) if took and ended.code == 0 else ended


def _said(*words_and_day: Any) -> forked.Ended:
    *words, day = words_and_day
    ended: forked.Ended = day.run(*words)
    return ended


def _streams() -> Iterator[Mishap]:
    compare = ("compare", "before.json", "after.json", "--no-config")
    yield "a full device", lambda d: d.run(*compare, out="/dev/full")
    yield "a full device, live", lambda d: d.run("audit", "--no-config", live=True, out="/dev/full")
    yield "no such folder", lambda d: d.run(*compare, "-o", "none/r.json", "-o", "r.html")
    yield "a folder in its place", lambda d: d.run(*compare, "-o", "html=folder")
    yield "metrics nowhere", lambda d: d.run("audit", "--no-config", "--metrics-file=none/m", live=True)  # fmt: skip
    yield "a closed pipe", _closed
    if shutil.which("unshare"):
        yield "a full disk", partial(_disk, "rw")
        yield "a read-only disk", partial(_disk, "ro")


def _closed(day: Day) -> forked.Ended:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return day.run("audit", "--no-config", live=True, out=f"/proc/self/fd/{writer}")
    finally:
        os.close(writer)


DISK = 'mount -t tmpfs -o size=64k none "$0" && cp before.json after.json "$0" && cd "$0" && {}exec "$@"'  # fmt: skip
FULL = "(head -c 60000 /dev/zero > filler; cat /dev/zero > rest; true) 2>/dev/null; "
READ_ONLY = 'mount -o remount,ro "$0" && '


def _disk(kind: str, day: Day) -> forked.Ended:
    script = DISK.format(FULL if kind == "rw" else READ_ONLY)
    (day.folder / "disk").mkdir(exist_ok=True)
    wrapped = ["unshare", "-Urm", "sh", "-c", script, str(day.folder / "disk")]
    return day.run("compare", "before.json", "after.json", "-o", "r.json", wrapped=wrapped)


def _stops() -> Iterator[Mishap]:
    for number in (signal.SIGINT, signal.SIGTERM):
        for flags in ((), ("--log-format=json",)):
            yield f"{number.name} {flags}", partial(_stopped, number, flags)
    yield "SIGABRT and what it dumps", _aborted


def _hanging(day: Day) -> Any:
    return forked.child(partial(planted.playing, day.plant, [f"{REVISIONS}:1+:hang"]), forked.reached)  # fmt: skip


def _stopped(number: int, flags: tuple[str, ...], day: Day) -> forked.Ended:
    def stop(process: int) -> None:
        time.sleep(0.7)
        os.kill(process, number)

    with _hanging(day) as emulator:
        env = forked.pointing(emulator.said)
        return day.run("audit", "--no-config", *flags, live=True, env=env, meanwhile=stop)


def _aborted(day: Day) -> forked.Ended:
    """What a process leaves that is made to die with everything in its memory."""
    with _hanging(day) as emulator:
        env = {**day.env, **forked.pointing(emulator.said), "PYTHONFAULTHANDLER": "1"}
        process = subprocess.Popen(
            [*PROGRAM, "audit", "--no-config", *planted.SCOPE],
            cwd=day.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        time.sleep(2.5)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        process.send_signal(signal.SIGABRT)
        out, err = process.communicate(timeout=30)
    [core] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    if core.split()[4:6] != ["0", "0"]:
        day.problems.append(f"a core may be dumped: {core}")
    day.looked("what the interpreter dumps", out + err, ["SIGABRT"])
    for path in day.folder.glob("core*"):
        day.looked("core", path.read_bytes(), ["SIGABRT"])
    return forked.Ended(process.returncode, out, err)


LOUD = {
    "GOOGLE_SDK_PYTHON_LOGGING_SCOPE": "google",
    "GRPC_TRACE": "all",
    "GRPC_VERBOSITY": "debug",
    "PYTHONDEVMODE": "1",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONTRACEMALLOC": "5",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONWARNINGS": "always",
    "DRIFT_AUDIT_VERBOSITY": "debug",
    "DRIFT_AUDIT_PROGRESS": "on",
}


def _loud() -> Iterator[Mishap]:
    for name, value in LOUD.items():
        yield f"{name}={value}", partial(_shouting, {name: value})
    yield "all of it, denied", lambda d: d.run("audit", "--no-config", "--project=none", env=LOUD, real=True)  # fmt: skip
    yield "no credentials", partial(_account, None)
    yield "an account that is none", partial(_account, {"type": "service_account"})
    yield "an account that cannot sign in", partial(_account, {"type": "service_account", "client_email": "a@b", "token_uri": "http://127.0.0.1:1/"})  # fmt: skip


def _shouting(env: dict[str, str], day: Day) -> forked.Ended:
    return day.run(*AUDIT[:2], live=True, env=env, real=True)


def _account(told: dict[str, str] | None, day: Day) -> forked.Ended:
    """Without an emulator: credentials that are not there, or hold a key that is none."""
    hosts = dict.fromkeys(forked.pointing("a b"))
    del hosts["DRIFT_AUDIT_SEAL_KEY"]
    env: dict[str, str | None] = {**hosts}
    if told is not None:
        key = day.plant("private key of an account")
        pem = f"-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"
        (day.folder / "account").write_text(json.dumps(told | {"private_key": pem}))
        env["GOOGLE_APPLICATION_CREDENTIALS"] = str(day.folder / "account")
    try:
        return day.run("audit", "--no-config", "--verbosity=debug", live=True, env=env)
    finally:
        (day.folder / "account").unlink(missing_ok=True)


def _raised() -> Iterator[Mishap]:
    """Each kind of exception, where a revision is read and where its values are sealed."""
    for number, name in enumerate(EXCEPTIONS):
        for file in ("bindings.py", "settings.py") if number % 2 else ("../seal.py",):
            path = (COLLECTOR / file).resolve()
            yield f"{name} in {path.name}", partial(_raising, name, path)


def _raising(name: str, path: Path, day: Day) -> forked.Ended:
    values = " ".join(day.plant.values.values())

    def before() -> None:
        day.first()
        Injector((str(path), 0), EXCEPTIONS[name], values).install()

    return day.run("compare", "before.json", "after.json", "--no-config", "-o", "r.json", before=before)  # fmt: skip
