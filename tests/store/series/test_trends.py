from __future__ import annotations

import zoneinfo
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from poller.core.durations import DAY_SECONDS
from poller.core.errors import UsageError
from poller.core.model import USER_TYPES, Outcome, Snapshot, UserType
from poller.core.series import TrendPoint
from poller.store.series.partitions import drop_partitions
from poller.store.series.rollups import roll_up
from poller.store.series.trends import bucket_edges, org_trend
from tests.store.series.history import write_snapshots

if TYPE_CHECKING:
    from poller.store.database import Database

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DAYS = bucket_edges(MIDNIGHT, MIDNIGHT + 3 * DAY, DAY_SECONDS)


def ok(org_id: int, slot: datetime, count: int) -> Snapshot:
    return Snapshot(org_id, slot, slot, Outcome.OK, counts={kind: count + n for n, kind in enumerate(USER_TYPES)})


async def make_orgs(database: Database, *names: str) -> None:
    await database.execute("INSERT INTO orgs (name, data_center) SELECT unnest($1::text[]), 'us'", list(names))


async def points(database: Database, edges: list[datetime], *kinds: UserType) -> list[TrendPoint]:
    return [point async for point in org_trend(database, edges, user_types=kinds or (UserType.ALL,))]


async def test_a_trend_point_has_first_last_minimum_maximum_and_average(database: Database) -> None:
    await make_orgs(database, "acme")
    await write_snapshots(database, [ok(1, MIDNIGHT + n * HOUR, count) for n, count in enumerate([5, 9, 2, 6])])
    assert (await points(database, DAYS))[0] == TrendPoint(
        1, "acme", UserType.ALL, MIDNIGHT, first=5, last=6, min=2, max=9, avg=5.5, samples=4, missing=0
    )


async def test_a_trend_step_without_known_counts_is_a_gap_and_not_left_out(database: Database) -> None:
    await make_orgs(database, "acme")
    failed = Snapshot(1, MIDNIGHT + DAY, MIDNIGHT + DAY, Outcome.UNAVAILABLE, "timeout")
    await write_snapshots(database, [ok(1, MIDNIGHT, 5), failed])
    known, unknown, absent = await points(database, DAYS)
    assert (known.last, known.samples, known.missing) == (5, 1, 0)
    assert (unknown.at, unknown.last, unknown.avg, unknown.samples, unknown.missing) == (
        MIDNIGHT + DAY,
        None,
        None,
        0,
        1,
    )
    assert absent == TrendPoint(1, "acme", UserType.ALL, MIDNIGHT + 2 * DAY)


async def test_unknown_counts_do_not_lower_the_values_of_a_trend_step(database: Database) -> None:
    await make_orgs(database, "acme")
    failed = Snapshot(1, MIDNIGHT + 2 * HOUR, MIDNIGHT, Outcome.UNAVAILABLE, "timeout")
    await write_snapshots(database, [ok(1, MIDNIGHT + HOUR, 5), failed])
    point = (await points(database, DAYS))[0]
    assert (point.first, point.last, point.min, point.avg, point.samples, point.missing) == (5, 5, 5, 5.0, 1, 1)


async def test_trend_points_are_ordered_by_org_name_type_and_time(database: Database) -> None:
    await make_orgs(database, "zeta", "acme", "idle")
    await write_snapshots(database, [ok(org_id, MIDNIGHT + n * DAY, n) for org_id in (1, 2) for n in range(3)])
    found = await points(database, DAYS, UserType.ADMIN, UserType.ALL)
    assert [(point.org, point.user_type, point.at) for point in found] == [
        (org, kind, at)
        for org in ("acme", "idle", "zeta")
        for kind in (UserType.ADMIN, UserType.ALL)
        for at in DAYS[:-1]
    ]
    assert [point.last for point in found] == [7, 8, 9, 0, 1, 2, *[None] * 6, 7, 8, 9, 0, 1, 2]


async def test_a_trend_contains_only_the_requested_orgs_including_removed_ones(database: Database) -> None:
    await make_orgs(database, "acme", "gone")
    await database.execute("UPDATE orgs SET removed_at = now() WHERE name = 'gone'")
    await write_snapshots(database, [ok(1, MIDNIGHT, 1), ok(2, MIDNIGHT, 2)])
    assert {point.org for point in await points(database, DAYS)} == {"acme"}
    asked = [point async for point in org_trend(database, DAYS, org_ids=[2], user_types=[UserType.ALL])]
    assert [(point.org, point.last) for point in asked] == [("gone", 2), ("gone", None), ("gone", None)]


async def test_the_end_of_a_period_is_excluded(database: Database) -> None:
    await make_orgs(database, "acme")
    await write_snapshots(database, [ok(1, MIDNIGHT - HOUR, 1), ok(1, DAYS[-1], 2), ok(1, DAYS[-1] - HOUR, 3)])
    assert [point.last for point in await points(database, DAYS)] == [None, None, 3]


async def test_days_of_a_trend_are_those_of_the_requested_time_zone(database: Database) -> None:
    await make_orgs(database, "acme")
    kolkata = ZoneInfo("Asia/Kolkata")
    await write_snapshots(database, [ok(1, MIDNIGHT + n * HOUR, n) for n in range(24)])
    edges = bucket_edges(MIDNIGHT, MIDNIGHT + DAY, DAY_SECONDS, kolkata)
    assert [edge.astimezone(kolkata).strftime("%d %H:%M") for edge in edges] == ["20 00:00", "21 00:00", "22 00:00"]
    assert [(point.first, point.last) for point in await points(database, edges)] == [(0, 18), (19, 23)]


async def test_a_long_trend_of_many_orgs_is_streamed_completely(database: Database) -> None:
    await make_orgs(database, *(f"org-{number:03}" for number in range(30)))
    await write_snapshots(database, [ok(org_id, MIDNIGHT + n * HOUR, n) for org_id in range(1, 31) for n in range(72)])
    found = await points(database, bucket_edges(MIDNIGHT, MIDNIGHT + 3 * DAY, 3_600), *USER_TYPES)
    assert len(found) == 30 * 10 * 72
    assert all(point.last == (point.at - MIDNIGHT) / HOUR + USER_TYPES.index(point.user_type) for point in found)


async def test_daily_and_weekly_trends_are_the_same_from_snapshots_and_from_daily_counts(database: Database) -> None:
    await make_orgs(database, "acme", "zeta")
    counts = iter(range(10_000, 0, -7))
    batch = [ok(org_id, MIDNIGHT + n * 7 * HOUR, next(counts)) for org_id in (1, 2) for n in range(50)]
    batch += [Snapshot(1, one.slot + HOUR, one.slot, Outcome.UNAVAILABLE, "timeout") for one in batch[:20]]
    await write_snapshots(database, batch)
    for days in (1, 7):
        edges = bucket_edges(MIDNIGHT - DAY, MIDNIGHT + 16 * DAY, days * DAY_SECONDS)
        # An edge off midnight, behind everything, asks the snapshots.
        from_snapshots = await points(database, [*edges, edges[-1] + HOUR], *USER_TYPES)
        from_days = await points(database, edges, *USER_TYPES)
        known = [point for point in from_snapshots if point.at < edges[-1]]
        assert [replace(point, avg=None) for point in from_days] == [replace(point, avg=None) for point in known]
        assert [point.avg for point in from_days] == [point.avg and pytest.approx(point.avg) for point in known]
        assert sum(point.samples for point in from_days) == 10 * 100
        await roll_up(database, (MIDNIGHT + 9 * DAY).date())


async def test_a_daily_trend_reaches_further_back_than_the_snapshots(database: Database) -> None:
    await make_orgs(database, "acme")
    await write_snapshots(database, [ok(1, MIDNIGHT + n * 12 * HOUR, n) for n in range(5)])
    await roll_up(database, (MIDNIGHT + 12 * DAY).date())
    before = await points(database, DAYS)
    assert await drop_partitions(database, MIDNIGHT + 12 * DAY) == ["org_snapshots_2026_11"]
    assert await points(database, DAYS) == before
    assert [point.last for point in before] == [1, 3, 4]


async def test_a_trend_without_orgs_or_types_is_empty(database: Database) -> None:
    await make_orgs(database, "acme")
    assert await points(database, []) == []
    assert [point async for point in org_trend(database, DAYS, user_types=())] == []


def test_a_day_with_a_clock_change_is_one_trend_step() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    edges = bucket_edges(datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC), DAY_SECONDS, berlin)
    assert [(later - edge) / HOUR for edge, later in pairwise(edges)] == [24, 23, 24]


def test_weeks_of_a_trend_begin_on_monday() -> None:
    edges = bucket_edges(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC), 7 * DAY_SECONDS)
    assert [edge.strftime("%a %d") for edge in edges] == ["Mon 16", "Mon 23", "Mon 30", "Mon 07"]


def test_a_day_skipped_by_a_time_zone_is_not_a_trend_step() -> None:
    apia = ZoneInfo("Pacific/Apia")
    edges = bucket_edges(datetime(2011, 12, 29, 12, tzinfo=UTC), datetime(2012, 1, 1, tzinfo=UTC), DAY_SECONDS, apia)
    assert [edge.astimezone(apia).day for edge in edges] == [29, 31, 1, 2]


def test_too_many_trend_steps_are_refused() -> None:
    with pytest.raises(UsageError, match="buckets; ask for a shorter stretch"):
        bucket_edges(MIDNIGHT, MIDNIGHT + 3_000 * DAY, 60)


@given(
    since=st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    length=st.timedeltas(timedelta(seconds=1), timedelta(days=30)),
    every_seconds=st.sampled_from([900, 3_600, 5_400, 21_600, DAY_SECONDS, 2 * DAY_SECONDS, 7 * DAY_SECONDS]),
    zone=st.sampled_from(sorted(zoneinfo.available_timezones())).map(ZoneInfo),
)
def test_trend_steps_cover_the_whole_period_and_at_most_one_step_more(
    since: datetime, length: timedelta, every_seconds: int, zone: ZoneInfo
) -> None:
    until = since + length
    edges = bucket_edges(since, until, every_seconds, zone)
    assert edges[0] <= since < edges[1]
    assert edges[-2] < until <= edges[-1]
    assert all(edge < later for edge, later in pairwise(edges))
    assert edges == bucket_edges(edges[0], edges[-1], every_seconds, zone)
