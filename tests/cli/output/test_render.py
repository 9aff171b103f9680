from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from poller.cli.output import render
from poller.core.model import USER_TYPES, Outcome, Snapshot, UserType
from poller.core.series import TrendPoint

if TYPE_CHECKING:
    from poller.cli.output.table import Table

SLOT = datetime(2026, 11, 1, 12, 15, tzinfo=UTC)
DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")


def text_of(table: Table) -> str:
    return "\n".join(table.lines())


def point(day: int, last: int | None, *, org: str = "Acme", kind: UserType = UserType.ACTIVE) -> TrendPoint:
    at = datetime(2026, 11, day, tzinfo=UTC)
    if last is None:
        return TrendPoint(1, org, kind, at, missing=3)
    return TrendPoint(1, org, kind, at, last - 1, last, last - 1, last, last - 0.5, 24, 0)


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([], 10, ""),
        ([1, 2, 3, 4, 5, 6, 7, 8], 8, "▁▂▃▄▅▆▇█"),
        ([5, 5, 5], 10, "▅▅▅"),
        ([0, None, 10], 10, "▁·█"),
        ([None, None], 10, "··"),
        ([1, 1, 2, 2, 9, 9], 3, "▁▂█"),
        ([1, 1, None, None, 9, 9], 3, "▁·█"),
        ([1, None, None, 5, 9, 9], 3, "··▅"),
        ([1, 1, 1, 5, 5, None, 9, 9, 9, 9, 9, None], 4, "▁·█·"),
        ([None, None, None, None, None, 9], 3, "··▅"),
    ],
)
def test_a_sparkline_scales_from_lowest_to_highest_and_shows_gaps(
    values: list[int | None], width: int, drawn: str
) -> None:
    assert render.sparkline(values, width) == drawn


@given(values=st.lists(st.none() | st.integers(0, 10**9), max_size=400), width=st.integers(1, 100))
def test_a_sparkline_fits_its_width_and_draws_only_known_values(values: list[int | None], width: int) -> None:
    drawn = render.sparkline(values, width)
    assert len(drawn) <= width
    if len(values) <= width:
        assert [one == render.GAP for one in drawn] == [value is None for value in values]
    assert set(drawn) <= set("▁▂▃▄▅▆▇█·")
    if values and values[-1] is not None:
        assert drawn[-1] != render.GAP


def test_control_characters_in_external_text_are_escaped() -> None:
    assert render.plain("Acme\x1b[31m\nLtd") == "Acme\\x1b[31m\\x0aLtd"
    assert render.plain("Zoë & Ωo [bold]中") == "Zoë & Ωo [bold]中"
    assert render.plain("👩\u200d🚀 می\u200cروم") == "👩\u200d🚀 می\u200cروم"
    assert "\x1b" not in text_of(render.poll_table([("a\x1b[2J", Snapshot(1, SLOT, SLOT, Outcome.OK, "\x1b]0;x\x07"))]))


def test_a_polled_org_is_one_json_line_with_all_counts_and_errors() -> None:
    snapshot = Snapshot(
        7,
        SLOT,
        SLOT,
        Outcome.PARTIAL,
        "INTERNAL_ERROR",
        errors={UserType.ADMIN: "INTERNAL_ERROR"},
        requests=12,
        duration_ms=345,
        counts={kind: place for place, kind in enumerate(USER_TYPES) if kind is not UserType.ADMIN},
    )
    line = render.poll_json("Zoë\nLtd", snapshot)
    assert "\n" not in line
    assert json.loads(line) == {
        "org": "Zoë\nLtd",
        "slot": "2026-11-01T12:15:00+00:00",
        "outcome": "partial",
        "error": "INTERNAL_ERROR",
        "counts": {kind.value: place for place, kind in enumerate(USER_TYPES) if kind is not UserType.ADMIN},
        "errors": {"AdminUsers": "INTERNAL_ERROR"},
        "requests": 12,
        "seconds": 0.345,
    }


def test_an_unknown_count_is_a_gap_in_the_table_and_never_a_zero() -> None:
    known = Snapshot(1, SLOT, SLOT, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 1234))
    unknown = Snapshot(2, SLOT, SLOT, Outcome.UNAVAILABLE, "timeout")
    _, first, second = text_of(render.poll_table([("Acme", known), ("Beta", unknown)])).splitlines()
    assert first.split() == ["Acme", "ok", *["1,234"] * 9]
    assert second.split() == ["Beta", "unavailable", *["·"] * 9, "timeout"]


def test_the_poll_summary_counts_orgs_by_outcome() -> None:
    outcomes = Counter({Outcome.THROTTLED: 2, Outcome.OK: 1_498})
    line = render.poll_summary(outcomes, 15_000, 12.345)
    assert line == "1,500 orgs: 1,498 ok, 2 throttled · 15,000 requests in 12.3 s"
    assert render.poll_summary(Counter({Outcome.OK: 1}), 10, 0).startswith("1 org: 1 ok")


def test_each_step_of_a_trend_shows_the_change_since_the_last_known_step() -> None:
    lines = text_of(render.trend_table([point(1, 10), point(2, None), point(3, 14)], UTC)).splitlines()
    assert lines[1].split() == ["2026-11-01", "10", "·", "9", "10", "9.5", "24", "0"]
    assert lines[2].split() == ["2026-11-02", "·", "·", "·", "·", "·", "0", "3"]
    assert lines[3].split() == ["2026-11-03", "14", "+4", "13", "14", "13.5", "24", "0"]


def test_a_trend_step_that_is_not_a_whole_day_shows_its_hour() -> None:
    assert "2026-11-01 01:00" in text_of(render.trend_table([point(1, 10)], BERLIN))


def test_a_trend_overview_has_one_line_per_series_with_its_number_of_gaps() -> None:
    series = {"Acme": [point(1, 10), point(2, None), point(3, 14)], "Beta": [point(1, None)]}
    table = render.overview_table("org")
    for name, points in series.items():
        table.rows.append(render.overview_row(name, points, 30))
    _, acme, beta = text_of(table).splitlines()
    assert acme.split() == ["Acme", "9", "14", "+5", "9", "14", "1", "▁·█"]
    assert beta.split() == ["Beta", "·", "·", "·", "·", "·", "1", "·"]


@given(values=st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=90), width=st.integers(1, 90))
def test_a_shortened_sparkline_keeps_its_newest_value_and_its_gaps(values: list[int | None], width: int) -> None:
    drawn = render.sparkline(values, 90)
    short = render.shorter_sparkline(drawn, width)
    assert len(short) <= width
    assert short[-1] == drawn[-1]
    assert set(short) <= set(drawn)
