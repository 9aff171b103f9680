"""Text for the cells of a spreadsheet: marks as text what a spreadsheet would run as a formula."""

from __future__ import annotations

from typing import Any, Final

BYTE_ORDER_MARK: Final = "\ufeff"
"""Without this mark at the start, Excel reads a UTF-8 file in the machine's code page."""
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001 - Excel reads these as well
_MARK: Final = "'"


def cell(value: Any) -> Any:
    """`value`, with an apostrophe before text that a spreadsheet would run as a formula; numbers stay as they are."""
    return f"{_MARK}{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value
