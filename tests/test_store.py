"""The store: baselines that are whole, in their place, and nobody else's."""

from __future__ import annotations

import json

import pytest

from drift_audit.errors import ExitCode, StoreError
from drift_audit.snapshot import Address
from drift_audit.store.baseline import promotion, read_baseline
from drift_audit.store.baselines import Baselines
from drift_audit.store.folder import Folder
from tests.builders import HOME, LASTING, NOW, sealer, snapshot
from tests.manifests import CANARY


def in_folder(root):
    return Baselines(Folder(str(root)))


def baseline(side=None, before=None, **identity):
    one = snapshot(side or {"A": "1"}, seal=sealer(key=LASTING), **identity)
    return promotion(one, before, by="me", at=NOW, reason="it worked")


def test_round_trip(tmp_path):
    """What is written is read back, from PROJECT/REGION/SERVICE.json."""
    store = in_folder(tmp_path)
    path = store.write(baseline())

    assert path == str(tmp_path / "shop/europe-west1/api.json")
    assert store.read(HOME) == baseline()
    assert list(store.addresses()) == [HOME]


def test_no_baseline(tmp_path):
    """A service without a baseline, or without a name, has none."""
    store = in_folder(tmp_path / "none")

    assert store.read(HOME) is None
    assert store.read(Address(service="api")) is None
    assert list(store.addresses()) == []


def test_promotions_form_a_chain():
    """Each promotion counts on from the one before it, and names its digest."""
    first = baseline()
    second = baseline({"A": "2"}, first)

    assert (first.sequence, first.previous) == (1, "")
    assert (second.sequence, second.previous) == (2, first.sha256)
    assert first.why == "promoted on 2026-01-15 by me: it worked"


def test_every_edit_is_noticed():
    """A baseline with any byte of its content changed is refused."""
    text = baseline().text()
    refused = 0
    for i in range(0, len(text), 7):
        damaged = text[:i] + chr((ord(text[i]) + 1) % 128) + text[i + 1 :]
        if damaged.split() == text.split():
            continue
        with pytest.raises(StoreError):
            read_baseline(damaged.encode(), "x.json")
        refused += 1

    assert refused > 100


@pytest.mark.parametrize("text", ["", "{}", "[]", "x", '{"schema_version": 2}'])
def test_no_baseline_file(text):
    """A file that is no baseline is refused by its name."""
    with pytest.raises(StoreError, match=r"^x\.json: not a baseline of this version: ") as error:
        read_baseline(text.encode(), "x.json")
    assert error.value.code is ExitCode.REFUSED


def test_names_in_a_baseline_are_not_repeated():
    """Where a file has a field that is not ours, its name is not told: it could be anything."""
    text = baseline().text().replace("{", f'{{"{CANARY}": 1,', 1)
    with pytest.raises(StoreError) as error:
        read_baseline(text.encode(), "x.json")

    assert str(error.value) == "x.json: not a baseline of this version: (another name)"


def test_foreign_baseline(tmp_path):
    """A baseline of another service under this one's name is refused."""
    store = in_folder(tmp_path)
    store.write(baseline())
    (tmp_path / "shop/europe-west1/web.json").write_text(
        (tmp_path / "shop/europe-west1/api.json").read_text()
    )

    with pytest.raises(StoreError, match="is the baseline of shop/europe-west1/api"):
        store.read(HOME.model_copy(update={"service": "web"}))


def test_linked_baseline(tmp_path):
    """A link in place of a baseline is not followed."""
    (tmp_path / "elsewhere.json").write_text(baseline().text())
    folder = tmp_path / "shop/europe-west1"
    folder.mkdir(parents=True)
    (folder / "api.json").symlink_to(tmp_path / "elsewhere.json")

    with pytest.raises(StoreError, match="link: a symbolic link"):
        in_folder(tmp_path).read(HOME)


@pytest.mark.parametrize("place", [{"project": "-"}, {"region": "../x"}, {"service": "a/b"}])
def test_names_that_are_no_path(place, tmp_path):
    """Only names that fit their grammar become part of a path."""
    with pytest.raises(StoreError, match="does not name project, region and service"):
        in_folder(tmp_path).write(baseline(**place))
    assert list(tmp_path.iterdir()) == []


def test_unwritable_store(tmp_path):
    """A store that cannot be written says so, and why."""
    (tmp_path / "shop").write_text("a file where a folder belongs")

    with pytest.raises(StoreError, match=r"cannot read .*: not a directory"):
        in_folder(tmp_path).write(baseline())
    (tmp_path / "x/shop/europe-west1/api.json").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"api.json: not-a-file"):
        in_folder(tmp_path / "x").write(baseline())


def test_file_is_canonical():
    """The file is sorted, one thing a line, and ends with a line end: made to be reviewed."""
    text = baseline().text()

    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def test_what_is_no_baseline_is_passed_over(tmp_path):
    """A store is a folder in git: a README beside the projects is none of its baselines."""
    in_folder(tmp_path).write(baseline())
    (tmp_path / "README.md").write_text("ours")
    (tmp_path / "shop/notes.json").write_text("{}")
    (tmp_path / "shop/europe-west1/api.json.orig").write_text("{}")

    assert list(in_folder(tmp_path).addresses()) == [HOME]


def test_demanded_store_must_be_there(tmp_path):
    """A store that was named and is no folder is refused: it would look as if nothing was promoted."""
    (tmp_path / "file").touch()

    for name in ("none", "file"):
        with pytest.raises(StoreError, match="there is no such folder"):
            Folder(str(tmp_path / name), demanded=True)


def test_store_that_cannot_be_read(tmp_path):
    """What cannot be looked into is an error, never a store without baselines."""
    (tmp_path / "shop").write_text("a file where a folder belongs")

    with pytest.raises(StoreError, match=r"cannot read .*api\.json: not a directory"):
        in_folder(tmp_path).read(HOME)
    with pytest.raises(StoreError, match="file name too long"):
        list(in_folder("x" * 300).addresses())


def test_linked_folder(tmp_path):
    """A link in place of a folder of the store is not followed, for reading or writing."""
    in_folder(tmp_path / "elsewhere").write(baseline())
    store = tmp_path / "store"
    store.mkdir()
    (store / "shop").symlink_to(tmp_path / "elsewhere/shop")

    for call in (
        lambda: in_folder(store).read(HOME),
        lambda: in_folder(store).write(baseline()),
    ):
        with pytest.raises(StoreError, match="a link, which is not followed"):
            call()


def test_store_may_be_a_link(tmp_path):
    """The store itself may be mounted or linked where it is wanted."""
    in_folder(tmp_path / "elsewhere").write(baseline())
    (tmp_path / "store").symlink_to(tmp_path / "elsewhere")

    assert in_folder(tmp_path / "store").read(HOME) == baseline()
