"""The sections of a digest in words: what changed, what needs a person, what runs out, what is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from poller.core.digest_schedule import WEEKDAYS
from poller.core.quantities import change, count, day, number
from poller.core.states import State
from poller.query.seat_outlook import outlook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from poller.query.digest import AlertGroup, DigestFacts, FleetTrouble

_MOVES: Final = 8
_RUN_OUT: Final = 6
_RENEWALS: Final = 4
_UNKNOWN: Final = 8
_NEED_A_PERSON: Final = 10
_NAMES: Final = 5


@dataclass(frozen=True, slots=True)
class DigestLine:
    """One line: a figure, what it is about with the path of its page, a few words, and what to do."""

    figure: str
    name: str
    text: str
    path: str | None = None
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class DigestGroup:
    """Lines of one kind, how many more there are, and the path of the page that lists all."""

    lines: Sequence[DigestLine]
    intro: str = ""
    more: str = ""
    more_path: str | None = None


@dataclass(frozen=True, slots=True)
class DigestSection:
    """One section; without a group, `nothing` says so."""

    title: str
    groups: Sequence[DigestGroup]
    nothing: str


@dataclass(frozen=True, slots=True)
class DigestPage:
    """A digest in words: its title, the period, one sentence that sums it up, and its sections."""

    title: str
    period: str
    summary: str
    sections: Sequence[DigestSection]


def digest_page(facts: DigestFacts, zone: str) -> DigestPage:
    """The digest in words, with times in `zone`."""
    until = facts.until.astimezone(ZoneInfo(zone))
    summary = _summary(facts)
    first = summary.partition(" · ")[0]
    period = f"{_moment(facts.since, zone, facts.today)} to {_moment(facts.until, zone, facts.today)} ({zone})"
    return DigestPage(
        f"Poller digest, {WEEKDAYS[until.weekday()].capitalize()} {day(until.date(), until.date())}: {first}",
        f"{period}, {count(facts.orgs, 'org')}",
        summary,
        [_changed(facts), _needs_a_person(facts, zone), _runs_out(facts), _unknown(facts)],
    )


def _moment(at: datetime, zone: str, today: date) -> str:
    local = at.astimezone(ZoneInfo(zone))
    return f"{day(local.date(), today)} {local:%H:%M}"


def _summary(facts: DigestFacts) -> str:
    parts = []
    if facts.in_trouble:
        parts.append(count(facts.in_trouble, "org needs a person", "orgs need a person"))
    if facts.firing:
        parts.append(count(facts.firing, "alert fires", "alerts fire"))
    if facts.seats.run_out_30:
        parts.append(f"{count(facts.seats.run_out_30, 'org runs', 'orgs run')} out of seats within 30 days")
    if facts.unknown.orgs:
        parts.append(_without_counts(facts))
    if not parts:
        parts.append("nothing needs a person")
    return " · ".join(parts)


def _changed(facts: DigestFacts) -> DigestSection:
    moves, groups = facts.moves, []
    if moves.changed:
        lines = [
            DigestLine(
                change(one.after - one.before), one.org, f"{number(one.before)} → {number(one.after)}", _org(one.org_id)
            )
            for one in moves.largest[:_MOVES]
        ]
        intro = (
            f"{change(moves.net)} active users in {count(moves.compared, 'org')} with counts at both ends; "
            f"{count(moves.changed, 'org')} changed"
        )
        groups.append(_group(lines, moves.changed, "/?sort=-change_7d", intro))
    arrivals = facts.arrivals
    for figure, orgs, total in (
        ("new", arrivals.added, arrivals.added_count),
        ("removed", arrivals.removed, arrivals.removed_count),
    ):
        if total:
            names = _names([one.org for one in orgs], total)
            groups.append(DigestGroup([DigestLine(figure, count(total, "org"), names)]))
    return DigestSection("What changed", groups, "No count of active users changed, and no org was added or removed.")


def _needs_a_person(facts: DigestFacts, zone: str) -> DigestSection:
    """Critical alerts, orgs, other alerts; without alerts about parked orgs, which are in the list of orgs."""
    parked = any(trouble.state == State.PARKED for trouble in facts.troubles)
    alerts = [group for group in facts.alerts if not (parked and group.metric == "parked")]
    urgent = [_alert(group, zone, facts.today) for group in alerts if group.severity == "critical"]
    others = [_alert(group, zone, facts.today) for group in alerts if group.severity != "critical"]
    lines = [*urgent, *(_trouble(one) for one in facts.troubles), *others]
    group = _group(lines[:_NEED_A_PERSON], len(lines), "/alerts")
    return DigestSection("What needs a person", [group] if lines else [], "No alert fires, and no org needs a person.")


def _alert(group: AlertGroup, zone: str, today: date) -> DigestLine:
    what = group.message or _names(group.names, group.alerts)
    since = _moment(group.since, zone, today)
    path = "/alerts?" + urlencode({"rule": group.rule})
    return DigestLine(number(group.alerts), group.rule, f"{group.severity} since {since}: {what}", path, group.remedy)


def _trouble(trouble: FleetTrouble) -> DigestLine:
    reason = f": {trouble.reason}" if trouble.reason else ""
    path = "/?" + urlencode({"state": trouble.state})
    names = _names(trouble.names, trouble.orgs)
    return DigestLine(number(trouble.orgs), f"{trouble.state}{reason}", names, path, trouble.what_to_do)


def _runs_out(facts: DigestFacts) -> DigestSection:
    seats, groups = facts.seats, []
    if seats.run_out_90:
        lines = [_run_out(row, facts.today) for row in seats.run_out[:_RUN_OUT]]
        intro = f"Seats: {count(seats.run_out_30, 'org')} within 30 days, {number(seats.run_out_90)} within 90 days"
        groups.append(_group(lines, seats.run_out_90, "/seats?show=runs_out_90", intro))
    if seats.renew_90:
        lines = [_renewal(row, facts.today) for row in seats.renewals[:_RENEWALS]]
        intro = f"Renewals: {count(seats.renew_90, 'org')} within 90 days"
        groups.append(_group(lines, seats.renew_90, "/seats?show=renews_90&sort=renews_on", intro))
    return DigestSection("What runs out", groups, "No seats run out and no contract renews within 90 days.")


def _run_out(row: Mapping[str, Any], today: date) -> DigestLine:
    out = outlook(row, today)
    used = f"{number(row['used'])} of {number(row['purchased'])} seats used"
    low, _, high = out.range.partition(" – ")
    text = f"{used}; between {low} and {high}" if high and low != high else used
    return DigestLine(out.words, row["org"], text, _org(row["org_id"]))


def _renewal(row: Mapping[str, Any], today: date) -> DigestLine:
    idle = "" if row["idle"] is None else f", {number(row['idle'])} idle"
    seats = "seats not known" if row["purchased"] is None else f"{count(row['purchased'], 'seat')}{idle}"
    return DigestLine(day(row["renews_on"], today), row["org"], seats, _org(row["org_id"]))


def _unknown(facts: DigestFacts) -> DigestSection:
    unknown, groups = facts.unknown, []
    if unknown.orgs:
        lines = [
            DigestLine(_hours(one.hours), one.org, one.reason, _org(one.org_id)) for one in unknown.longest[:_UNKNOWN]
        ]
        groups.append(_group(lines, unknown.orgs, "/health", _without_counts(facts)))
    if facts.never_count:
        names = _names([one.org for one in facts.never], facts.never_count)
        line = DigestLine(number(facts.never_count), "never polled", names, "/?state=never_polled")
        groups.append(DigestGroup([line]))
    if facts.unrecorded.slots:
        text = f"of {count(facts.unrecorded.orgs, 'org')} are due and not recorded"
        remedy = "see whether `poller run` is running: `poller doctor`"
        groups.append(DigestGroup([DigestLine(number(facts.unrecorded.slots), "slots", text, "/health", remedy)]))
    return DigestSection("What is unknown", groups, "The counts of all orgs were known all the time.")


def _without_counts(facts: DigestFacts) -> str:
    hours = facts.unknown.hours
    return f"{count(facts.unknown.orgs, 'org')} without counts for " + (
        "some of the time" if hours is None else f"{_hours(hours)} in all"
    )


def _group(lines: Sequence[DigestLine], total: int, path: str, intro: str = "") -> DigestGroup:
    """The lines, with the number of those that are not shown; `path`: where all are."""
    left = total - len(lines)
    return DigestGroup(lines, intro, f"and {left:,} more" if left > 0 else "", path)


def _names(names: Sequence[str], total: int) -> str:
    """The first names: A, B and 12 more."""
    shown = list(names[:_NAMES])
    left = total - len(shown)
    return ", ".join(shown) + (f" and {left:,} more" if left > 0 else "")


def _org(org_id: int) -> str:
    return f"/orgs/{org_id}"


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{max(round(hours * 60), 1)} min"
    return f"{hours:,.0f} h"
