"""Sentences wrapped to the width of a terminal."""

from __future__ import annotations

import textwrap
from typing import Final

_SMALL_INDENT: Final = 4


def wrap(line: str, hang: int, cells: int | None) -> list[str]:
    """Wraps a line to `cells` (None: no limit), with all lines but the first indented by `hang`.

    If `hang` is more than half of the width, the indent is smaller.
    """
    if cells is None or not line.strip():
        return [line]
    from rich.cells import cell_len

    indent = " " * (hang if cells >= 2 * hang else min(_SMALL_INDENT, hang))
    if cell_len(line) == len(line):
        return textwrap.wrap(line, cells, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return _folded_by_cells(line, indent, cells)


def _folded_by_cells(line: str, indent: str, cells: int) -> list[str]:
    """Wraps a line that has characters two cells wide, or none."""
    from rich.cells import cell_len

    lead = line[: len(line) - len(line.lstrip())]
    parts, current = [], lead
    for word in line.split():
        blank = "" if not current.strip() else " "
        if current.strip() and cell_len(current) + cell_len(blank + word) > cells:
            parts.append(current)
            current, blank = indent, ""
        current += blank + word
    return [*parts, current]
