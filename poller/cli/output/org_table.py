"""The table of `poller orgs list`: cut to a terminal, or line by line for a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.cli.output.render import GAP, number, plain
from poller.cli.output.table import Table
from poller.core.model import UserType
from poller.core.quantities import age_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from poller.core.states import OrgState

ORG_COLUMNS: Final = ("org", "state", "last poll", "counts", "active", "data centre", "edition", "licences", "tags")


def org_table(orgs: Iterable[OrgState], now: datetime) -> Table:
    """A row for each org; `counts`: their age."""
    table = Table(
        ORG_COLUMNS,
        right=("active", "licences"),
        spare=("tags", "licences", "edition", "data centre"),
        verdicts=("state",),
    )
    for org in orgs:
        table.rows.append(org_cells(org, now))
    return table


class OrgLines:
    """The table line by line, for a pipe: the longest name sets the width, and nothing is cut."""

    _WIDTHS: Final = (0, 30, 9, 6, 9, 11, 18, 8, 0)

    def __init__(self, longest_name: int) -> None:
        self._widths = (max(longest_name, len("org")), *self._WIDTHS[1:])

    def heading(self) -> str:
        """The names of the columns."""
        return self._joined(ORG_COLUMNS)

    def line(self, org: OrgState, now: datetime) -> str:
        """One org."""
        return self._joined(org_cells(org, now))

    def _joined(self, cells: Sequence[str]) -> str:
        return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, self._widths, strict=True)).rstrip()


def org_cells(org: OrgState, now: datetime) -> tuple[str, ...]:
    """The row of one org."""
    state = org.state if org.state_reason is None else f"{org.state}: {plain(org.state_reason)}"
    return (
        plain(org.org),
        state,
        GAP if org.last_polled_at is None else f"{age_of(now - org.last_polled_at)} ago",
        GAP if org.counts_at is None else age_of(now - org.counts_at),
        number(org.counts.get(UserType.ACTIVE)),
        plain(org.data_center),
        plain(org.edition),
        number(org.licences),
        plain(", ".join(org.tags)),
    )
