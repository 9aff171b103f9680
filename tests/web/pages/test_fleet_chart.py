"""The chart of all orgs: unknown orgs never look like users who left."""

from __future__ import annotations

from datetime import date, timedelta

from poller.query.fleet_summary import FleetDay
from poller.web.pages.fleet_chart import drawn_levels, fleet_chart


def days(*found: tuple[int | None, int]) -> list[FleetDay]:
    return [FleetDay(date(2026, 9, 1) + timedelta(days=n), total, unknown) for n, (total, unknown) in enumerate(found)]


def test_a_day_with_unknown_orgs_is_no_fall_of_the_total() -> None:
    trend = days((100, 0), (60, 1), (61, 1), (30, 2), (None, 3), (108, 0), (105, 0))
    assert drawn_levels(trend) == [100, 100, 101, 101, None, 108, 105]
    another_org = days((1000, 0), (900, 1), (905, 1), (600, 1), (602, 1), (1010, 0))
    assert drawn_levels(another_org) == [1000, 1000, 1005, 1005, 1007, 1010]


def test_days_with_unknown_orgs_are_dashed_and_marked() -> None:
    chart = fleet_chart(days((100, 0), (110, 0), (60, 1), (120, 0)))
    assert chart.line.startswith("M0 ")
    assert "M12 " in chart.line
    assert chart.dashed.startswith("M4 ")
    assert chart.marks == "M8 64v-4"
    complete = fleet_chart(days((100, 0), (110, 0)))
    assert (complete.dashed, complete.marks) == ("", "")
    assert fleet_chart(days((None, 2))) == ("", "", "")
