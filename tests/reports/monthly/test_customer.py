"""What the page of a customer says: unknown figures with their reason, never as 0."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from poller.core.calendar_month import CalendarMonth
from poller.query.monthly_org import ReportPeriod
from poller.reports.monthly.customer import MOST_ANOMALIES, customer_page
from tests.reports.monthly.months import NOW, PERIOD, anomaly, forecast_from, org, org_month

OCTOBER = [date(2026, 10, 1) + timedelta(days=place) for place in range(31)]


def facts_of(page: object, name: str) -> dict[str, tuple[str, str]]:
    return {fact.name: (fact.value, fact.detail) for fact in getattr(page, name)}


def test_figures_have_their_unit_and_their_day() -> None:
    about = org(price=Decimal(20))
    page = customer_page(org_month(about, dict.fromkeys(OCTOBER, 100), forecast=forecast_from(OCTOBER[-1], 100)))
    tiles = facts_of(page, "tiles")
    assert tiles["Active users"] == ("100", "on 31 October, +0 since 1 October")
    assert tiles["Seats in use"] == ("100 of 120", "83 % in use on 31 October")
    assert tiles["Idle seats"] == ("20", "400.00 EUR a month")
    assert tiles["Seats run out"] == ("8 Feb 2027", "from 10 Dec 2026 on")
    assert facts_of(page, "seats")["Bought"] == ("120 seats", "by contract, as of 3 November 2026")
    assert facts_of(page, "outlook")["Past error"] == ("0.6 ×", "the usual monthly change; 8 tests, 85 % in the range")
    assert facts_of(page, "outlook")["Made"][0] == "3 Nov 2026"


def test_a_customer_without_a_count_in_the_month_is_unknown_and_not_0() -> None:
    page = customer_page(org_month(org(first_slot=None), {}))
    assert "Zoho was not asked about this customer yet" in page.missing
    assert facts_of(page, "tiles")["Active users"][0] == "–"
    assert all(cell == "–" for row in (*page.months, *page.types) for cell in row[1:])
    assert page.chart == ""


def test_unknown_seats_and_an_unknown_price_are_named_as_the_reason() -> None:
    counts = dict.fromkeys(OCTOBER, 100)
    without_seats = facts_of(customer_page(org_month(org(contract_seats=None, code="x"), counts)), "tiles")
    assert without_seats["Seats in use"] == ("–", "the number of seats is not known")
    assert without_seats["Idle seats"] == ("–", "the seats are not known")
    assert (
        facts_of(customer_page(org_month(org(), counts)), "tiles")["Idle seats"][1]
        == "the price of a seat is not known"
    )


def test_idle_seats_that_do_not_exist_cost_0_even_without_a_price() -> None:
    page = customer_page(org_month(org(contract_seats=100), dict.fromkeys(OCTOBER, 100)))
    assert facts_of(page, "seats")["Idle cost"][0] == "0"
    assert facts_of(page, "tiles")["Seats in use"] == ("100 of 100", "all of them")


def test_a_gap_has_its_hours_days_and_reason() -> None:
    counts: dict[date, int | None] = dict.fromkeys(OCTOBER, 100)
    counts[OCTOBER[4]] = None
    page = customer_page(org_month(counts=counts, reasons={OCTOBER[4]: {"unavailable: http_503": 24}}))
    assert list(page.gaps) == [("24 hours", "5 October", "Zoho did not answer", "http_503")]
    assert "96.8\N{NO-BREAK SPACE}% of 744 hours" in page.known
    assert "24 hours are unknown" in page.known


def test_the_same_anomaly_on_several_days_is_one_line_and_what_is_left_out_is_counted() -> None:
    found = [anomaly(OCTOBER[place]) for place in (2, 4, 8)]
    found += [anomaly(OCTOBER[place], f"moved by {place}", "critical") for place in range(5)]
    page = customer_page(org_month(counts=dict.fromkeys(OCTOBER, 100), anomalies=found))
    assert [row[3] for row in page.anomalies] == ["critical"] * MOST_ANOMALIES
    assert page.more_anomalies == 6 - MOST_ANOMALIES
    page = customer_page(org_month(counts=dict.fromkeys(OCTOBER, 100), anomalies=found[:3]))
    assert page.anomalies[0][0] == "3, 5 and 9 October"


def test_a_month_that_is_not_over_says_until_when_and_compares_the_same_days_of_the_year_before() -> None:
    period = ReportPeriod(CalendarMonth(2026, 11), NOW)
    days = {date(2025, 11, 3): 70, date(2025, 11, 30): 90, date(2026, 11, 1): 100, date(2026, 11, 3): 101}
    page = customer_page(org_month(counts=days, period=period))
    assert {row[0]: row[-1] for row in page.types}["Active"] == "+31"
    assert period.last_day == date(2026, 11, 3)


def test_a_removed_customer_is_named_as_removed_and_gets_no_forecast() -> None:
    about = org(removed_at=datetime(2026, 10, 12, 8, tzinfo=UTC))
    page = customer_page(org_month(about, dict.fromkeys(OCTOBER[:12], 100)))
    assert "removed on 12 October 2026" in page.about
    assert facts_of(page, "outlook") == {"Forecast": ("–", "removed customers are not forecast")}
    assert facts_of(page, "tiles")["Active users"] == ("100", "on 12 October, +0 since 1 October")
    assert facts_of(page, "seats")["In use"] == ("100 seats", "on 12 October 2026")
    assert PERIOD.is_over


def test_a_renewal_says_in_how_many_days_it_is() -> None:
    words = {0: "today", 1: "in 1 day", 47: "in 47 days", -1: "has passed"}
    for days, said in words.items():
        page = customer_page(org_month(org(renews_on=NOW.date() + timedelta(days=days))))
        assert facts_of(page, "seats")["Renewal"][1] == said
