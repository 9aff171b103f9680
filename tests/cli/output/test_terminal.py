from __future__ import annotations

from hypothesis import given, strategies as st

from poller.cli.output.terminal import wrap

words = st.lists(st.text("abcäö-.,", min_size=1, max_size=12), min_size=1, max_size=40)


def test_a_sentence_is_folded_at_blanks_under_its_own_beginning() -> None:
    assert wrap("  Acme  invalid_code: make a new one", 6, 24) == ["  Acme  invalid_code:", "      make a new one"]


def test_to_a_pipe_it_goes_whole() -> None:
    line = "word " * 100
    assert wrap(line, 6, None) == [line]


@given(words, st.integers(30, 120))
def test_no_word_is_lost_cut_or_beyond_the_terminal(told: list[str], cells: int) -> None:
    parts = wrap(" ".join(told), 6, cells)
    assert " ".join(parts).split() == told
    assert all(len(part) <= cells for part in parts)
