"""Writes the monthly report: a page for each customer as HTML, or rows for a spreadsheet.

Orgs are rendered one at a time, so that memory does not grow with their number.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.errors import UsageError
from poller.reports.monthly.csv_rows import csv_header, csv_text
from poller.reports.monthly.page import END, ReportPages
from poller.reports.monthly.summary import MonthTotals
from poller.reports.monthly.wording import period_words
from poller.whole_file import check_place, whole_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from poller.query.monthly_org import OrgMonth, ReportPeriod
    from poller.whole_file import TextWriter

_SPOOLED_BYTES: Final = 8_000_000
_PART: Final = 1_000_000
HTML, CSV = ".html", ".csv"


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """What was written: orgs, those without a known count in the month, and bytes."""

    orgs: int
    without_counts: int
    bytes: int


def check_file(path: Path) -> None:
    """A `UsageError` where no report can be written to this file."""
    if path.suffix.lower() not in {HTML, CSV}:
        raise UsageError(f"{path} ends with neither .html nor .csv", "name a file such as report.html")
    check_place(path)


async def write_report(path: Path, months: AsyncIterator[OrgMonth], period: ReportPeriod) -> WrittenReport:
    """Writes the report of these orgs, in the order in which they come."""
    check_file(path)
    with whole_file(path) as file:
        totals = await (_write_csv if path.suffix.lower() == CSV else _write_html)(file, months, period)
    return WrittenReport(totals.customers, totals.without_counts, file.bytes)


async def _write_csv(file: TextWriter, months: AsyncIterator[OrgMonth], _period: ReportPeriod) -> MonthTotals:
    totals = MonthTotals()
    file.write(csv_header())
    async for found in months:
        totals.add(found)
        file.write(csv_text(found))
    return totals


async def _write_html(file: TextWriter, months: AsyncIterator[OrgMonth], period: ReportPeriod) -> MonthTotals:
    """Keeps the pages of customers aside: the summary, which comes first, needs every customer."""
    totals, pages, name = MonthTotals(), ReportPages(period), ""
    with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES, "w+", encoding="utf-8") as aside:
        async for found in months:
            totals.add(found)
            name = found.org.org
            aside.write(pages.customer(found))
        title = name if totals.customers == 1 else f"{totals.customers:,} customers"
        file.write(pages.start(f"{title} · {period_words(period)}"))
        if totals.customers > 1:
            file.write(pages.summary(totals))
        aside.seek(0)
        while part := aside.read(_PART):
            file.write(part)
        file.write(END)
    return totals
