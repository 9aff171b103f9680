from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from poller.cli.output.colours import coloured, shows_colours, with_coloured, without_colours

if TYPE_CHECKING:
    from collections.abc import Mapping


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "at_terminal", "in_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_colours_depend_on_the_terminal_and_on_three_variables(
    variables: Mapping[str, str], at_terminal: bool, in_pipe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    assert (shows_colours(Terminal()), shows_colours(io.StringIO())) == (at_terminal, in_pipe)


def test_a_verdict_is_coloured_by_its_first_word_and_other_texts_are_not() -> None:
    assert coloured("failing: ht\u2026 ", "failing: http_503") == "\x1b[31mfailing: ht\u2026\x1b[0m "
    assert coloured("Acme", "Acme") == "Acme"
    assert without_colours(coloured("critical", "critical")) == "critical"


def test_a_verdict_in_a_line_is_coloured_at_the_end_or_where_it_is_first() -> None:
    assert with_coloured("OK Ltd: OK", "OK") == "OK Ltd: \x1b[32mOK\x1b[0m"
    assert with_coloured("  3 late, and late again: wait", "late").startswith("  3 \x1b[33mlate\x1b[0m, and late")
    assert with_coloured("later", "late") == "later"
