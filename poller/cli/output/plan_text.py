"""A capacity plan for people: tables and sentences with the numbers that decide."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from poller.analysis.capacity import MAX_PROCESSOR_SHARE, Costs
from poller.cli.output.table import Table
from poller.core.durations import format_duration
from poller.core.quantities import count, size_of
from poller.core.retention import format_retention
from poller.core.shares import polls_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.query.plan import CapacityPlan, Plan, PlannedRow
    from poller.query.plan_figures import Figures

HANG: Final = 2
_NAMED: Final = 10
"""Stretched orgs named in a sentence; the rest are counted."""
_FIGURES: Final = {
    "requests_per_poll": ("requests a poll", ".2f"),
    "extra_requests": ("other requests an org and day", ".2f"),
    "request_seconds": ("seconds a request", ".3f"),
    "token_seconds": ("seconds a token is used", ",.0f"),
    "processor_seconds": ("ms of a worker's core a poll", ".2f"),
    "database_seconds": ("ms of PostgreSQL's cores a poll", ".2f"),
    "snapshot_bytes": ("bytes a snapshot", ",.0f"),
    "daily_count_bytes": ("bytes a daily count", ",.0f"),
    "seat_reading_bytes": ("bytes a reading of seats", ",.0f"),
}
_IN_MILLISECONDS: Final = frozenset({"processor_seconds", "database_seconds"})


def groups_table(plan: Plan) -> Table:
    """One row per edition, interval and effective interval. `of its credits`: the most that any org spends."""
    numbers = ("orgs", "interval", "polled every", "credits an org", "of its credits", "requests/s", "disk a year")
    table = Table(("edition", *numbers), right=numbers, spare=("disk a year", "requests/s", "of its credits"))
    for row in plan.rows():
        table.rows.append(
            (
                row.edition or "unknown",
                f"{row.orgs:,}",
                format_duration(row.interval_seconds),
                format_duration(row.effective_seconds),
                f"{row.credits_a_day / row.orgs:,.0f}",
                _percent(row.allowance_share),
                _rate(sum(one.plan.requests_per_second for one in row.parts)),
                size_of(round(sum(one.plan.bytes_a_year for one in row.parts))),
            )
        )
    return table


def comparison(now: Plan, changed: Plan) -> Table:
    """The totals of the fleet as it is beside those after the changes."""
    table = Table(("", "now", "what if"), right=("now", "what if"))
    for (name, before), (_, after) in zip(_totals(now), _totals(changed), strict=True):
        table.rows.append((name, before, after))
    return table


def sentences(found: CapacityPlan) -> Iterator[str]:
    """What a planner wants to know, a line each."""
    plan, whole = found.plan, found.plan.whole
    if not whole.orgs:
        yield "No org is polled: import orgs, or plan with --what-if orgs=2000,edition=enterprise,licences=40."
        return
    yield _credits(found)
    yield from (_stretched(row) for row in plan.rows() if row.is_stretched)
    if whole.refused_a_day >= 0.5:
        yield (
            f"{count(round(whole.refused_a_day), 'poll')} a day are refused because the share of the credits is spent:"
            " choose a longer interval or a larger share."
        )
    yield (
        f"{_rate(whole.polls_per_second)} polls and {_rate(whole.requests_per_second)} requests a second, token"
        f" requests included; {_rate(whole.polls_under_way)} polls are under way at once."
    )
    yield _workers(found)
    yield _disk(found)


def figures(found: Figures) -> Iterator[str]:
    """The figures of the plan and their sources; complete on a terminal of any width."""
    table = Table(("figure", "value", "source"), right=("value",))
    for field in fields(Costs):
        label, shape = _FIGURES[field.name]
        value = getattr(found.costs, field.name) * (1_000 if field.name in _IN_MILLISECONDS else 1)
        origin = "measured" if field.name in found.measured else "default"
        table.rows.append((label, format(value, shape), f"{origin}: {found.source(field.name)}"))
    yield from table.lines()


def _totals(plan: Plan) -> Iterator[tuple[str, str]]:
    whole = plan.whole
    yield "orgs", f"{whole.orgs:,}"
    yield "interval", format_duration(plan.scenario.interval_seconds)
    yield "credit share", _percent(plan.scenario.credit_share)
    yield "stretched orgs", f"{whole.stretched_orgs:,}"
    yield "credits a day", f"{whole.credits_a_day:,.0f}"
    yield "polls/s", _rate(whole.polls_per_second)
    yield "requests/s", _rate(whole.requests_per_second)
    yield "workers", f"{whole.workers:,}"
    yield "disk after a year", size_of(round(whole.bytes_after_a_year))


def _credits(found: CapacityPlan) -> str:
    whole, plan = found.plan.whole, found.plan
    most = max(plan.rows(), key=lambda row: row.allowance_share)
    measured = found.figures.credits_per_org
    spent = "" if measured is None else f" In the last 24 hours an org spent {measured:,.0f} on average."
    return (
        f"{count(whole.orgs, 'org')} cost {whole.credits_a_day:,.0f} credits a day,"
        f" {whole.credits_a_day / whole.orgs:,.0f} an org. The most that any org spends is"
        f" {_percent(most.allowance_share)} of its own ({most.edition or 'unknown edition'});"
        f" the poller may spend {_percent(plan.scenario.credit_share)}.{spent}"
    )


def _stretched(row: PlannedRow) -> str:
    shown, nameless = row.names[:_NAMED], row.orgs - len(row.names)
    others = len(row.names) - len(shown)
    parts = [*shown]
    if others:
        parts.append(f"{others:,} more (--json names all)")
    if nameless and shown:
        parts.append(f"{nameless:,} without a name yet")
    names = f": {', '.join(parts)}" if parts else ""
    orgs = count(row.orgs, "org is", "orgs are")
    return (
        f"{orgs} stretched ({row.edition or 'unknown edition'}): polled every {format_duration(row.effective_seconds)}"
        f" instead of {format_duration(row.interval_seconds)}{names}."
    )


def _workers(found: CapacityPlan) -> str:
    whole, running = found.plan.whole, found.figures.workers
    enough = count(whole.workers, "worker is enough", "workers are needed")
    spare = f" Run {whole.workers + 1}, so that polls go on while one restarts." if whole.workers else ""
    line = (
        f"{enough} ({running:,} running): polls take {_percent(whole.cores)} of a core, and"
        f" {_percent(whole.database_cores)} of one in PostgreSQL.{spare}"
    )
    if whole.workers > max(math.ceil(whole.cores / MAX_PROCESSOR_SHARE), 1):
        concurrency = found.plan.scenario.concurrency
        line += (
            f" What decides is not the processor but the wait for replies: {_rate(whole.polls_under_way)} polls with"
            f" {_rate(whole.requests_under_way)} requests at once. A worker has room for {polls_at_once(concurrency):,}"
            f" and {concurrency:,} (POLLER_CONCURRENCY), and the plan fills half of it."
        )
    return line


def _disk(found: CapacityPlan) -> str:
    whole, kept = found.plan.whole, found.plan.scenario.snapshot_retention
    first = (
        f"A year of polls takes {size_of(round(whole.bytes_after_a_year))} of disk for {whole.rows_a_year:,.0f} rows;"
        f" the database has {size_of(found.figures.database_bytes)} now."
    )
    later = f"the database grows by {size_of(round(whole.later_bytes_a_year))} a year"
    if whole.snapshot_bytes_at_most is None:
        return f"{first} Snapshots are kept for ever: {later}."
    return (
        f"{first} Snapshots, kept for {format_retention(kept)}, take at most"
        f" {size_of(round(whole.snapshot_bytes_at_most))}; after that {later}."
    )


def _percent(share: float) -> str:
    """A share with two significant digits: `9.6 %`, `0.04 %`, `41 %`."""
    percent = 100 * share
    return f"{percent:,.0f} %" if percent >= 10 or not percent else f"{percent:.2g} %"


def _rate(number: float) -> str:
    """A number with at least two significant digits."""
    return f"{number:,.0f}" if number >= 100 or not number else f"{number:.1f}" if number >= 1 else f"{number:.2g}"
