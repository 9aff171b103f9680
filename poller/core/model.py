"""The nouns of the poller: user types, outcomes, orgs, snapshots.

Source of the ten types and their spelling: Zoho's "Users Count" documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class UserType(StrEnum):
    """The ten kinds of user Zoho counts, in Zoho's spelling."""

    ALL = "AllUsers"
    ACTIVE = "ActiveUsers"
    DEACTIVE = "DeactiveUsers"
    CONFIRMED = "ConfirmedUsers"
    NOT_CONFIRMED = "NotConfirmedUsers"
    DELETED = "DeletedUsers"
    ACTIVE_CONFIRMED = "ActiveConfirmedUsers"
    ADMIN = "AdminUsers"
    ACTIVE_CONFIRMED_ADMIN = "ActiveConfirmedAdmins"
    CURRENT = "CurrentUser"

    @property
    def column(self) -> str:
        """The column of `org_snapshots` that holds this type's count."""
        return COLUMNS[self]


COLUMNS: Final[Mapping[UserType, str]] = {
    UserType.ALL: "all_users",
    UserType.ACTIVE: "active_users",
    UserType.DEACTIVE: "deactive_users",
    UserType.CONFIRMED: "confirmed_users",
    UserType.NOT_CONFIRMED: "not_confirmed_users",
    UserType.DELETED: "deleted_users",
    UserType.ACTIVE_CONFIRMED: "active_confirmed_users",
    UserType.ADMIN: "admin_users",
    UserType.ACTIVE_CONFIRMED_ADMIN: "active_confirmed_admins",
    UserType.CURRENT: "current_users",
}
"""In the order of the columns, which is the order everything is listed in."""

USER_TYPES: Final = tuple(COLUMNS)

API_VERSION: Final = r"v[0-9]{1,3}(\.[0-9]{1,3})?"
"""What a version of Zoho's API looks like, as a regular expression: it becomes a segment of every request's path."""


class Outcome(StrEnum):
    """What came of a poll, or of one request of it."""

    OK = "ok"
    PARTIAL = "partial"
    """Some of the ten counts are known, some are not (polls only)."""
    THROTTLED = "throttled"
    """Zoho, or our own share of the org's credits, said: later."""
    UNAUTHORIZED = "unauthorized"
    """No valid token could be had."""
    FORBIDDEN = "forbidden"
    """The token is good; what it may do is not enough."""
    REJECTED = "rejected"
    """Zoho calls our request wrong."""
    UNAVAILABLE = "unavailable"
    """No answer, or Zoho's own failure."""
    MALFORMED = "malformed"
    """An answer that says nothing we may believe."""
    MISSED = "missed"
    """Not asked: no poller ran, or the request could not leave this machine."""


@dataclass(frozen=True, slots=True)
class Org:
    """An org as every part of the poller sees it: nothing secret in it.

    `interval_seconds` is the interval asked for (the org's own or the default); the one in force may be longer,
    see `core.quota.affordable_interval`.
    """

    id: int
    name: str
    data_center: str
    api_version: str
    interval_seconds: int
    edition: str | None = None
    licences: int | None = None
    zgid: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One poll of one org in one slot: what Zoho said, or why we do not know.

    `slot` and `polled_at` are aware UTC; `counts` has an entry only for what Zoho said; `errors` one for each type it
    did not, the code of the refusal in Zoho's spelling or ours. `error` is the poll's own: the code that explains
    `outcome` when it is not `ok`.
    """

    org_id: int
    slot: datetime
    polled_at: datetime | None
    outcome: Outcome
    error: str | None = None
    errors: Mapping[UserType, str] = field(default_factory=dict)
    late_seconds: int = 0
    requests: int = 0
    duration_ms: int = 0
    credits_remaining: int | None = None
    counts: Mapping[UserType, int] = field(default_factory=dict)
