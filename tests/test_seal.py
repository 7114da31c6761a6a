"""Sealing: equal means equal, and nothing else can be read from a seal."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drift_audit.seal import VALUE_LIMIT, SealKey, traits
from tests.builders import HOME, KEY, LASTING, sealer
from tests.canary import leaks

CANARY = "cnry-seal-7f3a9c51e2"
AT = HOME.at("app", key="DB_PASSWORD")
ANY = st.text(st.characters(exclude_categories=()), max_size=50)


@given(ANY, ANY)
def test_equal_seals_mean_equal_values(one, other):
    """Two seals at one address are equal exactly when the values are, lone surrogates included."""
    seal = sealer()

    assert (seal.seal(AT, one).sealed == seal.seal(AT, other).sealed) is (one == other)


def test_seal_gives_nothing_away():
    """No form of a value, no length and no part of it is in what is kept of it."""
    kept = sealer(key=LASTING).seal(AT, CANARY).model_dump_json().encode()

    assert leaks(kept, [CANARY]) == []
    assert len(kept) == len(sealer(key=LASTING).seal(AT, CANARY * 9).model_dump_json())


def test_lasting_seals_are_bound_to_their_place():
    """Nobody can match values between services, or between keys, from what is stored."""
    seal = sealer(key=LASTING)
    places = [AT, HOME.at("app", key="OTHER"), AT.model_copy(update={"service": "web"})]

    assert len({seal.seal(at, "x").sealed.digest for at in places}) == 3


def test_container_is_not_bound():
    """A container may be renamed without a change of meaning."""
    seal = sealer(key=LASTING)

    assert seal.seal(AT, "x") == seal.seal(HOME.at("renamed", key="DB_PASSWORD"), "x")


def test_seals_of_one_run_do_not_need_the_project():
    """Two files of one service compare even when only one of them names its project."""
    seal = sealer()
    unnamed = AT.model_copy(update={"project": "-", "region": "-"})

    assert seal.seal(AT, "x") == seal.seal(unnamed, "x")


def test_other_key_other_seal():
    """A seal under another key is another seal, and says so."""
    one, other = (sealer(key=k).seal(AT, "x").sealed for k in (KEY, LASTING))

    assert one.digest != other.digest
    assert one.key_id != other.key_id


def test_lasting_seals_say_whose_they_are():
    """Lasting seals of two services are not held against each other; those of one run are."""
    places = AT, AT.model_copy(update={"project": "other"})
    lasting, run = (
        [seal.seal(at, "x").sealed for at in places]
        for seal in (sealer(key=LASTING), sealer(key=KEY))
    )

    assert lasting[0].key_id != lasting[1].key_id
    assert run[0] == run[1]


def test_list_is_sealed_as_a_whole():
    """A list of arguments is one seal: neither joining nor splitting gives the same one."""
    seal = sealer()
    at = HOME.at(setting="args")

    assert seal.seal(at, "a", "b").sealed != seal.seal(at, "a b").sealed


@pytest.mark.parametrize(("glob", "shown"), [("DB_*", "x"), ("DB_PASSWORD", "x"), ("OTHER", None)])
def test_reveal(glob, shown):
    """Only keys that the owner names stay readable."""
    assert sealer(reveal=[glob]).seal(AT, "x").clear == shown


def test_settings_are_never_revealed():
    """Reveal speaks of keys: an argument of the same name stays sealed."""
    assert sealer(reveal=["*"]).seal(HOME.at(setting="args"), "x").clear is None


def test_revealed_value_can_be_written():
    """A revealed value with half a character becomes something that UTF-8 can carry."""
    assert sealer(reveal=["*"]).seal(AT, "x\ud800").clear == "x\\ud800"


def test_without_literals():
    """Left out means neither sealed nor shown, only there."""
    left_out = sealer(keep=False, reveal=["*"]).seal(AT, " x")

    assert (left_out.sealed, left_out.clear, left_out.traits) == (
        None,
        None,
        ("credential", "credential-by-name", "edge-whitespace"),
    )


def test_key_text_round_trip():
    """A key reads back from its own text and from hexadecimal, with spaces and line ends."""
    assert SealKey.parse(f"  {LASTING.text}\n").material == LASTING.material
    assert SealKey.parse(LASTING.material.hex()).material == LASTING.material


@pytest.mark.parametrize(
    "text", ["", "short", base64.b64encode(b"x" * 31).decode(), "ü" * 50, "z!" * 40]
)
def test_no_key(text):
    """Less than 32 bytes, or no encoding of bytes, is no key; the text is not quoted."""
    with pytest.raises(ValueError, match="not 32 or more bytes") as error:
        SealKey.parse(text)
    assert not text or text not in str(error.value)


def test_key_does_not_show():
    """The key is in no representation of itself."""
    assert "llll" not in repr(LASTING)
    assert LASTING.text not in str(LASTING)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("", {"blank"}),
        ("  \n", {"blank"}),
        ("v\n", {"edge-whitespace"}),
        (" v", {"edge-whitespace"}),
        ("a\nb", set()),
        ("a\x00b", {"control-character"}),
        ("a\u2028b", {"control-character"}),
        ("x\ud800y", {"control-character"}),
        ("\ufdd0", {"control-character"}),
        ("\U0001ffff", {"control-character"}),
        ("user\u202e", {"bidi"}),
        ("a\u200bb", {"invisible"}),
        ("ok\U000e0041", {"invisible"}),
        ("caf\u00e9", set()),
        ("changeme", {"placeholder"}),
        ("${X}", {"placeholder"}),
        ("dev-secret-abc", {"placeholder"}),
        ("a b," * 8192, set()),
        ("a b," * 8192 + "c", {"over-limit"}),
    ],
)
def test_traits(value, wanted):
    """What is odd about a value has a name; what is ordinary has none."""
    assert traits("NOTE", value) == wanted


def test_twins_are_places_in_different_services():
    """The same credential in two services is told by its places; within one service it is not."""
    seal = sealer()
    web = AT.model_copy(update={"service": "web"})
    for at in (AT, HOME.at("side", key="DB_PASSWORD"), web):
        seal.seal(at, "hunter2")
    seal.seal(HOME.at(key="ONLY_SECRET"), "once")
    seal.seal(web, "info")

    [group] = seal.twins()
    assert [at for at, _ in group[1]] == sorted(
        [AT, HOME.at("side", key="DB_PASSWORD"), web], key=str
    )


@given(ANY, ANY)
def test_digest_is_not_a_plain_hash(value, other):
    """Two keys make unrelated digests of the same value."""
    assume(value != other)
    digests = {sealer(key=k).seal(AT, value).sealed.digest for k in (KEY, LASTING)}

    assert len(digests) == 2


HOSTILE = [
    "a", "a://", "://a:", "a.", "{{", "{{ ", "${", "<a", "%A", "your-", "eyJ-", "eyJaaaaaaaa.",
    "Bearer ", "-----BEGIN A", "YOUR_A", "-", " ", "\u202e",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_hostile_text_takes_no_time(part):
    """No repetition makes the traits of the longest value take more than a moment."""
    text = f"your-{part * (VALUE_LIMIT // len(part))}!"
    begun = time.process_time()
    for value in (text, text.removeprefix("your-"), text[:-1]):
        traits("X", value)

    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("key", "value", "clear"),
    [
        ("POOL", "12", "12"),
        ("POOL", " 12\n", " 12\n"),
        ("POOL", "1234567", None),
        ("POOL", "1e3", None),
        ("POOL", "hunter2", None),
        ("POOL_SIZE", "12", None),
    ],
)
def test_keys_that_are_read_as_numbers(key, value, clear):
    """A key that tells a number is readable where it holds a small one, and nothing else is."""
    assert sealer(numbers=["POOL"]).seal(HOME.at(key=key), value).clear == clear


def test_mark_tells_what_was_read_as_a_number():
    """What was read without its numbers is not taken for what is read with them."""
    marks = [sealer(numbers=numbers).mark("x", b"data") for numbers in ([], ["POOL"], ["SIZE"])]

    assert len(set(marks)) == 3
