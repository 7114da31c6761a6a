"""Plain values that look like credentials, told by four signs, and values that only seem so."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_audit.credentials import names_a_secret, sign_of
from drift_audit.seal import VALUE_LIMIT, traits

RANDOM = "q7Zp2LxV9tRb4KmW8sYd"
HEX = "3f9a7c51e20b4d68"
KEY_FILE = json.dumps(
    {"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\nMII"}
)
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE"


def encoded(text):
    """A text in base64."""
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "hunter2"),
        ("DB_PASS", "hunter2"),
        ("SMTP_PASSWD", "postgres"),
        ("jwt-secret", "abc"),
        ("spring.datasource.password", "abc"),
        ("clientSecret", "abc"),
        ("JWT_SECRET_KEY", HEX * 4),
        ("DATADOG_API_KEY", HEX * 2),
        ("HEROKU_API_KEY", "123e4567-e89b-12d3-a456-426614174000"),
        ("SUPABASE_SERVICE_ROLE_KEY", "abc"),
        ("GITHUB_TOKEN", "abc"),
        ("SECRET_TOKEN", "12345678"),
        ("args", "--db-password=hunter2"),
        ("command", "-token=abc"),
    ],
)
def test_names(name, value):
    """A key, or the flag of an argument, that is named for a secret holds one."""
    assert sign_of(name, value) == "name"


@pytest.mark.parametrize(
    "value",
    [
        "postgres://u:pw@db/x",
        "postgres://u:p/w@db/x",
        "postgres://u:p@w@db/x",
        "redis://:pw@10.0.0.1",
        "mongodb+srv://root:example@cluster0.example.net/?retryWrites=true",
        "postgresql://u:pw@/shop?host=/cloudsql/shop:europe-west1:main",
        "host=10.0.0.3 user=app password=pw dbname=shop",
        "Server=db;Database=shop;User Id=app;Password=pw;",
        "jdbc:postgresql://db/shop?user=app&password=pw",
        "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=abc==;EndpointSuffix=core.net",
        "--database=postgres://u:pw@db/x",
    ],
)
def test_passwords_inside(value):
    """A password in a URL or a connection string is one, whatever the key is called."""
    assert sign_of("X", value) == "password"


@pytest.mark.parametrize(
    "value",
    [
        "Bearer abc",
        'curl -H "Authorization: Bearer abc" https://example.com',
        PEM,
        "-----BEGIN KEY-----\nabc",
        KEY_FILE,
        encoded(PEM),
        encoded('{"type":"service_account","project_id":"shop"}'),
        encoded('{\n  "type": "service_account",\n  "project_id": "shop"}'),
        "AKIA" + "A1B2" * 4,
        "ASIA" + "A1B2" * 4,
        "ghp_" + "a1B2" * 6,
        "github_pat_" + "a1B2" * 6,
        "glpat-" + "a1B2" * 5,
        "xoxb-12345678-abc",
        "AIza" + "a1B2" * 9,
        "GOCSPX-" + "a1B2" * 7,
        "ya29.a0AfH6SM",
        "sk_live_a1b2c3d4",
        "rk_live_a1b2c3d4",
        "whsec_" + "a1B2" * 8,
        "sk-proj-" + "a1B2" * 5,
        f"SG.{'a1B2' * 5}.{'a1B2' * 10}",
        "npm_" + "a1B2" * 9,
        "hf_" + "aBcD" * 8,
        "dckr_pat_" + "a1B2" * 6,
        "shpat_" + HEX * 2,
        "pypi-AgEIcHlwaS5vcmc" + "a1B2" * 5,
        "https://hooks.slack.com/services/T0001/B0001/abc",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    ],
)
def test_shapes(value):
    """What a token of some vendor, a private key or a JWT looks like is one."""
    assert sign_of("X", value) == "shape"


@pytest.mark.parametrize("value", [RANDOM, f"{RANDOM}/{RANDOM}+{RANDOM}==", encoded(RANDOM * 2)])
def test_randomness(value):
    """A random token is one under a key whose name says nothing."""
    assert sign_of("X", value) == "randomness"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "true"),
        ("DB_PASSWORD", "None"),
        ("DB_PASSWORD", "120"),
        ("DB_PASSWORD", "/run/secrets/db"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/secrets_firebase/svc.prod.json"),
        ("API_KEY", "projects/p/secrets/api-key/versions/3"),
        ("API_KEY", "sm://shop/api-key"),
        ("CREDENTIALS", "robot@shop.iam.gserviceaccount.com"),
        ("PWD", "/app/current"),
        ("TOKEN_TTL", "86400000"),
        ("TOKEN_LIFETIME", "86400000"),
        ("ACCESS_TOKEN_EXPIRATION", "86400000"),
        ("JWT_SECRET", "30d"),
        ("MAX_TOKENS", "4096"),
        ("BYPASS", "abc"),
        ("COMPASS_URL", "abc"),
        ("PASSWORD_MIN_LENGTH", "twelve"),
        ("SECRET_NAME", "projects/p/secrets/s"),
        ("TOKEN_ENDPOINT", "https://auth.example.com/token"),
        ("SECRETS_PROVIDER", "vault"),
        ("TOKEN_ISSUER", "accounts"),
        ("X", "https://example.com/path"),
        ("X", "https://example.com:8080/users/me@example.com"),
        ("X", "http://localhost:4318"),
        ("X", "postgres://u:****@db/x"),
        ("X", "password=****"),
        ("X", "mailto:me@example.com"),
        ("X", "Bearer tokens are refused here"),
        ("X", "-----BEGIN CERTIFICATE-----\nMII"),
        ("GIT_SHA", "0123456789abcdef0123456789abcdef01234567"),
        ("X", "123e4567-e89b-12d3-a456-426614174000"),
        ("X", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("X", "THIS_IS_AN_ENUMERATION_OF_2"),
        ("STRIPE_PRICE_ID", "price_1TWXZlRWPGTvI9HrxX2hUI3r"),
        ("BUILD_VERSION", RANDOM),
        ("LOG_LEVEL", "info"),
        ("args", "--log-level=debug"),
        ("args", "--token-file=/run/token.txt"),
        ("X", ""),
    ],
)
def test_no_credentials(name, value):
    """Flags, numbers, paths, names of secrets, hashes of commits and words are none."""
    assert sign_of(name, value) is None


@pytest.mark.parametrize(
    ("value", "sign"),
    [
        ("postgres://app:${DB_PASSWORD}@db/shop", None),
        ("Bearer ${TOKEN}", None),
        ("{{ password }}", None),
        ("postgres://app:pw@${DB_HOST}/shop", "password"),
        (f"{PEM}\n${{REST}}", "shape"),
    ],
)
def test_templates(value, sign):
    """What a template leaves open is no credential; what stands beside it is one all the same."""
    assert sign_of("DB_PASSWORD", value) == sign


@pytest.mark.parametrize("value", ["changeme", "your-token-here", "xxxx", " ", ""])
def test_unfilled_values(value):
    """A value that says it must be replaced is a placeholder, or blank, and no credential."""
    assert not any(trait.startswith("credential") for trait in traits("DB_PASSWORD", value))


def test_traits_tell_the_sign():
    """What is kept of a value is that it looks like a credential, and by what."""
    assert traits("A", " postgres://u:pw@db/x\n") == {
        "credential", "credential-by-password", "edge-whitespace",
    }  # fmt: skip


@given(st.text(), st.text())
def test_names_alone(name, value):
    """A key that is named for no secret never holds one by its name."""
    assert names_a_secret(name) or sign_of(name, value.lstrip("-")) != "name"


HOSTILE = [
    "://", "://a:", "a://:", "a://a:b", "password=", "&password", " pwd ", "AccountKey=\t", "Bearer  ",
    "Bearer\t", "hooks.slack.com/services/T", "SG.", f"SG.{'a' * 16}.", "pypi-AgE", "-a=", "--", "/a",
    "projects/", "eyJaaaaaaaa", "LS0tLS1C", "a.gserviceaccount.", "vault://", "-----BEGIN ", "xoxb-",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_hostile_text_takes_no_time(part):
    """No repetition makes the longest value take more than a moment, under any name."""
    text = part * (VALUE_LIMIT // len(part))
    begun = time.process_time()
    for value in (text, f"{text}!", f"-x={text}", f"${{A}}{text}"):
        sign_of("DB_PASSWORD", value)
        sign_of("X", value)

    assert time.process_time() - begun < 1
