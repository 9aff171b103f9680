from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len

from poller.cli.output.table import Table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def table(*rows: tuple[str, str, str]) -> Table:
    return Table(("org", "users", "why"), right=("users",), spare=("why",), rows=list(rows))


def test_text_is_left_aligned_and_numbers_are_right_aligned() -> None:
    assert list(table(("Acme", "1,234", ""), ("Beta Ltd", "5", "timeout")).lines()) == [
        "org       users  why",
        "Acme      1,234",
        "Beta Ltd      5  timeout",
    ]


def test_a_narrow_terminal_drops_optional_columns_before_text_is_cut() -> None:
    rows = (("Acme International", "1,234", "timeout"),)
    assert list(table(*rows).lines(27)) == ["org                 users", "Acme International  1,234"]
    assert list(table(*rows).lines(20)) == ["org            users", "Acme Interna…  1,234"]


def test_wide_characters_take_two_cells() -> None:
    lines = list(table(("中文公司", "1", ""), ("Acme", "22", "")).lines())
    assert {cell_len(line[: line.index(number)]) for line, number in zip(lines[1:], (" 1", "22"), strict=True)} == {13}


cells = st.text(st.characters(categories=["L", "N", "Zs"]), max_size=30)


@given(rows=st.lists(st.tuples(cells, st.integers(0, 10**6).map("{:,}".format), cells)), width=st.integers(20, 120))
def test_a_table_fits_its_terminal_and_cuts_no_number(rows: list[tuple[str, str, str]], width: int) -> None:
    lines = list(table(*rows).lines(width))
    assert len(lines) == len(rows) + 1
    assert all(cell_len(line) <= width for line in lines)
    assert all(count in line for (_, count, _), line in zip(rows, lines[1:], strict=True))


@given(rows=st.lists(st.tuples(cells, cells, cells)))
def test_no_cell_is_cut_in_a_pipe(rows: list[tuple[str, str, str]]) -> None:
    lines = list(table(*rows).lines())
    assert all(cell.strip() in line for row, line in zip(rows, lines[1:], strict=True) for cell in row)


def test_number_columns_that_do_not_fit_are_dropped_from_the_right_and_the_first_column_stays() -> None:
    wide = Table(("org", "one", "two"), right=("one", "two"), rows=[("Acme International", "1,000,000", "2,000,000")])
    assert list(wide.lines(24)) == ["org                  one", "Acme Interna…  1,000,000"]
    assert all(cell_len(line) <= 10 for line in wide.lines(10))


def test_a_column_with_its_own_shortening_rule_is_shortened_by_it() -> None:
    short = Table(
        ("org", "trend"), shorten={"trend": lambda text, width: text[-width:]}, rows=[("Acme", "abcdefghijklmnop")]
    )
    assert list(short.lines(16)) == ["org   trend", "Acme  ghijklmnop"]


async def rows_of(count: int, last: str = "") -> AsyncIterator[tuple[str, str]]:
    for number in range(count):
        yield (f"org {number}", str(number))
    if last:
        yield (last, "1")


@pytest.mark.parametrize("width", [None, 9])
@pytest.mark.parametrize("count", [1, 999, 1_000, 1_001, 2_500])
async def test_streamed_rows_look_like_the_complete_table(count: int, width: int | None) -> None:
    whole = Table(("org", "users"), right=("users",), rows=[row async for row in rows_of(count)])
    streamed = [line async for line in Table(("org", "users"), right=("users",)).stream(rows_of(count), width)]
    first = slice(0, 1_001)
    assert streamed[first] == list(Table(whole.headings, whole.right, rows=whole.rows[:1_000]).lines(width))
    assert len(streamed) == count + 1


async def test_streaming_prints_the_first_lines_before_the_last_row_is_read() -> None:
    async def endless() -> AsyncIterator[tuple[str, str]]:
        number = 0
        while True:
            yield ("org", str(number))
            number += 1

    lines = Table(("org", "users")).stream(endless())
    assert [await anext(lines), await anext(lines)] == ["org  users", "org  0"]


async def test_wide_text_late_in_a_stream_is_complete_in_a_pipe_and_cut_on_a_terminal() -> None:
    name = "a name that is wider than all before it"
    piped = [line async for line in Table(("org", "users")).stream(rows_of(1_500, name))]
    shown = [line async for line in Table(("org", "users")).stream(rows_of(1_500, name), 80)]
    assert piped[-1] == f"{name}  1"
    assert shown[-1].startswith("a name…")


async def test_a_wide_number_late_in_a_stream_is_never_cut() -> None:
    async def rows() -> AsyncIterator[tuple[str, str]]:
        async for row in rows_of(1_500):
            yield row
        yield ("late", "1,234,567")

    lines = [line async for line in Table(("org", "users"), right=("users",)).stream(rows(), 80)]
    assert lines[-1].endswith("1,234,567")


async def test_a_stream_without_rows_has_no_headings() -> None:
    assert [line async for line in Table(("org", "users")).stream(rows_of(0), 40)] == []


def test_long_sentences_are_below_their_rows_where_the_terminal_is_too_narrow() -> None:
    why = "97 % of the seats are used, and they run out in December"
    found = Table(("org", "users", "why"), right=("users",), below="why", rows=[("Acme", "1,234", why)])
    assert len(list(found.lines(80))) == 2
    assert list(found.lines(40)) == [
        "org   users",
        "Acme  1,234",
        "    97 % of the seats are used, and they",
        "    run out in December",
    ]


def test_columns_are_left_out_before_a_short_sentence_moves_below_its_row() -> None:
    found = Table(("org", "to", "why"), spare=("to",), below="why", rows=[("Acme", "2026-11-27", "timeout")])
    assert list(found.lines(14)) == ["org   why", "Acme  timeout"]
    assert list(found.lines(11)) == ["org", "Acme", "    timeout"]


def test_times_are_cut_after_everything_else() -> None:
    found = Table(("org", "from"), whole=("from",), rows=[("Acme International", "2026-11-27 18:00")])
    assert list(found.lines(26)) == ["org       from", "Acme In…  2026-11-27 18:00"]
    assert all(cell_len(line) <= 12 for line in found.lines(12))


def test_only_verdicts_are_coloured_and_blanks_are_not() -> None:
    found = Table(("org", "state"), verdicts=("state",), colours=True, rows=[("ok", "failing"), ("Beta", "ok")])
    assert list(found.lines()) == [
        "org   state",
        "ok    \x1b[31mfailing\x1b[0m",
        "Beta  \x1b[32mok\x1b[0m",
    ]
