"""Five hundred orgs, of which a third fail: each org and slot has one row with true counts, and no rule is broken.

`pytest -s` prints the report.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from poller.core.credits import affordable_interval
from poller.core.editions import daily_credits
from poller.core.slots import slot_of
from poller.simulator import FAULTS, Fault
from tests.acceptance.line import Clock, Line, as_stored, line
from tests.acceptance.test_replies import TOLD

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

ORGS = 500
TUESDAY_MORNING = 1_764_061_260.0
"""A minute past 09:00 UTC on 2025-11-25: head-counts move."""
POLLS_AT = (0, 900, 27 * 3_600)
"""Seconds from then: two slots one after the other, and one the next day, with other tokens and other counts."""
NAMES = list(FAULTS)


def fault_of(index: int) -> str | None:
    """The fault of an org: every third org has one, and each fault has at least two orgs."""
    return None if index % 3 else NAMES[index // 3 % len(NAMES)]


async def all_rows(mine: Line) -> dict[str, list[dict[str, Any]]]:
    """Every row of every org, the oldest first."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in mine.names}
    for row in await mine.app.database.fetch(
        "SELECT o.name, s.* FROM org_snapshots s JOIN orgs o ON o.id = s.org_id ORDER BY o.name, slot"
    ):
        rows[row["name"]].append(as_stored(row))
    return rows


async def test_five_hundred_orgs_of_which_a_third_fail_each_have_a_row_and_no_row_has_a_wrong_count(
    database: Database, keyring: Keyring
) -> None:
    faults = tuple(Fault(name=name, org=index) for index in range(ORGS) if (name := fault_of(index)) is not None)
    # A fault that hangs lasts this long; with three seconds, a busy machine took healthy requests for such ones.
    clock, settings = Clock(TUESDAY_MORNING), {"request_timeout_seconds": 6}
    async with line(database, keyring, clock=clock, settings=settings, orgs=ORGS, faults=faults) as mine:
        expected: dict[str, set[Any]] = {name: set() for name in mine.names}
        for seconds in POLLS_AT:
            clock.seconds = TUESDAY_MORNING + seconds
            for org in mine.sim.fleet():
                interval = affordable_interval(900, daily_credits(org.edition, org.licences), 0.10)
                expected[org.name].add(slot_of(clock.now(), interval))
            assert len(await mine.poll()) == ORGS
        rows = await all_rows(mine)
        assert {name: [row["slot"] for row in rows[name]] for name in mine.names} == {
            name: sorted(slots) for name, slots in expected.items()
        }
        for index, name in enumerate(mine.names):
            trouble = fault_of(index)
            for row in rows[name]:
                assert_no_lie(mine, index, row, trouble)
                assert row["outcome"] == (TOLD[trouble].outcome if trouble else "ok"), trouble
        report(mine, rows)
        assert sum(have_moved(of_org) for of_org in rows.values()) > ORGS / 10
        assert mine.breaches == []


def assert_no_lie(mine: Line, index: int, row: dict[str, Any], trouble: str | None) -> None:
    """Asserts that every count was true during the poll, except for the fault in which Zoho itself returns 0."""
    if trouble == "count_zero":
        assert set(row["counts"].values()) == {0}
        return
    moments = (row["polled_at"], row["polled_at"] + timedelta(milliseconds=row["duration_ms"]))
    truths = [mine.sim.expected_counts(index, at) for at in moments]
    for kind, count in row["counts"].items():
        assert count in {truth[kind] for truth in truths}, (mine.names[index], kind)
    assert (len(row["counts"]) == 10) == (row["outcome"] == "ok")


def have_moved(rows: list[dict[str, Any]]) -> bool:
    return len({tuple(row["counts"].values()) for row in rows}) > 1


def report(mine: Line, rows: dict[str, list[dict[str, Any]]]) -> None:
    audit = mine.sim.audit()
    outcomes = Counter(row["outcome"] for of_org in rows.values() for row in of_org)
    facts = {
        "orgs": len(rows),
        "orgs with a fault": sum(fault_of(index) is not None for index in range(ORGS)),
        "kinds of fault": len({fault_of(index) for index in range(ORGS)} - {None}),
        "polls": len(POLLS_AT),
        "rows": outcomes.total(),
        **{f"  {outcome}": count for outcome, count in outcomes.most_common()},
        "orgs whose counts moved": sum(have_moved(of_org) for of_org in rows.values()),
        "requests": audit["requests"],
        "faults given": sum(audit["faults_given"].values()),
        "tokens asked for": audit["token_asks"],
        "most tokens of one org asked for in ten minutes": max(
            org["most_token_asks_in_window"] for org in audit["orgs"]
        ),
        "most in flight at one org": audit["most_in_flight"],
        "breaches": audit["breaches"],
    }
    print()  # noqa: T201 - what it is for
    for name, fact in facts.items():
        print(f"{name:50} {fact}")  # noqa: T201
