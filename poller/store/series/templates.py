"""Repeats a piece of SQL for each of the ten counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.model import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable


def per_count(template: str, separator: str = ",\n") -> str:
    """Returns `template` once per user type, in the order of the model.

    `<column>` becomes the column of the count, `<user_type>` Zoho's name of the type, `<number>` its number (1 to 10).
    """
    return separator.join(
        template.replace("<column>", column).replace("<user_type>", user_type.value).replace("<number>", str(number))
        for number, (user_type, column) in enumerate(COLUMNS.items(), 1)
    )


def per_column(template: str, columns: Iterable[str], separator: str = ",\n") -> str:
    """Returns `template` once per column, with the column's name in place of `<column>`."""
    return separator.join(template.replace("<column>", column) for column in columns)
