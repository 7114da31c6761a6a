"""The policy file: read strictly, and wrong in one line with the place."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from drift_audit.errors import ExitCode, PolicyError
from drift_audit.finding import Finding, Severity
from drift_audit.policy import Policy, read_policy
from drift_audit.snapshot import Address
from drift_audit.waiver import Waiver
from tests.builders import HOME

WEB = Address(project="shop", region="us-central1", service="web")


def test_empty_policy():
    """An empty file requires nothing and fails on high."""
    assert read_policy("") == Policy()
    assert Policy().fail_on is Severity.HIGH


def test_whole_policy():
    """Everything a policy can say is read."""
    policy = read_policy(
        """
        fail_on = "never"
        reveal = ["LOG_*"]
        [scope]
        projects = ["shop"]
        expect = ["shop/europe-west1/api"]
        [[service]]
        match = "api*"
        container = "app"
        forbidden = ["DEBUG*"]
        [service.required]
        JWT = { from = "secret", pinned = true }
        LOG_LEVEL = { from = "literal", pattern = "debug|info" }
        [severity]
        key-added = "low"
        [[waiver]]
        rule = "key-added"
        owner = "me"
        reason = "noise"
        until = 2026-12-31
        """
    )
    required = [(box, key, r.source, r.pinned) for box, key, r in policy.required(HOME)]

    assert policy.fail_on is None
    assert required == [("app", "JWT", "secret", True), ("app", "LOG_LEVEL", "literal", False)]
    assert policy.forbidden(HOME) == ("DEBUG*",)
    assert policy.severity == {"key-added": Severity.LOW}
    assert list(policy.required(WEB)) == []
    assert policy.forbidden(WEB) == ()


@pytest.mark.parametrize(
    ("match", "covered"),
    [
        ("*", True),
        ("api", True),
        ("a?i", True),
        ("web", False),
        ("shop/*/api", True),
        ("shop/us-*/*", False),
    ],
)
def test_match(match, covered):
    """A glob is held against the name, or against the whole place when it has slashes."""
    policy = read_policy(f'[[service]]\nmatch = "{match}"\nrequired = {{A = {{}}}}')

    assert policy.requires(HOME.at(key="A")) is covered
    assert not policy.requires(HOME.at(key="B"))


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("debug|info", "info", True),
        ("debug|info", "infos", False),
        ("debug|info", "xinfo", False),
        ("[0-9]+", "12\n", False),
        (None, "anything", True),
    ],
)
def test_pattern_fits_the_whole_value(pattern, value, fits):
    """A pattern is held against all of the value."""
    line = f', pattern = "{pattern}"' if pattern else ""
    policy = read_policy(
        f'reveal = ["A"]\n[[service]]\nrequired = {{A = {{from = "literal"{line}}}}}'
    )
    [(_, _, requirement)] = policy.required(HOME)

    assert requirement.fits(value) is fits


def test_pattern_cannot_hang():
    """A pattern that would take Python's own engine for ever answers at once."""
    policy = read_policy('reveal = ["A"]\n[[service]]\nrequired = {A = {pattern = "(a+)+b"}}')
    [(_, _, requirement)] = policy.required(HOME)

    assert not requirement.fits("a" * 30_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fail_on = ", "drift-audit.toml: not TOML: at end of document"),
        ("x = 1", "drift-audit.toml: x: Extra inputs are not permitted"),
        ('fail_on = "loud"', "drift-audit.toml: fail_on: not one of never, info, low, medium"),
        (
            '[[service]]\n[[service]]\n[[service]]\n[service.required]\nJWT_SECRET_KEY = {from = "vault"}',
            "drift-audit.toml: service[2].required.JWT_SECRET_KEY.from: Input should be 'secret', 'literal'",
        ),
        ('[severity]\nkey-lost = "big"', "drift-audit.toml: severity.key-lost: not one of info"),
        (
            '[[waiver]]\nrule = "x"',
            "drift-audit.toml: waiver[0].owner: Field required (and 2 more)",
        ),
        (
            '[[waiver]]\nrule="*"\nowner="a"\nreason="b"\nuntil=2026-01-01',
            "drift-audit.toml: waiver[0]: rule and at are both wildcards",
        ),
        (
            '[[waiver]]\nrule="*-*"\nat="*/?[a-z]*/-"\nowner="a"\nreason="b"\nuntil=2026-01-01',
            "drift-audit.toml: waiver[0]: rule and at are both wildcards",
        ),
        (
            '[[service]]\nrequired = {A = {pattern = "a", from = "secret"}}',
            "drift-audit.toml: service[0].required.A.pattern: what a secret holds is not read",
        ),
        ("reveal = 1", "drift-audit.toml: reveal: not a list"),
        ("scope = 1", "drift-audit.toml: scope: not a table"),
        ("service = [1]", "drift-audit.toml: service[0]: not a table"),
        ("severity = 1", "drift-audit.toml: severity: not a table"),
        (
            '[[service]]\nrequired = {A = {pattern = "("}}',
            "drift-audit.toml: service[0].required.A.pattern: not a regular expression",
        ),
        (
            '[[service]]\nrequired = {A = {pattern = "a"}}',
            "drift-audit.toml: service[0].required.A.pattern: the value of A is sealed",
        ),
        (
            '[scope]\nexpect = ["api"]',
            "drift-audit.toml: scope.expect[0]: String should match pattern",
        ),
        ('service = "x"', "drift-audit.toml: service: not a list"),
    ],
)
def test_wrong_policy(text, message):
    """What is wrong with a policy is one line with the place, and exit code 2."""
    with pytest.raises(PolicyError) as error:
        read_policy(text)

    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert error.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a = [", "not TOML: at end of document", ""),
        ("[a]\n[a]", "not TOML: at line 2, column 3", ""),
        (
            "a = " + "[" * 5_000,
            "not TOML that can be read: nested too deep, or a name or number that is too long",
            "",
        ),
        (
            "a = " + "9" * 5_000,
            "not TOML that can be read: nested too deep, or a name or number that is too long",
            "",
        ),
        ("X = 1", "X: Extra inputs are not permitted", "drift-audit schema show policy"),
        (
            '[[service]]\nrequired = {A = {pattern = "a", from = "secret"}}',
            "service[0].required.A.pattern: what a secret holds is not read",
            'drop the pattern, or require it from = "literal"',
        ),
        (
            '[[service]]\nrequired = {A = {pattern = "a"}}',
            "service[0].required.A.pattern: the value of A is sealed",
            'add "A" to reveal, or drop the pattern',
        ),
        (
            '[severity]\nno-rule = "low"',
            "severity.no-rule: there is no rule no-rule",
            "drift-audit explain lists them",
        ),
    ],
)
def test_wrong_policy_word_for_word(text, message, hint):
    """The whole line, and the next thing to type."""
    with pytest.raises(PolicyError) as error:
        read_policy(text, rules=["key-lost"])

    assert str(error.value) == f"drift-audit.toml: {message}"
    assert (error.value.hint or "") == hint


def test_errors_quote_no_value():
    """What stood in the file is not in the error: people paste secrets into the wrong place."""
    with pytest.raises(PolicyError) as error:
        read_policy('[[waiver]]\nrule = "r"\nowner = "o"\nreason = "x"\nuntil = "cnry-policy"')

    assert "cnry" not in str(error.value)


def test_table_in_pyproject():
    """A table of pyproject.toml is a policy too; without the table it is the empty one."""
    text = '[tool.drift-audit]\nfail_on = "low"'

    assert (
        read_policy(text, file="pyproject.toml", table="tool.drift-audit").fail_on is Severity.LOW
    )
    assert read_policy("[tool.x]", file="pyproject.toml", table="tool.drift-audit") == Policy()


@pytest.mark.parametrize("text", ["tool = 1", "[tool]\ndrift-audit = 1"])
def test_no_table_in_pyproject(text):
    """What stands where our table belongs and is none is refused."""
    with pytest.raises(PolicyError, match=r"pyproject\.toml: the file: not a table"):
        read_policy(text, file="pyproject.toml", table="tool.drift-audit")


def test_demanded_table():
    """A file that was named as the policy must hold one."""
    held = '[tool.drift-audit]\nfail_on = "low"'
    assert read_policy(held, table="tool.drift-audit", demanded=True).fail_on is Severity.LOW
    with pytest.raises(PolicyError, match=re.escape("there is no table [tool.drift-audit] in it")):
        read_policy("[tool.x]", file="pyproject.toml", table="tool.drift-audit", demanded=True)


@pytest.mark.parametrize(
    ("glob", "named"),
    [
        ("*", True),
        ("shop", True),
        ("shop/*/api", True),
        ("shop/*/a", False),
        ("*/api", False),
        ("shop/europe-west1/api/env/*/A", True),
        ("shop/*/A", False),
        ("shop/europe-west1/api/env/-/A/B", False),
        ("shop/europe-west1/api/env/-/A*", True),
    ],
)
def test_waiver_place_part_by_part(glob, named):
    """A star stands for one part of an address; a place that ends early covers all below it."""
    waiver = Waiver(rule="r", at=glob, owner="a", reason="b", until=dt.date(2026, 1, 1))
    finding = Finding(rule="r", severity=Severity.LOW, address=HOME.at(key="A"), says="")

    assert waiver.names(finding) is named


@pytest.mark.parametrize(
    ("glob", "named"),
    [
        ("shop/europe-west1/api/mount/-/*/jwt", True),
        ("shop/europe-west1/api/mount/-//run/keys/jwt", True),
        ("shop/europe-west1/api/mount/-//run/*/jw", False),
    ],
)
def test_waiver_of_a_path(glob, named):
    """The slashes of a path are part of a name: one star stands for as many of them as there are."""
    waiver = Waiver(rule="r", at=glob, owner="a", reason="b", until=dt.date(2026, 1, 1))
    at = HOME.at(mount="/run/keys/jwt")

    assert waiver.names(Finding(rule="r", severity=Severity.LOW, address=at, says="")) is named


def test_waiver_names_by_globs():
    """A waiver speaks of a finding by globs on its rule and address."""
    policy = read_policy(
        '[[waiver]]\nrule="key-*"\nat="shop/*/api/env/*/A"\nowner="a"\nreason="b"\nuntil=2026-01-01'
    )
    [waiver] = policy.waiver
    found = [
        Finding(rule=rule, severity=Severity.LOW, address=at, says="")
        for rule, at in [
            ("key-lost", HOME.at(key="A")),
            ("key-lost", HOME.at(key="B")),
            ("x", HOME.at(key="A")),
        ]
    ]

    assert [waiver.names(f) for f in found] == [True, False, False]
    assert waiver.mark.owner == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[severity]\nkey-lots = "low"', "severity.key-lots: there is no rule key-lots"),
        (
            '[[waiver]]\nrule="key-lots"\nowner="a"\nreason="b"\nuntil=2026-01-01',
            "waiver[0].rule: there is no rule key-lots",
        ),
    ],
)
def test_misspelled_rules(text, message):
    """A rule that nobody knows is refused where the rules are known: it would do nothing."""
    with pytest.raises(PolicyError, match=re.escape(message)):
        read_policy(text, rules={"key-lost"})
    assert read_policy(text.replace("key-lots", "key-lost"), rules={"key-lost"})


@pytest.mark.parametrize("part", ["a", "a-1 ", '"."', '"\\""', "'x' "])
def test_names_of_very_many_parts(part):
    """A dotted name of very many parts is refused before it is read: that takes memory by its square."""
    dotted = ".".join([part] * 5_000)

    with pytest.raises(PolicyError, match="a name or number that is too long"):
        read_policy(f"{dotted} = 1")


def test_dots_in_text():
    """What a person writes may hold as many dots as it likes."""
    text = 'reveal = ["' + "a." * 200 + '"]\n'

    assert read_policy(text).reveal == ("a." * 200,)
