"""The HTTP API under `/api/v1`: the facts of the commands, as JSON and CSV, for programs that show a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from poller.web.api.cursors import Cursors
from poller.web.api.endpoints import ENDPOINTS
from poller.web.api.router import Router, document_route
from poller.web.api.streaming import LONGEST_SECONDS, PATIENCE_SECONDS
from poller.web.api.trend import AT_ONCE, MOST_POINTS, TrendRoute

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp import web

    from poller.query.reader import Reader
    from poller.web.api.endpoint import Endpoint
    from poller.web.loop_share import LoopShare

__all__ = ["Api", "Cursors"]


@dataclass(slots=True)
class Api:
    """The API over one database. The numbers are limits of `GET /trend`."""

    reader: Reader
    cursors: Cursors = field(default_factory=Cursors.random)
    at_once: int = AT_ONCE
    most_points: int = MOST_POINTS
    patience_seconds: float = PATIENCE_SECONDS
    longest_seconds: float = LONGEST_SECONDS
    endpoints: Sequence[Endpoint] = ENDPOINTS

    def routes(self, share: LoopShare) -> Iterable[web.RouteDef]:
        """The routes of all endpoints, and of the OpenAPI document; long answers are made in slices of `share`."""
        trend = TrendRoute(self.reader, self.at_once, self.most_points, self.patience_seconds, self.longest_seconds)
        return [
            *Router(self.reader, self.cursors, share).routes(self.endpoints),
            trend.route(share),
            document_route(self.endpoints),
        ]
