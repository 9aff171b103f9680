"""The routes `/metrics` and `/metrics/orgs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from poller.web.metrics.fleet import org_age_lines
from poller.web.probes import ask
from poller.web.refusals import Problem, unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from poller.core.fleet import FleetStats
    from poller.web.loop_share import LoopShare
    from poller.web.metrics.process import ProcessMetrics

_PROMETHEUS: Final = {"Content-Type": CONTENT_TYPE_LATEST}


def metric_routes(
    metrics: ProcessMetrics,
    fleet_figures: Callable[[], Awaitable[FleetStats]],
    org_ages: Callable[[int], Awaitable[Mapping[str, float]]],
    orgs_named: int,
    share: LoopShare,
) -> Iterable[web.RouteDef]:
    """`org_ages` returns at most the given number of orgs; in a fleet of more than `orgs_named` orgs, none is named."""

    async def of_all(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(await ask(fleet_figures)), headers=_PROMETHEUS)

    async def of_orgs(_request: web.Request) -> web.Response:
        if not orgs_named:
            raise Problem(
                404, "no org is named here", "set POLLER_METRICS_ORGS to the number of orgs that may be named"
            )
        ages = await ask(lambda: org_ages(orgs_named + 1))
        if ages is None:
            raise unavailable("the database does not answer")
        if len(ages) > orgs_named:
            raise Problem(
                413, f"there are more orgs than the {orgs_named:,} of POLLER_METRICS_ORGS", "raise POLLER_METRICS_ORGS"
            )
        lines = [f"{line}\n" async for line in share.sliced(org_age_lines(ages))]
        return web.Response(body="".join(lines).encode(), headers=_PROMETHEUS)

    return [web.get("/metrics", of_all), web.get("/metrics/orgs", of_orgs)]
