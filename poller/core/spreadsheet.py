"""Text for the cell of a spreadsheet: what a spreadsheet would run as a formula is marked as text."""

from __future__ import annotations

from typing import Any, Final

BYTE_ORDER_MARK: Final = "\ufeff"
"""Without it at the beginning Excel reads a UTF-8 file in the code page of the machine."""
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001 - Excel reads these as well
_MARK: Final = "'"


def cell(value: Any) -> Any:
    """`value`, with an apostrophe before text that a spreadsheet would take for a formula; numbers stay as they are."""
    return f"{_MARK}{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value
