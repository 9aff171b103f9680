"""The states of an org, as the SQL view `org_states` names them, and one org as lists show it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from poller.core.model import UserType


class State(StrEnum):
    """The state of an org, in the order in which `poller status` lists them: first those that need a person."""

    FAILING = "failing"
    """The last poll failed, or returned only some of the counts."""
    PARKED = "parked"
    """A person must repair the org: credentials, consent or rights."""
    LATE = "late"
    """The org was not polled for two intervals."""
    HELD = "held"
    """Zoho's limits, or the poller's share, delay the org's polls."""
    NEVER_POLLED = "never_polled"
    PAUSED = "paused"
    OK = "ok"
    REMOVED = "removed"


NEED_A_PERSON: Final = (State.FAILING, State.PARKED, State.LATE)


@dataclass(frozen=True, slots=True)
class OrgState:
    """One org as lists show it. `counts`: the last known ones; `interval_seconds`: the requested interval."""

    org_id: int
    org: str
    state: str
    state_reason: str | None
    since: datetime | None
    data_center: str
    zgid: str | None
    edition: str | None
    licences: int | None
    tags: tuple[str, ...]
    api_version: str | None
    poll_interval_seconds: int | None
    interval_seconds: int
    effective_interval_seconds: int
    last_polled_at: datetime | None
    last_outcome: str | None
    last_error: str | None
    counts_at: datetime | None
    parked_remedy: str | None
    grant: str | None
    """`refresh_token`, `grant_code` (not exchanged yet) or `soid`; None without credentials."""
    counts: Mapping[UserType, int]
