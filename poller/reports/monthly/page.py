"""Renders the report as HTML: one file without a script, a picture or a font from anywhere else.

The style sheet is inside the file, and the policy in its head allows nothing but this style sheet.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from poller.reports.monthly.customer import customer_page
from poller.reports.monthly.summary import summary_page
from poller.reports.monthly.wording import moment_words, period_words
from poller.templating import templates_of

if TYPE_CHECKING:
    from poller.query.monthly_org import OrgMonth, ReportPeriod
    from poller.reports.monthly.summary import MonthTotals

_TEMPLATES: Final = Path(__file__).parents[1] / "templates"


class ReportPages:
    """The templates of a report about one period."""

    def __init__(self, period: ReportPeriod) -> None:
        environment = templates_of(_TEMPLATES)
        environment.globals.update(
            period=period_words(period), made_at=moment_words(period.now), month=period.month.words
        )
        self._start = environment.get_template("monthly_start.html")
        self._summary = environment.get_template("monthly_summary.html")
        self._customer = environment.get_template("monthly_customer.html")

    def start(self, title: str) -> str:
        """The head of the file with its style sheet."""
        style = (_TEMPLATES / "monthly.css").read_text(encoding="utf-8")
        hashed = b64encode(sha256(style.encode()).digest()).decode()
        return self._start.render(title=title, style=Markup(style), style_hash=hashed)  # noqa: S704 - our own file

    def summary(self, totals: MonthTotals) -> str:
        """The first page."""
        return self._summary.render(page=summary_page(totals))

    def customer(self, found: OrgMonth) -> str:
        """The page of one customer."""
        return self._customer.render(page=customer_page(found))


END: Final = "</main>\n</body>\n</html>\n"
