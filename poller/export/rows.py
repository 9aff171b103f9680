"""How the snapshots of `DayReader.blocks` become rows of the long form, whatever the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS: Final = ("org_id", "org", "user_type", "slot", "polled_at", "count", "outcome", "error")
"""Those of the view `user_counts`, in its order."""
_BEFORE_COUNTS: Final = 7
"""`org_id, org, slot, polled_at, outcome, error, errors`."""


def counts_of(row: Sequence[Any]) -> Sequence[int | None]:
    """The count of each type, in the order they were asked for."""
    return row[_BEFORE_COUNTS:]


def errors_of(row: Sequence[Any], user_types: Sequence[str]) -> list[str | None]:
    """Why each count is not known: the type's own code, or where there is none and no count either, the poll's."""
    *_, error, errors = row[:_BEFORE_COUNTS]
    own = errors or {}
    counts = counts_of(row)
    return [own.get(kind, error if count is None else None) for kind, count in zip(user_types, counts, strict=True)]


def has_errors(row: Sequence[Any]) -> bool:
    """Whether `errors_of` would tell any."""
    return any(row[_BEFORE_COUNTS - 2 : _BEFORE_COUNTS])
