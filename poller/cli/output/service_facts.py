"""The service in `poller status`: schedule, queue, workers, unreachable data centres, maintenance tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.durations import format_duration
from poller.core.fleet import FRESHNESS_SECONDS
from poller.core.quantities import age_of, count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from poller.core.checks import CheckResult
    from poller.core.fleet import FleetStats, PollSums, TaskRecord, WorkerRecord
    from poller.query.fleet import FleetStatus

_FRESH: Final = (900, 3_600, 86_400)


def service_facts(status: FleetStatus) -> Mapping[str, Mapping[str, str]]:
    """Facts by heading, each by name, as text."""
    return {
        "schedule": dict(_schedule(status.figures)),
        "newest known counts": dict(_freshness(status.figures)),
        "last polls": dict(_last_polls(status.polls)),
        "queue": _queue(status.figures),
        "workers": {worker.name: _worker(worker, status.at) for worker in status.workers}
        or {"none": "no `poller run` was seen in the last minute"},
        "unreachable data centres": dict(_away(status.workers)),
        "messages about alerts": _messages(status.messages),
        "maintenance tasks": {task.name: _task(task, status.at) for task in status.tasks},
    }


def _schedule(figures: FleetStats) -> Iterator[tuple[str, str]]:
    if figures.unscheduled:
        yield "not handed out", f"{figures.unscheduled:,} active orgs had no slot for two intervals or more"


def _freshness(figures: FleetStats) -> Iterator[tuple[str, str]]:
    total = 0
    for bound, orgs in zip(FRESHNESS_SECONDS, figures.freshness, strict=False):
        total += orgs
        if bound in _FRESH:
            yield f"within {format_duration(bound)}", f"{total:,} of {sum(figures.freshness):,} active orgs"


def _last_polls(polls: PollSums) -> Iterator[tuple[str, str]]:
    for outcome, orgs in sorted(polls.outcomes.items(), key=lambda one: -one[1]):
        yield outcome, count(orgs, "org")
    if polls.late:
        yield "late", f"{count(polls.late, 'poll')}, by {polls.latest_seconds:,} s at the most"


def _messages(check: CheckResult) -> dict[str, str]:
    return {check.status.value: f"{check.what}; {check.remedy}" if check.remedy else check.what}


def _queue(figures: FleetStats) -> dict[str, str]:
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


def _away(workers: Sequence[WorkerRecord]) -> Iterator[tuple[str, str]]:
    for worker in workers:
        for name, away in worker.facts.get("away", {}).items():
            yield name, f"since {away['since']}: {away['error']} (says {worker.name})"


def _task(task: TaskRecord, now: datetime) -> str:
    done = "never done" if task.done_at is None else f"{age_of(now - task.done_at)} ago: {task.detail}"
    return done if task.error is None else f"{done}; failed {age_of(now - (task.failed_at or now))} ago: {task.error}"
