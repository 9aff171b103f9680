"""The parameters of each endpoint: what may be sent, with its bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from poller.core.model import UserType
from poller.core.states import State
from poller.query.fleet_page import SORTS
from poller.web.api.models.base import MOST_VALUES, WHOLE, FormatQuery, Model, PageQuery, Search, Texts

LONGEST_HORIZON = 365
_FIELD_SORTS = {"name": "org", "last_polled_at": "seen"}
"""Fields of a row whose order has another name."""
ORDERS = tuple(sign + name for name in (*SORTS, *_FIELD_SORTS) for sign in ("", "-"))


def _order(text: str) -> str:
    if text not in ORDERS:
        raise ValueError(f"use one of {', '.join(SORTS)}, with - in front for the reverse")
    name = text.removeprefix("-")
    return text.removesuffix(name) + _FIELD_SORTS.get(name, name)


When = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[0-9A-Za-z:.+-]*$")]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[0-9A-Za-z/_+-]*$")]
UserTypes = Annotated[tuple[UserType, ...], Field(max_length=MOST_VALUES)]
AnomalyKind = Literal[
    "step", "freeze", "zero", "admins_up", "deactivated_surge", "sums_disagree", "current_user", "quiet"
]

Since = Annotated[
    When, Field(description="A duration ago (`90d`, `12w`, `1y`), a day (`2026-01-31`) or an ISO 8601 time.")
]
Until = Annotated[When | None, Field(description="Where the range ends, written like `since`. Default: now.")]


class OrgsOfAList(PageQuery):
    """Which orgs a list is about."""

    org: Annotated[Texts, Field(description="Only orgs of this name. Repeatable: of one of these names.")] = ()
    tag: Annotated[Texts, Field(description="Only orgs with this tag. Repeatable: with all of these tags.")] = ()
    data_center: Annotated[Texts, Field(description="Only orgs of this data centre. Repeatable: of one of these.")] = ()


class FilteredOrgs(Model):
    """Which orgs to list or to sum; the filters combine with AND."""

    q: Annotated[Search, Field(description="Only orgs whose name contains this text, in any case.")] = ""
    tag: Annotated[Texts, Field(description="Only orgs with this tag. Repeatable: with all of these tags.")] = ()
    state: Annotated[
        tuple[State, ...],
        Field(max_length=MOST_VALUES, description="Only orgs in this state. Repeatable: in one of these states."),
    ] = ()
    data_center: Annotated[Texts, Field(description="Only orgs of this data centre. Repeatable: of one of these.")] = ()
    edition: Annotated[
        Texts, Field(description="Only orgs of this edition, or `unknown`. Repeatable: of one of these.")
    ] = ()
    type: Annotated[UserType, Field(description="The user type that sums, changes and sorting by count are about.")] = (
        UserType.ACTIVE
    )


class OrgsQuery(FilteredOrgs, PageQuery):
    """Parameters of GET /orgs."""

    sort: Annotated[
        str,
        Field(
            description="The order; with `-` in front the reverse. `need`: orgs that need a person first.",
            json_schema_extra={"enum": list(ORDERS)},
        ),
        AfterValidator(_order),
    ] = "need"


class FleetSumsQuery(FilteredOrgs):
    """Parameters of GET /fleet."""


class LatestQuery(OrgsOfAList):
    """Parameters of GET /latest."""


class GapsQuery(OrgsOfAList):
    """Parameters of GET /gaps."""

    since: Since = "7d"
    until: Until = None


class SeatsQuery(OrgsOfAList):
    """Parameters of GET /seats."""

    renews_within: Annotated[
        Annotated[int, Field(ge=1, le=3_650), WHOLE] | None,
        Field(description="Only orgs whose contract renews within this number of days."),
    ] = None


class ForecastsQuery(OrgsOfAList):
    """Parameters of GET /forecasts."""

    exhausted_within: Annotated[
        Annotated[int, Field(ge=1, le=3_650), WHOLE] | None,
        Field(description="Only orgs whose seats are forecast to run out within this number of days."),
    ] = None


class AnomaliesQuery(OrgsOfAList):
    """Parameters of GET /anomalies."""

    since: Since = "30d"
    kind: Annotated[
        tuple[AnomalyKind, ...], Field(max_length=MOST_VALUES, description="Only this kind. Repeatable.")
    ] = ()


class AuditQuery(PageQuery):
    """Parameters of GET /audit."""

    since: Since = "7d"


class PollsQuery(PageQuery):
    """Parameters of GET /orgs/{id}/polls."""

    since: Annotated[When | None, Field(description="Only slots from here on, written as in GET /gaps.")] = None


class SeriesQuery(FormatQuery):
    """Parameters of GET /orgs/{id}/series and GET /fleet/series."""

    type: Annotated[UserTypes, Field(description="Only this user type. Repeatable. Default: all ten.")] = ()
    since: Since = "90d"
    until: Until = None
    every: Annotated[
        When | None,
        Field(description="The shortest step, such as `1h` or `1d`. It is lengthened to at most 2,000 points a type."),
    ] = None
    tz: Annotated[Zone, Field(description="The time zone whose days these are: `Europe/Berlin`.")] = "UTC"


class ForecastQuery(FormatQuery):
    """Parameters of GET /orgs/{id}/forecast."""

    type: Annotated[UserType, Field(description="The user type.")] = UserType.ACTIVE
    horizon: Annotated[int, Field(ge=1, le=LONGEST_HORIZON, description="Days ahead."), WHOLE] = 90


class TrendQuery(FormatQuery):
    """Parameters of GET /trend."""

    org: Annotated[str, Field(max_length=500, description="Its name; empty: every org.")] = ""
    type: Annotated[str, Field(max_length=500, description="A user type; empty: all ten.")] = ""
    since: Annotated[str, Field(max_length=500, description="A duration ago or a day.")] = "90d"
    every: Annotated[str, Field(max_length=500, description="The step.")] = "1d"
    tz: Annotated[str, Field(max_length=500, description="The time zone whose days these are.")] = "UTC"
