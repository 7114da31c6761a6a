"""Names: what fits their grammar, and what only looks like a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit import names

REQUIRED = "JWT_SECRET_KEY"


@pytest.mark.parametrize("name", ["api", "a", "api-00611-cr5", "x" * 63])
def test_service_names(name):
    """What Cloud Run takes as a name is a name."""
    assert names.SERVICE.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Api",
        "-rf",
        "a-",
        "../x",
        "a/b",
        "a.lock",
        "a\n",
        "~root",
        "*",
        "x" * 64,
        "a\0b",
        "\u0430pi",
    ],
)
def test_names_that_become_paths(name):
    """What could leave a folder, name an option or a lock file is no name."""
    assert not names.SERVICE.fullmatch(name)


@pytest.mark.parametrize(
    "version", ["latest", "7", "prod", "LATEST", "api-key", "00007", str(2**63 - 1)]
)
def test_versions(version):
    """Numbers, aliases and latest are versions."""
    assert names.is_version(version)


@pytest.mark.parametrize(
    "version",
    ["", "-1", "7 ", "\u0667", "1_0", "0", str(2**63), "9" * 30, "latest/../x", "7a", "_x"],
)
def test_no_versions(version):
    """What Python could take for a number and Secret Manager does not is no version."""
    assert not names.is_version(version)


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("007", 7), ("999999999", 999_999_999), ("0", 0)]
    + [(text, None) for text in ("", "-1", "1.5", " 7", "\u0667", "1_0", "1" * 10, "9" * 5_000)],
)
def test_whole_numbers(text, number):
    """A number is digits, and few enough of them to count something."""
    assert names.whole_number(text) == number


@pytest.mark.parametrize(
    ("version", "pinned"),
    [("7", True), ("latest", False), ("prod", False), ("007", False), ("", False)],
)
def test_pinned(version, pinned):
    """Only a plain number pins a version."""
    assert names.is_pinned(version) is pinned


@pytest.mark.parametrize(
    "text",
    [
        "${X}",
        "${X:-y}",
        "$(X)",
        "$VAR",
        "%VAR%",
        "{{ x }}",
        "{{{ x }}}",
        "{{ a {{ b }}",
        '{{ x["}"] }}',
        "{{\n x\n}}",
        "<NAME>",
        "gcr.io/PROJECT_ID/x",
        "REGION-docker.pkg.dev",
    ],
)
def test_placeholders(text):
    """The styles of placeholders that real manifests use are known."""
    assert names.is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    [
        "info",
        "100%",
        "a<b",
        "$",
        "price: $5",
        "REGIONAL",
        "europe-west1",
        "SERVICE_SECRET",
        "REGION",
        "SERVICE_ACCOUNT",
        "{{ x }",
        "{ { x } }",
    ],
)
def test_no_placeholders(text):
    """Ordinary text is no placeholder."""
    assert not names.is_placeholder(text)


@pytest.mark.parametrize(
    "lookalike",
    [
        "JWT_S\u0415CRET_KEY",
        "JWT_SECRET\u200b_KEY",
        "\uff2a\uff37\uff34_SECRET_KEY",
        "JWT_SECRET_KEY ",
        "jwt_secret_key",
    ],
)
def test_lookalikes_share_a_skeleton(lookalike):
    """Letters of other alphabets, invisible characters, spaces and case are folded away."""
    assert lookalike != REQUIRED
    assert names.skeleton(lookalike) == names.skeleton(REQUIRED)


@given(st.text(max_size=20))
def test_skeleton_never_fails(text):
    """Every text has a skeleton."""
    assert names.skeleton(text) == names.skeleton(text.upper().lower()) or text


@pytest.mark.parametrize("other", ["JWT_SECRET_KEYS", "SERVICE_SECRET", "JWT_SECRET_K\u4e2dY"])
def test_other_names_do_not(other):
    """A name that does not look the same has another skeleton."""
    assert names.skeleton(other) != names.skeleton(REQUIRED)
