"""Access keys: their text, and what is stored about a key besides its secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.callers import Right

SECRET_BYTES: Final = 32
_FORM: Final = re.compile(r"poller_([1-9][0-9]{0,9})_([0-9a-f]{64})", re.ASCII)
_LARGEST_ID: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key as a request shows it: the number to look it up by, and the secret that proves it."""

    key_id: int
    secret: Secret

    def text(self) -> Secret:
        """The key as its owner keeps it: `poller_<id>_<secret>`."""
        return Secret(f"poller_{self.key_id}_{self.secret.reveal()}")

    @classmethod
    def parse(cls, text: str) -> ShownKey | None:
        """None where the text is not an access key."""
        match = _FORM.fullmatch(text)
        if match is None or int(match[1]) > _LARGEST_ID:
            return None
        return cls(int(match[1]), Secret(match[2]))


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A stored key, without its secret. `pepper_id`: the encryption key it is checked with."""

    id: int
    name: str
    right: Right
    tags: Sequence[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    pepper_id: str

    def state(self, now: datetime, key_ids: Sequence[str]) -> str:
        """`active`, `expired`, `revoked`, or `unusable`: the encryption key it is checked with is not in `key_ids`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active" if self.pepper_id in key_ids else "unusable"
