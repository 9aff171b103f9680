"""`GET /api/v1/trend`: how counts moved; the question of `poller trend` and the answer of its `--format json` or `csv`.

An answer is streamed while it is read from the database, in slices that leave the event loop to others in between.
Its size is bounded before the database is asked for it, and a client that does not read loses it.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from poller.core.errors import DatabaseError, UsageError
from poller.query.parameters import since_of, type_of
from poller.query.trend import TrendQuestion, trend_csv, trend_json
from poller.web.api.entity_tags import CACHE
from poller.web.api.handlers.times import duration, named, zone
from poller.web.api.parameters import parameters
from poller.web.api.replies import wants_csv
from poller.web.api.streaming import LONGEST_SECONDS, PATIENCE_SECONDS, send_lines
from poller.web.callers import CALLER
from poller.web.refusals import Problem, unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime, tzinfo

    from poller.core.callers import Caller
    from poller.core.series import TrendPoint
    from poller.query.reader import Reader
    from poller.web.loop_share import LoopShare

AT_ONCE: Final = 2
"""One less than the web's connections to the database: quick questions always find one."""
MOST_STEPS: Final = 10_000
"""Of one series: a hundred days of quarter hours, 27 years of days."""
MOST_POINTS: Final = 1_000_000
"""Of one answer, about 250 MB."""
_DEFAULTS: Final = {"org": "", "type": "", "since": "90d", "every": "1d", "tz": "UTC", "format": ""}

log = structlog.get_logger("poller.web")


@dataclass(slots=True)
class TrendRoute:
    """Answers requests for trends with what `reader` reads."""

    reader: Reader
    at_once: int = AT_ONCE
    most_points: int = MOST_POINTS
    patience_seconds: float = PATIENCE_SECONDS
    longest_seconds: float = LONGEST_SECONDS
    _under_way: int = field(default=0, init=False)

    def route(self, share: LoopShare) -> web.RouteDef:
        """The route; long answers are made in slices of `share`."""

        async def trend(request: web.Request) -> web.StreamResponse:
            if self._under_way >= self.at_once:
                raise unavailable(f"{self.at_once} answers are under way, and no more are given at once")
            self._under_way += 1
            try:
                return await self._trend(request, share)
            finally:
                self._under_way -= 1

        return web.get("/api/v1/trend", trend, allow_head=False)

    async def _trend(self, request: web.Request, share: LoopShare) -> web.StreamResponse:
        words = parameters(request.query, _DEFAULTS)
        question = _question(words, self.reader.now())
        as_csv = wants_csv(request, _format_of(words["format"]))
        # Thousands of days of a time zone take milliseconds.
        edges = await asyncio.to_thread(question.edges, MOST_STEPS)
        await self._check_size(question, edges, request[CALLER])
        response = web.StreamResponse(headers={"Cache-Control": CACHE, "Vary": "Accept"})
        response.headers["Content-Type"] = "text/csv; charset=utf-8" if as_csv else "application/json"
        lines = trend_csv if as_csv else trend_json
        try:
            await self._stream(request, response, question, edges, share, written=lines)
        except UsageError as unknown:
            raise Problem(404, unknown.what, unknown.remedy) from None
        except (DatabaseError, TimeoutError) as error:
            if not response.prepared:
                raise unavailable("the database does not answer") from None
            # A part of the answer must not look like the whole.
            log.warning("api.broken_off", why=str(error) or f"nothing was read for {self.patience_seconds:g} s")
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _check_size(self, question: TrendQuestion, edges: Sequence[datetime], caller: Caller) -> None:
        points = await self.reader.count_points(question, edges, caller)
        if points > self.most_points:
            raise UsageError(
                f"that is {points:,} points, and an answer has {self.most_points:,} at most",
                "ask for one org or type, a shorter stretch or longer steps",
            )

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        question: TrendQuestion,
        edges: Sequence[datetime],
        share: LoopShare,
        *,
        written: Callable[[AsyncIterator[TrendPoint], tzinfo], AsyncGenerator[str]],
    ) -> None:
        async with (
            await self.reader.points(question, edges, request[CALLER]) as points,
            aclosing(written(points, question.zone)) as lines,
        ):
            await send_lines(
                request,
                response,
                lines,
                share,
                patience_seconds=self.patience_seconds,
                longest_seconds=self.longest_seconds,
            )


def _format_of(text: str) -> str | None:
    if text not in {"", "json", "csv"}:
        wrong = {"parameter": "format", "in": "query", "detail": f"{text[:50]!a} is not a format"}
        raise Problem(400, wrong["detail"], "use json or csv", errors=[wrong])
    return text or None


def _question(words: Mapping[str, str], now: datetime) -> TrendQuestion:
    """A refusal of what cannot be answered, before the database is asked."""
    at = zone("tz", words["tz"])
    return TrendQuestion(
        org=words["org"] or None,
        user_type=named("type", lambda: type_of(words["type"])) if words["type"] else None,
        since=named("since", lambda: since_of(words["since"], now, at)),
        until=now,
        every_seconds=duration("every", words["every"]),
        zone=at,
    )
