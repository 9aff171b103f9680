"""Reads the forms that pages post."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from poller.web.refusals import Problem

if TYPE_CHECKING:
    from aiohttp import web


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form as browsers send it; of a field that is there twice, the first. A `Problem` for another."""
    try:
        # As aiohttp reads other types and encodings, it fails in many ways.
        if request.content_type != "application/x-www-form-urlencoded":
            raise Problem(415, "this is not a form", "send it as application/x-www-form-urlencoded")
        pairs = parse_qsl((await request.read()).decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise Problem(400, "the form cannot be read", "send it as UTF-8, percent-encoded") from None
    return dict(reversed(pairs))


async def optional_form(request: web.Request) -> dict[str, str]:
    """As `read_form`; a request without a body is an empty form."""
    return await read_form(request) if await request.read() else {}
