"""Turns values into tables, sparklines and JSON. Nothing is printed here.

A gap is shown as a gap (`·` or null), never as zero and never bridged. Names and codes from outside are stripped of
terminal control characters.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeVar

from poller.cli.output.table import Table
from poller.core.model import USER_TYPES, Outcome, UserType
from poller.core.names import is_shown
from poller.core.quantities import count

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, tzinfo

    from poller.core.model import Snapshot
    from poller.core.series import TrendPoint

T = TypeVar("T")

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
"""The columns of a table. CurrentUser is left out: it is always 1."""
_LEAST_TELLING: Final = (
    UserType.ACTIVE_CONFIRMED_ADMIN,
    UserType.ACTIVE_CONFIRMED,
    UserType.NOT_CONFIRMED,
    UserType.DEACTIVE,
    UserType.DELETED,
    UserType.CONFIRMED,
)
"""Columns that a narrow terminal leaves out, in this order."""


def sparkline(values: Sequence[float | None], width: int) -> str:
    """One character per value, or per group of values where there are more than `width`; None is a gap.

    A group shows its last value, and is a gap if any of its values is, so that a day's outage is visible in a year. The
    last value is always shown if it is known.
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
        # A count that never changes is drawn as a line in the middle.
        place = 0.5 if span == 0 else (value - low) / span
        return _BLOCKS[min(int(place * len(_BLOCKS)), len(_BLOCKS) - 1)]

    return "".join(block(value) for value in stretches)


def shorter_sparkline(drawn: str, width: int) -> str:
    """Shortens a sparkline to `width` characters; the newest value is always shown."""
    parts = [GAP if GAP in part else part[-1] for part in _parts(drawn, width)]
    return "".join([*parts[:-1], drawn[-1]])


def plain(text: str | None) -> str:
    """Text from outside as a cell, with control characters shown as escapes; None is a gap."""
    if text is None:
        return GAP
    return text if text.isprintable() else "".join(c if is_shown(c) else f"\\x{ord(c):02x}" for c in text)


def number(value: int | None) -> str:
    """A count with thousands separators; None is a gap."""
    return GAP if value is None else f"{value:,}"


def change(first: int | None, last: int | None) -> str:
    """The change of a count, with its sign."""
    return GAP if first is None or last is None else f"{last - first:+,}" if last != first else "±0"


def poll_json(org: str, snapshot: Snapshot) -> str:
    """One line of `poller poll --json`."""
    return json.dumps(
        {
            "org": org,
            "slot": snapshot.slot.isoformat(),
            "outcome": snapshot.outcome.value,
            "error": snapshot.error,
            "counts": {
                user_type.value: snapshot.counts[user_type] for user_type in USER_TYPES if user_type in snapshot.counts
            },
            "errors": {
                user_type.value: snapshot.errors[user_type] for user_type in USER_TYPES if user_type in snapshot.errors
            },
            "requests": snapshot.requests,
            "seconds": snapshot.duration_ms / 1_000,
        },
        ensure_ascii=False,
    )


def poll_table(rows: Iterable[tuple[str, Snapshot]]) -> Table:
    """The counts of each org, or why they are not known."""
    table = Table(
        ("org", "outcome", *_HEADINGS.values(), "why not"),
        right=_HEADINGS.values(),
        spare=[_HEADINGS[user_type] for user_type in _LEAST_TELLING],
        verdicts=("outcome",),
    )
    for org, snapshot in rows:
        counts = [number(snapshot.counts.get(user_type)) for user_type in _HEADINGS]
        table.rows.append(
            (plain(org), snapshot.outcome.value, *counts, plain(snapshot.error) if snapshot.error else "")
        )
    return table


def poll_summary(outcomes: Counter[Outcome], requests: int, seconds: float) -> str:
    """One line about all polls: the number of each outcome, `ok` first, then by severity."""
    fates = ", ".join(f"{outcomes[outcome]:,} {outcome.value}" for outcome in Outcome if outcomes[outcome])
    total = outcomes.total()
    return f"{count(total, 'org')}: {fates} · {count(requests, 'request')} in {seconds:.1f} s"


def facts(facts: Mapping[str, str]) -> Iterator[str]:
    """Facts by name, one per line, aligned."""
    longest = max(map(len, facts))
    return (f"{name:<{longest}}  {plain(fact)}" for name, fact in facts.items())


def trend_table(points: Sequence[TrendPoint], zone: tzinfo) -> Table:
    """One user type of one org, step by step."""
    numbers = ("last", "change", "min", "max", "avg", "samples", "missing")
    table = Table(("from", *numbers), right=numbers, spare=("avg", "samples", "min", "max"), whole=("from",))
    before: int | None = None
    for point in points:
        table.rows.append(
            (
                _when(point.at, zone),
                number(point.last),
                change(before, point.last),
                number(point.min),
                number(point.max),
                GAP if point.avg is None else f"{point.avg:,.1f}",
                number(point.samples),
                number(point.missing),
            )
        )
        before = point.last if point.last is not None else before
    return table


def overview_table(heading: str, *, of_types: bool = False) -> Table:
    """The table of several series, with one `overview_row` each: all user types of one org, or one type of all orgs."""
    numbers = ("first", "last", "change", "min", "max", "gaps")
    return Table(
        (heading, *numbers, "trend"),
        right=numbers,
        spare=("min", "max", "first", "gaps"),
        whole=(heading,) if of_types else (),
        shorten={"trend": shorter_sparkline},
    )


def overview_row(name: str, points: Sequence[TrendPoint], width: int) -> list[str]:
    """One series: its first and last count, the change, the range, gaps and a sparkline."""
    known = [point for point in points if point.last is not None]
    first, last = (known[0].first, known[-1].last) if known else (None, None)
    return [
        plain(name),
        number(first),
        number(last),
        change(first, last),
        number(min((point.min for point in known if point.min is not None), default=None)),
        number(max((point.max for point in known if point.max is not None), default=None)),
        number(len(points) - len(known)),
        sparkline([point.last for point in points], width),
    ]


def _when(at: datetime, zone: tzinfo) -> str:
    local = at.astimezone(zone)
    midnight = (local.hour, local.minute, local.second) == (0, 0, 0)
    return f"{local:%Y-%m-%d}" if midnight else f"{local:%Y-%m-%d %H:%M}"


def _parts(values: Sequence[T], width: int) -> list[Sequence[T]]:
    """Splits values into at most `width` parts of equal size; only the first may be smaller."""
    size = -(-len(values) // max(width, 1)) or 1
    first = len(values) % size
    return ([values[:first]] if first else []) + [values[at : at + size] for at in range(first, len(values), size)]


def _stretch(part: Sequence[float | None]) -> float | None:
    return None if None in part else part[-1]
