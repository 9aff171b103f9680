"""The error of an aiohttp that is not as the fast transport expects: no failure of the network, and none of Zoho's."""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import Final

UNEXPECTED: Final = (AttributeError, TypeError, LookupError, AssertionError, NotImplementedError)
"""What Python raises where a name, a signature or a type has changed."""


class IncompatibleError(Exception):
    """aiohttp has changed inside.

    `sent`: whether the request may have left. `guarded`: whether the pool still never lends a connection with unread
    bytes.
    """

    def __init__(self, why: str, *, sent: bool = False, guarded: bool = True) -> None:
        super().__init__(why)
        self.sent = sent
        self.guarded = guarded


def place_of(error: BaseException) -> str:
    """`AttributeError in aiohttp/connector.py:655`: no message, which may quote a header and the token in it."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    path = PurePath(frames[-1].filename)
    return f"{type(error).__name__} in {path.parent.name}/{path.name}:{frames[-1].lineno}"
