"""What the service says of itself: workers, queue, data centres that are away, chores. For `poller status`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.quantities import age_of
from poller.core.slots import format_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from poller.store.chores import ChoreRecord
    from poller.store.database import Database
    from poller.store.figures import FleetFigures, LastPolls
    from poller.store.workers import WorkerRecord

_SEEN: Final = timedelta(minutes=1)
_FRESH: Final = (900, 3_600, 86_400)


async def service_facts(database: Database, now: datetime, listed: int) -> Mapping[str, Mapping[str, str]]:
    """Facts by heading, each by name, as text; `listed` orgs that fail are named."""
    from poller.store.chores import list_chores
    from poller.store.figures import FRESHNESS_SECONDS, fleet_figures, last_polls
    from poller.store.workers import list_workers

    figures = await fleet_figures(database, now)
    polls = await last_polls(database, now, listed)
    workers = await list_workers(database, now - _SEEN)
    return {
        "schedule": dict(_schedule(figures)),
        "newest known counts": dict(_freshness(figures, FRESHNESS_SECONDS)),
        "last polls": dict(_last_polls(polls)),
        "failing": polls.failing,
        "queue": _queue(figures),
        "workers": {worker.name: _worker(worker, now) for worker in workers}
        or {"none": "no `poller run` was seen in the last minute"},
        "data centres that are away": dict(_away(workers)),
        "chores": {chore.name: _chore(chore, now) for chore in await list_chores(database)},
    }


def _schedule(figures: FleetFigures) -> Iterator[tuple[str, str]]:
    if figures.unscheduled:
        yield "not handed out", f"{figures.unscheduled:,} active orgs had no slot for two intervals or more"


def _freshness(figures: FleetFigures, bounds: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    total = 0
    for bound, orgs in zip(bounds, figures.freshness, strict=False):
        total += orgs
        if bound in _FRESH:
            yield f"within {format_interval(bound)}", f"{total:,} of {sum(figures.freshness):,} active orgs"


def _last_polls(polls: LastPolls) -> Iterator[tuple[str, str]]:
    for outcome, orgs in sorted(polls.orgs.items(), key=lambda one: -one[1]):
        yield outcome, f"{orgs:,} orgs" if orgs != 1 else "1 org"
    if polls.late:
        yield "late", f"{polls.late:,} of them, by {polls.latest_seconds:,} s at the most"


def _queue(figures: FleetFigures) -> dict[str, str]:
    overdue = f"{figures.jobs['overdue']:,}"
    if figures.jobs["overdue"]:
        overdue += f", the oldest for {figures.overdue_seconds:.0f} s"
    return {
        "waiting": f"{figures.jobs['waiting']:,}",
        "overdue": overdue,
        "under way": f"{figures.jobs['under_way']:,}",
    }


def _worker(worker: WorkerRecord, now: datetime) -> str:
    facts = worker.facts
    off = facts.get("clock_wrong_seconds", 0)
    direction = "ahead of" if off > 0 else "behind"
    wrong = f"its clock is {abs(off):,.0f} s {direction} PostgreSQL's: it takes no part; " if off else ""
    return wrong + (
        f"for {age_of(now - worker.started_at)}, seen {age_of(now - worker.seen_at)} ago, version {worker.version}, "
        f"{facts.get('polls', 0):,} polls written, {facts.get('under_way', 0)} under way, {facts.get('held', 0):,} held"
    )


def _away(workers: list[WorkerRecord]) -> Iterator[tuple[str, str]]:
    for worker in workers:
        for name, away in worker.facts.get("away", {}).items():
            yield name, f"since {away['since']}: {away['error']} (says {worker.name})"


def _chore(chore: ChoreRecord, now: datetime) -> str:
    done = "never done" if chore.done_at is None else f"{age_of(now - chore.done_at)} ago: {chore.detail}"
    return (
        done if chore.error is None else f"{done}; failed {age_of(now - (chore.failed_at or now))} ago: {chore.error}"
    )
