"""Sends a test message to an address: `poller alerts test URL`."""

# ruff: noqa: ARG001

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from poller.notify.message import Message
from poller.notify.send import send

if TYPE_CHECKING:
    from poller.core.secret import Secret


async def send_trial(url: Secret, *, web_origin: str | None) -> str:
    """Sends one test message at once, without the outbox; returns the id that it carries.

    Raises `SettingsError` (exit 2) for an address that cannot be used, `DeliveryError` (exit 1) if it is not delivered.
    """
    message = Message(str(uuid4()), "test", "poller: test message", "This is a test.", "<p>This is a test.</p>")
    await send(url, message)
    return message.id
