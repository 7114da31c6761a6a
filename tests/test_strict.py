"""Strict reading: nothing is guessed, and a refusal says where, by which rule, and no more."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.strict import DEPTH, DIGITS, NODES, Bare, Refused, decode, line_of, load, plain


def documents(text):
    """Documents whose keys and text come from one strategy."""
    scalars = st.one_of(text, st.integers(-9, 9), st.booleans(), st.none())
    nodes = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=12,
    )
    return st.dictionaries(text, nodes, min_size=1, max_size=3)


DOCUMENTS = documents(st.text(max_size=8))
AWKWARD = documents(st.text("ab :#-'\"\n{[,&*!|>%@`?", max_size=6))


def refusal(text: str | bytes) -> tuple[str, int | None]:
    with pytest.raises(Refused) as refused:
        load(decode(text if isinstance(text, bytes) else text.encode()))
    return str(refused.value).partition(":")[0], refused.value.line


@given(DOCUMENTS)
def test_json_is_read_whole(document):
    """What is JSON comes out as it went in, once bare scalars are typed again."""
    [found] = load(json.dumps(document))

    assert plain(found) == document
    assert {type(leaf) for leaf in leaves(found)} <= {str, Bare, type(None)}


def leaves(node):
    """The scalars of a document."""
    if not isinstance(node, dict | list):
        return [node]
    inner = node.values() if isinstance(node, dict) else node
    return [leaf for one in inner for leaf in leaves(one)]


@pytest.mark.parametrize("written", ['[true, [false, {"a": [true]}]]', "- yes\n- true\n"])
def test_booleans_in_lists(written):
    """A boolean of a list stays as it was written, too."""
    assert {type(leaf) for document in load(written) for leaf in leaves(document)} == {Bare}


@given(AWKWARD)
def test_yaml_reads_what_json_says(document):
    """The same document as JSON and as block YAML comes out alike."""
    [found] = load(yaml.safe_dump(document))

    assert plain(found) == document


def paths(node, path=()):
    yield path
    if isinstance(node, dict):
        for key, item in node.items():
            yield from paths(item, (*path, key))
    if isinstance(node, list):
        for i, item in enumerate(node):
            yield from paths(item, (*path, i))


@given(DOCUMENTS)
def test_every_node_has_its_line(document):
    """A node's line is found by its path; each is on a line of its own in indented JSON."""
    text = json.dumps(document, indent=1)
    lines = {path: line_of(text, 0, path) for path in paths(document)}

    assert lines[()] == 1
    for path, line in lines.items():
        assert line is not None
        if path and isinstance(path[-1], str):
            assert json.dumps(path[-1]) in text.split("\n")[line - 1]


def test_yaml_lines():
    """Lines are found in any document of a file, comments and empty documents aside."""
    text = "a:\n  - b: 1\n    c: x\n---\n# nothing\n---\nq: {z:\n 1}\n"

    assert [
        line_of(text, d, p) for d, p in [(0, ("a", 0, "c")), (1, ("q", "z")), (0, ("a", 7))]
    ] == [3, 8, 2]


def test_scalars_stay_text():
    """Numbers and booleans stay as they were written, marked; text is not."""
    [found] = load("a: 0123\nb: 'x'\nc: yes\nd: 1.50\ne: text\nf: ~\ng: '1'\n")

    assert found == {
        "a": "0123",
        "b": "x",
        "c": "yes",
        "d": "1.50",
        "e": "text",
        "f": None,
        "g": "1",
    }
    assert {k for k, v in found.items() if isinstance(v, Bare)} == {"a", "c", "d"}


@pytest.mark.parametrize(
    "scalar",
    [
        "0123",
        "yes",
        "1e3",
        "12:34:56",
        "2026-01-01",
        "1_000",
        ".nan",
        "0x1F",
        "0o7",
        "=",
        "+1",
        ".5e3",
    ],
)
def test_bare_in_either_yaml(scalar):
    """What YAML 1.1 or 1.2 does not read as text is not text here."""
    [found] = load(f"a: {scalar}\n")

    assert isinstance(found["a"], Bare)


@pytest.mark.parametrize(
    "scalar", ["latest", "1.0.0", "y", "europe-west1", "'1'", '"yes"', "|\n  1"]
)
def test_text_in_yaml(scalar):
    """What both versions read as text is text."""
    [found] = load(f"a: {scalar}\n")

    assert not isinstance(found["a"], Bare)


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        (b"", "empty", 1),
        (b"# only\n", "empty", 1),
        (b"\xff\xfe\x00\xd8", "encoding", 1),
        (b"a: \xff", "encoding", 1),
        (b"a: b\nc: \xc0\xaf", "encoding", 2),
        ("k: v\n".encode("utf-16-le"), "encoding", 1),
        (b'{"a": 1,}', "not-json", 1),
        (b'{"a": 1}\n{"b": 2}', "not-json", 2),
        (b'{"a": NaN}', "not-json", 1),
        (b'{"a":\n -Infinity}', "not-json", 2),
        (b"[1,\n Infinity-1", "not-json", 2),
        (b"[\n[NaNny]]", "not-json", 2),
        (b'[[Infinity9"{a: *', "not-json", 1),
        (b'{"a":\n\n' + b"9" * (DIGITS + 1) + b"}", "not-json", 3),
        (b'{"b": {\n"a": 1,\n"a": 2}}', "duplicate-key", 3),
        (b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1), "too-deep", 1),
        (b"a: " + b"[" * DEPTH + b"]" * DEPTH, "too-deep", 1),
        (b"a: 1\na: 2", "duplicate-key", 2),
        (b"a: &x 1", "yaml-alias", 1),
        (b"a: 1\nb: *x", "yaml-alias", 2),
        (b"<<: {a: 1}", "yaml-alias", 1),
        (b"a: !!binary eA==", "yaml-tag", 1),
        (b"a: !x {}", "yaml-tag", 1),
        (b"? {a: b}\n: c", "not-a-string", 1),
        (b"? {}\n: c", "not-a-string", 1),
        (b"{{}}", "not-a-string", 1),
        (b"~: c", "not-a-string", 1),
        (b"a:\n\tb: 1", "not-yaml", 2),
        (b"a: b: c", "not-yaml", 1),
        (b"a: '\x07'", "not-yaml", None),
        (b'{"a": {\n"\\ud800": 1}}', "encoding", 2),
        (b"[" + b"1," * NODES + b"1,1]", "too-many", 1),
        (b"- 1\n" * (2 * NODES), "too-many", 2 * NODES - 2),
    ],
)
def test_refused(text, rule, line):
    """Each kind of trouble has its rule and its line."""
    assert refusal(text) == (rule, line)


def test_placeholder_at_the_start_of_a_value_gets_a_hint():
    """The commonest reason why a real manifest is no YAML is told."""
    with pytest.raises(Refused) as refused:
        load("metadata:\n  name: %NAME%\n")

    assert (refused.value.line, refused.value.hint) == (
        2,
        "render the template first: a value cannot begin with %",
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding):
    """UTF-8 with and without a mark, and UTF-16 with one, read alike."""
    assert load(decode("a: é\r\n".encode(encoding))) == [{"a": "é"}]


def test_no_snippet():
    """No refusal quotes what stands in the text."""
    for text in (
        '{"s": "cnry-strict" oops}',
        's: "cnry-strict\nkind: [',
        "cnry-strict: 1\ncnry-strict: 2",
        "s: !cnry-strict x",
    ):
        with pytest.raises(Refused) as refused:
            load(text)
        assert "cnry" not in str(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_deep_enough():
    """What real exports need is far below the limit."""
    assert load("[" * DEPTH + "]" * DEPTH)


def test_flow_mapping_is_yaml():
    """A flow mapping without quotes is YAML, not broken JSON."""
    assert load("{a: b}") == [{"a": "b"}]


def test_commas_in_text():
    """What stands in text does not count as items of the document."""
    text = "," * (NODES + 1)

    assert load(json.dumps([text])) == [[text]]


def test_bare_scalars_become_plain():
    """Booleans in any spelling of YAML are booleans; what JSON has no words for stays text."""
    [found] = load("{a: yes, b: Off, c: 2026-01-01, d: 0123, e: 5}")

    assert plain(found) == {"a": True, "b": False, "c": "2026-01-01", "d": "0123", "e": 5}


def test_line_of_what_is_not_there():
    """A path that leads nowhere has the line of the nearest node above it, wherever that stands."""
    text = json.dumps({"a": [{"b": 1}, {"c": 2}], "z": [3] * 5}, indent=1)

    assert [line_of(text, 0, p) for p in [("a", 0, "x"), ("a", 9), ("q",), ("z", 4)]] == [
        3,
        2,
        1,
        15,
    ]
