"""Values that readers of the series get: steps of a trend, gaps, and which rows of a day to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.core.model import USER_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.core.model import UserType


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One user type of one org in one step of time, which begins at `at` (UTC) and ends where the next begins.

    `samples` snapshots had the count and `missing` had not; without samples the numbers are None: a gap.
    """

    org_id: int
    org: str
    user_type: UserType
    at: datetime
    first: int | None = None
    last: int | None = None
    min: int | None = None
    max: int | None = None
    avg: float | None = None
    samples: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class TypeSeries:
    """One user type over time, as columns with a value for each step; None: not known.

    The meaning of each column is that of `TrendPoint`.
    """

    user_type: UserType
    first: Sequence[int | None]
    last: Sequence[int | None]
    min: Sequence[int | None]
    max: Sequence[int | None]
    avg: Sequence[float | None]
    samples: Sequence[int]
    missing: Sequence[int]


@dataclass(frozen=True, slots=True)
class Gap:
    """A slot with unknown counts; `follows`: the slot before it is a gap of the org as well."""

    org_id: int
    org: str
    slot: datetime
    reason: str
    follows: bool


@dataclass(frozen=True, slots=True)
class GapSpan:
    """Unknown slots in a row: the first and the last one, how many, and the reason (outcome and code)."""

    first: datetime
    last: datetime
    slots: int
    reason: str


@dataclass(frozen=True, slots=True)
class UnknownOrgs:
    """Orgs that were never polled, and orgs whose first slot is later than the start of the question.

    `never` and `later` count them all. `never_orgs` (name to id) and `first_slots` may be cut to the first by name.
    """

    never: int
    never_orgs: Mapping[str, int]
    later: int
    first_slots: Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class DaySelection:
    """Which rows of a day to read. `org_ids` None: every org, removed ones too."""

    org_ids: tuple[int, ...] | None = None
    user_types: tuple[UserType, ...] = USER_TYPES
