"""Entity tags: a client that has a reply already gets `304 Not Modified` without a body."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import web

CACHE: Final = "private, no-cache"
"""A cache may keep a reply for its one user, and asks each time whether it is still the same."""


def entity_tag(body: bytes | bytearray) -> str:
    """The weak tag of a reply with this body."""
    return f'W/"{blake2b(body, digest_size=12).hexdigest()}"'


def has_tag(request: web.Request, tag: str) -> bool:
    """Whether `If-None-Match` names the tag, in the weak comparison of RFC 9110."""
    shown = {one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")}
    return "*" in shown or tag.removeprefix("W/") in shown
