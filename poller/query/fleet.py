"""The state of the fleet and its service, for `poller status` and its JSON."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.core.fleet import FRESHNESS_SECONDS
from poller.core.message_health import check_messages
from poller.core.remedies import trouble_remedy
from poller.core.states import NEED_A_PERSON, State
from poller.store.fleet_states import credit_sum, poll_sums, read_states, stretched_orgs
from poller.store.fleet_stats import fleet_stats
from poller.store.orgs.credits import counted_after
from poller.store.queue.maintenance import list_tasks
from poller.store.queue.outbox_health import read_outbox
from poller.store.queue.workers import list_workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.core.checks import CheckResult
    from poller.core.fleet import (
        CreditSum,
        FleetStats,
        PollSums,
        StateSums,
        Stretched,
        TaskRecord,
        Trouble,
        WorkerRecord,
    )
    from poller.store.database import Database

LISTED: Final = 20
"""Orgs named under one heading; the rest are counted."""


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The state of the fleet at one time."""

    at: datetime
    states: StateSums
    troubles: Sequence[Trouble]
    stretched: Sequence[Stretched]
    polls: PollSums
    credits: CreditSum
    figures: FleetStats
    workers: Sequence[WorkerRecord]
    tasks: Sequence[TaskRecord]
    messages: CheckResult
    """Whether messages about alerts arrive."""

    @property
    def orgs(self) -> int:
        """The number of orgs, without removed ones."""
        return sum(self.states.orgs.values())

    def by_state(self) -> dict[str, int]:
        """The number of orgs in each state that has any; states that need a person come first."""
        return {state.value: self.states.orgs[state] for state in State if self.states.orgs.get(state)}

    def fails(self, states: Sequence[str]) -> bool:
        """Whether any org is in one of these states."""
        return any(self.states.orgs.get(state) for state in states)


async def fleet_status(database: Database, now: datetime, *, listed: int | None = LISTED) -> FleetStatus:
    """Reads the state of the fleet; queries run in parallel.

    `listed`: how many orgs to name per state and reason, None: all. Of the stretched orgs only the first are named.
    """
    async with asyncio.TaskGroup() as group:
        # In parallel, but over few connections: a small server has few cores.
        states = group.create_task(read_states(database, NEED_A_PERSON, listed))
        figures = group.create_task(fleet_stats(database, now))
        polls, spent = await poll_sums(database, now), await credit_sum(database, counted_after(now))
        stretched = await stretched_orgs(database, LISTED)
        workers = await list_workers(database, now)
        tasks = await list_tasks(database)
        messages = check_messages(await read_outbox(database), now)
    return FleetStatus(now, *states.result(), stretched, polls, spent, figures.result(), workers, tasks, messages)


def remedy_of(trouble: Trouble) -> str:
    """What a person should do about these orgs."""
    return trouble_remedy(trouble.state, trouble.reason, trouble.remedy)


def status_fields(status: FleetStatus) -> dict[str, Any]:
    """The status as one JSON object."""
    figures = status.figures
    return {
        "at": status.at.isoformat(),
        "orgs": status.orgs,
        "states": status.by_state(),
        "needs_a_person": [
            {
                "state": one.state,
                "reason": one.reason,
                "remedy": remedy_of(one),
                "count": one.count,
                "orgs": list(one.orgs),
            }
            for one in status.troubles
        ],
        "stretched": status.states.stretched,
        "credits": {
            "spent": status.credits.spent,
            "share": status.states.credits_share,
            "estimated": status.credits.estimated,
            "orgs_out_of_credits": status.polls.out_of_credits,
        },
        "last_polls": {**status.polls.outcomes},
        "late_polls": {"count": status.polls.late, "longest_seconds": status.polls.latest_seconds},
        "freshness": _freshness(figures),
        "unscheduled_orgs": figures.unscheduled,
        "queue": {**figures.jobs, "overdue_seconds": figures.overdue_seconds},
        "workers": [_worker(worker) for worker in status.workers],
        "maintenance": [_task(task) for task in status.tasks],
        "messages": {
            "verdict": status.messages.status.value,
            "what": status.messages.what,
            "remedy": status.messages.remedy,
        },
    }


def _freshness(figures: FleetStats) -> list[dict[str, int | None]]:
    """Active orgs by the age of their newest known counts; the last bound is null: older, or never known."""
    bounds: list[int | None] = [*FRESHNESS_SECONDS, None]
    return [{"within_seconds": bound, "orgs": orgs} for bound, orgs in zip(bounds, figures.freshness, strict=True)]


def _worker(worker: WorkerRecord) -> Mapping[str, Any]:
    return {
        "id": str(worker.id),
        "name": worker.name,
        "version": worker.version,
        "started_at": worker.started_at.isoformat(),
        "seen_at": worker.seen_at.isoformat(),
        **worker.facts,
    }


def _task(task: TaskRecord) -> Mapping[str, Any]:
    return {
        "name": task.name,
        "done_at": None if task.done_at is None else task.done_at.isoformat(),
        "detail": task.detail,
        "failed_at": None if task.failed_at is None else task.failed_at.isoformat(),
        "error": task.error,
    }
