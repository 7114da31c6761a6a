"""
Whether a plain value looks like a credential, and by what: the name of its key, a password inside
it, the shape of a token, or its randomness. Told apart from the value while that is sealed.

Only ever the reason for a finding, never for showing or hiding: all values are sealed alike.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache
from typing import Literal

from drift_audit import names

Sign = Literal["name", "password", "shape", "randomness"]
"""What gives a credential away."""

_SECRET_WORDS = re.compile(
    r"(?:^|_)(?:SECRETS?|SECRETKEY|PASSWORD|PASSWD|PASS|PWD|PASSPHRASE|PASSCODE|TOKEN|CREDENTIALS?"
    r"|CREDS|DSN|(?:API|PRIVATE|ACCESS|ACCOUNT|AUTH|ENCRYPTION|HMAC|JWT|LICENSE|MASTER|ROLE|SIGNING)"
    r"_?KEY)(?:_|$)"
)
_NOT_THE_SECRET = re.compile(
    r"(?:^|_)(?:TTL|UR[LI]|ENDPOINT|HOST|PORT|DOMAIN|ADDRESS|NAME|LENGTH|LEN|SIZE|COUNT|LIMIT|MAX|MIN"
    r"|PATH|FILE|DIR|BUCKET|IDS?|REF|ARN|VERSION|EXPIR(?:Y|ES(?:_(?:IN|AT))?|ATION)|LIFETIME|AGE"
    r"|TIMEOUT|INTERVAL|SECONDS|MINUTES|DAYS|HOURS|ENABLED|REQUIRED|ALGORITHM|ALG|ISSUER|AUDIENCE"
    r"|SCOPES?|HEADER|FIELD|COOKIE|TYPE|FORMAT|MODE|PREFIX|PROVIDER|BACKEND|STORE|MANAGER|POLICY"
    r"|REGION|PROJECT|SHA|CHECKSUM|FINGERPRINT)$"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_PASSWORDS = re.compile(  # linear: no part looks far through the same text from two beginnings
    r"(?<=[a-z0-9+.-])://[^/\s:@]*+:(?![0-9]{1,5}[/?#]|[*x]+@)[^\s@]{1,256}+@"  # in a URL
    r"|(?:^|[;?&\s])(?i:password|passwd|pwd|accountkey|sharedaccesskey|x-(?:goog|amz)-signature)"
    r"\s{0,8}=\s{0,8}(?![*x]+(?:[;&\s]|$))[^;&\s]"  # in a connection string
)
_SHAPES = re.compile(
    r"\bBearer\s{1,8}[^\s\"',}]++(?=[\"',}]|\s{0,8}$)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|-----BEGIN KEY-----"
    r"|LS0tLS1CRUdJTi(?:BQUklWQVRF|BSU0EgUFJJVkFUR|BFQyBQUklWQVRF)"  # such a key in base64
    r"|eyJ0eXBlIjoic2VydmljZV9hY2NvdW50|ewogICJ0eXBlIjogInNlcnZpY2VfYWNjb3VudC"  # a key file in it
    r"|\b(?:A[KS]IA[0-9A-Z]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|xox[abeprs]-[\w-]{8,}|AIza[\w-]{30,}|GOCSPX-[\w-]{20,}|ya29\.[\w-]{8,}|[rs]k_(?:live|test)_\w{8,}"
    r"|whsec_\w{16,}|sk-[\w-]{16,}|SG\.[\w-]{16,}\.[\w-]{16,}|npm_\w{36}|hf_[A-Za-z]{30,}"
    r"|dckr_pat_[\w-]{20,}|shp(?:at|ss)_[0-9a-f]{32}|pypi-AgE[\w-]{16,})"
    r"|hooks\.slack\.com/services/T\w{4,64}/"
    r"|(?<![\w-])eyJ[\w-]{8,}+\.[\w-]{8,}+\."  # a JWT
)
_PARTS = re.compile(
    r"Bearer|-----BEGIN|LS0tLS1C|eyJ|ewog|A[KS]IA|gh[pousr]_|github_pat_|glpat-|xox|AIza|GOCSPX"
    r"|ya29\.|[rs]k[_-]|whsec_|SG\.|npm_|hf_|dckr_|shp(?:at|ss)_|hooks\.|pypi-"
)
"""One of these stands in every shape: to look for them first takes a tenth of the time."""

_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{20,128}")
RANDOM = 4.0
"""Bits for each character from which a token is taken for a random one."""

_PLAIN = re.compile(
    r"(?i:true|false|yes|no|on|off|none|null)|[0-9.]{1,6}|[0-9]{1,12}(?:ms|[smhd])|"
    r"(?:/[\w@-][\w.@-]*+){2,}/?"  # the path of a file
    r"|projects/[^/\s]+/[\w/.@-]+|[\w.-]+@[\w.-]+\.gserviceaccount\.com"  # names of resources
    r"|(?:g?sm|gcp-?secrets?|secretmanager|berglas|vault|op)://\S+",  # where a secret is kept
    re.ASCII,
)
"""Values that are no credential, whatever their key is called."""

_FLAG = re.compile(r"--?(?P<name>[A-Za-z][\w.-]{0,99})=(?P<value>.+)", re.DOTALL)


def sign_of(name: str, value: str) -> Sign | None:
    """
    What gives a plain value away as a credential; None where nothing does.

    What a template was meant to fill in does not count: `postgres://app:${PASSWORD}@db` holds no
    password. An argument like `--token=…` is judged by the name of its flag.
    """
    if names.is_placeholder(value):
        return _by_content(names.PLACEHOLDER.sub("", value))
    if value.startswith("-") and (flag := _FLAG.fullmatch(value)):
        name, value = flag["name"], flag["value"]
    if sign := _by_content(value):
        return sign
    named = names_a_secret(name)
    if not named and (_is_described(name) or not _is_random(value)):
        return None
    if _PLAIN.fullmatch(value):
        return None
    return "name" if named else "randomness"


@lru_cache(maxsize=4_096)
def names_a_secret(name: str) -> bool:
    """Tell whether the name of a key says that it holds a secret, and not something about one."""
    return bool(_SECRET_WORDS.search(_words(name))) and not _is_described(name)


@lru_cache(maxsize=4_096)
def _is_described(name: str) -> bool:
    """Tell whether a name ends in what says that no secret is there: an id, a path, a duration."""
    return _NOT_THE_SECRET.search(_words(name)) is not None


def _words(name: str) -> str:
    """`dbPassword`, `db-password` and `db.password` as `DB_PASSWORD`."""
    return _HUMP.sub("_", name).upper().replace("-", "_").replace(".", "_")


def _by_content(value: str) -> Sign | None:
    """The sign that the text itself holds, whatever its key is called."""
    if ("://" in value or "=" in value) and _PASSWORDS.search(value):
        return "password"
    return "shape" if _PARTS.search(value) and _SHAPES.search(value) else None


def _is_random(text: str) -> bool:
    return bool(_TOKEN.fullmatch(text)) and _mixed(text) and _entropy(text) >= RANDOM


def _entropy(text: str) -> float:
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts)


def _mixed(text: str) -> bool:
    return (
        any(c.isdigit() for c in text) and any(c.isupper() for c in text) and text != text.upper()
    )
