"""The patterns of a library: what they find is told by its kind, and what they miss is told too."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given

from drift_audit.differ import compare
from drift_audit.patterns import LIBRARY, Failed, Patterns, load
from drift_audit.seal import BY_PATTERN, CREDENTIAL, PATTERNS_FAILED, VALUE_LIMIT
from tests.builders import HOME, LASTING, sealer, snapshot
from tests.canary import files_below, leaks
from tests.command import SEALED, run
from tests.manifests import service
from tests.strategies import sides
from tests.worlds import playing_document, reached

REPOSITORY = Path(__file__).parents[1]
PATTERNS = load()
CANARY = "7f3a9c51e2b04d68cnrypatterns0001-us12"
"""As the key of a vendor looks, and as nothing that the rules of our own know."""

HEX = "3f9a7c51e20b4d68"
EXAMPLES = {
    "AWSKeyDetector": ("AWS_BACKUP_PW", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    "CloudantDetector": ("CLOUDANT_KEY", "abcdefghijklmnopqrstuvwx"),
    "DiscordBotTokenDetector": ("X", f"M{'a' * 23}.{'b' * 6}.{'c' * 27}"),
    "GitHubTokenDetector": ("X", f"ghr_{'a1B2' * 9}"),
    "IbmCosHmacDetector": ("COS_HMAC_SECRET_ACCESS_KEY", HEX * 3),
    "MailchimpDetector": ("X", CANARY),
    "NpmDetector": ("X", f"npm_{'a1B2' * 9}"),
    "SendGridDetector": ("X", f"SG.{'a' * 22}.{'b' * 43}"),
    "SlackDetector": ("X", "https://hooks.slack.com/services/T0001/B0001/abc"),
    "SoftlayerDetector": ("SL_API_KEY", HEX * 4),
    "SquareOAuthDetector": ("X", f"sq0csp-{'a' * 43}"),
    "StripeDetector": ("X", f"rk_live_{'a1B2' * 6}"),
    "TwilioKeyDetector": ("X", f"AC{HEX * 2}"),
}


class Deaf:
    """A detector that ends otherwise than with an answer, and whose words hold the value."""

    secret_type = "Deaf"

    def analyze_string(self, string):
        raise RuntimeError(f"cannot read {string}")


BROKEN = Patterns("some-library 1.0", {"Deaf": Deaf()})


def traits(name, *values, patterns=PATTERNS):
    """What is kept of a value that the patterns were held against."""
    return set(sealer(patterns=patterns).seal(HOME.at(key=name), *values).traits)


@pytest.mark.parametrize("detector", EXAMPLES)
def test_each_detector_speaks(detector):
    """Every detector that is in force knows its kind of credential, and tells it by the kind."""
    kind = PATTERNS.detectors[detector].secret_type

    assert {CREDENTIAL, f"{BY_PATTERN}{kind}"} <= traits(*EXAMPLES[detector])


def test_what_is_in_force():
    """The detectors are those that are patterns alone; what needs a file or a call is not used."""
    assert list(PATTERNS.detectors) == sorted(EXAMPLES)
    assert str(PATTERNS).startswith(f"{LIBRARY} 1.5.")
    assert str(PATTERNS).endswith("StripeDetector, TwilioKeyDetector")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "info"),
        ("GIT_SHA", "0123456789abcdef0123456789abcdef01234567"),
        ("IMAGE", "r/api@sha256:" + HEX * 4),
        ("REGION", "europe-west1"),
        ("X", "123e4567-e89b-12d3-a456-426614174000"),
        ("X", ""),
    ],
)
def test_silent(name, value):
    """What no pattern knows has no trait of theirs."""
    assert not any(trait.startswith(CREDENTIAL) for trait in traits(name, value))


def test_lists_are_looked_through():
    """Each of the arguments of a container is held against the patterns."""
    assert f"{BY_PATTERN}Mailchimp Access Key" in traits("args", "--verbose", CANARY)


HOSTILE = [
    "aws", "awskey", "awspw ", "cl_key=", "cloudant   ", "http://a:", "https://a-", "sl_key ", "npm token",
    "softlayerkey=  ", "secret_key ", "cos_hmac_secret-access-key   ", "_authToken", "npm_", "xoxb-1-",
    "xoxb-", "https://hooks.slack.com/services/Ta/B", "SG.", f"SG.{'a' * 22}.", "AC", "SK", "M",
    f"{'M' * 24}.", "rk_live_", "ghp_", "sq0csp-", "-us1", "AKIA", "=", " ", "\n", '"', "eyJ", "artif",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_hostile_text_takes_no_time(part):
    """No repetition makes the patterns take more than a moment for the longest value."""
    begun = time.process_time()
    PATTERNS.found("X", part * (VALUE_LIMIT // len(part)) + "!")

    assert time.process_time() - begun < 1


def test_failure_is_kept_without_its_words():
    """Where a detector fails, that is what is kept, and nothing of what it said."""
    kept = sealer(patterns=BROKEN).seal(HOME.at(key="A"), CANARY)

    assert kept.traits == (PATTERNS_FAILED,)
    assert leaks(kept.model_dump_json().encode(), [CANARY]) == []
    with pytest.raises(Failed) as error:
        BROKEN.found("A", CANARY)
    assert (str(error.value), error.value.__cause__) == ("", None)


@given(sides())
def test_snapshots_compare_whether_or_not_patterns_were_on(side):
    """What was sealed with patterns and what was sealed without them do not differ."""
    side["env"]["MAIL"] = CANARY
    seals = [sealer(patterns=patterns) for patterns in (None, PATTERNS, BROKEN)]
    one, other, third = (snapshot(side, seal=seal) for seal in seals)

    assert compare(one, other) == compare(other, third) == compare(third, one) == ()
    assert one.keys["", "MAIL"].source != other.keys["", "MAIL"].source


def test_marks_tell_which_patterns_were_in_force():
    """What was read without the patterns, or with others, is not taken for what is read with them."""
    given = [None, PATTERNS, BROKEN, Patterns("some-library 1.1", BROKEN.detectors)]
    marks = {sealer(key=LASTING, patterns=patterns).mark("x", b"data") for patterns in given}

    assert len(marks) == len(given)


# The command


@pytest.fixture
def manifest(tmp_path):
    """A folder with a service that holds what only a pattern knows."""
    env = [{"name": "ACCOUNT", "value": CANARY}, {"name": "LOG_LEVEL", "value": "info"}]
    (tmp_path / "api.json").write_text(json.dumps(service(env=env)))
    return tmp_path


def audited(folder, *flags, code=0, **env):
    """The report of an audit of that folder."""
    arguments = ["audit", "--input=api.json", "--fail-on=never", "--format=json", *flags]
    ran = run(*arguments, cwd=folder, env=env)

    assert ran.code == code, ran.block
    return json.loads(ran.out)


def credentials(report):
    """What the report says of credentials."""
    found = [f for one in report["services"] for f in one["findings"]]
    return [f["says"] for f in found if f["rule"] == "credential-in-plain"]


SAYS = "ACCOUNT looks like a credential by the pattern Mailchimp Access Key and is a plain value"


@pytest.mark.parametrize(
    ("flags", "env", "policy", "says"),
    [
        ([], {}, "", []),
        (["--detect"], {}, "", [SAYS]),
        ([], {"DRIFT_AUDIT_DETECT": "1"}, "", [SAYS]),
        ([], {}, "detect = true", [SAYS]),
    ],
)
def test_how_it_is_switched_on(manifest, flags, env, policy, says):
    """A flag, its variable or the policy ask for the patterns; the finding names key and pattern."""
    (manifest / "drift-audit.toml").write_text(policy)
    report = audited(manifest, *flags, **env)
    told = [n for n in report["notes"] if "patterns" in n]

    assert credentials(report) == says
    assert told == [f"plain values were held against the patterns of {PATTERNS}"] * bool(says)


def test_compare(manifest):
    """A comparison holds the values of its files against the patterns too."""
    after = service(env=[{"name": "SPARE", "value": CANARY}])
    (manifest / "after.json").write_text(json.dumps(after))
    ran = run("compare", "api.json", "after.json", "--detect", "--format=json", cwd=manifest)

    assert credentials(json.loads(ran.out)) == [SAYS.replace("ACCOUNT", "SPARE")]


LIVE = {
    "services": [
        {
            "project": "shop", "region": "r1", "service": "api",
            "revisions": [
                {
                    "name": "api-1", "at": "2026-01-01T08:00:00Z", "image": "r/api",
                    "args": [f"--account={CANARY}"], "env": {"ACCOUNT": CANARY},
                },
            ],
        },
    ],
}  # fmt: skip


def test_no_value_leaves(tmp_path):
    """Nothing that is printed or written holds the value, in whatever form, night after night."""
    (tmp_path / "baselines").mkdir()
    outputs = [f"-o=report.{suffix}" for suffix in ("txt", "json", "md", "html")]
    scope = ["--project=shop", "--region=r1"]
    seen = b""
    with playing_document(LIVE) as emulator:
        for arguments in (
            ["audit", *scope, *outputs],
            ["audit", *scope, "--detect", "--verbosity=debug", "--progress=on", *outputs],
            ["audit", *scope, "--detect", "--format=json"],
            ["snapshot", *scope, "--detect", "-o", "snapshot.json"],
        ):
            ran = run(*arguments, cwd=tmp_path, env=reached(emulator))
            seen += ran.block.encode()
    seen += b"".join(files_below(tmp_path).values())

    assert SAYS.encode() in seen  # of the second night, in which nothing had changed
    assert b"Mailchimp" in (tmp_path / "snapshot.json").read_bytes()
    assert leaks(seen, [CANARY]) == []


def test_control_the_value_is_there(manifest):
    """The scan finds the value where it is."""
    assert "plain" in leaks((manifest / "api.json").read_bytes(), [CANARY])
    assert "plain" in leaks(yaml.safe_dump(LIVE).encode(), [CANARY])


# What was not tried


def skipped(report):
    """What was not judged for want of the patterns: what, why, and whether it leaves a hole."""
    told = [s for s in report["skipped"] if "patterns of credentials" in s["what"]]
    return [(s["what"], s["reason"], s["blocking"]) for s in told]


def sealed(folder, *flags):
    """The same as a snapshot that is audited in the place of the manifest."""
    ran = run("snapshot", "--input=api.json", "-o", "snapshot.json", *flags, cwd=folder, env=SEALED)
    assert ran.code == 0, ran.block
    (folder / "snapshot.json").rename(folder / "api.json")


def test_what_was_sealed_without_patterns(manifest):
    """Values that were sealed before cannot be held against patterns: the audit is incomplete."""
    sealed(manifest)
    report = audited(manifest, "--detect", code=3, **SEALED)

    assert credentials(report) == []
    assert skipped(report) == [
        ("the patterns of credentials", "its plain values were sealed without them", True)
    ]


def test_what_was_sealed_with_patterns(manifest):
    """What the patterns said when the values were sealed is said again, asked for or not."""
    sealed(manifest, "--detect")
    asked, unasked = audited(manifest, "--detect", **SEALED), audited(manifest, **SEALED)

    assert credentials(asked) == credentials(unasked) == [SAYS]
    assert skipped(asked) == skipped(unasked) == []


def test_what_was_sealed_with_other_patterns(manifest):
    """Patterns of another version are named, and leave no hole: the values were looked at."""
    sealed(manifest, "--detect")
    text = (manifest / "api.json").read_text()
    (manifest / "api.json").write_text(text.replace(PATTERNS.library, "bc-detect-secrets 1.5.1"))
    [(_, reason, blocking)] = skipped(audited(manifest, "--detect", **SEALED))

    assert reason == "its plain values were sealed with those of bc-detect-secrets 1.5.1"
    assert not blocking


def library(folder, files, version="9.9"):
    """What makes the command see a library of these modules in the place of the real one."""
    root = folder / "library"
    about = root / f"bc_detect_secrets-{version}.dist-info"
    about.mkdir(parents=True)
    told = f"Metadata-Version: 2.1\nName: {LIBRARY}\nVersion: {version}\n"
    (about / "METADATA").write_text(told)
    for name, text in {"__init__.py": "", "plugins/__init__.py": "", **files}.items():
        path = root / "detect_secrets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"PYTHONPATH": f"{root}:{REPOSITORY}"}


BASE = """
class BasePlugin:
    def analyze_line(self): ...

class RegexBasedDetector(BasePlugin): ...
"""
RAISES = """
from .base import RegexBasedDetector

class Picky(RegexBasedDetector):
    secret_type = "Picky"

    def analyze_string(self, string):
        if "ACCOUNT" in string:
            raise ValueError(string)
        return iter(())
"""
WHOLE = {"__version__.py": "VERSION = '9.9'", "plugins/base.py": BASE, "plugins/picky.py": RAISES}


def test_library_that_fails_on_a_value(manifest):
    """A value that the library fails on is named, without its words: the audit is incomplete."""
    env = library(manifest, WHOLE)
    report = audited(manifest, "--detect", code=3, **env)

    assert skipped(report) == [
        (
            "the patterns of credentials for ACCOUNT",
            f"{LIBRARY} 9.9 failed on its value",
            True,
        )
    ]
    assert leaks(json.dumps(report).encode(), [CANARY]) == []


@pytest.mark.parametrize(
    ("files", "says", "hint"),
    [
        ({"__init__.py": "raise ImportError"}, "bc-detect-secrets is not installed", "pip install 'drift-audit[detect]'"),
        (WHOLE | {"__version__.py": "VERSION = '1.5.0'"}, "detect_secrets is not that of", "pip uninstall detect-secrets"),
        (WHOLE | {"plugins/picky.py": ""}, "detect_secrets is not that of", "pip uninstall detect-secrets"),
    ],
)  # fmt: skip
def test_library_that_is_not_there(manifest, files, says, hint):
    """Asked for and not there is an error with the next thing to type; else nobody misses it."""
    env = library(manifest, files)
    ran = run("audit", "--input=api.json", "--detect", cwd=manifest, env=env)

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert hint in ran.err
    assert credentials(audited(manifest, **env)) == []


@pytest.mark.parametrize(
    ("files", "code", "state", "says"),
    [
        (WHOLE, 0, "ok", "bc-detect-secrets 9.9, as the policy asks"),
        ({"__init__.py": "raise ImportError"}, 2, "missing", "the policy asks for them, and bc-detect-secrets is not"),
    ],
)  # fmt: skip
def test_doctor(tmp_path, files, code, state, says):
    """The doctor tells whether the library is there that the policy asks for."""
    (tmp_path / "drift-audit.toml").write_text("detect = true\n")
    ran = run("doctor", "--format=json", cwd=tmp_path, env=library(tmp_path, files))
    [told] = [c for c in json.loads(ran.out)["checks"] if c["check"] == "patterns"]

    assert (told["state"], told["code"]) == (state, code)
    assert told["says"].startswith(says)
