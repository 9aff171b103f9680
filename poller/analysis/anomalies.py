"""Finds unusual days in daily counts: steps, falls to zero, freezes, silences, and counts that disagree.

A rule compares a day only with the days before it, so that a later run finds the same anomaly on the same day again.
Each anomaly has the count before and after, the usual range, and the reason. The thresholds, and how often they raise
an alarm on real head counts, are in docs/forecasting.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from poller.analysis.history import hold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from poller.analysis.history import Vector

ALL: Final = "AllUsers"
ACTIVE: Final = "ActiveUsers"
DEACTIVE: Final = "DeactiveUsers"
ADMINS: Final = "AdminUsers"
CURRENT: Final = "CurrentUser"
SUMS: Final = ((ALL, (ACTIVE, DEACTIVE)), (ALL, ("ConfirmedUsers", "NotConfirmedUsers")))
"""Counts that are the sum of others."""

_PAST_DAYS: Final = 180
_LEAST_PAST_DAYS: Final = 45
_LEAST_LEVEL: Final = 5
_STEP_USERS: Final = 4
_STEP_SHARE: Final = 0.10
_STEP_TIMES: Final = 6.0
_LARGEST_LEFT_OUT: Final = 2
_SAME_EVENT_DAYS: Final = 7
_RETURN_SHARE: Final = 0.25
_HALF: Final = 0.5
_YEAR: Final = 365
_FREEZE_TIMES: Final = 2
_FREEZE_DAYS: Final = 3
_FREEZE_CHANCE: Final = 0.02
"""The accepted chance of a false freeze in a year: a series that rarely changes may stand still for long by chance."""
_FREEZE_HISTORY: Final = 90
_FREEZE_MOVING_SHARE: Final = 0.05
_QUIET_DAYS: Final = 3
_DISAGREE_DAYS: Final = 2


class DetectedAnomaly(NamedTuple):
    """One unusual day. `day`: its index in the history. Numbers are users; None: there is no such number."""

    kind: str
    user_type: str
    day: int
    before: float | None
    after: float | None
    expected_low: float | None
    expected_high: float | None
    severity: str
    why: str


def in_series(values: Vector, user_type: str = "") -> list[DetectedAnomaly]:
    """Steps, falls to zero, freezes and silences of one series: a value a day, NaN for unknown, oldest first."""
    held = hold(values[None, :])[0] if len(values) else values
    found = [*_steps(held, values, user_type), *_zeros(held, user_type), *_freezes(held, values, user_type)]
    return sorted([*found, *_silences(values, user_type)], key=lambda one: one.day)


def in_org(counts: Mapping[str, Vector]) -> list[DetectedAnomaly]:
    """Anomalies of one org: its daily counts by user type, all of one length.

    `AllUsers` gets a step only on days without a step of `ActiveUsers`.
    """
    active = in_series(counts[ACTIVE], ACTIVE)
    taken = {one.day for one in active if one.kind in {"step", "zero"}}
    everybody = [one for one in in_series(counts[ALL], ALL) if one.kind in {"step", "zero"} and one.day not in taken]
    # If Zoho counts no users at all, its other zeros mean nothing, and the end of these zeros is not a rise.
    no_users = counts[ALL] == 0
    admins, gone, here = (np.where(no_users, np.nan, counts[user_type]) for user_type in (ADMINS, DEACTIVE, ACTIVE))
    found = [*active, *everybody, *_admin_rises(admins), *_surges(gone, here)]
    found += [*_disagreements(counts), *_wrong_current_users(counts[CURRENT])]
    return sorted(found, key=lambda one: (one.day, one.kind, one.user_type))


def _usual_move(held: Vector, day: int) -> float | None:
    """The root mean square of the daily moves in the 180 days before, without the two largest; None: too few days."""
    moves = np.diff(held[max(day - 1 - _PAST_DAYS, 0) : day])
    moves = np.sort(np.abs(moves[~np.isnan(moves)]))
    if len(moves) < _LEAST_PAST_DAYS:
        return None
    kept = moves[:-_LARGEST_LEFT_OUT]
    return float(np.sqrt(np.mean(kept * kept)))


def _steps(held: Vector, values: Vector, user_type: str) -> Iterator[DetectedAnomaly]:
    """Daily moves that are large for the level and far beyond the usual moves of the series.

    A further move in the same direction within a week, or a return, is the same event and not raised again. After
    unknown days a larger move is usual, because it is the sum of several daily moves.
    """
    passed = _days_passed(values)
    moves = np.diff(held)
    before = held[:-1]
    least = np.maximum(_STEP_USERS, _STEP_SHARE * before)
    with np.errstate(invalid="ignore"):
        candidates = np.flatnonzero((np.abs(moves) >= least) & (before >= _LEAST_LEVEL)) + 1
    last: DetectedAnomaly | None = None
    for day in candidates.tolist():
        was, now = float(held[day - 1]), float(held[day])
        usual = _usual_move(held, day)
        if usual is None or now == 0 or abs(now - was) <= _STEP_TIMES * (usual := usual * passed[day] ** 0.5):
            continue
        if last is not None and day - last.day <= _SAME_EVENT_DAYS and _is_same_event(last, was, now):
            continue
        room = max(_STEP_TIMES * usual, float(least[day - 1]))
        severe = "critical" if now <= _HALF * was else "warning"
        why = f"moved by {now - was:+.0f} in a day; usual moves are {usual:.1f}, at most {room:.0f} was expected"
        last = DetectedAnomaly("step", user_type, day, was, now, max(was - room, 0.0), was + room, severe, why)
        yield last


def _days_passed(values: Vector) -> Vector:
    """Days since the last known count before each day."""
    at = np.where(np.isnan(values), 0, np.arange(len(values)))
    return np.concatenate([[1], np.arange(1, len(values)) - np.maximum.accumulate(at)[:-1]])


def _is_same_event(step: DetectedAnomaly, was: float, now: float) -> bool:
    if step.before is None or step.after is None:
        return False
    size = step.after - step.before
    return (now - was) * size > 0 or abs(now - step.before) <= _RETURN_SHARE * abs(size)


def _zeros(held: Vector, user_type: str) -> Iterator[DetectedAnomaly]:
    for day in (np.flatnonzero((held[1:] == 0) & (held[:-1] > 0)) + 1).tolist():
        was = float(held[day - 1])
        usual = _usual_move(held, day) or 0.0
        low = max(was - max(_STEP_TIMES * usual, 1.0), 0.0)
        # One user more or less is normal in a small org.
        if was >= _LEAST_LEVEL or low > 1:
            why = f"fell from {was:.0f} to zero in a day"
            yield DetectedAnomaly("zero", user_type, day, was, 0.0, low, was + _STEP_TIMES * usual, "critical", why)


def _freezes(held: Vector, values: Vector, user_type: str) -> Iterator[DetectedAnomaly]:
    """Standstills longer than three days and twice the longest of the past year; raised on the day they exceed it."""
    start = int(np.argmax(~np.isnan(held))) if len(held) else 0
    changes = (np.flatnonzero(np.nan_to_num(np.diff(held)) != 0) + 1).tolist()
    for place, day in enumerate(changes):
        until = changes[place + 1] if place + 1 < len(changes) else len(held)
        past = [one for one in changes[: place + 1] if one > day - _YEAR]
        seen = min(day - start, _YEAR)
        if seen < _FREEZE_HISTORY or len(past) < max(3, _FREEZE_MOVING_SHARE * seen):
            continue
        longest = max(int(np.diff(past).max()), past[0] - max(day - _YEAR, start))
        due = math.ceil(math.log(len(past) / _FREEZE_CHANCE) * seen / len(past))
        raised = day + max(_FREEZE_TIMES * longest + _FREEZE_DAYS, due)
        # Unknown days are not a standstill: the counts of at least half of the days must be known.
        if raised < until and np.isnan(values[day:raised]).mean() <= _HALF:
            level = float(held[day])
            why = f"has not moved for {raised - day} days; the longest standstill of the year before was {longest}"
            yield DetectedAnomaly("freeze", user_type, raised, level, level, None, None, "warning", why)


def _silences(values: Vector, user_type: str) -> Iterator[DetectedAnomaly]:
    """Periods of unknown days longer than three days and twice any before; raised on the day they exceed it."""
    known = np.flatnonzero(~np.isnan(values)).tolist()
    longest = 0
    for place, day in enumerate(known):
        until = known[place + 1] if place + 1 < len(known) else len(values)
        unknown = until - day - 1
        limit = max(_QUIET_DAYS, 2 * longest + 1)
        if unknown >= limit:
            why = f"no count is known for {limit} days; the longest gap before was {longest}"
            yield DetectedAnomaly("quiet", user_type, day + limit, float(values[day]), None, None, None, "warning", why)
        longest = max(longest, unknown)


def _admin_rises(admins: Vector) -> Iterator[DetectedAnomaly]:
    held = hold(admins[None, :])[0]
    for day in (np.flatnonzero(np.nan_to_num(np.diff(held)) > 0) + 1).tolist():
        was, now = float(held[day - 1]), float(held[day])
        why = f"{now - was:.0f} more administrator{'' if now - was == 1 else 's'} than the day before"
        yield DetectedAnomaly("admins_up", ADMINS, day, was, now, 0.0, was, "warning", why)


def _surges(deactive: Vector, active: Vector) -> Iterator[DetectedAnomaly]:
    """Days on which far more users were deactivated than on any day before, as a share of the active users."""
    held, level = hold(deactive[None, :])[0], hold(active[None, :])[0]
    moves, passed = np.diff(held), _days_passed(deactive)
    with np.errstate(invalid="ignore"):
        candidates = np.flatnonzero(moves >= np.maximum(_STEP_USERS, _STEP_SHARE * level[:-1])) + 1
    for day in candidates.tolist():
        usual = _usual_move(held, day)
        was, now = float(held[day - 1]), float(held[day])
        if usual is not None and now - was > _STEP_TIMES * (usual := usual * passed[day] ** 0.5):
            room = max(_STEP_TIMES * usual, float(_STEP_USERS))
            why = f"{now - was:.0f} users deactivated in a day, of {level[day - 1]:.0f} active ones"
            yield DetectedAnomaly("deactivated_surge", DEACTIVE, day, was, now, 0.0, was + room, "critical", why)


def _disagreements(counts: Mapping[str, Vector]) -> Iterator[DetectedAnomaly]:
    """Sums that do not add up on two known days in a row.

    On a single day, a user may have been added between two requests. The anomaly has the user type of the first part.
    Two sums that begin to disagree on one day are one anomaly: the total is probably wrong.
    """
    raised: set[int] = set()
    for whole, parts in SUMS:
        total, added = counts[whole], np.sum([counts[part] for part in parts], axis=0)
        known = np.flatnonzero(~np.isnan(total) & ~np.isnan(added))
        run = 0
        for day in known.tolist():
            run = run + 1 if total[day] != added[day] else 0
            if run == _DISAGREE_DAYS and day not in raised:
                raised.add(day)
                sums = (float(total[day]), float(added[day]))
                why = f"{whole} is {sums[0]:.0f}, {' + '.join(parts)} is {sums[1]:.0f}"
                yield DetectedAnomaly("sums_disagree", parts[0], day, None, sums[1], sums[0], sums[0], "warning", why)


def _wrong_current_users(current: Vector) -> Iterator[DetectedAnomaly]:
    """Days on which CurrentUser, the user that the token belongs to, is not 1. Raised once for each such period."""
    known = np.flatnonzero(~np.isnan(current))
    wrong_before = False
    for day in known.tolist():
        wrong = current[day] != 1
        if wrong and not wrong_before:
            why = f"CurrentUser is {current[day]:.0f}: the user of the token may no longer exist"
            yield DetectedAnomaly("current_user", CURRENT, day, 1.0, float(current[day]), 1.0, 1.0, "critical", why)
        wrong_before = wrong
