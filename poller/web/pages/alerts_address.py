"""The address of the Alerts page: its parameters, read and written, so that the address holds the whole state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import StringConstraints

from poller.core.alerts import AlertFilter, AlertState, Severity
from poller.web.api.models.alerts import RuleName  # noqa: TC001  # pydantic reads the annotations
from poller.web.api.models.base import FormatName, Search, Texts  # noqa: TC001  # pydantic reads the annotations
from poller.web.pages.addresses import PageAddress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.callers import Caller

PAGE: Final = "/alerts"
ROWS: Final = 100
Place = Annotated[str, StringConstraints(pattern=r"^[0-4]-[0-2]-[0-9]{1,12}$")]
Done = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,40}$")]


class AlertsAddress(PageAddress):
    """The parameters; an absent one has its default. `done`: the notice of an operation, shown once."""

    path = PAGE

    q: Search = ""
    state: tuple[AlertState, ...] = ()
    severity: tuple[Severity, ...] = ()
    rule: tuple[RuleName, ...] = ()
    tag: Texts = ()
    after: Place | None = None
    done: Done = ""
    format: FormatName | None = None

    def which(self, caller: Caller) -> AlertFilter:
        """The alerts to read for this caller."""
        return AlertFilter(
            states=self.state,
            severities=self.severity,
            rules=self.rule,
            tags=self.tag,
            search=self.q.strip(),
            visible_tags=caller.visible_tags,
        )

    @property
    def key(self) -> Sequence[int] | None:
        """The place after which the page begins."""
        return None if self.after is None else [int(part) for part in self.after.split("-")]

    @property
    def is_filtered(self) -> bool:
        """Whether any filter is chosen."""
        return bool(self.q or self.state or self.severity or self.rule or self.tag)

    def only(self, name: str, value: str) -> str:
        """The address with this value alone in a filter, or without it where it is chosen already."""
        chosen: tuple[str, ...] = getattr(self, name)
        return self.address(**{name: () if chosen == (value,) else (value,)})
