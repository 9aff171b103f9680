"""Series files of users: valid formats, and errors for files that cannot be read."""

import csv
import io
from datetime import date

import pytest
from hypothesis import given, settings, strategies as st

from poller.core.errors import UsageError
from poller.query.series_file import anomaly_lines, forecast_lines, read_series

MONTH = [f"2026-01-{day:02}" for day in range(1, 32)]


def forecasts(text: str, horizon: int = 7) -> list[dict[str, str]]:
    """The forecasts of a file."""
    return list(
        csv.DictReader(io.StringIO("".join(forecast_lines(read_series(io.StringIO(text, newline="")), horizon))))
    )


def test_each_series_is_forecast_with_one_row_per_day_from_the_day_after_its_last_value() -> None:
    rows = forecasts("series,day,value\n" + "".join(f"a,{day},5\n" for day in MONTH) + "b,2026-03-01,9\n")
    assert [row["day"] for row in rows if row["series"] == "a"] == [f"2026-02-0{day}" for day in range(1, 8)]
    assert [row["day"] for row in rows if row["series"] == "b"] == [f"2026-03-0{day}" for day in range(2, 9)]
    assert rows[0] == {
        "series": "a", "day": "2026-02-01", "mean": "5", "low80": "5", "high80": "5", "low95": "5", "high95": "5"
    }  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.permutations(list(enumerate(MONTH))))
def test_the_order_of_rows_does_not_matter(shuffled: list[tuple[int, str]]) -> None:
    ordered = "series,day,value\n" + "".join(f"a,{day},{50 + place}\n" for place, day in enumerate(MONTH))
    mixed = "series,day,value\n" + "".join(f"a,{day},{50 + place}\n" for place, day in shuffled)
    assert forecasts(ordered) == forecasts(mixed)


def test_the_later_of_two_rows_for_one_day_is_used() -> None:
    assert forecasts("series,day,value\na,2026-01-01,5\na,2026-01-01,8\n")[0]["mean"] == "8"


def test_empty_values_are_unknown_days_and_a_series_without_any_value_is_left_out() -> None:
    rows = forecasts("series,day,value\na,2026-01-01,5\na,2026-01-02,\nb,2026-01-01,\n")
    assert {row["series"] for row in rows} == {"a"}
    assert rows[0]["day"] == "2026-01-02"


def test_quoted_names_other_line_ends_a_byte_order_mark_and_other_columns_are_read() -> None:
    text = '\ufeffvalue,note,series,day\r\n5,x,"Müller, ""& Co""",2026-01-01\r\n'
    assert forecasts(text)[0]["series"] == 'Müller, "& Co"'


def test_years_without_a_value_keep_the_last_value_and_take_little_memory() -> None:
    assert forecasts("series,day,value\na,0001-01-01,5\na,9999-12-01,6\n")[0] | {} == {
        "series": "a", "day": "9999-12-02", "mean": "6", "low80": "6", "high80": "6", "low95": "6", "high95": "6"
    }  # fmt: skip


def test_a_forecast_ends_with_the_last_day_of_the_calendar() -> None:
    assert len(forecasts("series,day,value\na,9999-12-30,5\n")) == 1


@pytest.mark.parametrize("text", ["", "series,day,value\n", "series,day,value\n\n\n"])
def test_an_empty_file_has_no_forecasts(text: str) -> None:
    assert forecasts(text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,day,value\n", "no column series"),
        ("series,day,value\na,2026-01-01,many\n", "line 2: 'many' is not a number"),
        ("series,day,value\na,2026-01-01,inf\n", "line 2: 'inf' is not a number"),
        ("series,day,value\na,1 May,3\n", "line 2: '1 May' is not a day"),
        ("series,day,value\na,2026-01-01\n", "line 2: it has 2 fields"),
    ],
)
def test_an_unreadable_line_of_a_series_file_is_named_with_its_number(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        forecasts(text)


def test_a_long_wrong_value_is_shortened_in_the_error() -> None:
    with pytest.raises(UsageError) as wrong:
        forecasts(f"series,day,value\na,2026-01-01,{'x' * 5_000}\n")
    assert len(str(wrong.value)) < 200


def test_anomalies_of_a_series_file_are_rows_with_day_and_reason() -> None:
    days = [date.fromordinal(740_000 + place).isoformat() for place in range(168)]
    text = "series,day,value\n" + "".join(f"a,{day},{0 if place > 150 else 90}\n" for place, day in enumerate(days))
    rows = list(csv.DictReader(io.StringIO("".join(anomaly_lines(read_series(io.StringIO(text)))))))
    assert [(row["series"], row["day"], row["kind"], row["before"], row["after"]) for row in rows] == [
        ("a", days[151], "zero", "90", "0")
    ]
    assert rows[0]["why"] == "fell from 90 to zero in a day"
