"""Grant codes on their way to refresh tokens, before they expire and no faster than Zoho allows.

A code lives 3 to 10 minutes and serves once; Zoho takes 10 of a client in 10 minutes. So every client has a line of its
own, the codes in it are exchanged at once as far as its ten go, and whoever watches is told how long the rest wait.

It refuses to exchange a code twice, to hide that one expired while it waited, and to let one client's line hold up
another's. The pace is kept by a port, so that all processes keep one; without it, it is this process's.
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
    """An org whose grant code is not exchanged yet, and the client it was made for."""

    org: Org
    client_id: str


@dataclass(frozen=True, slots=True)
class ExchangedCode:
    """What came of a code: the org's first token, or why there is none."""

    org: Org
    result: AccessToken | NoToken

    @property
    def refusal(self) -> NoToken | None:
        """Why there is no token, where there is none."""
        return self.result if isinstance(self.result, NoToken) else None


@dataclass(frozen=True, slots=True)
class CodeProgress:
    """How far the codes are. `pause_seconds`: until the next one, where every line waits for its client's window."""

    waiting: int
    exchanged: int = 0
    refused: int = 0
    pause_seconds: float = 0.0


class CodePacer:
    """The pace of a process that is alone: `reserve` is a `ReserveExchange`."""

    def __init__(self) -> None:
        self._counted: dict[str, deque[float]] = {}

    async def reserve(self, client_id: str, now: datetime) -> float:
        """0.0 and one exchange counted, or the seconds until this client's next."""
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
    """Exchange all `codes`, each client's in the order given, an org's once; what came of them, in the order it came.

    `exchange` is `Tokens.exchange`; it keeps what it gets. `on_progress` is called before, after each, and when a wait
    begins: long waits are the normal case where a client has more than ten codes.
    """
    lines: dict[str, list[WaitingCode]] = {}
    for code in {code.org.id: code for code in codes}.values():
        lines.setdefault(code.client_id, []).append(code)
    run = _Run(
        exchange=exchange,
        now=now,
        sleep=sleep,
        on_progress=on_progress,
        reserve=reserve or CodePacer().reserve,
        progress=CodeProgress(sum(map(len, lines.values()))),
        lines_at_work=len(lines),
    )
    run.tell()
    async with asyncio.TaskGroup() as tasks:
        for client_id, line in lines.items():
            tasks.create_task(run.exchange_line(client_id, line))
    return run.done


@dataclass(slots=True)
class _Run:
    """One call of `exchange_codes`."""

    exchange: Callable[[Org], Awaitable[AccessToken | NoToken]]
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    on_progress: Callable[[CodeProgress], None] | None
    reserve: ReserveExchange
    progress: CodeProgress
    lines_at_work: int
    done: list[ExchangedCode] = field(default_factory=list)
    hands: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(EXCHANGES_AT_ONCE))
    pauses_end: dict[str, float] = field(default_factory=dict)
    """By client, for the lines that wait."""

    async def exchange_line(self, client_id: str, line: list[WaitingCode]) -> None:
        for code in line:
            result = await self._exchange(client_id, code.org)
            self._count(ExchangedCode(code.org, result), last=code is line[-1])
            if isinstance(result, NoToken) and result.outcome is Outcome.THROTTLED and result.until is not None:
                # Asking again would prolong it; and whatever is left of the line may well expire, and is told so then.
                wait = (result.until - self.now()).total_seconds()
                if wait > 0.0 and code is not line[-1]:
                    await self._pause(client_id, wait)

    async def _exchange(self, client_id: str, org: Org) -> AccessToken | NoToken:
        while True:
            async with self.hands:
                # Counted with a hand free: it is asked for at once.
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
        self.lines_at_work -= last
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
        everybody_waits = 0 < self.lines_at_work == len(self.pauses_end)
        pause = max(min(self.pauses_end.values()) - self._seconds(), 0.0) if everybody_waits else 0.0
        self.on_progress(replace(self.progress, pause_seconds=pause))

    def _seconds(self) -> float:
        return self.now().timestamp()
