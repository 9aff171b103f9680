"""Runs every query of docs/sql.md as an analyst would, and computes the answer outside the database."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import pytest

from poller.core.model import UserType
from tests.postgres import cloned
from tests.store import analysts
from tests.store.analysts import BEGIN, LICENCES, NOW, ORGS, TAGS, TODAY, known, last_of_days, latest, poll, polled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Rows = list[tuple[Any, ...]]

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "sql.md"
QUESTION: Final = re.compile(
    r"^### (?P<number>\d+)\. .*?^```sql\n(?P<sql>.*?)^```\n(?:```text\n(?P<answer>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
KEPT: Final = ("acme", "birch", "cedar", "dune", "elm")
ACTIVE: Final = UserType.ACTIVE
DAY: Final = timedelta(days=1)


def days(first: date, last: date) -> list[date]:
    return [first + n * DAY for n in range((last - first).days + 1)]


def rounded(value: float | Decimal, places: int = 1) -> Decimal:
    return Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def month_ends(org: str, kind: UserType) -> dict[date, tuple[date, int]]:
    """The last known day of every month, with its count."""
    return {day.replace(day=1): (day, count) for day, count in last_of_days(org, kind).items()}


def changes(values: list[int]) -> list[int | None]:
    return [None, *(later - earlier for earlier, later in pairwise(values))]


def now_and_how_fresh() -> Rows:
    rows = [(org, latest(org, ACTIVE), list(known(org, ACTIVE))[-1][0] + timedelta(minutes=1)) for org in KEPT]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def moved_in_thirty_days() -> Rows:
    before = {kind: last_of_days("acme", kind)[TODAY - 30 * DAY] for kind in UserType}
    rows = [(kind.value, before[kind], latest("acme", kind), latest("acme", kind) - before[kind]) for kind in UserType]
    return sorted(rows, key=lambda row: (-abs(row[3]), row[0]))


def share_confirmed() -> Rows:
    shares = [(org, latest(org, UserType.ALL), latest(org, UserType.CONFIRMED)) for org in KEPT]
    rows = [(org, everyone, rounded(Decimal(100 * confirmed) / everyone)) for org, everyone, confirmed in shares]
    return sorted(rows, key=lambda row: (row[2], row[0]))


def unused_seats() -> Rows:
    rows = [(org, LICENCES[org], latest(org, ACTIVE)) for org in KEPT]
    unused = [(*row, None if row[1] is None else row[1] - row[2]) for row in rows]
    return sorted(unused, key=lambda row: (row[3] is None, -(row[3] or 0), row[0]))


def by_tag() -> Rows:
    tagged = {tag: [latest(org, ACTIVE) for org in KEPT if tag in TAGS[org]] for tags in TAGS.values() for tag in tags}
    return sorted(((tag, sum(counts), len(counts)) for tag, counts in tagged.items()), key=lambda row: -row[1])


def fleet_by_day() -> Rows:
    rows: Rows = []
    for day in days(TODAY - 6 * DAY, TODAY):
        there = [org for org in ORGS if any(slot.date() == day for slot in polled(org))]
        counts = [last_of_days(org, ACTIVE).get(day) for org in there]
        of_known = [count for count in counts if count is not None]
        rows.append((day, sum(of_known), len(of_known), len(counts) - len(of_known)))
    return rows


def fleet_carried_over() -> Rows:
    rows: Rows = []
    for day in days(TODAY - 6 * DAY, TODAY):
        counts = [last_of_days(org, ACTIVE).items() for org in ORGS]
        recent = [[(at, count) for at, count in of_org if day - 7 * DAY <= at <= day] for of_org in counts]
        found = [of_org[-1] for of_org in recent if of_org]
        rows.append((day, sum(count for _, count in found), sum(at < day for at, _ in found)))
    return rows


def chart() -> Rows:
    rows: Rows = []
    counts = last_of_days("cedar", ACTIVE)
    for day in days(date(2025, 6, 8), TODAY):
        before = [count for at, count in counts.items() if at < day]
        slots = [poll("cedar", slot) for slot in polled("cedar") if slot.date() == day]
        count = counts.get(day)
        rows.append((day, count, before[-1] if count is None else None, sum(ACTIVE not in one.counts for one in slots)))
    return rows


def growth_by_month() -> Rows:
    rows: Rows = []
    for org in ("acme", "dune"):
        ends = {month: count for month, (_, count) in month_ends(org, ACTIVE).items()}
        grown = changes(list(ends.values()))
        rows += [(org, month, count, growth) for (month, count), growth in zip(ends.items(), grown, strict=True)]
    return rows


def counts_at_month_ends() -> Rows:
    wanted = (date(2025, 4, 1), date(2025, 5, 1))
    ends = {org: month_ends(org, UserType.ALL) for org in ORGS}
    return [(org, *ends[org][month]) for org in ORGS for month in wanted if month in ends[org]]


def fastest_growing() -> Rows:
    rows: Rows = []
    for org in KEPT:
        if (before := last_of_days(org, ACTIVE).get(TODAY - 30 * DAY)) is not None:
            grew = latest(org, ACTIVE) - before
            rows.append((org, before, latest(org, ACTIVE), grew, rounded(Decimal(100 * grew) / before)))
    return sorted(rows, key=lambda row: (-row[3], row[0]))


def week_on_week() -> Rows:
    rows: Rows = []
    for monday in (date(2025, 5, 12), date(2025, 5, 19), date(2025, 5, 26), date(2025, 6, 2)):
        totals = [sum(last_of_days(org, ACTIVE).get(monday + n * DAY, 0) for org in ORGS) for n in range(7)]
        users = rounded(Decimal(sum(totals)) / 7)
        rows.append((monday, users, 0, users - rows[-1][1] if rows else None))
    return rows


def unanswered_invitations() -> Rows:
    since = datetime(2025, 6, 1, tzinfo=UTC)
    least = {
        org: min((count for slot, count in known(org, UserType.NOT_CONFIRMED) if slot >= since), default=0)
        for org in ORGS
    }
    return sorted(((org, count) for org, count in least.items() if count), key=lambda row: (-row[1], row[0]))


def leavers_by_month() -> Rows:
    totals: dict[date, list[int]] = {}
    for place, kind in enumerate((UserType.DEACTIVE, UserType.DELETED)):
        for org in ORGS:
            ends = {month: count for month, (_, count) in month_ends(org, kind).items()}
            for month, change in zip(ends, changes(list(ends.values())), strict=True):
                if change is not None:
                    totals.setdefault(month, [0, 0])[place] += change
    return [(month, *totals[month]) for month in sorted(totals)]


def most_ever() -> Rows:
    rows: Rows = []
    for org in ORGS:
        most = max(count for _, count in known(org, ACTIVE))
        rows.append((org, min(slot.date() for slot, count in known(org, ACTIVE) if count == most), most))
    return rows


def slot_by_slot() -> Rows:
    since = datetime(2025, 6, 12, 6, tzinfo=UTC)
    polls = [poll("birch", slot) for slot in polled("birch") if since <= slot < since + DAY]
    admin = UserType.ADMIN
    return [(one.slot, one.outcome.value, one.counts.get(admin), one.errors.get(admin)) for one in polls]


def end_of_local_days() -> Rows:
    # Midnight in India is 18:30 UTC: the last slot of every day there is that of 18:00 UTC.
    ends = {slot: count for slot, count in known("acme", ACTIVE) if slot.hour == 18}
    wanted = [datetime(2025, 6, day, 18, tzinfo=UTC) for day in (12, 13, 14)]
    return [(slot.date(), ends[slot], slot) for slot in wanted]


def known_of_february() -> Rows:
    rows: Rows = []
    for org in ORGS:
        slots = [slot for slot in polled(org) if (slot.year, slot.month) == (2025, 2)]
        if slots:
            certain = sum(UserType.ALL in poll(org, slot).counts for slot in slots)
            rows.append((org, date(2025, 2, 1), rounded(Decimal(100 * certain) / len(slots), 2)))
    return rows


QUIET_SINCE: Final = analysts.CEDAR_FAILS - timedelta(hours=6) + timedelta(minutes=1)
FORBIDDEN: Final = "partial: AdminUsers NO_PERMISSION, ActiveConfirmedAdmins NO_PERMISSION"
ANSWERS: Final[dict[int, Callable[[], Rows]]] = {
    1: now_and_how_fresh,
    2: moved_in_thirty_days,
    3: share_confirmed,
    4: unused_seats,
    5: by_tag,
    6: lambda: [("cedar", QUIET_SINCE, "unavailable: http_503")],
    7: fleet_by_day,
    8: fleet_carried_over,
    9: chart,
    10: growth_by_month,
    11: counts_at_month_ends,
    12: fastest_growing,
    13: week_on_week,
    14: lambda: [("birch", analysts.ADMINS_APPEAR.date(), 2, 5)],
    15: unanswered_invitations,
    16: leavers_by_month,
    17: most_ever,
    18: slot_by_slot,
    19: lambda: [("cedar", analysts.DISAGREES, 78, 68, 9)],
    20: end_of_local_days,
    21: lambda: [
        ("cedar", analysts.CEDAR_FAILS, datetime(2025, 6, 15, 6, tzinfo=UTC), 21, "unavailable: http_503"),
        ("birch", datetime(2025, 6, 12, tzinfo=UTC), datetime(2025, 6, 12, 18, tzinfo=UTC), 4, FORBIDDEN),
    ],
    22: known_of_february,
}


def questions() -> dict[int, re.Match[str]]:
    return {int(found["number"]): found for found in QUESTION.finditer(DOCUMENT.read_text())}


@pytest.fixture(scope="module")
def fleet_dsn(server_dsn: str, template: str) -> Iterator[str]:
    """The address of a database with the analysts' fleet; no test writes to this database."""
    with cloned(server_dsn, template) as dsn:
        analysts.fill(dsn)
        yield dsn


async def ask(dsn: str, query: str, zone: str = "UTC") -> list[Any]:
    """Runs a query as a reader, at `analysts.NOW`, with any time zone of the session."""
    connection = await asyncpg.connect(dsn, server_settings={"timezone": zone})
    try:
        await connection.execute("SET search_path = clock, pg_catalog, public")
        await connection.execute("SET ROLE poller_reader")
        assert await connection.fetchval("SELECT now()") == NOW
        return list(await connection.fetch(query))
    finally:
        await connection.close()


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
@pytest.mark.parametrize("number", ANSWERS)
async def test_each_documented_query_gives_the_right_answer_in_any_session(
    fleet_dsn: str, number: int, zone: str
) -> None:
    rows = await ask(fleet_dsn, questions()[number]["sql"], zone)
    assert [tuple(row) for row in rows] == ANSWERS[number]()


@pytest.mark.parametrize("number", ANSWERS)
async def test_the_results_shown_in_the_document_are_the_actual_results(fleet_dsn: str, number: int) -> None:
    question = questions()[number]
    assert question["answer"] == drawn(await ask(fleet_dsn, question["sql"]))


async def test_the_columns_described_in_the_document_are_the_actual_columns(fleet_dsn: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == [
        "latest_user_counts",
        "latest_org_snapshots",
        "daily_user_counts",
        "fleet_daily_user_counts",
        "user_counts",
        "poll_gaps",
        "org_snapshots",
        "org_states",
        "orgs",
    ]
    for name, cell in rows:
        columns = re.findall(r"\w+", " ".join(re.findall("`(.*?)`", cell)))
        found = await ask(
            fleet_dsn,
            "SELECT column_name FROM information_schema.columns"
            f" WHERE table_name = '{name}' AND has_column_privilege('{name}', column_name, 'SELECT')",
        )
        assert sorted(columns) == sorted(row[0] for row in found), name


def test_every_query_of_the_document_is_tested_here() -> None:
    assert list(questions()) == list(ANSWERS)
    assert DOCUMENT.read_text().count("```sql") == len(ANSWERS) >= 20


def test_the_fleet_of_the_documented_queries_contains_every_kind_of_failure() -> None:
    outcomes = {poll(org, slot).outcome.value for org in ORGS for slot in polled(org)}
    assert outcomes == {"ok", "partial", "unavailable", "missed"}
    assert BEGIN < NOW


def drawn(rows: list[Any]) -> str:
    """The result as psql prints it, except for NULL."""
    columns = list(rows[0].keys())
    cells = [["·" if value is None else shown(value) for value in row] for row in rows]
    numeric = [all(not isinstance(row[at], str | date) for row in rows) for at in range(len(columns))]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [" | ".join(f"{name:<{width}}" for name, width in zip(columns, widths, strict=True))]
    lines.append("-+-".join("-" * width for width in widths))
    for row in cells:
        parts = zip(row, widths, numeric, strict=True)
        lines.append(" | ".join(f"{cell:>{width}}" if right else f"{cell:<{width}}" for cell, width, right in parts))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def shown(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M}Z" if isinstance(value, datetime) else str(value)
