"""The reply about the fleet as a whole."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from pydantic import Field

from poller.core.model import UserType
from poller.core.states import State
from poller.web.api.models.base import Model


class TroubleReply(Model):
    """Orgs that need a person for the same reason: how many, and the first names."""

    state: State
    reason: str | None
    remedy: str
    count: int
    orgs: list[str]
    since: datetime | None


class UsersReply(Model):
    """The sum of one user type. Orgs whose count is not known are in no sum."""

    type: UserType
    total: int | None
    orgs: Annotated[int, Field(description="In the sum.")]
    change_7d: int | None
    compared: Annotated[int, Field(description="Orgs whose counts now and a week ago are known: the change is theirs.")]


class FleetSeats(Model):
    """The seats of the orgs where both numbers are known."""

    purchased: int | None
    used: int | None
    orgs: int


class FreshnessReply(Model):
    """Orgs whose counts are of the last two intervals, of those that are not paused."""

    orgs: int
    known: int
    oldest_at: datetime | None


class RunOutReply(Model):
    """Orgs whose seats are forecast to run out within 30 days."""

    orgs: int
    next_on: date | None


class FleetReply(Model):
    """Sums of the orgs that match the filters. `needs_a_person` is about all orgs that the key sees."""

    orgs: int
    states: dict[str, int]
    data_centers: dict[str, int]
    editions: dict[str, int]
    tags: dict[str, int]
    users: UsersReply
    seats: FleetSeats
    known_now: FreshnessReply
    runs_out: RunOutReply
    needs_a_person: list[TroubleReply]
