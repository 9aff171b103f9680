"""Makes daily counts of orgs, all ten types, with events planted on known days: the truth anomalies are judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from poller.core.model import USER_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Counts = dict[str, Vector]

LEAD: Final = 180
"""Days before the judged year: rules compare with the past."""
DAYS: Final = LEAD + 365
_EVENTS_AN_ORG: Final = 2
_APART: Final = 150
_OUTAGE: Final = 0.01
"""The share of days without any count."""
_LARGEST: Final = 0.07
"""The largest share of the level that joins or leaves on a day without an event."""
_REST: Final = (5, 6)
"""Days of the week on which few people join or leave."""


class Event(NamedTuple):
    """Something planted: an alarm of this kind from `day` until `last` (days of the history) has found it."""

    kind: str
    day: int
    last: int


class Org(NamedTuple):
    """One org's counts by user type, NaN for unknown, and what was planted in them."""

    counts: Counts
    events: list[Event]


def planted_org(rng: np.random.Generator) -> Org:
    """An ordinary org with one or two events of different kinds, far apart."""
    parts = _ordinary(rng)
    kinds = rng.permutation(list(_PLANTERS))
    days = [LEAD + int(rng.integers(5, 60)), LEAD + _APART + int(rng.integers(60, 100))]
    events: list[Event] = []
    planted = zip(kinds[:_EVENTS_AN_ORG], days, strict=True)
    # A freeze makes the head counts it stops, and a surge may raise them: both before a fall to zero.
    for kind, day in sorted(planted, key=lambda one: {"freeze": 0, "deactivated_surge": 1}.get(one[0], 2)):
        events += _PLANTERS[kind](rng, parts, day)
    admins = parts["admin"]
    zeros = {event.last for event in events if event.kind == "zero"}
    rises = [day for day in (np.flatnonzero(np.diff(admins) > 0) + 1).tolist() if day >= LEAD and day not in zeros]
    events += [Event("admins_up", day, day + 3) for day in rises]
    counts = _ten_types(parts)
    _hide(rng, parts, counts)
    return Org(counts, events)


def _ordinary(rng: np.random.Generator) -> Counts:
    """People join and leave on weekdays, now and then a few together; some orgs hardly move, some move daily."""
    level = float(np.exp(rng.uniform(np.log(8), np.log(1_500))))
    busy = rng.beta(0.8, 2.0)
    together = max(1.0, 0.004 * level)
    joins, leaves = (_people(rng, busy * rng.uniform(0.3, 1.0), together, level) for _ in range(2))
    active = np.rint(level) + np.cumsum(joins - leaves)
    _at_least(active, 3)
    kept = rng.random()
    deactive = np.rint(level * rng.uniform(0.02, 0.4)) + np.cumsum(rng.binomial(leaves.astype(int), kept))
    admins = np.full(DAYS, 1.0 + rng.binomial(6, 0.4))
    for day in range(1, DAYS):
        move = (rng.random() < 1 / 700) - (rng.random() < 1 / 700)
        admins[day:] = max(admins[day - 1] + move, 1.0)
    unconfirmed = np.rint(active * 0.03) + (rng.random(DAYS) < 0.1)
    ones = np.ones(DAYS)
    parts = {"active": active, "deactive": deactive.astype(float), "admin": admins, "unconfirmed": unconfirmed}
    return parts | {
        "current": ones,
        "unconfirmed_off": np.zeros(DAYS),
        "all_off": np.zeros(DAYS),
        "dark": np.zeros(DAYS),
    }


def _people(rng: np.random.Generator, busy: float, together: float, level: float) -> Vector:
    """How many people a day; never as many as would be an event."""
    happens = rng.random(DAYS) < busy
    happens &= ~np.isin(np.arange(DAYS) % 7, _REST) | (rng.random(DAYS) < 0.1)
    sizes = rng.geometric(1 / together, DAYS)
    return np.asarray(np.where(happens, np.minimum(sizes, max(1, int(_LARGEST * level))), 0.0))


def _ten_types(parts: Counts) -> Counts:
    active, deactive, admin = parts["active"], parts["deactive"], parts["admin"]
    everybody = active + deactive
    unconfirmed = np.minimum(parts["unconfirmed"], everybody)
    values = {
        "AllUsers": everybody + parts["all_off"],
        "ActiveUsers": active,
        "DeactiveUsers": deactive,
        "ConfirmedUsers": everybody - unconfirmed + parts["unconfirmed_off"],
        "NotConfirmedUsers": unconfirmed,
        "DeletedUsers": np.zeros(DAYS),
        "ActiveConfirmedUsers": np.maximum(active - unconfirmed, 0.0),
        "AdminUsers": admin,
        "ActiveConfirmedAdmins": admin,
        "CurrentUser": parts["current"],
    }
    return {user_type.value: values[user_type.value].astype(float) for user_type in USER_TYPES}


def _hide(rng: np.random.Generator, parts: Counts, counts: Counts) -> None:
    """Days on which nothing is known; and now and then one on which a user came between two of the requests."""
    late = (rng.random(DAYS) < 0.005) & (counts["AllUsers"] > 0)
    counts["AllUsers"][late] += 1
    unknown = (rng.random(DAYS) < _OUTAGE) | (parts["dark"] > 0)
    for values in counts.values():
        values[unknown] = np.nan


def _step(rng: np.random.Generator, parts: Counts, day: int) -> list[Event]:
    active = parts["active"]
    size = max(6.0, round(float(active[day - 1]) * rng.uniform(0.2, 0.6)))
    if rng.random() < 0.5 and active[day:].min() - size >= 3:
        size = -size  # the users were deleted, so none is deactivated
    active[day:] += size
    return [Event("step", day, day + 3)]


def _surge(rng: np.random.Generator, parts: Counts, day: int) -> list[Event]:
    active, deactive = parts["active"], parts["deactive"]
    _at_least(active, 30)
    gone = round(float(active[day:].min()) * rng.uniform(0.2, 0.5))
    active[day:] -= gone
    deactive[day:] += gone
    return [Event("deactivated_surge", day, day + 3), Event("step", day, day + 3)]


def _zero(rng: np.random.Generator, parts: Counts, day: int) -> list[Event]:
    """Every count is zero for some days: `CurrentUser` too."""
    _at_least(parts["active"], 8)
    last = day + int(rng.integers(1, 12))
    for name in ("active", "deactive", "admin", "unconfirmed", "current"):
        parts[name][day:last] = 0
    return [Event("zero", day, last), Event("current_user", day, last)]


def _freeze(rng: np.random.Generator, parts: Counts, day: int) -> list[Event]:
    """The counts stand still in an org that moved about every other weekday, or more often."""
    moves = _people(rng, rng.uniform(0.3, 0.9), 1.0, 100.0) * rng.choice([-1, 1], DAYS)
    parts["active"] = float(rng.integers(60, 900)) + np.cumsum(moves)
    _at_least(parts["active"], 5)
    parts["deactive"] = 40.0 + np.cumsum(np.maximum(-moves, 0.0))
    last = min(day + int(rng.integers(80, 140)), DAYS)
    for name in ("active", "deactive", "admin", "unconfirmed"):
        still = parts[name][day - 1]
        parts[name][last:] += still - parts[name][last - 1]
        parts[name][day:last] = still
        np.maximum(parts[name], 0.0, out=parts[name])
    return [Event("freeze", day, last)]


def _admin(rng: np.random.Generator, parts: Counts, day: int) -> list[Event]:
    parts["admin"][day : day + int(rng.integers(1, 200))] += rng.integers(1, 4)
    return []  # found with the rises that come by themselves


def _disagree(rng: np.random.Generator, parts: Counts, day: int) -> list[Event]:
    last = day + int(rng.integers(4, 30))
    parts[str(rng.choice(["all_off", "unconfirmed_off"]))][day:last] += rng.choice([-3, -2, -1, 1, 2, 3])
    return [Event("sums_disagree", day, last)]


def _current(rng: np.random.Generator, parts: Counts, day: int) -> list[Event]:
    last = day + int(rng.integers(2, 40))
    parts["current"][day:last] = rng.choice([0, 2])
    return [Event("current_user", day, last)]


def _quiet(rng: np.random.Generator, parts: Counts, day: int) -> list[Event]:
    last = day + int(rng.integers(10, 40))
    parts["dark"][day:last] = 1
    return [Event("quiet", day, last)]


def _at_least(values: Vector, least: float) -> None:
    values += max(least - float(values.min()), 0.0)


_PLANTERS: Final[dict[str, Callable[[np.random.Generator, Counts, int], list[Event]]]] = {
    "step": _step,
    "freeze": _freeze,
    "zero": _zero,
    "admins_up": _admin,
    "deactivated_surge": _surge,
    "sums_disagree": _disagree,
    "current_user": _current,
    "quiet": _quiet,
}
KINDS: Final = tuple(_PLANTERS)
