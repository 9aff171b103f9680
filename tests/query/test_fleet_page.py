"""The fleet's list: its orders, paging both ways, filters, and which rows a caller may see."""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from poller.core.errors import UsageError
from poller.core.model import UserType
from poller.core.states import State
from poller.query.fleet_page import (
    SORTS,
    FleetOrder,
    FleetQuestion,
    StateFilter,
    fleet_page,
    fleet_row_fields,
    last_outcomes,
    order_of,
    rows_that_changed,
    stream_fleet,
)
from tests.query.fleet_rows import Row, write

if TYPE_CHECKING:
    from poller.store.database import Database

NAMES = st.one_of(
    st.builds("{} {}".format, st.sampled_from(["Acme", "acme", "Ämter", "Zeta"]), st.integers(0, 120)),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn"]), min_size=1, max_size=12),
)
ROWS = st.lists(
    st.builds(
        Row,
        name=NAMES.map(lambda name: unicodedata.normalize("NFC", name)),
        state=st.sampled_from(["ok", "failing", "parked", "late", "paused", "never_polled"]),
        count=st.none() | st.integers(0, 5),
        week_ago=st.none() | st.integers(0, 5),
        month_ago=st.none() | st.integers(0, 5),
        seats=st.none() | st.integers(0, 9),
        runs_out_in=st.none() | st.integers(1, 40),
        tags=st.sampled_from([(), ("gold",), ("gold", "emea"), ("silver",)]),
        data_center=st.sampled_from(["eu", "us", "in"]),
        edition=st.sampled_from([None, "enterprise", "Professional"]),
    ),
    min_size=1,
    max_size=14,
    unique_by=lambda row: row.name,
)


def expected_key(row: Row, sort: str) -> float | str | None:
    """The value that a row is sorted by, computed from what was written; None: unknown."""
    change = {"change_7d": row.week_ago, "change_30d": row.month_ago}
    if sort in change:
        before = change[sort]
        return None if row.count is None or before is None else row.count - before
    return {
        "need": 0 if row.state in {"failing", "parked", "late"} else 1,
        "org": 0,
        "state": list(State).index(State(row.state)),
        "data_center": row.data_center,
        "edition": None if row.edition is None else row.edition.lower(),
        "tags": " ".join(row.tags) or None,
        "count": row.count,
        "seats": row.seats,
        "idle": None if row.seats is None or row.count is None else max(row.seats - row.count, 0),
        "exhausted_on": -1_000
        if row.seats is not None and row.count is not None and row.count >= row.seats
        else row.runs_out_in,
        "counts_at": None if row.count is None else 0,
    }[sort]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    order=st.builds(FleetOrder, st.one_of(st.just("need"), st.sampled_from(SORTS)), st.booleans()),
    limit=st.integers(1, 5),
    states=st.sampled_from([(), (), ("late",), ("failing", "parked"), ("ok", "late")]),
    visible=st.sampled_from([None, None, ("gold",), ("emea", "silver")]),
)
async def test_paging_forwards_and_backwards_shows_every_row_that_matches_once_and_in_order(
    database: Database,
    rows: list[Row],
    order: FleetOrder,
    limit: int,
    *,
    states: tuple[str, ...],
    visible: tuple[str, ...] | None,
) -> None:
    await write(database, rows)
    matching = [row for row in rows if not states or row.state in states]
    by_name = {row.name: row for row in matching if visible is None or set(row.tags) & set(visible)}
    which = StateFilter(states=states, visible_tags=visible)
    question = FleetQuestion(which, order, limit=limit)
    pages = [await fleet_page(database, question)]
    assert not pages[0].has_before
    while pages[-1].has_after:
        pages.append(await fleet_page(database, replace(question, after=pages[-1].orgs[-1].position)))
        assert pages[-1].has_before
    seen = [one for page in pages for one in page.orgs]
    names = [one.org.org for one in seen]
    assert sorted(names) == sorted(by_name)
    assert [one async for one in stream_fleet(database, question)] == seen
    for earlier, later in itertools.pairwise(pages):
        assert (await fleet_page(database, replace(question, before=later.orgs[0].position))).orgs == earlier.orgs
    if order.sort != "seen":
        keys = [expected_key(by_name[name], order.sort) for name in names]
        known = [key for key in keys if key is not None]
        assert keys == known + [None] * (len(keys) - len(known)), "unknown comes last"
        assert known == sorted(known, reverse=order.descending)


async def test_numbers_in_names_are_in_natural_order_without_regard_to_case_and_accents(database: Database) -> None:
    names = ["Acme 9", "acme 10", "Acme 010b", "Ämter 2", "Zeta", "Äcme 11", "Acme 100000000000000000000"]
    await write(database, [Row(name) for name in names])
    page = await fleet_page(database, FleetQuestion(order=order_of("org")))
    assert [one.org.org for one in page.orgs] == [
        "Acme 9",
        "acme 10",
        "Acme 010b",
        "Äcme 11",
        "Acme 100000000000000000000",
        "Ämter 2",
        "Zeta",
    ]


async def test_orgs_that_need_a_person_come_first_and_name_their_remedy(database: Database) -> None:
    states = ["ok", "paused", "parked", "failing", "late", "never_polled"]
    await write(database, [Row(f"{number} {state}", state=state) for number, state in enumerate(states)])
    page = await fleet_page(database, FleetQuestion())
    fields = [fleet_row_fields(one) for one in page.orgs]
    assert [one["state"] for one in fields] == ["parked", "failing", "late", "ok", "paused", "never_polled"]
    assert all(one["remedy"] for one in fields[:3])
    assert not any(one["remedy"] for one in fields[3:])


async def test_orgs_that_are_late_by_their_own_interval_come_first_too(database: Database) -> None:
    names = ["a hourly", "b", "c each minute", "d each minute", "e removed"]
    await write(database, [Row(name) for name in names])
    await database.execute("UPDATE latest_polls SET polled_at = now() - interval '10 minutes'")
    await database.execute("UPDATE orgs SET poll_interval_seconds = 3600 WHERE name = 'a hourly'")
    await database.execute(
        "UPDATE orgs SET poll_interval_seconds = 60, edition = 'ultimate' WHERE name LIKE '% minute'"
    )
    await database.execute("UPDATE orgs SET resumed_at = now() WHERE name = 'd each minute'")
    await database.execute("UPDATE orgs SET parked_at = now(), removed_at = now() WHERE name = 'e removed'")
    page = await fleet_page(database, FleetQuestion())
    states = [(one.org.org, one.org.state) for one in page.orgs]
    assert states == [("c each minute", "late"), ("a hourly", "ok"), ("b", "ok"), ("d each minute", "ok")]
    late = FleetQuestion(StateFilter(states=["late", "parked"]))
    assert [one.org.org for one in (await fleet_page(database, late)).orgs] == ["c each minute"]
    beyond = replace(late, after=page.orgs[1].position)
    assert (await fleet_page(database, beyond)).orgs == [], "a place after all orgs that need a person"


async def test_changes_are_those_from_the_end_of_the_day_a_week_and_a_month_ago(database: Database) -> None:
    await write(database, [Row("a", count=12, week_ago=10, month_ago=15), Row("b", count=None, week_ago=3), Row("c")])
    rows = {one.org.org: one for one in (await fleet_page(database, FleetQuestion())).orgs}
    assert (rows["a"].change_7d, rows["a"].change_30d) == (2, -3)
    assert rows["a"].history == [15, *[None] * 22, 10, *[None] * 6, 12]
    assert (rows["b"].change_7d, rows["b"].count) == (None, None)
    assert rows["b"].history[-1] is None
    assert rows["c"].change_30d is None


async def test_a_count_older_than_a_day_has_no_change(database: Database) -> None:
    (org_id,) = await write(database, [Row("a", count=12, week_ago=10)])
    await database.execute("UPDATE latest_snapshots SET polled_at = now() - interval '25 hours'")
    (row,) = (await fleet_page(database, FleetQuestion())).orgs
    assert (row.org.org_id, row.count, row.change_7d) == (org_id, 12, None)


async def test_filters_combine_with_and(database: Database) -> None:
    await write(
        database,
        [
            Row("gold eu", tags=("gold", "emea")),
            Row("gold us", tags=("gold",), data_center="us", edition="enterprise"),
            Row("silver 50%_", tags=("silver",), state="parked"),
        ],
    )

    async def names(which: StateFilter) -> list[str]:
        return [one.org.org for one in (await fleet_page(database, FleetQuestion(which))).orgs]

    assert await names(StateFilter(tags=["gold"])) == ["gold eu", "gold us"]
    assert await names(StateFilter(tags=["gold", "emea"])) == ["gold eu"]
    assert await names(StateFilter(tags=["gold"], data_centers=["us", "in"])) == ["gold us"]
    assert await names(StateFilter(editions=["unknown"], states=["ok"])) == ["gold eu"]
    assert await names(StateFilter(search="GOLD")) == ["gold eu", "gold us"]
    assert await names(StateFilter(search="%_")) == ["silver 50%_"]
    assert await names(StateFilter(visible_tags=["silver", "bronze"])) == ["silver 50%_"]
    assert await names(StateFilter(visible_tags=["silver"], tags=["gold"])) == []


async def test_a_row_counts_as_changed_when_its_state_or_count_changes_and_is_seen(database: Database) -> None:
    ids = await write(database, [Row("a", tags=("gold",)), Row("b", tags=("gold",)), Row("c", tags=("silver",))])
    digests = {one.org.org_id: one.digest for one in (await fleet_page(database, FleetQuestion())).orgs}
    assert await rows_that_changed(database, digests, UserType.ACTIVE, None) == []
    await database.execute("UPDATE latest_snapshots SET active_users = 11 WHERE org_id = ANY ($1)", ids[1:])
    changed = await rows_that_changed(database, digests, UserType.ACTIVE, None)
    assert [(one.org.org, one.count) for one in changed] == [("b", 11), ("c", 11)]
    assert [one.org.org for one in await rows_that_changed(database, digests, UserType.ACTIVE, ["gold"])] == ["b"]
    await database.execute("UPDATE orgs SET parked_at = now() WHERE id = $1", ids[0])
    changed = await rows_that_changed(database, {ids[0]: digests[ids[0]]}, UserType.ACTIVE, None)
    assert [one.org.state for one in changed] == ["parked"]


async def test_an_org_that_was_never_polled_has_no_outcomes(database: Database) -> None:
    await write(database, [Row("a", state="never_polled")])
    page = await fleet_page(database, FleetQuestion())
    assert await last_outcomes(database, page.orgs, 24) == {page.orgs[0].org.org_id: []}


@pytest.mark.parametrize("text", ["", "-", "name", "--org", "org; DROP TABLE orgs"])
def test_an_unknown_order_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape("is not an order")) as refused:
        order_of(text)
    assert "change_30d" in str(refused.value)
