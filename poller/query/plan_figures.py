"""The figures of a capacity plan: measured by this installation if it has enough data, else defaults.

Polls and credits are measured over 24 hours that end at the last quarter of an hour, because credits are kept by
quarter hours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.analysis.capacity import USER_TYPES, Costs
from poller.core.editions import REQUESTS_PER_POLL, limits_of
from poller.core.quantities import count
from poller.core.slots import slot_of
from poller.store.capacity.planning import credits_taken, polls_taken, stored_rows
from poller.store.queue.workers import list_workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from poller.core.fleet import WorkerRecord
    from poller.core.planning import CreditsTaken, PollsTaken, StoredRows
    from poller.store.capacity.planning import Stored
    from poller.store.database import Database

QUARTER_SECONDS: Final = 900
FEWEST_POLLS: Final = 200
FEWEST_ORGS: Final = 5
FEWEST_ROWS: Final = 10_000
"""With fewer rows, a figure would not be an average, and the first pages of a table would distort it."""
FEWEST_POLLS_PER_SECOND: Final = 1.0
"""A worker that polls less often uses most of its processor time for other work."""
_YOUNGEST_WORKER: Final = timedelta(minutes=10)
_BENCHMARK: Final = "the benchmark in docs/benchmarks.md"

DEFAULTS: Final = Costs(
    requests_per_poll=float(REQUESTS_PER_POLL),
    extra_requests=2.0,
    request_seconds=0.2,
    token_seconds=3_150.0,
    processor_seconds=854e-6,
    database_seconds=350e-6,
    snapshot_bytes=140.0,
    daily_count_bytes=168.0,
    seat_reading_bytes=120.0,
)
_DEFAULT_SOURCES: Final = {
    "requests_per_poll": "one request for each of the ten user types",
    "extra_requests": "one request each for edition and seats, once a day",
    "request_seconds": "an assumption: Zoho names no figure",
    "token_seconds": "a token of an hour, renewed 5 to 10 minutes before its end",
    "processor_seconds": _BENCHMARK,
    "database_seconds": _BENCHMARK,
    "snapshot_bytes": _BENCHMARK,
    "daily_count_bytes": _BENCHMARK,
    "seat_reading_bytes": "the size of its columns and of its key",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures and their sources. `measured`: the sources of measured ones, by name.

    `workers`: the number of workers that run. `credits_per_org`: spent by each org in 24 hours, None: not known.
    """

    costs: Costs
    measured: dict[str, str]
    workers: int
    database_bytes: int
    credits_per_org: float | None

    def source(self, name: str) -> str:
        """Where a figure comes from."""
        return self.measured.get(name) or _DEFAULT_SOURCES[name]


async def read_figures(database: Database, now: datetime, longest_seconds: int) -> Figures:
    """Measures each figure for which there is enough data. `longest_seconds`: the longest interval of any org."""
    until = slot_of(now, QUARTER_SECONDS)
    since = until - timedelta(days=1)
    polls = await polls_taken(database, since, until, longest_seconds)
    spent = await credits_taken(database, since, until, longest_seconds)
    workers = await list_workers(database, now)
    stored = await stored_rows(database)
    found = {
        name: (value, source)
        for name, value, source in (*_of_polls(polls), *_of_credits(spent), *_of_workers(workers), *_of_rows(stored))
    }
    values = {**asdict(DEFAULTS), **{name: value for name, (value, _) in found.items()}}
    return Figures(
        Costs(**{field.name: values[field.name] for field in fields(Costs)}),
        {name: source for name, (_, source) in found.items()},
        len(workers),
        stored.database_bytes,
        spent.credits / spent.orgs if _is_enough(spent) else None,
    )


def _of_polls(taken: Sequence[PollsTaken]) -> Iterator[tuple[str, float, str]]:
    polls, requests = sum(one.polls for one in taken), sum(one.requests for one in taken)
    if polls < FEWEST_POLLS:
        return
    source = f"{polls:,} polls of 24 hours"
    yield "requests_per_poll", requests / polls, source
    # The requests of one poll are sent in parallel, as many as the edition allows; these are the seconds of all in
    # sequence.
    rounds = sum(one.requests / min(limits_of(one.edition).in_flight, USER_TYPES) for one in taken)
    yield "request_seconds", sum(one.milliseconds for one in taken) / 1_000 / rounds, source


def _is_enough(spent: CreditsTaken) -> bool:
    """Whether credits are known for as many orgs as it takes. Rows of a back-fill have requests that took no credit."""
    return spent.orgs >= FEWEST_ORGS and spent.credits >= spent.requests


def _of_credits(spent: CreditsTaken) -> Iterator[tuple[str, float, str]]:
    if _is_enough(spent):
        source = f"credits of {count(spent.orgs, 'org')} in 24 hours"
        yield "extra_requests", (spent.credits - spent.requests) / spent.orgs, source


def _of_workers(workers: Sequence[WorkerRecord]) -> Iterator[tuple[str, float, str]]:
    old = [one for one in workers if one.seen_at - one.started_at >= _YOUNGEST_WORKER and "cpu_seconds" in one.facts]
    polls = sum(one.facts.get("polls", 0) for one in old)
    seconds = sum((one.seen_at - one.started_at).total_seconds() for one in old)
    if old and polls / seconds >= FEWEST_POLLS_PER_SECOND:
        source = f"{polls:,} polls of {count(len(old), 'worker')}"
        yield "processor_seconds", sum(one.facts["cpu_seconds"] for one in old) / polls, source


def _of_rows(stored: Stored) -> Iterator[tuple[str, float, str]]:
    def of_table(name: str, rows: StoredRows) -> Iterator[tuple[str, float, str]]:
        if rows.rows >= FEWEST_ROWS:
            yield name, rows.bytes / rows.rows, f"{round(rows.rows):,} rows"

    yield from of_table("snapshot_bytes", stored.snapshots)
    yield from of_table("daily_count_bytes", stored.daily_counts)
    yield from of_table("seat_reading_bytes", stored.seat_readings)
