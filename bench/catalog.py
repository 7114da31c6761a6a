"""
What the server knows, by what may be asked: every list and every single thing, as bytes.
"""

from __future__ import annotations

from typing import Any

from google.cloud import run_v2
from google.cloud import secretmanager_v1 as sm

from bench import place
from bench.pages import Listing, frame, unframe
from bench.world import VERSIONS, Chain, World, secret_names

SECRETS = f"projects/{place.NUMBER}/secrets"
"""Secret Manager names projects by number, whatever was asked."""


class Missing(Exception):
    """There is no such thing."""


class Catalog:
    """A world, framed; a service that was not touched shares its frames with the world before."""

    def __init__(self, world: World, before: Catalog | None = None) -> None:
        self.world = world
        self.framed: dict[str, tuple[Chain, list[bytes], bytes]] = {}
        self._names: dict[str, tuple[str, int]] = {}
        known = before.framed if before else {}
        for chain in world.chains:
            old = known.get(chain.path)
            new = old if old and old[0] is chain else _framed(chain)
            self.framed[chain.path] = new
            last = len(chain.names) - 1
            for i, name in enumerate(chain.names):
                self._names[f"{chain.path}/revisions/{name}"] = (chain.path, last - i)
        self.secret_frames: dict[str, bytes] = before.secret_frames if before else _secrets(world)
        framed = self.framed.values()
        self._lists = {
            f"services of {place.LOCATION}": Listing([service for _, _, service in framed]),
            f"revisions of {place.LOCATION}/services/-": Listing(
                [r for _, rs, _ in framed for r in rs]
            ),
            "secrets": Listing(list(self.secret_frames.values())),
        }
        for chain, revisions, _ in framed:
            self._lists[f"revisions of {chain.path}"] = Listing(revisions)

    def services(self, parent: str) -> Listing:
        """The services of a location."""
        return self._list(f"services of {parent}")

    def revisions(self, parent: str) -> Listing:
        """The revisions of a service, newest first; of all services for `services/-`."""
        return self._list(f"revisions of {parent}")

    def secrets(self) -> Listing:
        """The secrets of the project."""
        return self._list("secrets")

    def service(self, name: str) -> bytes:
        """One service."""
        if name not in self.framed:
            raise Missing(name)
        return unframe(self.framed[name][2])

    def revision(self, name: str) -> bytes:
        """One revision."""
        if name not in self._names:
            raise Missing(name)
        path, position = self._names[name]
        return unframe(self.framed[path][1][position])

    def secret(self, name: str) -> bytes:
        """One secret, by its full name with the id or the number of the project."""
        return unframe(self.secret_frames[self._known_secret(name)])

    def versions(self, secret: str) -> Listing:
        """The versions of a secret, newest first."""
        known = self._known_secret(secret)
        what = f"versions of {known}"
        if what not in self._lists:
            numbers = range(VERSIONS, 0, -1)
            self._lists[what] = Listing([frame(_version(known, number)) for number in numbers])
        return self._lists[what]

    def version(self, name: str) -> bytes:
        """One version, by its number or as `latest`."""
        secret, _, asked = name.partition("/versions/")
        newest = VERSIONS
        number = newest if asked == "latest" else int(asked) if asked.isdecimal() else 0
        if not 1 <= number <= newest:
            raise Missing(name)
        return _version(self._known_secret(secret), number)

    def _list(self, what: str) -> Listing:
        if what not in self._lists:
            raise Missing(what)
        return self._lists[what]

    def _known_secret(self, name: str) -> str:
        short = name.rpartition("/")[2]
        if short not in self.secret_frames:
            raise Missing(name)
        return short


def _framed(chain: Chain) -> tuple[Chain, list[bytes], bytes]:
    return chain, [frame(r) for r in reversed(chain.revisions)], frame(chain.service())


def _secrets(world: World) -> dict[str, bytes]:
    made = {}
    for name in secret_names(world.size):
        secret = sm.Secret.pb()(name=f"{SECRETS}/{name}", etag=f'"{name}"')
        secret.replication.automatic.SetInParent()
        secret.labels["team"] = "platform"
        secret.create_time.FromJsonString("2025-11-01T00:00:00Z")
        made[name] = frame(secret.SerializeToString())
    return made


def _version(secret: str, number: int) -> bytes:
    made: Any = sm.SecretVersion.pb()(
        name=f"{SECRETS}/{secret}/versions/{number}",
        state=sm.SecretVersion.State.ENABLED,
        etag=f'"{secret}-{number}"',
    )
    made.create_time.FromJsonString(f"2025-11-{number:02d}T00:00:00Z")
    found: bytes = made.SerializeToString()
    return found


def parsed(name: str, data: bytes) -> Any:
    """A service or revision as a message again, for those who speak another protocol."""
    kind = run_v2.Revision if "/revisions/" in name else run_v2.Service
    return kind.pb().FromString(data)
