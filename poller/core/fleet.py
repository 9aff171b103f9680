"""Values that describe the fleet and its service: orgs by state, polls, credits, workers, maintenance tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

FRESHNESS_SECONDS: Final = (60, 300, 900, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800)
"""The bounds of `FleetStats.freshness`."""
WORKER_SEEN_WITHIN: Final = timedelta(minutes=1)
"""A worker that was seen within this time counts as running."""


@dataclass(frozen=True, slots=True)
class MessageBacklog:
    """Messages that could be sent and are not delivered yet: how many, and the age of the oldest (0: there is none).

    `given_up`: messages that are not tried again, in a week, as long as no later one arrived at their address.
    """

    waiting: int = 0
    oldest_seconds: float = 0.0
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class FleetStats:
    """`orgs` and `jobs` by state; `task_successes`: when each maintenance task last succeeded, in s since 1970.

    `freshness`: active orgs by the age of their newest known count, one number for each bound of
    `FRESHNESS_SECONDS` and one for older or unknown counts. `unscheduled`: active orgs for which no slot is queued.
    """

    orgs: Mapping[str, int]
    jobs: Mapping[str, int]
    overdue_seconds: float
    workers: int
    task_successes: Mapping[str, float]
    freshness: Sequence[int]
    freshness_sum_seconds: float = 0.0
    """Sum of the ages, without orgs that have no known count."""
    unscheduled: int = 0
    alerts: Mapping[str, int] = field(default_factory=dict)
    """Firing alerts by severity."""
    evaluated_seconds: float | None = None
    """Since the alert rules were last evaluated; None: they never were."""
    messages: MessageBacklog = field(default_factory=MessageBacklog)


@dataclass(frozen=True, slots=True)
class StateSums:
    """Orgs by state without removed ones, the number of stretched orgs, and the credits all may spend in a day."""

    orgs: Mapping[str, int]
    stretched: int
    credits_share: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Orgs in one state for one reason: their number and the first names. `remedy` None: see that of the reason."""

    state: str
    reason: str | None
    remedy: str | None
    count: int
    orgs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Stretched:
    """An org whose interval is longer than the configured one, because of its credits."""

    org: str
    interval_seconds: int
    effective_interval_seconds: int


@dataclass(frozen=True, slots=True)
class PollSums:
    """The newest slots of the active orgs of the last day, by outcome; `late`: those polled a second late or more."""

    outcomes: Mapping[str, int]
    late: int
    latest_seconds: int
    out_of_credits: int


@dataclass(frozen=True, slots=True)
class CreditSum:
    """Credits that the poller spent in the last 24 hours; in a large fleet `estimated` from a sample."""

    spent: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """One worker process: its name, when it started and was last seen, and what it reports about itself."""

    id: UUID
    name: str
    version: str
    started_at: datetime
    seen_at: datetime
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """The last run of a maintenance task: `detail` of its last success, `error` of its last failure."""

    name: str
    begun_at: datetime
    done_at: datetime | None
    detail: str | None
    failed_at: datetime | None
    error: str | None
