"""Exchanges grant codes for refresh tokens before they expire, no faster than Zoho allows.

A code lives 3 to 10 minutes and can be used once; Zoho exchanges 10 codes of a client in 10 minutes. So each client has
its own queue: its first ten codes are exchanged at once, the others wait, and no client waits for another. A code is
never exchanged twice, and a code that expired in the queue is reported. The pace comes from a port, which lets all
processes share one pace; without the port, this process keeps its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from poller.core.model import Outcome
from poller.core.token import CODE_WINDOW_SECONDS, CODES_PER_WINDOW
from poller.zoho.token_request import NoToken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from poller.core.model import Org
    from poller.core.token import AccessToken, ReserveExchange

EXCHANGES_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class WaitingCode:
    """An org whose grant code is not exchanged yet, and the client the code was made for."""

    org: Org
    client_id: str


@dataclass(frozen=True, slots=True)
class ExchangedCode:
    """The result of an exchange: the org's first token, or why there is none."""

    org: Org
    result: AccessToken | NoToken

    @property
    def refusal(self) -> NoToken | None:
        """Why there is no token; None where there is one."""
        return self.result if isinstance(self.result, NoToken) else None


@dataclass(frozen=True, slots=True)
class CodeProgress:
    """The progress of an exchange. `pause_seconds`: until the next code, while the queue of every client waits."""

    waiting: int
    exchanged: int = 0
    refused: int = 0
    pause_seconds: float = 0.0


class CodePacer:
    """The pace of a single process: `reserve` is a `ReserveExchange`."""

    def __init__(self) -> None:
        self._counted: dict[str, deque[float]] = {}

    async def reserve(self, client_id: str, now: datetime) -> float:
        """Counts one exchange and returns 0.0, or returns the seconds until the client may exchange again."""
        counted = self._counted.setdefault(client_id, deque(maxlen=CODES_PER_WINDOW))
        wait = counted[0] + CODE_WINDOW_SECONDS - now.timestamp() if len(counted) == CODES_PER_WINDOW else 0.0
        if wait <= 0.0:
            counted.append(now.timestamp())
        return max(wait, 0.0)


async def exchange_codes(
    codes: Iterable[WaitingCode],
    exchange: Callable[[Org], Awaitable[AccessToken | NoToken]],
    *,
    now: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_progress: Callable[[CodeProgress], None] | None = None,
    reserve: ReserveExchange | None = None,
) -> list[ExchangedCode]:
    """Exchanges `codes`, one per org, in the given order for each client; returns the results as they came.

    `exchange` is `Tokens.exchange`, which stores the token. `on_progress` is called at the start, after each code and
    when a wait begins. Long waits are normal where a client has more than ten codes.
    """
    queues: dict[str, list[WaitingCode]] = {}
    for code in {code.org.id: code for code in codes}.values():
        queues.setdefault(code.client_id, []).append(code)
    run = _Run(
        exchange=exchange,
        now=now,
        sleep=sleep,
        on_progress=on_progress,
        reserve=reserve or CodePacer().reserve,
        progress=CodeProgress(sum(map(len, queues.values()))),
        active_queues=len(queues),
    )
    run.tell()
    async with asyncio.TaskGroup() as tasks:
        for client_id, queue in queues.items():
            tasks.create_task(run.exchange_queue(client_id, queue))
    return run.done


@dataclass(slots=True)
class _Run:
    """The state of one call of `exchange_codes`."""

    exchange: Callable[[Org], Awaitable[AccessToken | NoToken]]
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    on_progress: Callable[[CodeProgress], None] | None
    reserve: ReserveExchange
    progress: CodeProgress
    active_queues: int
    done: list[ExchangedCode] = field(default_factory=list)
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(EXCHANGES_AT_ONCE))
    pauses_end: dict[str, float] = field(default_factory=dict)
    """When the pause of each waiting client ends."""

    async def exchange_queue(self, client_id: str, queue: list[WaitingCode]) -> None:
        for code in queue:
            result = await self._exchange(client_id, code.org)
            self._count(ExchangedCode(code.org, result), last=code is queue[-1])
            if isinstance(result, NoToken) and result.outcome is Outcome.THROTTLED and result.until is not None:
                # Another request would prolong the throttling. Codes that expire during the wait are reported.
                wait = (result.until - self.now()).total_seconds()
                if wait > 0.0 and code is not queue[-1]:
                    await self._pause(client_id, wait)

    async def _exchange(self, client_id: str, org: Org) -> AccessToken | NoToken:
        while True:
            async with self.places:
                # Reserved only while a place is free, so that the request is sent at once.
                wait = await self.reserve(client_id, self.now())
                if wait <= 0.0:
                    return await self.exchange(org)
            await self._pause(client_id, wait)

    async def _pause(self, client_id: str, seconds: float) -> None:
        self.pauses_end[client_id] = self._seconds() + seconds
        self.tell()
        try:
            await self.sleep(seconds)
        finally:
            del self.pauses_end[client_id]

    def _count(self, exchanged: ExchangedCode, *, last: bool) -> None:
        self.done.append(exchanged)
        refused = exchanged.refusal is not None
        self.active_queues -= last
        self.progress = replace(
            self.progress,
            waiting=self.progress.waiting - 1,
            exchanged=self.progress.exchanged + (not refused),
            refused=self.progress.refused + refused,
        )
        self.tell()

    def tell(self) -> None:
        if self.on_progress is None:
            return
        all_wait = 0 < self.active_queues == len(self.pauses_end)
        pause = max(min(self.pauses_end.values()) - self._seconds(), 0.0) if all_wait else 0.0
        self.on_progress(replace(self.progress, pause_seconds=pause))

    def _seconds(self) -> float:
        return self.now().timestamp()
