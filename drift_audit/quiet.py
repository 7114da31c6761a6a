"""
Keeps libraries from logging what they carry.

google's clients log whole requests and responses at DEBUG, plain values of configurations among
them, and one environment variable turns that on (`threats-and-promises.md` §0). They read it once,
when the first client is made. What that set up is taken back here by level, so that nobody has to
touch the environment of a program that uses a part of this one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = (
    "apprise", "atlassian", "detect-secrets", "github", "google", "grpc", "requests", "urllib3",
)  # fmt: skip


def hush() -> None:
    """Hold the logs of libraries that see values at WARNING, and those of their parts too."""
    known = list(logging.getLogger().manager.loggerDict)
    for name in (*LIBRARIES, *(n for n in known if n.partition(".")[0] in LIBRARIES)):
        logger = logging.getLogger(name)
        if name in LIBRARIES or logger.level:
            logger.setLevel(max(logger.level, logging.WARNING))


@contextmanager
def hushed() -> Iterator[None]:
    """The same, as soon as the block, or the function that is decorated, is done."""
    try:
        yield
    finally:
        hush()
