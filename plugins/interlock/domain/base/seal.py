"""
Seals: keyed digests that only a holder of the key can make.

A chain of plain hashes can be computed again by anybody who can write to the database. A seal cannot, as long as its
key is kept elsewhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.errors import ConfigurationError

SHORTEST = 32
"""Characters of a key at least: 16 random bytes in hexadecimal."""


@dataclass(frozen=True, kw_only=True)
class Sealer:
    """The key that new seals are made with, and the keys that earlier ones were made with."""

    key_id: str
    keys: Mapping[str, bytes] = field(repr=False)
    """By id, *key_id* included."""

    @classmethod
    def of(cls, key_id: str, key: str, previous: Mapping[str, str] | None = None, *, where: str = "the seal") -> Sealer:
        """
        Return the sealer of a *key* and of those that it replaced, each under its id.

        :param where: where the keys were given, for messages.
        :raises ConfigurationError: an id or a key cannot be used.
        """
        given = {**(previous or {}), key_id: key}
        for name, text in given.items():
            if not name or ":" in name or len(name) > 40:
                raise ConfigurationError(f"{where}: a key's id has 1 to 40 characters and no colon; {name!r} has not")
            if len(text) < SHORTEST:
                raise ConfigurationError(
                    f"{where}: key {name!r} has {len(text)} characters, and a key has {SHORTEST} or more. "
                    "Make one: openssl rand -hex 32"
                )
        return cls(key_id=key_id, keys={name: text.encode() for name, text in given.items()})

    def seal(self, text: str) -> str:
        """Return the seal of *text*, made with the present key: ``key id:HMAC-SHA-256``."""
        return f"{self.key_id}:{hmac.digest(self.keys[self.key_id], text.encode(), 'sha256').hex()}"

    def holds(self, text: str, seal: str) -> bool:
        """Tell whether *seal* was made of *text* by a holder of one of the keys."""
        name, _, made = seal.partition(":")
        key = self.keys.get(name)
        if key is None:
            return False
        return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex().encode(), made.encode())
