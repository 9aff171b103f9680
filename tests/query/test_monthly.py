"""What a monthly report reads, for orgs with known values in a real database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

from poller.core.calendar_month import CalendarMonth
from poller.core.errors import UsageError
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.query.monthly import period_of, read_months, report_orgs
from poller.query.monthly_org import OrgMonth, ReportPeriod
from poller.query.selection import Selection
from poller.store.capacity.seats import Contract, SeatReading, save_seats, set_contract
from poller.store.series.partitions import ensure_partitions
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from tests.store.capacity.histories import org_with

if TYPE_CHECKING:
    from poller.store.database import Database

MONTH: Final = CalendarMonth.of(datetime.now(UTC).date()).later(-2)
NOW: Final = datetime.now(UTC)
PERIOD: Final = ReportPeriod(MONTH, NOW)
DAYS: Final = (MONTH.last - MONTH.first).days + 1


async def months(database: Database, *names: str, **more: Any) -> dict[str, OrgMonth]:
    found = await report_orgs(database, Selection(names=names, **more), PERIOD)
    return {one.org.org: one for one in await read_months(database, found, PERIOD)}


async def first_poll(database: Database, org_id: int, day: date) -> None:
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    await database.execute(
        "INSERT INTO latest_polls (org_id, first_slot, slot, since, polled_at, late_seconds, outcome)"
        " VALUES ($1, $2, $2, $2, $2, 0, 'ok')",
        org_id,
        at,
    )


async def test_counts_of_the_month_are_compared_with_its_begin_and_with_the_year_before(database: Database) -> None:
    year = [50 + place // 30 for place in range((MONTH.last - MONTH.later(-12).first).days + 1)]
    await org_with(database, "Acme", {"ActiveUsers": year, "AdminUsers": [3] * 400}, last=MONTH.last)
    (found,) = (await months(database)).values()
    active = found.types["ActiveUsers"]
    assert (active.first_day, active.last_day) == (MONTH.first, MONTH.last)
    assert (active.first, active.last) == (year[-DAYS], year[-1])
    assert (active.low, active.high) == (year[-DAYS], year[-1])
    assert found.change == year[-1] - year[-DAYS]
    before = MONTH.later(-12)
    assert found.year_ago == {"ActiveUsers": year[(before.last - before.first).days], "AdminUsers": 3}
    assert [one.month for one in found.months] == [MONTH.later(back) for back in range(-12, 1)]
    assert [one.last for one in found.months][-1] == year[-1]
    assert found.months[0].change is None
    assert found.history[: len(year)] == year


async def test_an_org_that_was_never_known_in_the_month_has_no_figures(database: Database) -> None:
    await org_with(database, "Never", {})
    later = await org_with(database, "Later", {"ActiveUsers": [7] * 5}, last=MONTH.later(1).last)
    await first_poll(database, later, MONTH.later(1).last - timedelta(days=4))
    found = await months(database)
    for one in found.values():
        assert (one.active, one.change, one.year_ago) == (None, None, {})
        assert (one.seats.used, one.seats.idle, one.seats.idle_cost) == (None, None, None)
        assert one.coverage.hours == 0
    assert found["Never"].forecast is None
    assert found["Later"].forecast is not None


async def test_unknown_days_are_hours_with_the_reason_of_their_polls(database: Database) -> None:
    org_id = await org_with(database, "Gaps", {}, last=MONTH.last)
    begin = datetime(MONTH.year, MONTH.number, 1, tzinfo=UTC)
    await ensure_partitions(database, begin, begin + timedelta(days=40))
    slots = [begin + timedelta(hours=hour) for hour in range(24 * DAYS)]
    failed = dict.fromkeys(range(48, 60), (Outcome.UNAVAILABLE, "http_503"))
    failed |= dict.fromkeys(range(100, 103), (Outcome.UNAUTHORIZED, "invalid_code"))
    rows = [
        Snapshot(org_id, slot, slot, *failed[hour])
        if hour in failed
        else Snapshot(org_id, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 9))
        for hour, slot in enumerate(slots)
    ]
    partial = Snapshot(
        org_id, slots[200], slots[200], Outcome.PARTIAL, None,
        errors={USER_TYPES[0]: "NO_PERMISSION"}, counts=dict.fromkeys(USER_TYPES[1:], 9),
    )  # fmt: skip
    rows[200] = partial
    await write_snapshots(database, rows)
    await roll_up(database, NOW.date())
    covered = (await months(database))["Gaps"].coverage
    assert covered.hours == 24 * DAYS
    assert [(one.reason, round(one.hours, 6), one.first) for one in covered.unknown] == [
        ("unavailable: http_503", 12, MONTH.first + timedelta(days=2)),
        ("unauthorized: invalid_code", 3, MONTH.first + timedelta(days=4)),
    ]


async def test_seats_are_those_at_the_end_of_the_month_and_a_contract_has_precedence(database: Database) -> None:
    by_zoho = await org_with(database, "Zoho", {"ActiveUsers": [70] * DAYS}, licences=1, last=MONTH.last)
    end = PERIOD.end
    await save_seats(database, by_zoho, SeatReading(90, 69, "enterprise", None, "features"), end - timedelta(days=40))
    await save_seats(database, by_zoho, SeatReading(100, 75, "enterprise", None, "features"), end - timedelta(hours=9))
    await save_seats(database, by_zoho, SeatReading(500, 80, "enterprise", None, "features"), end + timedelta(days=3))
    contract = await org_with(database, "Contract", {"ActiveUsers": [70] * DAYS}, last=MONTH.last)
    terms = {"purchased": 120, "price": Decimal(20), "currency": "EUR", "renews_on": date(2030, 1, 31)}
    await set_contract(database, [contract], Contract(terms))
    await org_with(database, "Unknown", {"ActiveUsers": [70] * DAYS}, last=MONTH.last)
    found = {name: one.seats for name, one in (await months(database)).items()}
    zoho = found["Zoho"]
    assert (zoho.purchased, zoho.used, zoho.idle, zoho.source) == (100, 75, 25, "zoho")
    assert zoho.idle_cost is None
    given = found["Contract"]
    assert (given.purchased, given.used, given.idle, given.idle_cost, given.currency) == (
        120,
        70,
        50,
        Decimal(1_000),
        "EUR",
    )
    assert (found["Unknown"].purchased, found["Unknown"].idle, found["Unknown"].used) == (None, None, 70)
    assert [seats for _, seats in (await months(database))["Zoho"].seat_line] == [90, 100, 500]


async def test_seats_that_run_out_have_a_day_with_a_range_and_a_past_error(database: Database) -> None:
    growing = [100 + place // 2 for place in range(300)]
    await org_with(database, "Growing", {"ActiveUsers": growing}, licences=growing[-1] + 20, last=NOW.date())
    forecast = (await months(database))["Growing"].forecast
    assert forecast is not None
    on = forecast.record.exhausted_on
    assert on is not None
    assert abs((on - NOW.date()).days - 40) <= 6
    assert forecast.record.backtest_windows > 0


async def test_an_org_removed_in_the_month_is_in_the_report_and_one_removed_before_only_by_name(
    database: Database,
) -> None:
    for name, at in (("During", PERIOD.begin + timedelta(days=9)), ("Before", PERIOD.begin - timedelta(days=9))):
        org_id = await org_with(database, name, {"ActiveUsers": [5] * 60}, last=at.date())
        await database.execute("UPDATE orgs SET removed_at = $2, tags = '{gold}' WHERE id = $1", org_id, at)
    assert list(await months(database)) == list(await months(database, tags=("gold",))) == ["During"]
    found = await months(database, "Before")
    assert (list(found), found["Before"].forecast) == (["Before"], None)
    during = (await months(database))["During"]
    assert during.active is not None
    assert during.active.last_day == MONTH.first + timedelta(days=9)


async def test_a_tag_that_no_org_has_and_an_unknown_org_are_errors_with_a_remedy(database: Database) -> None:
    with pytest.raises(UsageError, match="there are no orgs"):
        await report_orgs(database, Selection(), PERIOD)
    await org_with(database, "Acme", {})
    for wrong in (Selection(tags=("nobody",)), Selection(names=("Nobody",))):
        with pytest.raises(UsageError):
            await report_orgs(database, wrong, PERIOD)


def test_the_default_is_the_last_month_that_is_over_and_a_future_month_is_refused() -> None:
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert period_of(None, now).month == CalendarMonth(2026, 10)
    assert not period_of("2026-11", now).is_over
    with pytest.raises(UsageError, match="2026-12 is in the future; name 2026-11 or an earlier month"):
        period_of("2026-12", now)
    with pytest.raises(UsageError, match="'Oct' is not a month; write it as 2026-10"):
        period_of("Oct", now)
