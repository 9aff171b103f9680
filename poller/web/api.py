"""The API: `GET /api/v1/trend`, the question of `poller trend` and the answer of its `--format json`.

Counts are customers' data, so there is no API without a key. An answer is streamed while it is read from the database;
there are few connections, and polls need them: few answers are given at once, and who does not take theirs loses it.
"""

from __future__ import annotations

import asyncio
import hmac
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from poller.core.errors import DatabaseError, UsageError
from poller.query.trend import TrendQuestion, trend_json
from poller.query.words import seconds_of, since_of, type_of, zone_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from multidict import MultiMapping
    from pydantic import SecretStr

    from poller.store.database import Database

AT_ONCE: Final = 2
PATIENCE_SECONDS: Final = 30.0
"""How long a reader may take for a block."""

_BLOCK: Final = 65_536
_RETRY_SECONDS: Final = 5
_DEFAULTS: Final = {"org": "", "type": "", "since": "90d", "every": "1d", "tz": "UTC"}

log = structlog.get_logger("poller.web")


@dataclass(slots=True)
class Api:
    """Answers from a database to whoever shows the key; without one, to nobody."""

    database: Database
    key: SecretStr | None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    at_once: int = AT_ONCE
    patience_seconds: float = PATIENCE_SECONDS
    _under_way: int = 0

    async def trend(self, request: web.Request) -> web.StreamResponse:
        """How counts moved."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        self._under_way += 1
        try:
            return await self._answer(request)
        finally:
            self._under_way -= 1

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.key is None:
            return _refused(404, "set POLLER_API_KEY to have an API")
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(shown.strip().encode(), self.key.get_secret_value().encode())
        if not right or scheme.lower() != "bearer":
            return _refused(
                401, "send the key of POLLER_API_KEY as Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
            )
        if self._under_way >= self.at_once:
            busy = f"{self.at_once} answers are under way, and no more are given at once; try again"
            return _refused(503, busy, {"Retry-After": str(_RETRY_SECONDS)})
        return None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            question = _question(request.query, self.now())
        except UsageError as wrong:
            return _refused(400, str(wrong))
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = "application/json"
        try:
            async with (
                asyncio.timeout(None) as limit,
                await question.points(self.database, question.kinds()) as points,
                aclosing(trend_json(points, question.zone)) as lines,
                aclosing(_blocks(lines)) as blocks,
            ):
                async for block in blocks:
                    # Nothing is promised before the database has answered.
                    if not response.prepared:
                        await response.prepare(request)
                    limit.reschedule(asyncio.get_running_loop().time() + self.patience_seconds)
                    await response.write(block)
            await response.write_eof()
        except UsageError as unknown:
            return _refused(404, str(unknown))
        except (DatabaseError, TimeoutError) as error:
            if not response.prepared:
                return _refused(503, "the database does not answer")
            # What is there of the answer must not look like all of it.
            log.warning("api.broken_off", why=str(error) or f"nothing was read for {self.patience_seconds:g} s")
            if request.transport is not None:
                request.transport.abort()
        return response


def _question(asked: MultiMapping[str], now: datetime) -> TrendQuestion:
    """A `UsageError` for what cannot be answered, whatever is in the database."""
    if unknown := sorted(set(asked) - set(_DEFAULTS)):
        raise UsageError(f"there is no parameter {unknown[0]!r}", f"ask with {', '.join(_DEFAULTS)}")
    if twice := sorted(name for name in _DEFAULTS if len(asked.getall(name, [])) > 1):
        raise UsageError(f"{twice[0]} is given twice", "give it once")
    words = _DEFAULTS | dict(asked)
    zone = zone_of(words["tz"])
    question = TrendQuestion(
        org=words["org"] or None,
        kind=type_of(words["type"]) if words["type"] else None,
        since=since_of(words["since"], now, zone),
        until=now,
        every_seconds=seconds_of(words["every"]),
        zone=zone,
    )
    question.edges()
    return question


def _refused(status: int, why: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{why}\n", headers=headers)


async def _blocks(lines: AsyncIterator[str]) -> AsyncGenerator[bytes]:
    """Lines in blocks: one is not worth a write."""
    block = bytearray()
    async for line in lines:
        block += line.encode()
        block += b"\n"
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    yield bytes(block)
