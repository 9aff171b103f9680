"""The fleet as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.query.fleet_summary import fleet_summary
from poller.web.api.endpoint import Answer
from poller.web.api.handlers.orgs import filter_of

if TYPE_CHECKING:
    from poller.query.fleet_summary import FleetSummary
    from poller.web.api.endpoint import Call


async def fleet(call: Call) -> Answer:
    """Sums of the orgs that match the filters, and what needs a person."""
    found = await fleet_summary(call.reader, call.caller, filter_of(call), call.query.type)
    return Answer({**_sums(found, call), "needs_a_person": _troubles(found)})


def _sums(found: FleetSummary, call: Call) -> dict[str, Any]:
    totals = found.totals
    facets = {
        name: {one.value: one.orgs for one in found.values(facet)}
        for name, facet in (
            ("states", "state"),
            ("data_centers", "data_center"),
            ("editions", "edition"),
            ("tags", "tag"),
        )
    }
    return {
        "orgs": totals.orgs,
        **facets,
        "users": {
            "type": call.query.type,
            "total": totals.total,
            "orgs": totals.counted,
            "change_7d": totals.change_7d,
            "compared": totals.compared,
        },
        "seats": {"purchased": totals.purchased, "used": totals.used, "orgs": totals.with_seats},
        "known_now": {"orgs": totals.polled, "known": totals.known_now, "oldest_at": totals.oldest_at},
        "runs_out": {"orgs": totals.run_out, "next_on": totals.next_run_out},
    }


def _troubles(found: FleetSummary) -> list[dict[str, Any]]:
    return [
        {
            "state": one.state,
            "reason": one.reason,
            "remedy": one.what_to_do,
            "count": one.orgs,
            "orgs": list(one.names),
            "since": one.since,
        }
        for one in found.troubles
    ]
