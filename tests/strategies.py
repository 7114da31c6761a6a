"""Worlds for property tests: environments, sides and v2 documents."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

KEYS = st.sampled_from(["A", "B", "C", "JWT_SECRET_KEY", "__private", "a']['b", "LOG_LEVEL", "É"])
VALUES = st.sampled_from(["", "1", "2", " ", "info", "cafe\u0301", "caf\u00e9"])
SECRETS = st.fixed_dictionaries(
    {
        "secret": st.sampled_from(["jwt", "db"]),
        "version": st.sampled_from(["1", "2", "latest", "prod"]),
    },
    optional={"project": st.sampled_from(["", "999"]), "resolved": st.sampled_from([1, 2])},
)
SOURCES = st.one_of(VALUES, SECRETS)


def environments() -> st.SearchStrategy[dict[str, Any]]:
    """Keys to where their values come from, some of them repeated."""
    repeated = st.lists(SOURCES, min_size=2, max_size=3)
    return st.dictionaries(KEYS, st.one_of(SOURCES, SOURCES, SOURCES, repeated), max_size=6)


def sides() -> st.SearchStrategy[dict[str, Any]]:
    """Everything that is compared: keys, files, settings, service-level settings."""
    return st.fixed_dictionaries(
        {"env": environments()},
        optional={
            "files": st.dictionaries(st.sampled_from(["/a", "/b"]), SECRETS, max_size=2),
            "settings": st.dictionaries(
                st.sampled_from(["cpu", "image", "image_digest", "cpu_idle"]),
                st.sampled_from(["1", "2", 1, 0, True, False]),
                max_size=3,
            ),
            "service": st.dictionaries(
                st.sampled_from(["ingress"]), VALUES.filter(bool), max_size=1
            ),
        },
    )


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two sides, mostly with some of their parts in common, as two revisions have."""
    before, after = draw(sides()), draw(sides())
    kept = draw(st.sets(st.sampled_from(sorted(before)))) if draw(st.booleans()) else set(before)
    return before, {**after, **{part: before[part] for part in kept}}


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Templates in the v2 shape, as they come from a file."""
    literal = st.builds(lambda k, v: {"name": k, "value": v}, KEYS, VALUES)
    secret = st.builds(
        lambda k, s: {
            "name": k,
            "valueSource": {"secretKeyRef": {"secret": s["secret"], "version": s["version"]}},
        },
        KEYS,
        SECRETS,
    )
    env = st.lists(st.one_of(literal, secret), max_size=6)
    limits = st.fixed_dictionaries(
        {},
        optional={
            "cpu": st.sampled_from(["1", "1000m"]),
            "memory": st.sampled_from(["1Gi", "1024Mi"]),
        },
    )
    container = st.fixed_dictionaries(
        {"image": st.sampled_from(["i:1", "i:2"]), "env": env},
        optional={"resources": st.builds(lambda x: {"limits": x}, limits)},
    )
    return st.fixed_dictionaries(
        {"containers": st.lists(container, min_size=1, max_size=1)},
        optional={
            "labels": st.dictionaries(st.sampled_from(["team", "commit-sha"]), VALUES),
            "serviceAccount": st.sampled_from(["a@b", "c@d"]),
            "futureField": st.sampled_from([{"x": "1"}, {"x": "2"}]),
        },
    )
