from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from poller.core.model import UserType
from poller.core.series import TrendPoint
from poller.query.trend import trend_csv, trend_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

BERLIN = ZoneInfo("Europe/Berlin")


def point(day: int, last: int | None, *, org: str = "Acme") -> TrendPoint:
    at = datetime(2026, 11, day, tzinfo=UTC)
    if last is None:
        return TrendPoint(1, org, UserType.ACTIVE, at, missing=3)
    return TrendPoint(1, org, UserType.ACTIVE, at, last - 1, last, last - 1, last, last - 0.5, 24, 0)


async def stream(points: Sequence[TrendPoint]) -> AsyncIterator[TrendPoint]:
    for one in points:
        yield one


async def test_trend_csv_has_empty_fields_for_gaps() -> None:
    points = [point(1, 10, org='A "quoted", one'), point(2, None)]
    lines = [line async for line in trend_csv(stream(points), BERLIN)]
    rows = list(csv.DictReader(lines))
    assert [row["org"] for row in rows] == ['A "quoted", one', "Acme"]
    assert rows[0]["at"] == "2026-11-01T01:00:00+01:00"
    assert (rows[0]["user_type"], rows[0]["last"], rows[0]["avg"]) == ("ActiveUsers", "10", "9.5")
    assert (rows[1]["last"], rows[1]["samples"], rows[1]["missing"]) == ("", "0", "3")


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_trend_json_is_one_valid_list_with_one_object_per_line(count: int) -> None:
    points = [point(day, None if day == 2 else day) for day in range(1, count + 1)]
    lines = [line async for line in trend_json(stream(points), UTC)]
    assert len(lines) == count + 2
    read = json.loads("\n".join(lines))
    assert [one["last"] for one in read] == [one.last for one in points]
    assert all(one["at"].endswith("+00:00") for one in read)
