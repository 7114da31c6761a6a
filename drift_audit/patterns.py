"""
The patterns of a library that others keep, held against plain values in the call that seals them.
The only module that knows detect_secrets.

Of its detectors those are used that are patterns and nothing else. What a detector finds is not
looked at, only that it found something; none is asked whether a credential works, for that would
send it away.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from drift_audit.errors import CommandError

LIBRARY = "bc-detect-secrets"
EXTRA = "pip install 'drift-audit[detect]'"

OURS = frozenset({"JwtTokenDetector"})
"""What `credentials` knows too, in a time that does not grow with the square of a value."""

SLOW = frozenset({"ArtifactoryDetector"})
"""A tenth of a millisecond for each character of a hostile value is too much (see the tests)."""


class Failed(Exception):
    """A detector ended otherwise than with an answer. Its words could hold the value."""


class Detector(Protocol):
    """One kind of credential, as the library knows it."""

    secret_type: str

    def analyze_string(self, string: str) -> Iterator[str]:
        """What of a text is such a credential."""


@dataclass(frozen=True)
class Patterns:
    """Detectors by the names of their classes, and the library that they are of."""

    library: str
    detectors: Mapping[str, Detector]

    def __str__(self) -> str:
        """What is in force: the version of the library, and its detectors."""
        return f"{self.library}: {', '.join(self.detectors)}"

    def found(self, name: str, value: str) -> frozenset[str]:
        """
        The kinds of credential that the line `NAME=value` holds, in the words of the library.
        Raises Failed, which says nothing of the value.
        """
        line = f"{name}={value}"
        try:
            kinds = (d.secret_type for d in self.detectors.values() if _speaks(d, line))
            return frozenset(kinds)
        except Exception:  # noqa: BLE001  # whatever it is, it must not pass for "nothing found"
            raise Failed from None


def _speaks(detector: Detector, line: str) -> bool:
    """Whether a detector finds anything. What it yields may be empty, and is dropped here."""
    return any(True for _ in detector.analyze_string(line))


def load() -> Patterns:
    """
    The patterns of the library that is installed. Raises CommandError where there is none, or where
    another one of the same name stands in its place.
    """
    from importlib import metadata  # these take longer to import than most commands to run

    try:
        version = metadata.version(LIBRARY)
        from detect_secrets.__version__ import VERSION

        detectors = dict(sorted(_detectors()))
    except ImportError:  # also what is raised where nothing of that name is installed
        raise CommandError(f"{LIBRARY} is not installed", hint=EXTRA) from None
    if version != VERSION or not detectors:
        raise CommandError(
            f"detect_secrets is not that of {LIBRARY} {version}",
            hint=f"pip uninstall detect-secrets; pip install --force-reinstall {LIBRARY}",
        )
    return Patterns(f"{LIBRARY} {version}", detectors)


def _detectors() -> Iterator[tuple[str, Detector]]:
    """The detectors that are patterns and nothing else, by the names of their classes."""
    import inspect
    import pkgutil

    from detect_secrets import plugins
    from detect_secrets.plugins.base import BasePlugin, RegexBasedDetector

    logging.captureWarnings(capture=False)  # the library turns that on for the whole program
    for found in pkgutil.iter_modules(plugins.__path__):
        module = import_module(f"{plugins.__name__}.{found.name}")
        for name, one in vars(module).items():
            if (
                inspect.isclass(one)
                and one.__module__ == module.__name__
                and issubclass(one, RegexBasedDetector)
                and one is not RegexBasedDetector
                and one.analyze_line is BasePlugin.analyze_line  # it needs no file around it
                and not inspect.isabstract(one)
                and name not in OURS | SLOW
            ):
                yield name, cast(Detector, one())
