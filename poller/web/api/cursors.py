"""Cursors: where a page of a list ends, as text that a client hands back unchanged.

A cursor holds the sort values and the id of the last row. It is signed, so that a client cannot make one up, and bound
to the address and the filters of its list. It is not encrypted: it holds nothing that the page does not show.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from poller.core.secret import Secret
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DERIVED_FROM: Final = Secret("cursors of lists")
_SIGNATURE_BYTES: Final = 8
_REMEDY: Final = "use next_cursor of the page before, with the same address and filters, or start without a cursor"


@dataclass(frozen=True, slots=True)
class Cursors:
    """Signs with the first of `keys`, and accepts each, so that a key rotation invalidates no cursor."""

    keys: Sequence[bytes]

    @classmethod
    def of(cls, macs: Callable[[str, Secret], Sequence[bytes]]) -> Self:
        """Cursors signed with keys that are derived from the encryption keys."""
        return cls(tuple(macs("cursor", _DERIVED_FROM)))

    @classmethod
    def random(cls) -> Self:
        """Cursors that only this process accepts."""
        return cls((secrets.token_bytes(32),))

    def __repr__(self) -> str:
        return f"Cursors({len(self.keys)} keys)"

    def seal(self, listing: str, after: Sequence[Any]) -> str:
        """The cursor of a page that ends with this key; `listing`: the address and filters."""
        payload = orjson.dumps([_packed(value) for value in after])
        return base64.urlsafe_b64encode(self._sign(self.keys[0], listing, payload) + payload).rstrip(b"=").decode()

    def open(self, listing: str, cursor: str) -> tuple[Any, ...]:
        """The key in a cursor; a 422 `Problem` for a cursor that is not of this listing."""
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError:
            raw = b""
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not any(hmac.compare_digest(signature, self._sign(key, listing, payload)) for key in self.keys):
            wrong = {"parameter": "cursor", "in": "query", "detail": "not a cursor of this list"}
            raise Problem(422, "the cursor does not belong to this list", _REMEDY, errors=[wrong])
        return tuple(_unpacked(value) for value in orjson.loads(payload))

    @staticmethod
    def _sign(key: bytes, listing: str, payload: bytes) -> bytes:
        return hmac.digest(key, f"{len(listing)}:{listing}".encode() + payload, sha256)[:_SIGNATURE_BYTES]


def _packed(value: Any) -> Any:
    """Times and days as marked text, everything else as JSON has it."""
    if isinstance(value, datetime):
        return ["t", value.isoformat()]
    return ["d", value.isoformat()] if isinstance(value, date) else value


def _unpacked(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    mark, text = value
    return datetime.fromisoformat(text) if mark == "t" else date.fromisoformat(text)
