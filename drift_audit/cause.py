"""
The shape of a loss names the command that probably made it.

gcloud's flags replace by kind: `--set-secrets` drops every other secret and keeps plain values,
`--set-env-vars` drops every other plain value and keeps secrets, `services replace` keeps only what
its file says (`cloud-run-api.md` §6.1, `peers-and-cases.md` §4.3). A hint, never more: no finding
depends on it.
"""

from __future__ import annotations

from drift_audit.binding import Binding, LiteralValue, Mount, SecretReference
from drift_audit.differ import compare
from drift_audit.finding import Cause
from drift_audit.snapshot import Snapshot


def probable_cause(before: Snapshot, after: Snapshot) -> Cause | None:
    """Read the shape of what one deploy lost. None where the shape fits no known command."""
    changes = compare(before, after)
    lost = [c for c in changes if c.after is None or _is_literal(c.before) != _is_literal(c.after)]
    secrets = sum(_is_secret(c.before) and not _is_secret(c.after) for c in lost)
    literals = sum(_is_literal(c.before) and (c.after is None or _is_secret(c.after)) for c in lost)
    kept_secrets = any(isinstance(b.source, SecretReference) for b in after.bindings)
    kept_literals = any(isinstance(b.source, LiteralValue) for b in after.bindings)
    fell_back = any(
        c.at.setting == "service_account" and after.setting("service_account") == "default"
        for c in changes
    )
    if secrets and literals:
        if fell_back:
            return Cause(
                command="gcloud run services replace",
                because="plain values, secrets and the service account are gone at once",
            )
        return Cause(
            command="gcloud run deploy with --set-env-vars and --set-secrets, or services replace",
            because="plain values and secrets are gone at once",
        )
    if secrets and kept_literals:
        flag = "--set-secrets" if kept_secrets else "--clear-secrets or --set-secrets"
        return Cause(
            command=f"gcloud run deploy with {flag}",
            because=f"{_count(secrets, 'secret')} gone, and every plain value kept",
        )
    if literals and kept_secrets:
        flags = "--set-env-vars or --env-vars-file" if kept_literals else "--clear-env-vars"
        return Cause(
            command=f"gcloud run deploy with {flags}",
            because=f"{_count(literals, 'plain value')} gone, and every secret kept",
        )
    return None


def _is_secret(item: object) -> bool:
    return isinstance(item, (Binding, Mount)) and isinstance(item.source, SecretReference)


def _is_literal(item: object) -> bool:
    return isinstance(item, Binding) and isinstance(item.source, LiteralValue)


def _count(number: int, word: str) -> str:
    return f"{number} {word} is" if number == 1 else f"{number} {word}s are"
