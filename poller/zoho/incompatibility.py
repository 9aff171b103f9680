"""The error for an aiohttp whose undocumented parts have changed: a failure neither of the network nor of Zoho."""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import Final

UNEXPECTED: Final = (AttributeError, TypeError, LookupError, AssertionError, NotImplementedError)
"""What Python raises if a name, a signature or a type has changed."""


class IncompatibleError(Exception):
    """An undocumented part of aiohttp has changed.

    `sent`: the request may have been sent. `guarded`: the pool still closes connections with unread bytes.
    """

    def __init__(self, why: str, *, sent: bool = False, guarded: bool = True) -> None:
        super().__init__(why)
        self.sent = sent
        self.guarded = guarded


def place_of(error: BaseException) -> str:
    """`AttributeError in aiohttp/connector.py:655`, without the message, which may quote a header with a token."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    path = PurePath(frames[-1].filename)
    return f"{type(error).__name__} in {path.parent.name}/{path.name}:{frames[-1].lineno}"
