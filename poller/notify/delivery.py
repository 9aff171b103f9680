"""Delivers the messages of the outbox: a background task of every worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from poller.core.secret import Secret
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


@dataclass(slots=True)
class Deliverer:
    """Sends waiting messages, several addresses at a time, each address one message at a time."""

    database: Database
    keyring: Keyring
    default_urls: Sequence[Secret] = ()
    concurrency: int = 8

    async def run(self, stopping: asyncio.Event) -> None:
        """Delivers until `stopping` is set."""
        await stopping.wait()
