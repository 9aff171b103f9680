"""What stands above the fleet's list: sums without unknown values, facets, and what needs a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from poller.core.callers import Caller
from poller.core.model import UserType
from poller.core.states import State
from poller.query.fleet_page import StateFilter
from poller.query.fleet_summary import fleet_summary
from poller.query.reader import Reader
from tests.query.fleet_rows import Row, write

if TYPE_CHECKING:
    from poller.query.fleet_summary import FleetSummary
    from poller.store.database import Database

ROWS = (
    Row("a", count=10, week_ago=7, seats=20, runs_out_in=5, tags=("gold",)),
    Row("b", count=None, seats=8, runs_out_in=40, tags=("gold", "emea")),
    Row("c", count=4, state="parked", tags=("silver",), data_center="us"),
    Row("d", count=1, state="paused", tags=()),
)


async def summary(database: Database, which: StateFilter, caller: Caller | None = None) -> FleetSummary:
    caller = caller or Caller("test")
    return await fleet_summary(Reader(database), caller, which, UserType.ACTIVE)


async def test_totals_leave_unknown_values_out_and_count_them(database: Database) -> None:
    await write(database, ROWS)
    totals = (await summary(database, StateFilter())).totals
    assert (totals.orgs, totals.total, totals.counted) == (4, 15, 3)
    assert (totals.change_7d, totals.compared) == (3, 1)
    assert (totals.purchased, totals.used, totals.with_seats) == (20, 10, 1)
    assert (totals.run_out, totals.polled, totals.known_now) == (1, 3, 2)
    await write(database, [*ROWS, Row("full", count=8, seats=8)])
    totals = (await summary(database, StateFilter())).totals
    assert (totals.run_out, totals.next_run_out) == (2, datetime.now(UTC).date() + timedelta(days=5))
    totals = (await summary(database, StateFilter(search="nothing"))).totals
    assert (totals.orgs, totals.total, totals.change_7d, totals.purchased) == (0, None, None, None)


async def test_a_facet_counts_the_orgs_that_the_other_filters_leave(database: Database) -> None:
    await write(database, ROWS)
    found = await summary(database, StateFilter(tags=["gold"], states=["ok"]))
    assert {one.value: one.orgs for one in found.values("state")} == {"ok": 2}
    assert {one.value: one.orgs for one in found.values("tag")} == {"gold": 2, "emea": 1}
    assert found.totals.orgs == 2
    found = await summary(database, StateFilter(states=["parked"]))
    assert {one.value: one.orgs for one in found.values("state")} == {"ok": 2, "parked": 1, "paused": 1}
    assert {one.value: one.orgs for one in found.values("data_center")} == {"us": 1}


async def test_a_caller_with_tags_sees_sums_of_its_own_orgs_only(database: Database) -> None:
    await write(database, ROWS)
    gold = Caller("gold", tags=("gold",))
    found = await summary(database, StateFilter(visible_tags=gold.visible_tags), gold)
    assert (found.totals.orgs, found.totals.total) == (2, 10)
    assert found.troubles == []
    assert {one.value for one in found.facets} == {"ok", "eu", "unknown", "gold", "emea"}
    assert found.trend[-8].total == 7
    everything = await summary(database, StateFilter())
    assert [(one.state, one.orgs, one.names) for one in everything.troubles] == [(State.PARKED, 1, ["c"])]
    assert everything.troubles[0].what_to_do.startswith("Zoho no longer takes the org's refresh token")
    assert everything.trend[-1].total == 15


async def test_sums_are_kept_for_seconds_for_readers_of_the_same_orgs(database: Database) -> None:
    await write(database, ROWS)
    reader = Reader(database)
    for caller, orgs in ((Caller("all"), 4), (Caller("gold", tags=("gold",)), 2), (Caller("all"), 4)):
        which = StateFilter(visible_tags=caller.visible_tags)
        assert (await fleet_summary(reader, caller, which, UserType.ACTIVE)).totals.orgs == orgs
    await database.execute("DELETE FROM orgs")
    assert (await fleet_summary(reader, Caller("all"), StateFilter(), UserType.ACTIVE)).totals.orgs == 4
