"""Grant codes on their way to refresh tokens, before they expire and no faster than Zoho allows.

A code lives 3 to 10 minutes and serves once; Zoho takes 10 of a client in 10 minutes. So every client has a line of its
own, the codes in it are exchanged at once as far as its ten go, and whoever watches is told how long the rest wait.

It refuses to exchange a code twice, to hide that one expired while it waited, and to let one client's line hold up
another's. The pace is this process's: what another process exchanges for the same client is not known here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from poller.core.model import Outcome
from poller.zoho.grants import NoToken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from poller.core.model import Org
    from poller.core.token import AccessToken

CODES_PER_WINDOW: Final = 10
CODE_WINDOW_SECONDS: Final = 600.0
"""Zoho, "OAuth limits": 10 grant tokens per client in 10 minutes."""
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
    """How soon the next code of a client may be exchanged. Counted from when an exchange ended, to be careful."""

    def __init__(self) -> None:
        self._ended: dict[str, deque[float]] = {}

    def wait_seconds(self, client_id: str, now: float) -> float:
        """Seconds until this client's next code may leave."""
        ended = self._ended.get(client_id)
        if ended is None or len(ended) < CODES_PER_WINDOW:
            return 0.0
        return max(ended[0] + CODE_WINDOW_SECONDS - now, 0.0)

    def ended(self, client_id: str, now: float) -> None:
        """An exchange of this client is over, whatever came of it."""
        self._ended.setdefault(client_id, deque(maxlen=CODES_PER_WINDOW)).append(now)


async def exchange_codes(
    codes: Iterable[WaitingCode],
    exchange: Callable[[Org], Awaitable[AccessToken | NoToken]],
    *,
    now: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_progress: Callable[[CodeProgress], None] | None = None,
    pacer: CodePacer | None = None,
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
        pacer=pacer or CodePacer(),
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
    pacer: CodePacer
    progress: CodeProgress
    lines_at_work: int
    done: list[ExchangedCode] = field(default_factory=list)
    hands: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(EXCHANGES_AT_ONCE))
    pauses_end: dict[str, float] = field(default_factory=dict)
    """By client, for the lines that wait."""

    async def exchange_line(self, client_id: str, line: list[WaitingCode]) -> None:
        for code in line:
            wait = self.pacer.wait_seconds(client_id, self._seconds())
            if wait > 0.0:
                await self._pause(client_id, wait)
            async with self.hands:
                result = await self.exchange(code.org)
            self.pacer.ended(client_id, self._seconds())
            self._count(ExchangedCode(code.org, result), last=code is line[-1])
            if isinstance(result, NoToken) and result.outcome is Outcome.THROTTLED and result.until is not None:
                # Asking again would prolong it; and whatever is left of the line may well expire, and is told so then.
                wait = (result.until - self.now()).total_seconds()
                if wait > 0.0 and code is not line[-1]:
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
