"""Turns the snapshots of `DayReader.blocks` into rows with one count each, for every file format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS: Final = ("org_id", "org", "user_type", "slot", "polled_at", "count", "outcome", "error")
"""Those of the view `user_counts`, in its order."""
_BEFORE_COUNTS: Final = 7
"""`org_id, org, slot, polled_at, outcome, error, errors`."""


def counts_of(row: Sequence[Any]) -> Sequence[int | None]:
    """The count of each user type, in the order of the selection."""
    return row[_BEFORE_COUNTS:]


def errors_of(row: Sequence[Any], user_types: Sequence[str]) -> list[str | None]:
    """The error of each user type: its own code, or the poll's code if it has neither a code nor a count."""
    *_, error, errors = row[:_BEFORE_COUNTS]
    own = errors or {}
    counts = counts_of(row)
    return [
        own.get(user_type, error if count is None else None)
        for user_type, count in zip(user_types, counts, strict=True)
    ]


def has_errors(row: Sequence[Any]) -> bool:
    """True if the row has an error of any user type."""
    return any(row[_BEFORE_COUNTS - 2 : _BEFORE_COUNTS])
