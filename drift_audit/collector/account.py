"""
Whose credentials a run uses, told by name and never by what they are.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from google.auth.compute_engine import Credentials as OfMachine
from google.auth.external_account import Credentials as External
from google.auth.external_account_authorized_user import Credentials as ExternalPerson
from google.auth.impersonated_credentials import Credentials as Impersonated
from google.oauth2.credentials import Credentials as Person

_EMAIL = re.compile(r"[\w.+-]+@[\w.-]+", re.ASCII)

MEMBER = "MEMBER"
"""Stands in commands for an account whose name is not known here."""


class Account(NamedTuple):
    """
    Who acts, in words and as IAM policies name it. `source` is whose credentials are there, which
    differs when another account is impersonated; `unbilled` says that calls count against nobody.
    """

    words: str
    member: str = MEMBER
    source: str = MEMBER
    unbilled: bool = False


def of(credentials: Any) -> Account:
    """The account behind credentials of google's library."""
    if isinstance(credentials, Impersonated):
        behind = of(getattr(credentials, "_source_credentials", None))
        found = _service_account(credentials, "a service account")
        words = f"{found.words}, impersonated with those of {behind.words}"
        return Account(words, found.member, behind.member, behind.unbilled)
    if isinstance(credentials, Person):
        return _person(credentials)
    if isinstance(credentials, OfMachine):
        return _service_account(credentials, "the service account of this machine")
    if isinstance(credentials, External):
        return _service_account(credentials, "a workload of another identity provider")
    if isinstance(credentials, ExternalPerson):
        return Account("a person of another identity provider")
    return _service_account(credentials, "an account without a name")


def _person(credentials: Person) -> Account:
    unbilled = not credentials.quota_project_id
    if name := _named(credentials.account):
        return Account(f"{name}, a person", f"user:{name}", f"user:{name}", unbilled)
    member = "user:YOUR_ACCOUNT"
    return Account("a person, logged in with gcloud", member, member, unbilled)


def _service_account(credentials: Any, nameless: str) -> Account:
    """A service account by its address, where that is known before the first call."""
    if name := _named(getattr(credentials, "service_account_email", "")):
        return Account(name, f"serviceAccount:{name}", f"serviceAccount:{name}")
    return Account(nameless)


def _named(text: Any) -> str:
    """An address as accounts have it, else nothing: a file of credentials may hold anything."""
    return text if isinstance(text, str) and _EMAIL.fullmatch(text) else ""
