"""The table of endpoints. Routes, the checks of parameters, the OpenAPI document and `/docs` are made from it."""

from __future__ import annotations

from typing import Final

from poller.web.api.endpoint import Endpoint
from poller.web.api.handlers import lists as list_handlers, orgs as org_handlers
from poller.web.api.models import lists, orgs, parameters
from poller.web.api.models.base import OrgPath

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("GET", "/orgs/{id}", "One org", org_handlers.org, orgs.OrgReply, OrgPath),
    Endpoint(
        "GET",
        "/orgs/{id}/series",
        "The counts of an org over time",
        org_handlers.series,
        orgs.SeriesReply,
        OrgPath,
        parameters.SeriesQuery,
        rows="points",
        description="At most 2,000 points a type. The step follows the range; the reply says which it is.",
    ),
    Endpoint(
        "GET",
        "/orgs/{id}/polls",
        "The polls of an org, the newest first",
        org_handlers.polls,
        orgs.PollList,
        OrgPath,
        parameters.PollsQuery,
        rows="items",
    ),
    Endpoint(
        "GET",
        "/orgs/{id}/forecast",
        "What a count of an org is expected to be",
        org_handlers.forecast,
        orgs.ForecastReply,
        OrgPath,
        parameters.ForecastQuery,
        rows="points",
        description="Computed now, with 80 and 95 % intervals. 404 also while no count of the org is known.",
    ),
    Endpoint(
        "GET",
        "/fleet/series",
        "The sums of all orgs over time",
        org_handlers.series_of_fleet,
        orgs.SeriesReply,
        query_model=parameters.SeriesQuery,
        rows="points",
        group="fleet",
        description="By day or longer. `samples` orgs are in a sum, `missing` orgs were polled but not known.",
    ),
    Endpoint(
        "GET",
        "/latest",
        "The last known counts of each org",
        list_handlers.latest,
        lists.LatestList,
        query_model=parameters.LatestQuery,
        rows="items",
        group="fleet",
    ),
    Endpoint(
        "GET",
        "/gaps",
        "Slots whose counts are not all known, and why",
        list_handlers.gaps,
        lists.GapList,
        query_model=parameters.GapsQuery,
        rows="items",
        group="fleet",
    ),
    Endpoint(
        "GET",
        "/seats",
        "Seats bought, used and idle, and what idle seats cost",
        list_handlers.seats,
        lists.SeatList,
        query_model=parameters.SeatsQuery,
        rows="items",
        group="capacity",
    ),
    Endpoint(
        "GET",
        "/forecasts",
        "When the seats of each org run out",
        list_handlers.forecasts,
        lists.ForecastList,
        query_model=parameters.ForecastsQuery,
        rows="items",
        group="capacity",
        description="The latest forecasts of the service, which makes them once a day.",
    ),
    Endpoint(
        "GET",
        "/anomalies",
        "Days on which a count did something unusual",
        list_handlers.anomalies,
        lists.AnomalyList,
        query_model=parameters.AnomaliesQuery,
        rows="items",
        group="capacity",
    ),
    Endpoint(
        "GET",
        "/trend",
        "The points of `poller trend`, as one streamed list",
        None,
        lists.TrendReply,
        query_model=parameters.TrendQuery,
        refusals=(404,),
        group="fleet",
    ),
)
