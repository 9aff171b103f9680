"""Rows of an org file as written, bad rows, and a short list of what is wrong with them.

The file contains secrets, so no reason quotes more than a few characters. The list stays short for any number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from poller.core.org_entry import FIELDS, unknown_field
from poller.core.quantities import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MOST_REASONS: Final = 50
"""The most different reasons that are listed; rows with further reasons are counted together."""
_MOST_LINES: Final = 5
"""Line numbers listed for each reason."""
_MOST_UNKNOWN_FIELDS: Final = 5


@dataclass(frozen=True, slots=True)
class OrgRow:
    """The fields of one org as written, with what is wrong with their form; `entry_from` checks the values.

    `hints` are added to the reasons where a value is wrong as well.
    """

    line: int
    written: Mapping[str, object]
    reasons: list[str]
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used: the line it begins on, counted from 1, and the reason."""

    line: int
    reason: str

    def __str__(self) -> str:
        """The line number and the reason."""
        return f"line {self.line}: {self.reason}"


@dataclass(slots=True)
class _SameReason:
    lines: list[int] = field(default_factory=list)
    rows: int = 0


@dataclass(slots=True)
class BadRows:
    """Counts bad rows by reason, in the same memory for ten rows and for a million."""

    rows: int = 0
    _by_reason: dict[str, _SameReason] = field(default_factory=dict)
    _others: int = 0

    def add(self, row: BadRow) -> None:
        """Counts `row` under its reason."""
        self.rows += 1
        same = self._by_reason.get(row.reason)
        if same is None:
            if len(self._by_reason) >= _MOST_REASONS:
                self._others += 1
                return
            same = self._by_reason[row.reason] = _SameReason()
        same.rows += 1
        if len(same.lines) < _MOST_LINES:
            same.lines.append(row.line)

    def __len__(self) -> int:
        return self.rows

    def messages(self) -> Iterator[str]:
        """One line for each reason, in the order of the file, and one for all further reasons."""
        for reason, same in self._by_reason.items():
            yield f"{_lines(same)}: {reason}"
        if self._others:
            yield f"and {count(self._others, 'more row')} with other reasons"


def _lines(same: _SameReason) -> str:
    if same.rows == 1:
        return f"line {same.lines[0]}"
    more = same.rows - len(same.lines)
    numbers = [str(line) for line in same.lines] + ([f"{more:,} more"] if more else [])
    return f"lines {', '.join(numbers[:-1])} and {numbers[-1]}"


def unknown_fields(names: Sequence[str]) -> list[str]:
    """Reasons for unknown field names: the first few, and the number of the others."""
    unknown = [(place, name) for place, name in enumerate(names, start=1) if name not in FIELDS]
    reasons = [unknown_field(name, place) for place, name in unknown[:_MOST_UNKNOWN_FIELDS]]
    if (more := len(unknown) - len(reasons)) > 0:
        reasons.append(f"and {more:,} more columns are unknown")
    return reasons
