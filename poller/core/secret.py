"""A string nobody sees by accident: a key, a client secret, an OAuth token.

It refuses to be printed, formatted, logged, pickled or turned into JSON; only `reveal()` gives the value, so that
every place a secret leaves by can be found by searching for that word.
"""

from __future__ import annotations

import hmac
from typing import Final, NoReturn

_HIDDEN: Final = "Secret(…)"


class Secret:
    """Holds one secret string; equal secrets compare equal (in constant time) and hash alike."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: for a request's header or body, or the encryption of a column, and nothing else."""
        return self._value

    def __repr__(self) -> str:
        return _HIDDEN

    def __str__(self) -> str:
        return _HIDDEN

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self), _bytes(other))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied: pass the object itself")


def _bytes(secret: Secret) -> bytes:
    return secret.reveal().encode(errors="surrogatepass")
