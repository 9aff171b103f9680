"""The first page of a report about several customers: sums that leave out what is not known or not there."""

from __future__ import annotations

from datetime import UTC, datetime

from poller.core.calendar_month import CalendarMonth
from poller.reports.monthly.summary import MonthTotals, summary_page
from tests.reports.monthly.months import org, org_month


def test_a_customer_that_was_removed_in_the_month_is_in_the_sums_of_earlier_months_only() -> None:
    totals = MonthTotals()
    stays = org_month()
    totals.add(stays)
    totals.add(org_month(org(org_id=2, org="Gone Ltd", removed_at=datetime(2026, 10, 12, 8, tzinfo=UTC))))
    page = summary_page(totals)
    assert stays.active is not None
    by_month = {row[0]: row[1:] for row in page.months}
    assert by_month["October 2026"] == (f"{stays.active.last}", "1 of 2")
    assert page.tiles[1].value == f"{stays.active.last}"
    assert by_month["September 2026"][1] == "2 of 2"
    assert totals.months[CalendarMonth(2026, 9)] == [stays.months[-2].last] * 2
