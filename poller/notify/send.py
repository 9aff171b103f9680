"""Sends one message to one address: by Apprise, or as JSON to a webhook or to Alertmanager."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Final

from poller.notify import apprise_sender, webhook
from poller.notify.errors import DeliveryError
from poller.notify.schemes import OWN
from poller.notify.sender_threads import run_in_thread
from poller.store.queue.addresses import scheme_of

if TYPE_CHECKING:
    from poller.core.secret import Secret
    from poller.notify.message import Message

__all__ = ["DEADLINE_SECONDS", "DeliveryError", "send"]

DEADLINE_SECONDS: Final = 30.0
"""The longest time that one attempt may take."""


async def send(url: Secret, message: Message, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Sends a message; raises `DeliveryError`, whose text never contains the address."""
    if scheme_of(url) in OWN:
        await webhook.post(url, message, deadline_seconds)
    else:
        await run_in_thread(url, partial(apprise_sender.send, url, _signed(message)), deadline_seconds)


def _signed(message: Message) -> Message:
    """The message with its id at the end, by which a person or a mail filter recognises a repetition."""
    return replace(
        message,
        text=f"{message.text}\n\nMessage {message.id}",
        html=f"{message.html}<p><small>Message {escape(message.id)}</small></p>",
    )
