"""The table at the end of a soak: figures with their units."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.soak.verdict import GROWING, memory_trend, percentile, trend, warm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.watch import Found
    from tests.soak.world import Plan

_KB = 1_000


def report(plan: Plan, found: Found) -> list[str]:
    """The lines of the report."""
    rows = [*_polls(plan, found), *_processes(plan, found), *_events(found)]
    looks = warm(found.samples)
    width = max(len(name) for name, _ in rows)
    title = (
        f"soak: {plan.orgs:,} orgs, {plan.days:g} days in {plan.days * plan.day_seconds / 60:.1f} minutes"
        f" ({plan.speed:,.0f} times as fast), a poll every {plan.interval_seconds / 3_600:g} h;"
        f" slopes and sizes after a warm-up of {looks[0].at - found.samples[0].at:.1f} days"
    )
    return [
        title,
        *(f"  {name:<{width}}  {figure}" for name, figure in rows),
        *_tables(found),
    ]


def _polls(plan: Plan, found: Found) -> Iterator[tuple[str, str]]:
    outcomes: Counter[str] = Counter()
    late: Counter[int] = Counter()
    for (outcome, late_seconds), count in found.outcomes.items():
        outcomes[outcome] += count
        if outcome != "missed":
            late[late_seconds] += count
    yield (
        "slots, each with one row",
        f"{outcomes.total():,}: " + ", ".join(f"{n:,} {o}" for o, n in outcomes.most_common()),
    )
    yield "slots without a row", f"{len(found.without_row):,}"
    half, most = (percentile(late, share) / plan.speed for share in (0.5, 0.99))
    yield (
        "late, in seconds of the wall's",
        f"p50 {half:.2f}, p99 {most:.2f}, most {max(late, default=0) / plan.speed:.2f}",
    )
    yield "late by a second and more", f"{sum(n for seconds, n in late.items() if seconds >= plan.speed):,}"
    requests = found.audit["requests"]
    yield "requests", ", ".join(f"{number:,} {kind}" for kind, number in sorted(requests.items()))
    yield "faults given", f"{sum(found.audit['faults_given'].values()):,}"
    yield "breaches", f"{len(found.audit['breaches'])}"


def _processes(plan: Plan, found: Found) -> Iterator[tuple[str, str]]:
    looks = warm(found.samples)
    memory = memory_trend(found.samples)
    polls_a_day = plan.orgs * 86_400 / plan.interval_seconds
    resident = (
        f"{found.samples[0].worker_mb:.1f} at first, {looks[0].worker_mb:.1f} warm, {looks[-1].worker_mb:.1f} at last,"
        f" {max(sample.worker_mb for sample in found.samples):.1f} at most"
    )
    yield "memory of the worker, MB", resident
    yield "- slope", f"{memory.a_day:+.3f} MB a day, {memory.a_day / polls_a_day * 2**20:+.0f} bytes a poll"
    yield "memory of the simulator, MB", f"{found.samples[0].zoho_mb:.1f} at first, {looks[-1].zoho_mb:.1f} at last"
    connections = [sample.connections for sample in found.samples]
    yield "connections", f"{min(connections)} to {max(connections)}, {connections[-1]} at last"


def _events(found: Found) -> Iterator[tuple[str, str]]:
    yield "errors in the log", f"{found.errors.total()}" + (f": {dict(found.errors)}" if found.errors else "")
    yield "events", ", ".join(f"{count:,} {event}" for event, count in found.events.most_common())
    yield "months dropped at the end", ", ".join(found.dropped) or "none"
    tasks = (f"{name} {task.times:,} ({task.came_to:,} {task.of})" for name, task in sorted(found.tasks.items()))
    yield "maintenance tasks, how often", ", ".join(tasks)


def _tables(found: Found) -> Iterator[str]:
    looks = warm(found.samples)
    days = [sample.at for sample in looks]
    heads = ("rows, most", "rows, last", "kB, warm", "kB, most", "kB, last", "kB a day")
    yield f"  {'table':<22}" + "".join(f"{head:>12}" for head in heads)
    for name in sorted(found.samples[-1].tables, key=lambda name: (name in GROWING, name)):
        sizes = [sample.tables[name] for sample in looks]
        disk = [size.bytes / _KB for size in sizes]
        yield (
            f"  {name:<22}{max(size.rows for size in sizes):>12,}{sizes[-1].rows:>12,}"
            f"{disk[0]:>12,.0f}{max(disk):>12,.0f}{disk[-1]:>12,.0f}{trend(days, disk).a_day:>+12,.1f}"
        )
