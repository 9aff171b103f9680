"""Fan-out: writes the messages about changed alerts to the outbox, in the transaction that changes the alerts.

A message goes to the rule's own addresses; if the rule has none, to those of POLLER_NOTIFY_URLS.
"""

# ruff: noqa: ARG001

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.alerts import AlertTransition
    from poller.core.secret import Secret
    from poller.notify.message import Message
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Connection


async def enqueue_messages(
    connection: Connection,
    transitions: Sequence[AlertTransition],
    *,
    keyring: Keyring,
    default_urls: Sequence[Secret],
    web_origin: str | None,
    now: datetime,
) -> None:
    """Writes a message per address for each transition with `announce`; many at once become one message per address."""


async def enqueue_digest(
    connection: Connection, message: Message, occasion: str, *, keyring: Keyring, urls: Sequence[Secret]
) -> int:
    """Writes one digest to the outbox of each address; returns to how many.

    `occasion`, such as `daily 2026-10-31`: a digest of the same occasion goes to an address once.
    """
    return 0
