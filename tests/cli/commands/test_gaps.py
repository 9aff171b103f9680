from __future__ import annotations

import asyncio
import csv
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from poller.core.model import USER_TYPES, Outcome, Snapshot, UserType
from poller.core.series import Gap
from poller.core.slots import slot_of
from poller.query.gaps import join_gaps
from poller.store.database import connect
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from tests.command import Ended

    Poller = Callable[..., Ended]

HOUR = timedelta(hours=1)
QUARTER = HOUR / 4
# Whole hours, two days ago: nothing here is near the end of `--since`, or not over yet.
START = slot_of(datetime.now(UTC) - timedelta(days=2), 3_600)


def ok(org_id: int, slot: datetime) -> Snapshot:
    return Snapshot(org_id, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 5))


def failed(org_id: int, slot: datetime, error: str = "http_503") -> Snapshot:
    return Snapshot(org_id, slot, slot, Outcome.UNAVAILABLE, error)


def written(dsn: str, snapshots: Sequence[Snapshot], *statements: str, interval_seconds: int | None = None) -> None:
    """Two orgs, `acme` and `zeta`, and these snapshots."""

    async def write() -> None:
        async with await connect(dsn) as database:
            await database.execute(
                "INSERT INTO orgs (name, data_center, poll_interval_seconds) SELECT unnest($1::text[]), 'us', $2",
                ["acme", "zeta"],
                interval_seconds,
            )
            await write_snapshots(database, snapshots)
            for statement in statements:
                await database.execute(statement)

    asyncio.run(write())


def when(slot: datetime) -> str:
    return f"{slot:%Y-%m-%d %H:%M}"


def rows(ended: Ended) -> list[list[str]]:
    """The cells of the table between its headings and its last line; orgs that were never polled come below it."""
    lines = ended.out.partition("\n\n")[0].splitlines()[1:-1]
    return [[cell for cell in line.split("  ") if cell.strip()] for line in lines]


def summary(ended: Ended) -> str:
    """The line below the table."""
    return ended.out.partition("\n\n")[0].splitlines()[-1]


def stretch(org: str, first: int, last: int, reason: str, step: timedelta = QUARTER) -> list[str]:
    return [org, when(START + first * step), when(START + last * step), str(last - first + 1), reason]


def table(poller: Poller, *arguments: str) -> list[list[str]]:
    ended = poller("gaps", *arguments)
    assert (ended.code, ended.err) == (0, "")
    return [[cell.strip() for cell in row] for row in rows(ended)]


def test_consecutive_gaps_with_the_same_reason_are_shown_as_one_range(poller: Poller, on_database: str) -> None:
    slots = [START + n * QUARTER for n in range(12)]
    known = [ok(1, slot) for n, slot in enumerate(slots) if n not in {2, 3, 4, 5, 8}]
    unknown = [failed(1, slots[2]), failed(1, slots[3]), failed(1, slots[4], "timeout"), failed(1, slots[5], "timeout")]
    written(on_database, [*known, *unknown, failed(1, slots[8], "timeout"), failed(2, slots[2])])
    assert table(poller) == [
        stretch("acme", 2, 3, "unavailable: http_503"),
        stretch("acme", 4, 5, "unavailable: timeout"),
        stretch("acme", 8, 8, "unavailable: timeout"),
        stretch("zeta", 2, 2, "unavailable: http_503"),
    ]
    assert summary(poller("gaps")).startswith("6 slots of 2 orgs not wholly known since ")
    assert table(poller, "zeta") == [stretch("zeta", 2, 2, "unavailable: http_503")]
    assert summary(poller("gaps", "zeta")).startswith("1 slot not wholly known since ")


def test_gaps_before_and_after_a_pause_are_separate_ranges(poller: Poller, on_database: str) -> None:
    places = [0, 1, 2, 20, 21, 22]
    written(on_database, [failed(1, START + n * QUARTER) for n in places])
    assert table(poller) == [
        stretch("acme", 0, 2, "unavailable: http_503"),
        stretch("acme", 20, 22, "unavailable: http_503"),
    ]


def test_gaps_from_before_the_interval_was_shortened_are_still_one_range(poller: Poller, on_database: str) -> None:
    written(on_database, [failed(1, START + n * HOUR) for n in range(4)], interval_seconds=900)
    assert table(poller) == [stretch("acme", 0, 3, "unavailable: http_503", HOUR)]


def test_gaps_with_a_known_slot_between_them_are_two_ranges(poller: Poller, on_database: str) -> None:
    # Once polled by the quarter of an hour, now by the hour.
    snapshots = [failed(1, START), ok(1, START + QUARTER), failed(1, START + 2 * QUARTER)]
    written(on_database, snapshots, interval_seconds=3_600)
    assert [row[3] for row in table(poller)] == ["1", "1"]


def test_slots_never_polled_are_a_range_that_ends_when_the_org_is_paused(poller: Poller, on_database: str) -> None:
    written(
        on_database,
        [failed(1, START)],
        "INSERT INTO org_schedules (org_id, slot, interval_seconds, due_at)"
        f" VALUES (1, '{START + QUARTER}', 900, '{START + QUARTER}')",
        f"UPDATE orgs SET paused_at = '{START + 5 * QUARTER}'",
    )
    assert table(poller) == [
        stretch("acme", 0, 0, "unavailable: http_503"),
        stretch("acme", 1, 4, "never polled"),
    ]


def test_gaps_of_a_removed_org_are_left_out_and_those_of_a_new_org_begin_when_it_was_added(
    poller: Poller, on_database: str
) -> None:
    late = START + HOUR
    written(
        on_database,
        [failed(1, START), failed(2, START)],
        "UPDATE orgs SET removed_at = now() WHERE id = 1",
        "INSERT INTO orgs (name, data_center, created_at) VALUES ('new', 'us', now())",
        "INSERT INTO org_schedules (org_id, slot, interval_seconds, due_at)"
        f" VALUES (3, '{late}', 3600, '{late}'), (2, '{late}', 3600, '{datetime.now(UTC)}')",
        f"UPDATE orgs SET paused_at = '{late + HOUR}' WHERE id = 3",
    )
    assert table(poller) == [
        ["new", when(late), when(late), "1", "never polled"],
        stretch("zeta", 0, 0, "unavailable: http_503"),
    ]


def test_a_partial_snapshot_names_the_unknown_types(poller: Poller, on_database: str) -> None:
    counts = dict.fromkeys(set(USER_TYPES) - {UserType.ADMIN}, 5)
    errors = {UserType.ADMIN: "NO_PERMISSION"}
    written(on_database, [Snapshot(1, START, START, Outcome.PARTIAL, "NO_PERMISSION", errors, counts=counts)])
    assert table(poller) == [stretch("acme", 0, 0, "partial: AdminUsers NO_PERMISSION")]


def test_csv_and_json_list_every_slot_of_a_gap(poller: Poller, on_database: str) -> None:
    written(on_database, [failed(1, START + n * QUARTER) for n in range(3)])
    expected = [
        {
            "org_id": "1",
            "org": "acme",
            "slot": (START + n * QUARTER).isoformat(),
            "reason": "unavailable: http_503",
        }
        for n in range(3)
    ]
    *slots, never = csv.DictReader(poller("gaps", "--format", "csv").out.splitlines())
    assert slots == expected
    assert never == {"org_id": "2", "org": "zeta", "slot": "", "reason": "never polled"}
    as_json = json.loads(poller("gaps", "--format", "json").out)
    assert as_json.pop() == {"org_id": 2, "org": "zeta", "slot": None, "reason": "never polled"}
    assert [{**one, "org_id": str(one["org_id"])} for one in as_json] == expected
    kolkata = json.loads(poller("gaps", "acme", "--format", "json", "--tz", "Asia/Kolkata").out)
    assert {one["slot"][-6:] for one in kolkata} == {"+05:30"}
    assert [datetime.fromisoformat(one["slot"]) for one in kolkata] == [START + n * QUARTER for n in range(3)]


def test_without_gaps_the_command_says_that_everything_is_known(poller: Poller, on_database: str) -> None:
    written(on_database, [ok(1, START), failed(1, START - timedelta(days=9))])
    ended = poller("gaps", "acme")
    assert ended.code == 0
    assert ended.out.startswith("Everything is known since 20")
    assert len(table(poller, "--since", "30d")) == 1
    assert json.loads(poller("gaps", "acme", "--format", "json").out) == []
    assert poller("gaps", "acme", "--format", "csv").out == "org_id,org,slot,reason\n"


def test_an_org_that_was_never_polled_is_not_reported_as_known(poller: Poller, on_database: str) -> None:
    written(on_database, [])
    ended = poller("gaps")
    assert (ended.code, ended.out) == (0, "Never polled, so nothing is known of: acme, zeta.\n")
    assert poller("gaps", "zeta").out == "Never polled, so nothing is known of: zeta.\n"


def test_an_org_is_known_only_since_its_first_poll(poller: Poller, on_database: str) -> None:
    written(on_database, [ok(1, START), ok(2, START - timedelta(days=30))])
    assert poller("gaps").out == f"Known only since their first poll: acme ({when(START)}).\n"
    assert poller("gaps", "zeta").out.startswith("Everything is known since 20")


def test_many_orgs_that_were_never_polled_are_counted_and_the_first_ones_named(
    poller: Poller, on_database: str
) -> None:
    many = "INSERT INTO orgs (name, data_center) SELECT 'org ' || n, 'us' FROM generate_series(1, 40) n"
    written(on_database, [], many)
    assert poller("gaps").out.endswith("and 22 more (`poller orgs list --state never_polled`).\n")
    assert len(json.loads(poller("gaps", "--format", "json").out)) == 42


def test_gaps_are_shown_only_for_the_selected_orgs(poller: Poller, on_database: str) -> None:
    written(on_database, [failed(1, START), failed(2, START)], "UPDATE orgs SET tags = '{vip}' WHERE name = 'zeta'")
    assert table(poller, "--tag", "vip") == [stretch("zeta", 0, 0, "unavailable: http_503")]


def test_an_unknown_org_is_a_usage_error(poller: Poller, on_database: str) -> None:
    written(on_database, [])
    ended = poller("gaps", "amce")
    assert (ended.code, ended.out) == (2, "")
    assert ended.error == "poller: there is no org 'amce'; did you mean 'acme'?"


GAPS = st.lists(
    st.builds(
        Gap,
        st.integers(1, 2),
        st.just("acme"),
        st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 2), timezones=st.just(UTC)),  # noqa: DTZ001
        st.sampled_from("ab"),
        st.booleans(),
    )
)


@given(GAPS)
async def test_ranges_contain_every_gap_once_and_in_order(gaps: list[Gap]) -> None:
    async def stream() -> AsyncIterator[Gap]:
        for gap in gaps:
            yield gap

    found: list[Any] = [one async for one in join_gaps(stream())]
    assert sum(one.slots for one in found) == len(gaps)
    places = [sum(one.slots for one in found[:n]) for n in range(len(found))]
    for at, one in zip(places, found, strict=True):
        inside = gaps[at : at + one.slots]
        assert (one.first, one.last) == (inside[0], inside[-1])
        assert len({(gap.org_id, gap.reason) for gap in inside}) == 1
        assert all(gap.follows for gap in inside[1:])


@pytest.mark.parametrize("arguments", [["--since", "yesterday"], ["--tz", "Mars/Base"], ["--format", "xml"]])
def test_an_invalid_option_is_named_and_exits_with_code_2(poller: Poller, arguments: list[str]) -> None:
    ended = poller("gaps", *arguments)
    assert ended.code == 2
    assert f"'{arguments[1]}'" in ended.error


def test_a_request_for_days_older_than_the_retention_is_answered_with_a_note(poller: Poller, on_database: str) -> None:
    day = f"{START:%Y-%m-%d}"
    written(on_database, [failed(1, START)], f"UPDATE rollup_state SET raw_since = '{day}'")
    for arguments in ([], ["--format", "csv"]):
        ended = poller("gaps", "--since", "2y", *arguments)
        told = f"Snapshots before {day} are not kept any longer, and neither are their gaps.\n"
        assert (ended.code, ended.err) == (0, told)
    assert summary(poller("gaps", "--since", "2y")).endswith(f"not wholly known since {day} 00:00.")
    assert poller("gaps", "--since", day).err == ""


def test_a_trend_that_needs_dropped_snapshots_is_answered_with_a_note(poller: Poller, on_database: str) -> None:
    day = f"{START:%Y-%m-%d}"
    written(on_database, [ok(1, START)], f"UPDATE rollup_state SET raw_since = '{day}'")
    told = f"Snapshots before {day} are not kept any longer: of what is before, days of UTC are known"
    assert poller("trend", "--since", "30d", "--every", "1h").err.startswith(told)
    assert poller("trend", "--since", "30d", "--tz", "Asia/Tokyo").err.startswith(told)
    assert poller("trend", "--since", "30d").err == ""
    assert poller("trend", "--since", "1h", "--every", "1h").err == ""
