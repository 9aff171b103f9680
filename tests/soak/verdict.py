"""Evaluates the samples of a soak: figures, and complaints about figures outside their bounds."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.soak.watch import Found, Sample
    from tests.soak.world import Plan

GROWING: Final = frozenset({"org_snapshots", "daily_counts", "fleet_days"})
"""What is kept for years. Every other table must stay as small as the fleet lets it be."""
_WARM_UP_DAYS: Final = 2.0
"""Before, memory and tables find their size: what is of the last 24 hours takes a day and a quarter to be complete."""
_WARM_UP_SHARE: Final = 1 / 4
_SHORTEST_DAYS: Final = 4.0
"""Shorter runs are trials: their figures are reported, but growth is not yet a complaint."""
_MOST_MEMORY_GROWTH: Final = 0.10
_MOST_TABLE_GROWTH: Final = 0.25
_SOME_PAGES: Final = 64 * 8_192
_MOST_CONNECTIONS: Final = 10
_HOUR: Final = 3_600
_LOG: Final = "pgqueuer_log"
_MOST_SECONDS_UNCLEARED: Final = 20.0
"""Seconds of real time. Maintenance tasks run one after the other; on a busy machine a round takes seconds, which are
hours of the soak's clock, and the log of the queue grows for this time."""


class Trend(NamedTuple):
    """A least-squares line: its value after the warm-up, its change per day, and its change until the end."""

    begins: float
    a_day: float
    growth: float

    @property
    def share(self) -> float:
        """The change as a share of the first value."""
        return self.growth / self.begins if self.begins else 0.0


def warm(samples: Sequence[Sample]) -> list[Sample]:
    """The samples after the warm-up, which is a quarter of the time, at least two days and at most half of the time."""
    first, last = samples[0].at, samples[-1].at
    since = first + min(max(_WARM_UP_DAYS, (last - first) * _WARM_UP_SHARE), (last - first) / 2)
    return [sample for sample in samples if sample.at >= since]


def trend(at: Sequence[float], values: Sequence[float]) -> Trend:
    """The trend of values at these days."""
    slope, intercept = statistics.linear_regression(at, values)
    return Trend(intercept + slope * at[0], slope, slope * (at[-1] - at[0]))


def memory_trend(samples: Sequence[Sample]) -> Trend:
    """The trend of the worker's memory in MB."""
    looks = warm(samples)
    return trend([sample.at for sample in looks], [sample.worker_mb for sample in looks])


def most_rows(plan: Plan, uncleared_hours: float = 0.0) -> Mapping[str, float]:
    """The maximum number of rows of each bookkeeping table; other tables may have one row per org.

    `uncleared_hours`: hours of the soak's clock since the log of the queue was cleared.
    """
    polls_an_hour = plan.orgs * _HOUR / plan.interval_seconds
    tasks_an_hour = 30
    return {
        # A slot that waits, and an expired one that no worker has handled yet.
        "pgqueuer": 2 * plan.orgs + tasks_an_hour,
        # Three rows a job, four where it was put back, for an hour and since the maintenance task ran; and where the
        # machine stood still at that time, everything in the queue was done at once.
        _LOG: 4 * (polls_an_hour + tasks_an_hour) * (1.5 + uncleared_hours) + 4 * 2 * plan.orgs,
        # A quarter of an hour for every poll of a day and a quarter, and until the maintenance task runs again.
        "credit_spend": plan.orgs * (26 * _HOUR / plan.interval_seconds + 1),
        "workers": 1,
        "chores": 30,
        "alembic_version": 1,
        "rollup_state": 1,
    }


def complaints(plan: Plan, found: Found) -> Iterator[str]:
    """The figures outside their bounds, one line each."""
    yield from _unbounded(plan, found.samples)
    if found.without_row:
        yield f"{len(found.without_row)} slots have no row: {', '.join(found.without_row[:10])}"
    if found.orgs != plan.orgs:
        yield f"{found.orgs} orgs of {plan.orgs} have rows from beginning to end"
    if found.audit["breaches"]:
        yield f"{len(found.audit['breaches'])} breaches: {'; '.join(found.audit['breaches'][:5])}"
    if found.errors:
        yield f"errors in the log: {dict(found.errors)}"
    if found.code:
        yield f"the worker ended with {found.code}"
    if not found.dropped:
        yield "the month that was over could not be dropped"


def percentile(counted: Mapping[int, int], share: float) -> int:
    """The smallest value that the given share of all values does not exceed; 0 without values."""
    left = share * sum(counted.values())
    for value in sorted(counted):
        left -= counted[value]
        if left <= 0:
            return value
    return 0


def _unbounded(plan: Plan, samples: Sequence[Sample]) -> Iterator[str]:
    looks = warm(samples)
    days = [sample.at for sample in looks]
    classified = plan.days >= _SHORTEST_DAYS
    memory = memory_trend(samples)
    if classified and memory.share > _MOST_MEMORY_GROWTH:
        yield f"memory grows: {memory.growth:+.1f} MB since the warm-up, {memory.a_day:+.2f} MB a day"
    most = max(sample.connections for sample in samples)
    if most > _MOST_CONNECTIONS:
        yield f"{most} connections, {_MOST_CONNECTIONS} are a worker's"
    uncleared = max(sample.uncleared_hours for sample in samples) * _HOUR / plan.speed
    if uncleared > _MOST_SECONDS_UNCLEARED:
        yield f"{_LOG}: not cleared for {uncleared:.0f} s of the wall's, {_MOST_SECONDS_UNCLEARED:.0f} are allowed"
    if overdue := max(sample.overdue_log_rows for sample in samples):
        yield f"{_LOG}: {overdue:,} rows outlived a clearing, though they were older than an hour"
    bounds = [most_rows(plan, sample.uncleared_hours) for sample in samples]
    for name in sorted(set(samples[-1].tables) - GROWING):
        pairs = zip(samples, bounds, strict=True)
        looked_at = [(sample.tables[name].rows, bound.get(name, plan.orgs)) for sample, bound in pairs]
        rows, allowed = max(looked_at, key=lambda pair: pair[0] - pair[1])
        if rows > allowed:
            yield f"{name}: {rows:,} rows, {allowed:,.0f} are expected"
        disk = trend(days, [sample.tables[name].bytes for sample in looks])
        if classified and disk.growth > _SOME_PAGES and disk.share > _MOST_TABLE_GROWTH:
            yield f"{name}: grows on disk, by {disk.a_day / 1_000:+,.0f} kB a day"
