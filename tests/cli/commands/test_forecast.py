"""`poller forecast --series` forecasts the series of any file without a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    path = tmp_path / "counts.csv"
    path.write_text("series,day,value\n" + "".join(f"seats,2026-01-{day:02},{day}\n" for day in range(1, 32)))
    return path


def test_a_file_of_series_is_forecast_without_a_database(poller: Poller, counts: Path) -> None:
    ended = poller("forecast", "--series", str(counts), "--horizon", "3", "--format", "csv")
    assert ended.code == 0
    assert ended.err == ""
    lines = ended.out.splitlines()
    assert lines[0] == "series,day,mean,low80,high80,low95,high95"
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["seats", "2026-02-01", "32"],
        ["seats", "2026-02-02", "33"],
        ["seats", "2026-02-03", "34"],
    ]


def test_an_empty_file_of_series_is_reported_as_empty_without_an_error(poller: Poller, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    ended = poller("forecast", "--series", str(tmp_path / "empty.csv"))
    assert (ended.code, ended.out.splitlines()) == (0, ["series,day,mean,low80,high80,low95,high95"])
    assert "holds no series" in ended.error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--horizon", "400"], "invalid horizon '400'; write 1 to 365 days, such as 90d"),
        (["--horizon", "soon"], "invalid horizon 'soon'; write 1 to 365 days, such as 90d"),
        (["--format", "xml"], "'xml' is not a format of --series"),
    ],
)
def test_a_wrong_option_gets_one_line_with_its_remedy(
    poller: Poller, counts: Path, arguments: list[str], said: str
) -> None:
    ended = poller("forecast", "--series", str(counts), *arguments)
    assert ended.code == 2
    assert said in ended.error


def test_a_file_that_is_not_there_or_not_utf_8_gets_one_line(poller: Poller, tmp_path: Path) -> None:
    assert "cannot be read: No such file" in poller("forecast", "--series", str(tmp_path / "none.csv")).error
    (tmp_path / "ansi.csv").write_bytes(b"series,day,value\nM\xfcller,2026-01-01,3\n")
    assert "is not UTF-8" in poller("forecast", "--series", str(tmp_path / "ansi.csv")).error
