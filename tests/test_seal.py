"""Sealing: equal means equal, and nothing else can be read from a seal."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drift_audit.binding import Target
from drift_audit.patterns import Patterns
from drift_audit.seal import LOOKED_AT, VALUE_LIMIT, Rekeying, SealKey, character_trait, traits
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


@pytest.mark.parametrize(
    "text",
    [
        "ab" * 32,
        "a b\nc d " * 16,
        base64.b64encode(b"\xff" * 32).decode(),
        f"{'/w8P' * 6}\n{'/w8P' * 6}",
    ],
)
def test_key_in_either_encoding(text):
    """32 bytes are enough, in hexadecimal or base64, broken into lines or not; they are a lasting key."""
    compact = "".join(text.split())
    hexadecimal = set(compact) <= set("abcdef")
    material = bytes.fromhex(compact) if hexadecimal else base64.b64decode(compact)

    assert SealKey.parse(text) == SealKey(material, lasting=True)


@pytest.mark.parametrize("text", [f"{'/w8P' * 11}!", f"z!{'/w8P' * 11}", "ab" * 31, "é" * 64])
def test_keys_are_read_strictly(text):
    """What has a wrong character is refused with the same words, and nothing is read past it."""
    with pytest.raises(ValueError, match=r"\Anot 32 or more bytes in base64 or hexadecimal\Z"):
        SealKey.parse(text)


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
        ("\ud800a" * 8192, {"control-character"}),
        ("\ud800a" * 8192 + "a", {"control-character", "over-limit"}),
        ("'", set()),
        ("''", {"quoted"}),
        ("'a\"", set()),
        ("XaX", set()),
        (" 'a'", {"edge-whitespace"}),
        ("^:^a=1", {"delimited"}),
        ("x^:^a=1", set()),
        ("a,B_C=1", {"joined"}),
        ("A_B=1,c", set()),
        ("A_B=1,c,D_E=2", {"joined"}),
        ("A_B=1,c D_E=2", set()),
        ("tbd\u200b ", {"edge-whitespace", "invisible"}),
        (f"{'a, ' * (LOOKED_AT // 3)}B_C=1,D_E=1", {"over-limit"}),
    ],
)
def test_traits(value, wanted):
    """What is odd about a value has a name; what is ordinary has none."""
    assert traits("NOTE", value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("", {"blank"}),
        (" ", {"blank"}),
        ("changeme", {"placeholder"}),
        ("CHANGE_ME\n", {"edge-whitespace", "placeholder"}),
        ("hunter2", {"credential", "credential-by-name"}),
        ("a ${X} b", {"placeholder"}),
        (
            "postgres://app:hunter2@db/x${Y}",
            {"credential", "credential-by-password", "placeholder"},
        ),
    ],
)
def test_traits_of_what_is_called_a_password(value, wanted):
    """What is there under such a name is a credential, unless a template was never filled in."""
    assert traits("DB_PASSWORD", value) == wanted


@pytest.mark.parametrize(
    ("chars", "trait"),
    [
        ("a ~\t\n\r\u00e9\u03a9\ufdcf\ufdf0\ufffc", ""),
        ("\u061c\u200e\u200f\u202a\u202e\u2066\u2069", "bidi"),
        ("\u00a0\u00ad\u200b\u2060\u3000\u115f\u3164\uffa0\U000e0041", "invisible"),
        ("\x00\x1f\x7f\u0085\u2028\u2029\ud800\udfff", "control-character"),
        ("\ufdd0\ufdd1\ufdef\ufffe\uffff\U0001fffe\U0010ffff", "control-character"),
    ],
)
def test_traits_of_characters(chars, trait):
    """Each character has the one trait of its kind, and ordinary ones, foreign ones too, have none."""
    assert {char: character_trait(char) for char in chars} == dict.fromkeys(chars, trait)


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


# What is stored must be the same under every later version, so it is written down here once more.


def digest(key, *parts):
    """The keyed digest of a list of texts, as anybody can make it who has the key."""
    message = json.dumps(["drift-audit/v1", *parts]).encode()
    return hmac.new(key.material, message, hashlib.sha256).hexdigest()


PLACE = ["shop", "europe-west1", "api"]


@pytest.mark.parametrize(("key", "place"), [(LASTING, PLACE), (KEY, [])])
@pytest.mark.parametrize(
    ("where", "parts"),
    [
        ({"key": "A"}, ["key", "A"]),
        ({"setting": "args"}, ["setting", "args"]),
    ],
)
@pytest.mark.parametrize("values", [["x"], ['a "b"', "é\ud800\U0001f600"]])
def test_seals_are_what_they_were(key, place, where, parts, values):
    """A seal is the digest of place, kind, name and values, and its id that of the place alone."""
    fresh = replace(key)  # what a key remembers of itself is no older than this test
    sealed = sealer(key=fresh).seal(HOME.at("app", **where), *values).sealed

    assert sealed.digest == digest(key, *place, *parts, *values)
    assert sealed.key_id == fresh.id(HOME) == digest(key, "key id", *place)[:12]


def test_seals_of_several_services_by_one_sealer():
    """What a sealer has sealed before changes no seal."""
    seal = sealer(key=LASTING)
    places = [HOME.but(**{part: "x"}) for part in ("project", "region", "service")]
    for home in [HOME, *places, HOME]:
        sealed = seal.seal(home.at(key="A"), "v").sealed

        assert sealed == sealer(key=LASTING).seal(home.at(key="A"), "v").sealed
        assert sealed.key_id == LASTING.id(home)


def test_marks_of_keys_are_what_they_were():
    """The mark of a key is the digest of what it is for and of the bytes, kept apart by a null."""
    wanted = hmac.new(LASTING.material, b"night\0data", hashlib.sha256).hexdigest()

    assert LASTING.mark("night", b"data") == wanted


PATTERNS = Patterns("lib 1.0", {})


@pytest.mark.parametrize(
    ("options", "context"),
    [
        ({}, ["kept"]),
        ({"keep": False}, ["left out"]),
        ({"reveal": ["A", "B"]}, ["kept", "A", "B"]),
        ({"reveal": ["A"], "numbers": ["N"]}, ["kept", ["A"], ["N"]]),
        ({"patterns": PATTERNS}, ["kept", {"patterns": "lib 1.0: "}]),
    ],
)
def test_marks_are_what_they_were(options, context):
    """The mark of bytes tells how they were read: what was kept, shown, and held against patterns."""
    told = json.dumps(["drift-audit/v1 mark", "original", *context])
    wanted = LASTING.mark(told, b"data")
    given = {name: iter(o) if isinstance(o, list) else o for name, o in options.items()}
    seal = sealer(key=LASTING, **given)

    assert [seal.mark("original", b"data") for _ in range(2)] == [wanted, wanted]


def test_twins_of_a_part_of_a_run():
    """One of several parts tells every credential, with a mark that is that of the run and the value."""
    seal = sealer()
    for key, value in (("B_SECRET", "two"), ("A_SECRET", "one"), ("C_SECRET", "one")):
        seal.seal(HOME.at("app", key=key), value)
    context = json.dumps(["drift-audit/v1 twins", "r1"])
    marks = [KEY.mark(context, bytes.fromhex(digest(KEY, "twin", v))) for v in ("one", "two")]

    assert [(mark, [at.key for at, _ in places]) for mark, places in seal.twins("r1")] == [
        (marks[0], ["A_SECRET", "C_SECRET"]),
        (marks[1], ["B_SECRET"]),
    ]
    assert seal.twins() == []


def test_twins_are_told_in_order_and_without_marks():
    """Groups stand in the order of their first places, each place with its seal; lists count whole."""
    seal = sealer()
    web = HOME.but(service="web")
    for home in (web, HOME):
        seal.seal(home.at("app", key="Z_SECRET"), "z")
        seal.seal(home.at("app", setting="args"), "--token=hunter22", "b")
        seal.seal(home.at("app", key="PLAIN"), "info")
    wanted = [
        tuple((at, sealer().seal(at, *values).sealed) for at in (home.at("app", **where) for home in (HOME, web)))
        for where, values in (
            ({"key": "Z_SECRET"}, ["z"]),
            ({"setting": "args"}, ["--token=hunter22", "b"]),
        )
    ]  # fmt: skip

    assert seal.twins() == [("", places) for places in wanted]


def test_twins_without_seals():
    """Where values are left out, twins are found all the same."""
    seal = sealer(keep=False)
    places = [home.at(key="A_SECRET") for home in (HOME, HOME.but(service="web"))]
    for at in places:
        seal.seal(at, "v")

    assert seal.twins() == [("", tuple((at, None) for at in places))]


def test_another_key_for_the_same_run():
    """With another key a sealer shows, keeps and tries what it did, and seals otherwise."""
    options = {"reveal": ["A"], "numbers": ["N"], "keep": False, "patterns": PATTERNS}
    for chosen in (options, options | {"keep": True}):
        other = sealer(**chosen).with_key(LASTING)

        assert other.mark("x", b"d") == sealer(key=LASTING, **chosen).mark("x", b"d")
        assert other.seal(AT, "v") == sealer(key=LASTING, **chosen).seal(AT, "v")
        assert (other.lasting, other.patterns) == (True, "lib 1.0")
    assert (sealer().lasting, sealer().patterns) == (False, "")


def test_seals_under_a_new_key():
    """Every seal of the first key is told with the seal of the same value, there, under the new one."""
    sealing = Rekeying(KEY, LASTING)
    places = [(AT, ["x"]), (HOME.at("app", setting="args"), ["a", "b"])]
    first = [sealing.seal(at, *values).sealed for at, values in places]
    second = [sealer(key=LASTING).seal(at, *values).sealed for at, values in places]

    assert first == [sealer().seal(at, *values).sealed for at, values in places]
    assert sealing.seals == dict(zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("where", "options", "found"),
    [
        ({"key": "ORDERS"}, {}, (Target(kind="label", name="orders", port=8080),)),
        ({"key": "ORDERS"}, {"keep": False}, ()),
        ({"key": "ORDERS_TOKEN"}, {}, ()),
        ({"setting": "args"}, {}, ()),
    ],
)
def test_where_a_value_leads(where, options, found):
    """A key that is no secret tells where its value leads, where values are kept; nothing else does."""
    sealed = sealer(**options).seal(HOME.at("app", **where), "http://orders:8080")

    assert sealed.targets == found


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["a", "b"], ()),
        (["a ", "b\u202e"], ("bidi", "edge-whitespace")),
        (["hunter2", "changeme"], ("placeholder",)),
        (["-v", "--token=hunter22"], ("credential", "credential-by-name")),
    ],
)
def test_traits_of_a_list(values, wanted):
    """A list has the traits of all its texts, in order."""
    assert sealer().seal(HOME.at("app", setting="args"), *values).traits == wanted


@pytest.mark.parametrize("value", ["v", "1234567", "x\n"])
def test_what_is_revealed_of_other_keys(value):
    """A key whose numbers may be read is not one that is revealed, and one that is shows everything."""
    at = HOME.at(key="POOL")

    assert sealer(reveal=["P*"], numbers=["SIZE"]).seal(at, value).clear == value
    assert sealer(reveal=["S*"], numbers=["POOL"]).seal(at, value).clear is None


class Vendor:
    """A detector that knows one text, under one name."""

    secret_type = "Vendor Key"

    def analyze_string(self, string):
        return iter(["found"] if string.startswith("ACCOUNT=cnry") else [])


BY_VENDOR = "credential-by-pattern:Vendor Key"


@pytest.mark.parametrize(
    ("key", "values", "wanted"),
    [
        ("ACCOUNT", ["cnry "], ("credential", BY_VENDOR, "edge-whitespace")),
        ("ACCOUNT", ["v"], ()),
        ("ACCOUNT", ["v ", "w"], ("edge-whitespace",)),
        ("ACCOUNT", ["v", "cnry"], ("credential", BY_VENDOR)),
        ("OTHER", ["cnry"], ()),
        ("DB_PASSWORD", ["cnry"], ("credential", "credential-by-name")),
    ],
)
def test_what_patterns_add(key, values, wanted):
    """What the patterns find of a key and its value is added to what is known of it, and nothing else."""
    patterns = Patterns("lib 1.0", {"Vendor": Vendor()})

    assert sealer(patterns=patterns).seal(HOME.at(key=key), *values).traits == wanted
