"""The address of the Seats page: its parameters, read and written, so that the address holds the whole state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from poller.query.seats_page import SORTS, SeatRowFilter, SeatsQuestion
from poller.web.api.models.base import FormatName, Id, Search, Texts  # noqa: TC001  # pydantic reads the annotations
from poller.web.pages.addresses import PageAddress

if TYPE_CHECKING:
    from datetime import date

    from poller.core.callers import Caller

Show = Literal["all", "runs_out_30", "runs_out_90", "idle", "renews_90", "unknown"]
Sort = Literal[
    "runs_out",
    "org",
    "purchased",
    "-purchased",
    "used",
    "-used",
    "used_share",
    "-used_share",
    "idle",
    "-idle",
    "idle_cost",
    "-idle_cost",
    "renews_on",
    "error",
    "-error",
    "growth",
    "-growth",
]
Kind = Literal["step", "freeze", "zero", "admins_up", "deactivated_surge", "sums_disagree", "current_user", "quiet"]
Severity = Literal["warning", "critical"]
Rows = Literal["50", "100", "250"]
FIRST_UP: Final = frozenset({"runs_out", "org", "renews_on"})
"""Columns whose first click sorts the smallest first; of the others the largest comes first."""


class SeatsAddress(PageAddress):
    """The parameters; an absent one has its default."""

    path = "/seats"

    q: Search = ""
    tag: Texts = ()
    data_center: Texts = ()
    edition: Texts = ()
    show: Show = "all"
    by: Literal["org", "tag"] = "org"
    sort: Sort = "runs_out"
    after: Id | None = None
    before: Id | None = None
    limit: Rows = "100"
    kind: tuple[Kind, ...] = ()
    severity: tuple[Severity, ...] = ()
    format: FormatName | None = None

    def question(self, caller: Caller, today: date) -> SeatsQuestion:
        """What to read for this caller."""
        which = SeatRowFilter(
            today, caller.visible_tags, self.q.strip(), self.tag, self.data_center, self.edition, self.show
        )
        return SeatsQuestion(
            which,
            self.sort.removeprefix("-"),
            descending=self.sort.startswith("-"),
            after=self.after,
            before=self.before,
            limit=int(self.limit),
            kinds=self.kind,
            severities=self.severity,
        )

    def sorted_by(self, column: str) -> str:
        """The address a click on the head of this column leads to."""
        first = column if column in FIRST_UP else f"-{column}"
        other = column if first != column else first
        return self.address(sort=other if self.sort == first else first)

    def direction(self, column: str) -> str:
        """The value of `aria-sort` of this column."""
        if self.sort.removeprefix("-") != column or column not in SORTS:
            return "none"
        return "descending" if self.sort.startswith("-") else "ascending"
