"""How things look: tables, sparklines, CSV and JSON. Values in, text or a Rich table out; nothing is printed here.

A gap is drawn as a gap (`·`, an empty field, null), never as a zero and never joined over. What came from outside
(names, codes) is stripped of anything a terminal would obey.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from poller.cli.org_facts import state_of
from poller.core.model import USER_TYPES, Outcome, UserType

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
    from datetime import datetime, tzinfo

    from poller.core.model import Snapshot
    from poller.store.orgs import OrgRecord
    from poller.store.trends import TrendPoint

GAP: Final = "·"
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_HEADINGS: Final[Mapping[UserType, str]] = {
    UserType.ALL: "all",
    UserType.ACTIVE: "active",
    UserType.DEACTIVE: "deactive",
    UserType.CONFIRMED: "confirmed",
    UserType.NOT_CONFIRMED: "not conf.",
    UserType.DELETED: "deleted",
    UserType.ACTIVE_CONFIRMED: "act. conf.",
    UserType.ADMIN: "admins",
    UserType.ACTIVE_CONFIRMED_ADMIN: "conf. admins",
}
"""What a table has room for: CurrentUser is always 1."""


def sparkline(values: Sequence[float | None], width: int) -> str:
    """One character per value, or per stretch of values where there are more than `width`; None is a gap.

    A stretch shows its last known value, and is a gap where half of it or more is; what is known at the very end is
    always shown.
    """
    stretches = [_stretch(part) for part in _parts(values, width)]
    if values and values[-1] is not None:
        stretches[-1] = values[-1]
    known = [value for value in stretches if value is not None]
    if not known:
        return GAP * len(stretches)
    low, span = min(known), max(known) - min(known)

    def block(value: float | None) -> str:
        if value is None:
            return GAP
        # A count that never moves is drawn as a line, in the middle.
        place = 0.5 if span == 0 else (value - low) / span
        return _BLOCKS[min(int(place * len(_BLOCKS)), len(_BLOCKS) - 1)]

    return "".join(block(value) for value in stretches)


def plain(text: str | None) -> str:
    """Text from outside as a cell: whatever is not printable is shown, not obeyed; None is a gap."""
    if text is None:
        return GAP
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def number(value: int | None) -> str:
    """A count with its thousands apart; None is a gap."""
    return GAP if value is None else f"{value:,}"


def change(first: int | None, last: int | None) -> str:
    """By how much a count moved, with its sign."""
    return GAP if first is None or last is None else f"{last - first:+,}" if last != first else "±0"


def poll_json(org: str, snapshot: Snapshot) -> str:
    """One line of `poller poll --json`."""
    return json.dumps(
        {
            "org": org,
            "slot": snapshot.slot.isoformat(),
            "outcome": snapshot.outcome.value,
            "error": snapshot.error,
            "counts": {kind.value: snapshot.counts[kind] for kind in USER_TYPES if kind in snapshot.counts},
            "errors": {kind.value: snapshot.errors[kind] for kind in USER_TYPES if kind in snapshot.errors},
            "requests": snapshot.requests,
            "seconds": snapshot.duration_ms / 1_000,
        },
        ensure_ascii=False,
    )


def poll_table(rows: Iterable[tuple[str, Snapshot]]) -> Table:
    """What each org said, or why we do not know."""
    table = Table("org", "outcome", box=None, pad_edge=False)
    for heading in _HEADINGS.values():
        table.add_column(heading, justify="right")
    table.add_column("why not")
    for org, snapshot in rows:
        counts = [number(snapshot.counts.get(kind)) for kind in _HEADINGS]
        table.add_row(plain(org), snapshot.outcome.value, *counts, plain(snapshot.error) if snapshot.error else "")
    return table


def poll_summary(outcomes: Counter[Outcome], requests: int, seconds: float) -> str:
    """One line over all of them: the fates in the order of their gravity, the good one first."""
    fates = ", ".join(f"{outcomes[outcome]:,} {outcome.value}" for outcome in Outcome if outcomes[outcome])
    total = outcomes.total()
    return f"{total:,} {'org' if total == 1 else 'orgs'}: {fates} · {requests:,} requests in {seconds:.1f} s"


def org_table(orgs: Iterable[OrgRecord]) -> Table:
    """The fleet, a line each."""
    table = Table("org", "data centre", "edition", box=None, pad_edge=False)
    table.add_column("licences", justify="right")
    table.add_column("state")
    table.add_column("tags")
    for org in orgs:
        table.add_row(
            plain(org.name),
            plain(org.data_center),
            plain(org.edition),
            number(org.licences),
            plain(state_of(org)),
            plain(", ".join(org.tags)),
        )
    return table


def facts_table(facts: Mapping[str, str]) -> Table:
    """Facts about one thing, by name."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(name, plain(fact))
    return table


def trend_table(points: Sequence[TrendPoint], zone: tzinfo) -> Table:
    """One type of one org, bucket by bucket."""
    table = Table("from", box=None, pad_edge=False)
    for heading in ("last", "change", "min", "max", "avg", "samples", "missing"):
        table.add_column(heading, justify="right")
    before: int | None = None
    for point in points:
        table.add_row(
            _when(point.at, zone),
            number(point.last),
            change(before, point.last),
            number(point.min),
            number(point.max),
            GAP if point.avg is None else f"{point.avg:,.1f}",
            number(point.samples),
            number(point.missing),
        )
        before = point.last if point.last is not None else before
    return table


def trend_overview(heading: str, series: Mapping[str, Sequence[TrendPoint]], width: int) -> Table:
    """Several series side by side: where each began, where it ended, and the way between."""
    table = Table(heading, box=None, pad_edge=False)
    for column in ("first", "last", "change", "min", "max", "gaps"):
        table.add_column(column, justify="right")
    table.add_column("trend", no_wrap=True)
    for name, points in series.items():
        known = [point for point in points if point.last is not None]
        first, last = (known[0].first, known[-1].last) if known else (None, None)
        table.add_row(
            plain(name),
            number(first),
            number(last),
            change(first, last),
            number(min((point.min for point in known if point.min is not None), default=None)),
            number(max((point.max for point in known if point.max is not None), default=None)),
            number(len(points) - len(known)),
            sparkline([point.last for point in points], width),
        )
    return table


TREND_COLUMNS: Final = ("org_id", "org", "user_type", "at", "first", "last", "min", "max", "avg", "samples", "missing")


async def trend_csv(points: AsyncIterator[TrendPoint], zone: tzinfo) -> AsyncGenerator[str]:
    """The series as CSV, a line at a time; a gap has empty fields."""
    yield ",".join(TREND_COLUMNS)
    async for point in points:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(_fields(point, zone).values())
        yield line.getvalue()


async def trend_json(points: AsyncIterator[TrendPoint], zone: tzinfo) -> AsyncGenerator[str]:
    """The series as one JSON list, an object a line; a gap has nulls."""
    line = "["
    async for point in points:
        yield line if line == "[" else f"{line},"
        line = json.dumps(_fields(point, zone), ensure_ascii=False)
    yield line
    yield "]"


def _fields(point: TrendPoint, zone: tzinfo) -> dict[str, Any]:
    fields = {column: getattr(point, column) for column in TREND_COLUMNS}
    return fields | {"user_type": point.user_type.value, "at": point.at.astimezone(zone).isoformat()}


def _when(at: datetime, zone: tzinfo) -> str:
    local = at.astimezone(zone)
    midnight = (local.hour, local.minute, local.second) == (0, 0, 0)
    return f"{local:%Y-%m-%d}" if midnight else f"{local:%Y-%m-%d %H:%M}"


def _parts(values: Sequence[float | None], width: int) -> list[Sequence[float | None]]:
    """As few values to a part as there is room for, every part but the first of the same size."""
    size = -(-len(values) // max(width, 1)) or 1
    first = len(values) % size
    return ([values[:first]] if first else []) + [values[at : at + size] for at in range(first, len(values), size)]


def _stretch(part: Sequence[float | None]) -> float | None:
    known = [value for value in part if value is not None]
    return known[-1] if len(known) * 2 > len(part) else None
