from __future__ import annotations

from hypothesis import given, strategies as st
from rich.cells import cell_len

from poller.cli.output.table import Table


def table(*rows: tuple[str, str, str]) -> Table:
    return Table(("org", "users", "why"), right=("users",), spare=("why",), rows=list(rows))


def test_texts_stand_left_and_numbers_right() -> None:
    assert list(table(("Acme", "1,234", ""), ("Beta Ltd", "5", "timeout")).lines()) == [
        "org       users  why",
        "Acme      1,234",
        "Beta Ltd      5  timeout",
    ]


def test_a_narrow_terminal_goes_without_a_spare_column_before_a_text_is_cut() -> None:
    rows = (("Acme International", "1,234", "timeout"),)
    assert list(table(*rows).lines(27)) == ["org                 users", "Acme International  1,234"]
    assert list(table(*rows).lines(20)) == ["org            users", "Acme Interna…  1,234"]


def test_wide_letters_take_two_cells() -> None:
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
def test_a_pipe_gets_every_cell_whole(rows: list[tuple[str, str, str]]) -> None:
    lines = list(table(*rows).lines())
    assert all(cell.strip() in line for row, line in zip(rows, lines[1:], strict=True) for cell in row)


def test_where_even_numbers_have_no_room_they_go_from_the_right_and_the_first_column_stays() -> None:
    wide = Table(("org", "one", "two"), right=("one", "two"), rows=[("Acme International", "1,000,000", "2,000,000")])
    assert list(wide.lines(24)) == ["org                  one", "Acme Interna…  1,000,000"]
    assert all(cell_len(line) <= 10 for line in wide.lines(10))


def test_a_text_with_a_rule_of_its_own_is_shortened_by_it() -> None:
    short = Table(
        ("org", "trend"), shorten={"trend": lambda text, width: text[-width:]}, rows=[("Acme", "abcdefghijklmnop")]
    )
    assert list(short.lines(16)) == ["org   trend", "Acme  ghijklmnop"]
