from __future__ import annotations

from hypothesis import given, strategies as st

from poller.cli.output.wrapping import wrap

words = st.lists(st.text("abcäö-.,", min_size=1, max_size=12), min_size=1, max_size=40)


def test_a_sentence_is_wrapped_at_spaces_and_indented_below_its_start() -> None:
    assert wrap("  Acme  invalid_code: make a new one", 6, 24) == ["  Acme  invalid_code:", "      make a new one"]


def test_a_sentence_is_not_wrapped_in_a_pipe() -> None:
    line = "word " * 100
    assert wrap(line, 6, None) == [line]


@given(words, st.integers(30, 120))
def test_wrapping_loses_and_cuts_no_word_and_stays_within_the_terminal(told: list[str], cells: int) -> None:
    parts = wrap(" ".join(told), 6, cells)
    assert " ".join(parts).split() == told
    assert all(len(part) <= cells for part in parts)
