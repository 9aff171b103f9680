"""Series of orgs and of the fleet: what thinning keeps, gaps, time zones, days of retention, and who sees what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from poller.core.errors import UsageError
from poller.core.model import COLUMNS, USER_TYPES, Outcome, Snapshot, UserType
from poller.core.resolution import MOST_POINTS, resolution
from poller.query.series import SERIES_COLUMNS, Series, SeriesQuestion, fleet_series, org_series, series_of
from poller.store.series.partitions import drop_partitions
from poller.store.series.rollups import roll_up
from tests.store.series.history import MANY, SLOTS, forget_everything, rows_of, snapshots, write_snapshots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.database import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def ok(org_id: int, slot: datetime, count: int) -> Snapshot:
    counts = {kind: count + place for place, kind in enumerate(USER_TYPES)}
    return Snapshot(org_id, slot, slot, Outcome.OK, counts=counts)


def failed(org_id: int, slot: datetime) -> Snapshot:
    return Snapshot(org_id, slot, slot, Outcome.UNAVAILABLE, "timeout")


async def make_orgs(database: Database, *names: str, tags: Sequence[str] = ()) -> None:
    await database.execute(
        "INSERT INTO orgs (name, data_center, tags) SELECT unnest($1::text[]), 'us', $2", list(names), list(tags)
    )


def asked(since: datetime, until: datetime = NOON, **changes: object) -> SeriesQuestion:
    return replace(SeriesQuestion((UserType.ALL,), since, until), **changes)  # type: ignore[arg-type]


async def all_users(database: Database, question: SeriesQuestion) -> Series:
    found = await org_series(database, 1, question, visible_tags=None)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("span", "every", "step"),
    [
        (DAY, 900, 900),
        (7 * DAY, 900, 900),
        (30 * DAY, 900, 3_600),
        (90 * DAY, 900, 86_400),
        (365 * DAY, 900, 86_400),
        (10 * 365 * DAY, 900, 7 * 86_400),
        (365 * DAY, 21_600, 21_600),
        (7 * DAY, 60, 3_600),
        (100 * 365 * DAY, 60, 28 * 86_400),
    ],
)
def test_the_step_is_the_shortest_one_with_at_most_two_thousand_points(span: timedelta, every: int, step: int) -> None:
    assert resolution(span.total_seconds(), every) == step


@given(since=st.timedeltas(timedelta(minutes=1), timedelta(days=365 * 200)), every=st.integers(1, 86_400 * 400))
def test_no_range_has_more_than_two_thousand_points_of_a_type(since: timedelta, every: int) -> None:
    assert since.total_seconds() / resolution(since.total_seconds(), every) < MOST_POINTS
    assert resolution(since.total_seconds(), every) >= min(every, 364 * 86_400)


async def test_a_day_of_quarter_hours_has_a_point_for_every_slot_and_unknown_is_none(database: Database) -> None:
    await make_orgs(database, "acme")
    slots = [NOON - DAY + QUARTER * number for number in range(96)]
    await write_snapshots(
        database, [failed(1, slot) if place in {10, 11} else ok(1, slot, place) for place, slot in enumerate(slots)]
    )
    found = await all_users(database, asked(NOON - DAY))
    assert (found.step_seconds, list(found.edges[:-1])) == (900, slots)
    points = list(found.points())
    assert [point["last"] for point in points] == [None if n in {10, 11} else n for n in range(96)]
    assert points[10] == dict(
        zip(SERIES_COLUMNS, (slots[10].isoformat(), "AllUsers", None, None, None, None, None, 0, 1), strict=True)
    )


async def test_an_org_that_was_polled_hourly_has_hourly_points_and_no_false_gaps_between_them(
    database: Database,
) -> None:
    await make_orgs(database, "acme")
    await write_snapshots(database, [ok(1, NOON - DAY + HOUR * number, number) for number in range(24)])
    found = await all_users(database, asked(NOON - DAY))
    assert (found.step_seconds, list(found.types[0].last)) == (3_600, list(range(24)))


async def test_a_day_of_summer_time_change_is_one_point_of_twenty_five_hours(database: Database) -> None:
    await make_orgs(database, "acme")
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 10, 24, tzinfo=berlin).astimezone(UTC)
    await write_snapshots(database, [ok(1, start + HOUR * number, number) for number in range(24 * 3 + 1)])
    question = asked(start, start + timedelta(hours=73), every_seconds=86_400, zone=berlin)
    found = await all_users(database, question)
    assert list(found.types[0].samples) == [24, 25, 24]
    assert [point["at"] for point in found.points()] == [
        "2026-10-24T00:00:00+02:00",
        "2026-10-25T00:00:00+02:00",
        "2026-10-26T00:00:00+01:00",
    ]


async def test_a_range_older_than_the_snapshots_is_read_from_daily_counts_and_says_so(database: Database) -> None:
    await make_orgs(database, "acme")
    old = datetime(2026, 7, 10, tzinfo=UTC)
    await write_snapshots(database, [ok(1, old + HOUR * number, number) for number in range(24)])
    await write_snapshots(database, [ok(1, NOON - HOUR, 99)])
    await roll_up(database, NOON.date())
    await drop_partitions(database, datetime(2026, 9, 1, tzinfo=UTC))
    found = await all_users(database, asked(old, old + DAY, every_seconds=3_600, zone=ZoneInfo("Asia/Tokyo")))
    assert (found.step_seconds, found.kept_since) == (86_400, datetime(2026, 8, 1, tzinfo=UTC).date())
    assert (list(found.types[0].last), list(found.types[0].samples)) == ([23], [24])
    assert (await all_users(database, asked(NOON - DAY))).kept_since is None


async def test_an_org_of_other_tags_and_an_org_that_does_not_exist_have_the_same_answer(database: Database) -> None:
    await make_orgs(database, "acme", tags=["gold"])
    await write_snapshots(database, [ok(1, NOON - HOUR, 5)])
    question = asked(NOON - DAY)
    assert await org_series(database, 1, question, visible_tags=["silver"]) is None
    assert await org_series(database, 2, question, visible_tags=None) is None
    seen = await org_series(database, 1, question, visible_tags=["silver", "gold"])
    assert seen is not None
    assert 5 in seen.types[0].last


async def test_the_sums_of_the_fleet_are_those_of_the_orgs_that_the_caller_sees(database: Database) -> None:
    await make_orgs(database, "acme", "birch", tags=["gold"])
    await make_orgs(database, "cedar")
    yesterday = NOON - DAY
    await write_snapshots(database, [ok(org_id, yesterday, 10 * org_id) for org_id in (1, 2, 3)])
    await write_snapshots(database, [ok(1, NOON - HOUR, 11), failed(2, NOON - HOUR), ok(3, NOON - HOUR, 33)])
    question = asked(NOON - 2 * DAY)
    everything = await fleet_series(database, question, visible_tags=None)
    gold = await fleet_series(database, question, visible_tags=["gold", "bronze"])
    assert list(everything.types[0].last) == [None, 60, 44]
    assert list(gold.types[0].last) == [None, 30, 11]
    assert (list(gold.types[0].samples), list(gold.types[0].missing)) == ([0, 2, 1], [0, 0, 1])
    assert everything.step_seconds == 86_400


@MANY
@given(
    history=st.lists(snapshots(), max_size=20),
    every=st.sampled_from([900, 1_800, 3_600, 86_400, 7 * 86_400]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
)
async def test_thinning_loses_no_minimum_maximum_first_last_or_sample(
    database: Database, history: list[Snapshot], every: int, zone: str
) -> None:
    await forget_everything(database)
    await database.execute("INSERT INTO orgs (name, data_center) VALUES ('acme', 'us') ON CONFLICT DO NOTHING")
    await write_snapshots(database, history)
    question = SeriesQuestion(USER_TYPES, SLOTS[0], SLOTS[-1] + QUARTER, every, ZoneInfo(zone))
    found = await series_of(database, 1, question, 900)
    rows = sorted((row for row in await rows_of(database) if row["org_id"] == 1), key=lambda row: row["slot"])
    for series in found.types:
        raw = [row[COLUMNS[series.user_type]] for row in rows]
        known = [count for count in raw if count is not None]
        assert sum(series.samples) == len(known)
        assert sum(series.missing) == len(raw) - len(known)
        assert [one for one in series.first if one is not None][:1] == known[:1]
        assert [one for one in series.last if one is not None][-1:] == known[-1:]
        assert min((one for one in series.min if one is not None), default=None) == min(known, default=None)
        assert max((one for one in series.max if one is not None), default=None) == max(known, default=None)
        weights = zip(series.avg, series.samples, strict=True)
        assert sum(avg * samples for avg, samples in weights if avg is not None) == pytest.approx(sum(known))


def test_a_question_is_read_as_people_write_it() -> None:
    question = SeriesQuestion.parse(
        NOON, types=["activeusers", "ActiveUsers"], since="2026-11-01", until="2026-11-10T10:00", tz="Europe/Berlin"
    )
    assert question.user_types == (UserType.ACTIVE,)
    assert question.since == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert question.until == datetime(2026, 11, 10, 9, tzinfo=UTC)
    whole = SeriesQuestion.parse(NOON, since="7d", until="2999-01-01T00:00:00Z")
    assert (whole.user_types, whole.since, whole.until, whole.every_seconds) == (USER_TYPES, NOON - 7 * DAY, NOON, None)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"since": "1d", "until": "2d"}, "end before it begins"),
        ({"since": "tomorrow"}, "not a duration"),
        ({"since": "2026-11-01T99:00"}, "not a time"),
        ({"types": ["Robots"]}, "not a user type"),
        ({"every": "0m"}, "not a duration"),
        ({"tz": "Mars/Base"}, "no time zone"),
        ({"since": "T" * 50}, "not a duration"),
        ({"since": "0001-01-01T00:00+14:00"}, "not a time"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_with_the_reason(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SeriesQuestion.parse(NOON, **wrong)  # type: ignore[arg-type]
