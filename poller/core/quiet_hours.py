"""When the quiet hours of a rule end. Local times are those of the rule's time zone, with its changes of the clocks.

A period begins at its start and ends at its end on the local clock. A time that the clock shows twice counts as start
the first time and as end the second time. A time that the clock skips is the moment of the change.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from datetime import date, time

    from poller.core.alerts import QuietHours

_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_DAYS_BEFORE: Final = 2
"""A period that passes midnight began the day before; a zone may have skipped a day (Apia, 30 December 2011)."""


def quiet_until(quiet: QuietHours | None, now: datetime) -> datetime | None:
    """When the quiet hours that `now` lies in end, in UTC; None outside them. Equal start and end: no quiet hours."""
    if quiet is None or quiet.start == quiet.end:
        return None
    zone = ZoneInfo(quiet.zone)
    today, until = now.astimezone(zone).date(), now
    for days in range(-_DAYS_BEFORE, 3):
        day = today + days * _DAY
        start = _moment(day, quiet.start, zone, last=False)
        end = _moment(day if quiet.start < quiet.end else day + _DAY, quiet.end, zone, last=True)
        if start <= until < end:
            until = end
    return until if until > now else None


def _moment(day: date, at: time, zone: ZoneInfo, *, last: bool) -> datetime:
    """The moment (UTC) at which the local clock shows this time: the first or `last` if it does so twice."""
    first, second = (datetime.combine(day, at.replace(fold=fold), zone).astimezone(UTC) for fold in (0, 1))
    if first <= second:
        return second if last else first
    # The clock skips this time: it is set forward between the two moments.
    before, after = second, first
    offset = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)
