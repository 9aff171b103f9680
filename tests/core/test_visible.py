from __future__ import annotations

from hypothesis import given, strategies as st

from poller.core.visible import visible


def test_control_characters_are_written_out_and_everything_else_stays() -> None:
    assert visible("\x1b[31mred\x1b[0m\x9b1m\x00\x7f\r") == r"\x1b[31mred\x1b[0m\x9b1m\x00\x7f\x0d"
    assert visible("Café 株式会社\tone\ntwo") == "Café 株式会社\tone\ntwo"


@given(st.text())
def test_no_text_contains_control_characters_after_escaping(text: str) -> None:
    shown = visible(text)
    assert not [letter for letter in shown if letter not in "\n\t" and (letter < " " or "\x7f" <= letter < "\xa0")]
    assert visible(shown) == shown
