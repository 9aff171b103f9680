"""Puts digests into the outbox, from which workers deliver them: when they are due, or because a person asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.digest_schedule import DigestPeriod
from poller.core.quantities import count
from poller.notify.fan_out import enqueue_digest
from poller.query.digest import read_digest
from poller.store.queue.maintenance import list_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from poller.core.digest_schedule import DigestSchedule
    from poller.core.secret import Secret
    from poller.notify.message import Message
    from poller.query.digest import DigestFacts
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

TASK: Final = "digest"
_OVERLAP: Final = timedelta(minutes=1)
"""A run that ended within this time after a digest was due may have started before."""


@dataclass(frozen=True, slots=True)
class DigestTask:
    """The maintenance task that sends a digest once for each period; `write` makes a message of the facts.

    Where no worker ran when the digest was due, it is sent later, unless the next one is due too. A new installation
    waits for its first hour.
    """

    schedule: DigestSchedule
    urls: Sequence[Secret]
    keyring: Keyring
    write: Callable[[DigestFacts], Message]

    async def __call__(self, database: Database, now: datetime) -> str:
        """Sends the digest if it is due; returns in a few words what was done."""
        due = self.schedule.latest(now)
        done_at = next((task.done_at for task in await list_tasks(database) if task.name == TASK), None)
        if done_at is None or done_at >= due.until + _OVERLAP:
            return f"not due: {self.schedule}"
        message = self.write(await read_digest(database, DigestPeriod(due.since, now)))
        occasion = f"{self.schedule}, {due.until:%Y-%m-%d}"
        sent = await send_digest(database, message, occasion, urls=self.urls, keyring=self.keyring)
        return f"{occasion}: to {count(sent, 'address', 'addresses')}" if sent else f"{occasion}: sent before"


async def send_digest(
    database: Database, message: Message, occasion: str, *, urls: Sequence[Secret], keyring: Keyring
) -> int:
    """Puts the digest into the outbox of each address, once per occasion; returns for how many it is new."""
    async with database.transaction() as connection:
        return await enqueue_digest(connection, message, occasion, keyring=keyring, urls=urls)
