"""The state of an org in the view `org_states`, used by the command line, SQL and the web."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from poller.core.credits import affordable_interval
from poller.core.editions import EDITIONS, daily_credits
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.store.orgs.changes import restore
from poller.store.orgs.orgs import pause, remove, resume
from poller.store.orgs.parking import park
from poller.store.orgs.states import SORTS, StateFilter, count_states, read_page
from poller.store.series.snapshots import write_snapshots
from tests.store.fleet import added, entry

if TYPE_CHECKING:
    from poller.core.states import OrgState
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

NOW = datetime.now(UTC)
MINUTE = timedelta(minutes=1)
FULL = dict.fromkeys(USER_TYPES, 5)
SLOT = NOW.replace(second=0, microsecond=0) - 2 * MINUTE


def ok(org_id: int, ago: timedelta) -> Snapshot:
    return Snapshot(org_id, SLOT - ago, SLOT - ago, Outcome.OK, counts=FULL)


def failed(org_id: int, ago: timedelta, outcome: Outcome = Outcome.UNAVAILABLE, error: str = "timeout") -> Snapshot:
    return Snapshot(org_id, SLOT - ago, SLOT - ago, outcome, error)


async def state_of(database: Database, org_id: int) -> OrgState:
    (found,) = (await read_page(database, StateFilter(org_ids=[org_id], removed=True))).orgs
    return found


@pytest.fixture
async def org_id(database: Database, keyring: Keyring) -> int:
    (added_id,) = await added(database, keyring, entry("a"))
    await database.execute("UPDATE orgs SET edition = 'enterprise'")
    return added_id


async def test_an_org_is_never_polled_before_its_first_poll_and_ok_since_that_slot(
    database: Database, org_id: int
) -> None:
    assert (await state_of(database, org_id)).state == "never_polled"
    await write_snapshots(database, [Snapshot(org_id, SLOT - 20 * MINUTE, None, Outcome.MISSED, "not_running")])
    assert (await state_of(database, org_id)).state == "never_polled"
    await write_snapshots(database, [ok(org_id, 15 * MINUTE)])
    await write_snapshots(database, [ok(org_id, 0 * MINUTE)])
    found = await state_of(database, org_id)
    assert (found.state, found.state_reason, found.since) == ("ok", None, SLOT - 15 * MINUTE)
    assert (found.last_polled_at, found.counts_at, found.last_outcome) == (SLOT, SLOT, "ok")
    assert found.counts == FULL


@pytest.mark.parametrize(
    ("outcome", "error", "state"),
    [
        (Outcome.PARTIAL, "timeout", "failing"),
        (Outcome.UNAUTHORIZED, "invalid_code", "failing"),
        (Outcome.FORBIDDEN, "NO_PERMISSION", "failing"),
        (Outcome.REJECTED, "INVALID_DATA", "failing"),
        (Outcome.UNAVAILABLE, "timeout", "failing"),
        (Outcome.MALFORMED, "not_json", "failing"),
        (Outcome.MISSED, "crashed", "failing"),
        (Outcome.MISSED, "too_late", "late"),
        (Outcome.THROTTLED, "credit_share_spent", "held"),
    ],
)
async def test_the_newest_slot_decides_and_its_code_is_the_reason(
    database: Database, org_id: int, outcome: Outcome, error: str, state: str
) -> None:
    await write_snapshots(database, [ok(org_id, 45 * MINUTE)])
    polled_at = None if outcome is Outcome.MISSED else SLOT
    await write_snapshots(database, [Snapshot(org_id, SLOT, polled_at, outcome, error)])
    found = await state_of(database, org_id)
    assert (found.state, found.state_reason, found.last_error) == (state, error, error)
    await write_snapshots(database, [ok(org_id, -MINUTE)])
    assert (await state_of(database, org_id)).state == "ok"


async def test_an_org_is_failing_since_the_first_failed_slot_in_any_order_of_batches(
    database: Database, org_id: int
) -> None:
    mixed = [
        failed(org_id, 90 * MINUTE),
        ok(org_id, 75 * MINUTE),
        failed(org_id, 60 * MINUTE),
        failed(org_id, 45 * MINUTE),
    ]
    await write_snapshots(database, mixed)
    assert (await state_of(database, org_id)).since == SLOT - 60 * MINUTE
    await write_snapshots(database, [failed(org_id, 30 * MINUTE), failed(org_id, 15 * MINUTE)])
    await write_snapshots(database, [ok(org_id, 100 * MINUTE)])
    found = await state_of(database, org_id)
    assert (found.state, found.since, found.counts_at) == ("failing", SLOT - 60 * MINUTE, SLOT - 75 * MINUTE)


async def test_a_second_poll_of_the_newest_slot_changes_the_state(database: Database, org_id: int) -> None:
    await write_snapshots(database, [failed(org_id, 0 * MINUTE)])
    await write_snapshots(database, [Snapshot(org_id, SLOT, SLOT + MINUTE, Outcome.OK, counts=FULL)])
    found = await state_of(database, org_id)
    assert (found.state, found.last_polled_at) == ("ok", SLOT + MINUTE)


async def test_an_org_is_late_after_two_intervals_and_not_for_the_time_it_was_paused(
    database: Database, org_id: int
) -> None:
    await write_snapshots(database, [ok(org_id, 5 * MINUTE)])
    assert (await state_of(database, org_id)).state == "ok"
    await database.execute("UPDATE latest_polls SET polled_at = now() - interval '32 minutes'")
    found = await state_of(database, org_id)
    assert found.state == "late"
    await pause(database, ["a"], NOW)
    assert (await state_of(database, org_id)).state == "paused"
    await resume(database, ["a"], NOW)
    assert (await state_of(database, org_id)).state == "ok"


async def test_removed_paused_parked_and_held_take_precedence_in_this_order(database: Database, org_id: int) -> None:
    await write_snapshots(database, [failed(org_id, 0 * MINUTE)])
    held = "INSERT INTO org_limits (org_id, hold_until) VALUES ($1, now() + interval '1 minute')"
    await database.execute(held, org_id)
    assert (await state_of(database, org_id)).state == "held"
    await park(database, org_id, "invalid_code", "make a new grant", NOW, outcome=Outcome.UNAUTHORIZED)
    found = await state_of(database, org_id)
    assert (found.state, found.state_reason, found.parked_remedy) == ("parked", "invalid_code", "make a new grant")
    await pause(database, ["a"], NOW)
    assert (await state_of(database, org_id)).state == "paused"
    await remove(database, ["a"], NOW)
    assert (await state_of(database, org_id)).state == "removed"
    assert await count_states(database, StateFilter()) == {}
    await database.execute("UPDATE orgs SET paused_at = NULL")
    await restore(database, [org_id], NOW)
    found = await state_of(database, org_id)
    assert (found.state, found.state_reason) == ("paused", "no_credentials")


async def test_sql_and_the_service_agree_on_credits_and_intervals_of_every_edition(database: Database) -> None:
    editions = [None, "", "CRM Plus", "nobody's", *EDITIONS]
    cases = list(
        product(editions, (None, 0, 3, 199, 10_000_000), (1, 60, 300, 900, 1_700, 86_400), (0.0001, 0.1, 0.29, 1.0))
    )
    rows: list[Any] = await database.fetch(
        "SELECT org_daily_credits(edition, licences) AS credits,"
        " affordable_interval(asked,"
        " floor(org_daily_credits(edition, licences) * share + 5e-7)::bigint / 10) AS seconds"
        " FROM unnest($1::text[], $2::int[], $3::int[], $4::float8[]) WITH ORDINALITY"
        " AS c (edition, licences, asked, share, place) ORDER BY place",
        *map(list, zip(*cases, strict=True)),
    )
    for (edition, licences, asked, share), row in zip(cases, rows, strict=True):
        credits_a_day = daily_credits(edition, licences)
        assert row["credits"] == credits_a_day, edition
        assert row["seconds"] == affordable_interval(asked, credits_a_day, share), (edition, licences, asked, share)


@pytest.mark.parametrize("sort", SORTS)
async def test_pages_of_any_size_contain_every_org_once_in_order(
    database: Database, keyring: Keyring, sort: Any
) -> None:
    ids = await added(database, keyring, *(entry(f"org {number}") for number in range(7)))
    await write_snapshots(database, [ok(org_id, place % 3 * MINUTE) for place, org_id in enumerate(ids[:5])])
    whole = [org.org for org in (await read_page(database, StateFilter(), sort=sort)).orgs]
    assert sorted(whole) == [f"org {number}" for number in range(7)]
    paged, after = [], None
    while True:
        page = await read_page(database, StateFilter(), sort=sort, after=after, limit=2)
        paged += [org.org for org in page.orgs]
        after = page.after
        if after is None:
            break
    assert paged == whole


async def test_filters_are_combined_with_and(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("a"), entry("b"), entry("50%"))
    await database.execute("UPDATE orgs SET tags = '{x,y}' WHERE name IN ('a', 'b')")
    await database.execute("UPDATE orgs SET data_center = 'us', tags = '{x}' WHERE name = 'b'")

    async def names(**which: Any) -> list[str]:
        return [org.org for org in (await read_page(database, StateFilter(**which))).orgs]

    assert await names(tags=["x"]) == ["a", "b"]
    assert await names(tags=["x", "y"]) == ["a"]
    assert await names(tags=["x"], data_centers=["us"], states=["never_polled", "ok"]) == ["b"]
    assert await names(tags=["x"], states=["ok"]) == []
    assert await names(search="0%") == ["50%"]
