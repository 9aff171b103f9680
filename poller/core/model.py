"""The basic types of the poller: user types, outcomes, orgs and snapshots.

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
"""In the order of the columns, which is also the order of all lists."""

USER_TYPES: Final = tuple(COLUMNS)

API_VERSION: Final = r"v[0-9]{1,3}(\.[0-9]{1,3})?"
"""The format of a version of Zoho's API, as a regular expression: a version is a part of every request's path."""


class Outcome(StrEnum):
    """The result of a poll, or of one of its requests."""

    OK = "ok"
    PARTIAL = "partial"
    """Some of the ten counts are known, some are not (polls only)."""
    THROTTLED = "throttled"
    """Zoho's limits, or the poller's share of the org's credits, do not allow the request now."""
    UNAUTHORIZED = "unauthorized"
    """There is no valid token."""
    FORBIDDEN = "forbidden"
    """The token is valid, but does not allow the request."""
    REJECTED = "rejected"
    """Zoho considers the request invalid."""
    UNAVAILABLE = "unavailable"
    """There was no reply, or Zoho failed."""
    MALFORMED = "malformed"
    """The reply has no valid count and no known error."""
    MISSED = "missed"
    """Not requested: no poller ran, or the request could not leave this machine."""


@dataclass(frozen=True, slots=True)
class Org:
    """An org, without secrets.

    `interval_seconds` is the configured interval (the org's own or the default). The effective interval may be longer:
    see `core.credits.affordable_interval`.
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
    """The result of one poll of one org in one slot: the counts, or why they are unknown.

    `slot` and `polled_at` are aware UTC. `counts` has the known counts; `errors` has, for each unknown one, Zoho's code
    or the poller's own. `error` is the code of the whole poll, which explains an `outcome` other than `ok`.
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
