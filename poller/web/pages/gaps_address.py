"""The address of the Gaps page: its parameters, read and written, so that the address holds the whole state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, StringConstraints

from poller.core.org_filter import OrgFilter
from poller.query.gaps_page import GapFilter, GapsQuestion
from poller.query.parameters import moment_of
from poller.web.api.models.base import WHOLE, FormatName, Id, Search, Texts  # pydantic reads them
from poller.web.api.models.parameters import When  # noqa: TC001
from poller.web.pages.addresses import PageAddress

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from poller.core.callers import Caller

RANGES: Final = (("24 h", "24h"), ("7 d", "7d"), ("30 d", "30d"), ("90 d", "90d"))
"""What the page names each range, and its `since`."""
ROWS: Final = ("50", "100", "250")
Reason = Annotated[str, StringConstraints(max_length=400, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
_LARGEST_START: Final = 10_000_000


class GapsAddress(PageAddress):
    """The parameters; an absent one has its default. `org`: the number of an org, whose ranges are shown too."""

    path = "/gaps"

    q: Search = ""
    org: Id | None = None
    tag: Texts = ()
    data_center: Texts = ()
    since: When = "7d"
    reason: Reason = ""
    by: Literal["org", "reason"] = "org"
    limit: Literal["50", "100", "250"] = "100"
    start: Annotated[int, Field(ge=1, le=_LARGEST_START), WHOLE] = 1
    format: FormatName | None = None

    def question(self, caller: Caller, now: datetime, zone: tzinfo) -> GapsQuestion:
        """What to read for this caller."""
        which = OrgFilter(caller.visible_tags, self.tag, self.data_center)
        since = moment_of(self.since, now, zone)
        gaps = GapFilter(which, since, now, self.q.strip(), self.org)
        return GapsQuestion(gaps, self.reason or None, int(self.limit), self.start)

    @property
    def is_filtered(self) -> bool:
        """Whether some orgs or reasons are left out."""
        return bool(self.q.strip() or self.tag or self.data_center or self.reason)
