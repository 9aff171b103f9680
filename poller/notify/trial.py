"""Sends a test message to an address: `poller alerts test URL`."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from uuid import uuid4

from poller.notify.checks import check_addresses
from poller.notify.message import Message
from poller.notify.send import send

if TYPE_CHECKING:
    from poller.core.secret import Secret

_WORDS = "This is a test of the poller's alerts. Messages about alerts will arrive here."


async def send_trial(url: Secret, *, web_origin: str | None) -> str:
    """Sends one test message at once, without the outbox; returns the id that it carries.

    Raises `SettingsError` (exit 2) for an address that cannot be used, `DeliveryError` (exit 1) if it is not delivered.
    """
    await check_addresses([url], "the address")
    text, html = _WORDS, f"<p>{escape(_WORDS)}</p>"
    if web_origin is not None:
        text += f"\n\n{web_origin}/alerts"
        html += f'<p><a href="{escape(web_origin)}/alerts">{escape(web_origin)}/alerts</a></p>'
    message = Message(str(uuid4()), "test", "[test] The poller's alerts arrive here", text, html)
    await send(url, message)
    return message.id
