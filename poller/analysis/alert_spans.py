"""Finds the days on which a rule would have had an alert, from one value a day."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_DAY_SECONDS: Final = 86_400


class DayReading(NamedTuple):
    """One known day, as an ordinal: whether the condition held at any time, and the value farthest out."""

    day: int
    holds: bool
    value: float | None


class AlertSpan(NamedTuple):
    """An alert from day to day, with the last day included; `until` None: it still holds. `days`: known to hold."""

    since: int
    until: int | None
    peak: float | None
    days: int


def find_spans(
    days: Iterable[DayReading], *, for_seconds: float, clear_seconds: float, lowest: bool = False
) -> list[AlertSpan]:
    """Returns the alerts of one subject; `days` in order, without unknown days, which neither begin nor end one.

    The condition must hold on as many days as `for_seconds` has, and be over for as many as `clear_seconds` has.
    `lowest`: the peak is the lowest value.
    """
    needed = max(math.ceil(for_seconds / _DAY_SECONDS), 1)
    patience = max(int(clear_seconds // _DAY_SECONDS), 1)
    found: list[AlertSpan] = []
    held: list[DayReading] = []
    over = 0
    for one in days:
        if one.holds:
            held.append(one)
            over = 0
            continue
        over += 1
        fired = len(held) >= needed
        if held and (over >= patience or not fired):
            found += _span(held, until=held[-1].day, lowest=lowest) if fired else ()
            held = []
    if len(held) >= needed:
        found += _span(held, until=None, lowest=lowest)
    return found


def _span(held: list[DayReading], *, until: int | None, lowest: bool) -> list[AlertSpan]:
    values = [one.value for one in held if one.value is not None]
    peak = None if not values else min(values) if lowest else max(values)
    return [AlertSpan(held[0].day, until, peak, len(held))]


def find_gaps(days: Iterable[DayReading], *, hours: float) -> list[AlertSpan]:
    """Returns runs of whole days without counts that last at least `hours`; a day `holds` if it has no known count."""
    spans = find_spans(days, for_seconds=0, clear_seconds=0)
    return [span._replace(peak=24.0 * span.days) for span in spans if 24 * span.days >= hours]
