"""Delivers the messages of the outbox: a background task of every worker.

It takes one connection of the database at a time, and never blocks the event loop. A worker sends to several addresses
at a time, and to each address one message after the other. After a signal to stop it lets running sends finish for a
moment; another worker takes over what is left once its lease has ended.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from poller.core.errors import CredentialError, DatabaseError
from poller.core.redelivery import is_given_up, pause_seconds
from poller.notify.errors import DeliveryError
from poller.notify.message import stored_message
from poller.notify.send import DEADLINE_SECONDS, send
from poller.store.orgs.encryption import Column
from poller.store.queue.addresses import delete_other_defaults
from poller.store.queue.outbox import (
    LeasedAddress,
    WaitingMessage,
    lease_addresses,
    next_message,
    record_delivery,
    record_failure,
    release_address,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from poller.core.secret import Secret
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

T = TypeVar("T")

log = structlog.get_logger("poller.notify")


@dataclass(slots=True)
class Deliverer:
    """Sends waiting messages. `retry` repeats a statement while PostgreSQL is unreachable."""

    database: Database
    keyring: Keyring
    default_urls: Sequence[Secret] = ()
    """Other addresses of the setting are deleted, unless this is empty: then this worker may only lack the setting."""
    concurrency: int = 8
    idle_seconds: float = 1.0
    finish_seconds: float = 5.0
    """After a signal to stop: how long running sends may take."""
    messages_a_lease: int = 50
    deadline_seconds: float = DEADLINE_SECONDS
    pause: Callable[[int, float, float | None], float] = pause_seconds
    jitter: Callable[[], float] = random.random
    _one_connection: asyncio.Lock = field(default_factory=asyncio.Lock)
    _busy: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, stopping: asyncio.Event) -> None:
        """Delivers until `stopping` is set; errors of the database never end it."""
        self._stopping = stopping
        if self.default_urls:
            with suppress(DatabaseError):
                async with self.database.transaction() as connection:
                    await delete_other_defaults(connection, self.default_urls, self.keyring)
        try:
            while not stopping.is_set():
                started = await self._start_sending()
                await self._wait(0 if started else self.idle_seconds)
            if self._busy:
                await asyncio.wait(self._busy.values(), timeout=self.finish_seconds)
        finally:
            for task in self._busy.values():
                task.cancel()

    async def _start_sending(self) -> bool:
        """Leases addresses for the free places; returns whether to look again at once."""
        free = self.concurrency - len(self._busy)
        if free <= 0:
            # Not for longer: after a signal to stop nobody waits for receivers that hang.
            await asyncio.wait(self._busy.values(), timeout=self.idle_seconds, return_when=asyncio.FIRST_COMPLETED)
            return True
        try:
            leased = await self._query(partial(lease_addresses, self.database, free, tuple(self._busy)))
        except DatabaseError as error:
            if not error.passing:
                log.warning("messages.not_read", why=error.what, remedy=error.remedy)
            return False
        for address in leased:
            # Not in a group: the tasks outlive this loop for a moment, to finish what they send.
            task = asyncio.create_task(self._send_all(address))  # noqa: TID251
            self._busy[address.id] = task
            task.add_done_callback(partial(self._ended, address.id))
        return bool(leased)

    def _ended(self, address_id: int, task: asyncio.Task[None]) -> None:
        self._busy.pop(address_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("messages.failed", address=address_id, error=type(error).__name__)

    async def _send_all(self, address: LeasedAddress) -> None:
        """Sends the messages of one address until one fails, there is none left, or the worker stops."""
        for _ in range(self.messages_a_lease):
            try:
                found = await self._query(partial(next_message, self.database, address))
            except DatabaseError:
                return
            if found is None or self._stopping.is_set():
                break
            address, message = found
            if not await self._send(address, message):
                return
        with suppress(DatabaseError):
            await self._query(partial(release_address, self.database, address))

    async def _send(self, address: LeasedAddress, waiting: WaitingMessage) -> bool:
        """Sends one message and records the result, which waits for PostgreSQL if it must; whether it was delivered."""
        error = await self._attempt(address, waiting)
        facts = {"address": address.id, "scheme": address.scheme, "message": waiting.message_id}
        if error is None:
            await self._record(partial(record_delivery, self.database, address, waiting))
            log.info("message.delivered", **facts, about=waiting.about, attempt=waiting.attempts + 1)
            return True
        given_up = is_given_up(waiting.attempts + 1, waiting.age_seconds, permanent=error.permanent)
        pause = self.pause(address.failures + 1, self.jitter(), error.retry_after)
        await self._record(
            partial(
                record_failure,
                self.database,
                address,
                waiting,
                error.what,
                pause_seconds=pause,
                given_up=given_up,
            )
        )
        facts |= {"attempt": waiting.attempts + 1, "why": error.what, "remedy": error.remedy}
        if given_up:
            log.error("message.given_up", **facts)
        else:
            log.warning("message.not_delivered", **facts, again_seconds=round(pause))
        return False

    async def _attempt(self, address: LeasedAddress, waiting: WaitingMessage) -> DeliveryError | None:
        """Sends the message once; returns the error."""
        try:
            url = self.keyring.decrypt(address.id, Column.ADDRESS, address.key_id, address.url)
            message = stored_message(waiting.message_id, waiting.about, waiting.content)
            await send(url, message, deadline_seconds=self.deadline_seconds)
        except DeliveryError as error:
            return error
        except CredentialError as error:
            return DeliveryError(error.what, error.remedy)
        except Exception as error:  # noqa: BLE001 - the text of an unknown error may contain the address
            return DeliveryError(f"the message could not be sent ({type(error).__name__})", "report this error")
        return None

    async def _record(self, do: Callable[[], Awaitable[None]]) -> None:
        """Repeats until PostgreSQL has taken the result: otherwise a message that was delivered is sent again."""
        seconds = 0.25
        while True:
            try:
                await self._query(do)
            except DatabaseError as error:
                if not error.passing:
                    log.error("message.result_lost", why=error.what, remedy=error.remedy)  # noqa: TRY400
                    return
                await asyncio.sleep(seconds)
                seconds = min(seconds * 2, 2.0)
            else:
                return

    async def _query(self, do: Callable[[], Awaitable[T]]) -> T:
        async with self._one_connection:
            return await do()

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
