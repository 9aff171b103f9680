from __future__ import annotations

import pytest

from poller.core.spreadsheet import cell


@pytest.mark.parametrize(
    "text", ["=HYPERLINK(1)", "+49 Ltd", "-Acme", "@home", "\tx", "\rx", "\uff1d1+1", "=cmd|' /C calc'!A0", "-5"]
)
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["Acme", "", "'Acme", "A=B", " =x", "2026-01-31T00:00:00+00:00", -5, -1.5, None])
def test_other_text_and_numbers_stay_as_they_are(value: object) -> None:
    assert cell(value) == value
