"""Promotions: what is reviewed, refused, kept and held against each other, in a folder and a bucket."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext

import pytest

from drift_audit.errors import StoreError
from drift_audit.store.baseline import content_digest, promotion, read_baseline
from drift_audit.store.baselines import Baselines
from drift_audit.store.folder import Folder
from drift_audit.store.home import Conflict
from tests import watch
from tests.bucket import NAME, bucket
from tests.builders import HOME, LASTING, NOW, sealer, snapshot
from tests.canary import leaks
from tests.command import SEALED, environment, run
from tests.manifests import CANARY, service
from tests.worlds import playing, reached

PLACE = "shop/europe-west1/api"
PROMOTE = ["baseline", "promote", "--by=me", "--project=shop"]


def promoted(number, before=None, **said):
    one = snapshot({"A": str(number)}, seal=sealer(key=LASTING))
    return promotion(one, before, by="me", at=NOW, reason=f"release {number}", **said)


def chain(number):
    found = [promoted(1)]
    while len(found) < number:
        found.append(promoted(len(found) + 1, found[-1]))
    return found


@pytest.fixture
def kept(home):
    """A store with three promotions of a service."""
    for one in chain(3):
        Baselines(home).write(one)
    return home


def replace(home, path, data):
    stored = home.read(path)
    home.write(path, data, over=stored.generation if stored else None)


# The store


def test_every_promotion_is_kept(kept):
    """The last promotion counts; all of them can be read, in order."""
    store = Baselines(kept)

    assert store.read(HOME) == chain(3)[2]
    assert store.history(HOME) == chain(3)
    assert store.verify(HOME).sequence == 3
    assert list(store.addresses()) == store.services() == [HOME]


def test_writing_the_same_again(kept):
    """Who writes the baseline that is there, as after a crash, changes nothing."""
    Baselines(kept).write(chain(3)[2])

    assert Baselines(kept).history(HOME) == chain(3)


def test_promotion_that_came_second(kept):
    """A promotion that follows an older baseline is refused, and the one that came first is named."""
    late = promoted(9, chain(2)[1])
    with pytest.raises(Conflict, match=r"another promotion came first: .* release 3"):
        Baselines(kept).write(late)

    assert Baselines(kept).history(HOME) == chain(3)


KEPT = f"_history/{PLACE}.{{:06}}.json"


@pytest.mark.parametrize(
    ("path", "data", "told"),
    [
        (f"{PLACE}.json", chain(2)[1].text(), "is that of promotion 2, and its history goes to 3"),
        (f"{PLACE}.json", chain(3)[2].text()[:-40], "not a baseline of this version"),
        (f"{PLACE}.json", chain(3)[2].text() + "\n", "does not match its sha256"),
        (f"{PLACE}.json", chain(3)[2].text().replace("\n", "\r\n"), "does not match its sha256"),
        (
            f"{PLACE}.json",
            promoted(7, chain(2)[1]).text(),
            "is not the baseline that its history tells",
        ),
        (KEPT.format(2), chain(1)[0].text(), "holds promotion 1"),
        (KEPT.format(3), promoted(3, promoted(2)).text(), "holds promotion 2|does not follow"),
        (
            KEPT.format(2),
            promoted(5, chain(1)[0]).text(),
            "000003.json: does not follow promotion 2",
        ),
        (KEPT.format(5), chain(3)[2].text(), "history goes to 5"),
    ],
    ids="rolled-back cut grown lines swapped older other forked gap".split(),
)
def test_what_somebody_else_has_done(kept, path, data, told):
    """What was rolled back, cut off, edited, replaced or forked is refused by its name."""
    replace(kept, path, data.encode())

    with pytest.raises(StoreError, match=told) as error:
        Baselines(kept).verify(HOME)
    assert PLACE in str(error.value)


def test_baseline_of_another_service(kept):
    """A baseline under another service's name is refused, and so is a history of another one."""
    kept.write("shop/europe-west1/web.json", chain(1)[0].text().encode(), over=None)
    kept.write("_history/shop/europe-west1/job.000001.json", chain(1)[0].text().encode(), over=None)
    store = Baselines(kept)

    with pytest.raises(StoreError, match=r"web\.json: is the baseline of shop/europe-west1/api"):
        store.verify(HOME.but(service="web"))
    with pytest.raises(StoreError, match=r"job\.json: is gone, and its history goes to 1"):
        store.verify(HOME.but(service="job"))
    assert [at.service for at in store.services()] == ["api", "job", "web"]


def test_service_that_was_created_anew(home):
    """A baseline of a service that was deleted does not count for the one that took its name."""
    Baselines(home).write(promoted(1, service_uid="old"))

    assert Baselines(home).read(HOME, "old") == Baselines(home).read(HOME)
    with pytest.raises(StoreError, match=r"of a service that was deleted; .* was created anew"):
        Baselines(home).read(HOME, "new")


@pytest.mark.parametrize("written", [0, 1, 2])
def test_promotion_that_was_cut_off(home, written):
    """Wherever a promotion is cut off, the next one mends it, and nothing that was kept is lost."""
    first, second, third = chain(3)
    Baselines(home).write(first)
    if written:
        replace(home, f"{PLACE}.json", second.text().encode())
    if written == 2:
        home.write(KEPT.format(2), second.text().encode(), over=None)
    else:
        with pytest.raises(StoreError, match="not ended") if written else nullcontext():
            Baselines(home).verify(HOME)
    if not written:
        Baselines(home).write(second)
    Baselines(home).write(third)

    assert Baselines(home).history(HOME) == [first, second, third]


def test_history_that_says_otherwise(kept):
    """A promotion whose place in the history is taken by something else is not ended quietly."""
    kept.write(KEPT.format(4), b"{}", over=None)

    with pytest.raises(StoreError, match=r"000004\.json: tells of another promotion"):
        Baselines(kept).write(promoted(4, chain(3)[2]))


def test_one_byte_at_every_place():
    """A baseline with one byte changed, anywhere, is refused; the control shows what is accepted."""
    data = (
        promoted(1, service_uid="u", known_good=["it serves"], forced="f", violates=["v"])
        .text()
        .encode()
    )
    for i in range(len(data)):
        for other in {data[i] ^ 1, data[i] ^ 0x20, ord(" ")} - {data[i]}:
            with pytest.raises(StoreError):
                read_baseline(data[:i] + bytes([other]) + data[i + 1 :], "x.json")
            watch.seen[watch.FLIPS] += 1

    assert read_baseline(data, "x.json").text().encode() == data


def test_digest_of_what_a_revision_is():
    """How a revision stands is no part of what is reviewed; what it holds is."""
    one = snapshot({"A": "1"}, seal=sealer(key=LASTING))
    stands = one.but(status=one.status.but(ready=True, percent=50))

    assert content_digest(one) == content_digest(stands)
    assert content_digest(one) != content_digest(snapshot({"A": "2"}, seal=sealer(key=LASTING)))


WRITER = """
import os
import sys
from drift_audit.errors import StoreError
from drift_audit.store.baselines import Baselines
from drift_audit.store.folder import Folder
from tests.builders import HOME
from tests.test_promotion import promoted

done = lost = 0
for number in range(int(sys.argv[2])):
    store = Baselines(Folder(sys.argv[1]))
    before = store.read(HOME)
    try:
        store.write(promoted(f"{os.getpid()} {number}", before))
        done += 1
    except StoreError:
        lost += 1
print(done, lost)
"""
WRITERS, EACH = 8, 20


def test_many_writers_lose_nothing(tmp_path):
    """Of 160 promotions by eight processes each is kept in the chain, or its writer heard of it."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "store"), str(EACH)],
            env=environment(tmp_path, measured=False),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(WRITERS)
    ]
    told = [tuple(map(int, writer.communicate(timeout=120)[0].split())) for writer in writers]
    kept, refused = (sum(one[i] for one in told) for i in (0, 1))
    store = Baselines(Folder(str(tmp_path / "store")))

    watch.seen[watch.PROMOTIONS] += kept + refused

    assert kept + refused == WRITERS * EACH
    assert len(store.history(HOME)) == store.verify(HOME).sequence == kept
    assert kept >= EACH


def test_control_writers_that_do_not_look_lose_promotions(tmp_path):
    """Where nobody says what is replaced, promotions are lost, and the chain shows it."""
    path = tmp_path / "api.json"
    one, other = promoted(1), promoted(2)
    for mine in (one, other):  # both read that there was none
        path.write_text(mine.text())

    assert read_baseline(path.read_bytes(), "x").sequence == 1


# The command


def test_what_was_reviewed(here):
    """The digest of a dry run is what --sha256 names; another one is refused, and nothing is written."""
    dry = run(*PROMOTE, "before.json", "--reason=r", "--dry-run", cwd=here, env=SEALED)
    digest = dry.out.split()[-1]
    wrong = run(*PROMOTE, "after.json", "--reason=r", f"--sha256={digest}", cwd=here, env=SEALED)
    nothing = (here / "baselines").exists()
    right = run(*PROMOTE, "before.json", "--reason=r", f"--sha256={digest}", cwd=here, env=SEALED)
    again = run(*PROMOTE, "after.json", "--reason=r", "--dry-run", cwd=here, env=SEALED)

    assert dry.out == f"(template) of {PLACE}: there is no baseline\nsha256 {digest}\n"
    assert (wrong.code, nothing, right.code) == (4, False, 0)
    assert "(template) is not what was reviewed" in wrong.err
    assert "changes to the baseline" in again.out or "1 change to the baseline" in again.out


def test_promoting_twice(here):
    """The same promotion once more changes nothing and says so; with another reason it is a new one."""
    first = run(*PROMOTE, "before.json", "--reason=r", cwd=here, env=SEALED)
    again = run(*PROMOTE, "before.json", "--reason=r", cwd=here, env=SEALED)
    other = run(*PROMOTE, "before.json", "--reason=s", cwd=here, env=SEALED)
    log = run("baseline", "log", PLACE, cwd=here)

    assert (first.code, again.code, other.code) == (0, 0, 0)
    assert again.out == f"(template) is the baseline of {PLACE} already: baselines/{PLACE}.json\n"
    assert log.out == (
        "2 (template): promoted on 2026-01-15 by me: s\n  it answers 100 % of the requests\n"
        "1 (template): promoted on 2026-01-15 by me: r\n  it answers 100 % of the requests\n"
    )


def test_promoting_against_the_policy(here):
    """A promotion that is forced says why, and audits hold to it, until it lacks something else too."""
    policy = here / "drift-audit.toml"
    policy.write_text("[[service]]\nrequired = {MISSING = {}}")
    refused = run(*PROMOTE, "before.json", "--reason=r", cwd=here, env=SEALED)
    empty = run(*PROMOTE, "before.json", "--reason=r", "--force-reason= ", cwd=here, env=SEALED)
    forced = run(
        *PROMOTE, "before.json", "--reason=r", "--force-reason=outage 7", cwd=here, env=SEALED
    )
    audit = ["audit", "--input=after.json", "--project=shop"]
    held = run(*audit, cwd=here, env=SEALED)
    policy.write_text("[[service]]\nrequired = {MISSING = {}, ALSO = {}}")
    lost = run(*audit, cwd=here, env=SEALED)
    stored = json.loads((here / f"baselines/{PLACE}.json").read_text())

    assert (refused.code, empty.code, forced.code) == (4, 2, 0)
    assert (stored["forced"], stored["violates"]) == (
        "outage 7",
        ["MISSING is required and absent"],
    )
    assert "by me: r; against the policy: outage 7" in held.told
    assert "baseline-violates-schema" not in held.out
    assert "baseline-violates-schema" in lost.out


def test_a_baseline_says_why_it_was_good(here):
    """What speaks for a revision besides the person is written down, and shown in the log."""
    live = ["--service=api", "--project=shop", "--region=europe-west1"]
    with playing() as emulator:
        run(
            "baseline",
            "promote",
            "SERVING",
            "--reason=r",
            "--by=me",
            *live,
            cwd=here,
            env=reached(emulator),
        )
    log = run("baseline", "log", PLACE, cwd=here)

    assert "\n  Cloud Run calls it Ready\n  it answers 100 % of the requests\n" in log.out
    assert json.loads((here / f"baselines/{PLACE}.json").read_text())["service_uid"]


def test_verify(here):
    """Every baseline is told; what is wrong ends the command with 4, and does not hide the others."""
    for name in ("api", "web"):
        document = service()
        document["metadata"]["name"] = name
        (here / f"{name}.json").write_text(json.dumps(document))
        run(*PROMOTE, f"{name}.json", "--reason=r", cwd=here, env=SEALED)
    right = run("baseline", "verify", cwd=here)
    path = here / f"baselines/{PLACE}.json"
    path.write_text(path.read_text().replace('"reason": "r"', '"reason": "x"'))
    wrong = run("baseline", "verify", cwd=here)
    path.unlink()
    gone = run("baseline", "verify", PLACE, "shop/europe-west1/nobody", cwd=here)
    audited = run("audit", "--input=api.json", "--project=shop", cwd=here, env=SEALED)

    assert right.block == (
        "exit 0\n--- stdout\nshop/europe-west1/api: ok, 1 promotion\n"
        "shop/europe-west1/web: ok, 1 promotion\n--- stderr\n"
    )
    assert (wrong.code, "web: ok" in wrong.out, "api: refused" in wrong.out) == (4, True, True)
    assert "the content does not match its sha256" in wrong.err
    assert (gone.code, audited.code) == (4, 4)
    assert "is gone, and its history goes to 1" in gone.err
    assert "there is no baseline" in gone.err
    assert "is gone, and its history goes to 1" in audited.err


def test_nothing_to_verify(here):
    """A store without baselines says so; so does the log of a service without one."""
    assert run("baseline", "verify", cwd=here).err == "no baselines in baselines\n"
    assert run("baseline", "log", PLACE, cwd=here).code == 4
    assert run("baseline", "log", "api", cwd=here).code == 2


def test_baselines_in_a_bucket(here):
    """The commands do in a bucket what they do in a folder; there the reviewed digest is demanded."""
    with bucket() as cloud:
        env = {**SEALED, **cloud.env}
        store = f"--store=gs://{NAME}/prod"
        bare = run(*PROMOTE, "before.json", "--reason=r", store, cwd=here, env=env)
        dry = run(*PROMOTE, "before.json", "--reason=r", store, "--dry-run", cwd=here, env=env)
        digest = dry.out.split()[-1]
        done = run(
            *PROMOTE, "before.json", "--reason=r", store, f"--sha256={digest}", cwd=here, env=env
        )
        listed = run("baseline", "list", store, cwd=here, env=env)
        verified = run("baseline", "verify", store, cwd=here, env=env)
        audited = run("audit", "--input=after.json", "--project=shop", store, cwd=here, env=env)
        cloud.denied = "/o"
        denied = run("audit", "--input=after.json", "--project=shop", store, cwd=here, env=env)
        held = [data for _, data in cloud.objects.values()]

    assert (bare.code, dry.code, done.code) == (2, 0, 0)
    assert "a promotion into a bucket names what was reviewed" in bare.err
    assert done.out == f"(template) is the baseline of {PLACE}: gs://audits/prod/{PLACE}.json\n"
    assert "api (template): promoted on 2026-01-15 by me: r" in listed.out
    assert verified.out == f"{PLACE}: ok, 1 promotion\n"
    assert (audited.code, denied.code) == (10, 4)
    assert "baseline: promoted on 2026-01-15 by me: r" in audited.told
    assert "gs://audits/prod/_history/shop/europe-west1/: permission denied" in denied.err
    assert leaks(b"".join(held), [CANARY]) == []
