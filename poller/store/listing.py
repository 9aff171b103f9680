"""Reads lists of rows about orgs, a page at a time.

A page begins after the key of the last row of the page before, not at an offset. So a page costs the same wherever it
is, and orgs that are added or removed in between move no other row to another page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.core.org_filter import OrgFilter
    from poller.store.queries import Queries, Row

MATCHES: Final = """
o.removed_at IS NULL AND ($1::text[] IS NULL OR o.tags && $1) AND ($2::text[] IS NULL OR o.tags @> $2)
AND ($3::text[] IS NULL OR o.data_center = ANY($3)) AND ($4::text[] IS NULL OR o.name = ANY($4))
"""
"""The condition on `orgs o` for the arguments of `matching`."""
BY_NAME: Final[Mapping[str, str]] = {"org": "o.name", "org_id": "o.id"}


class RowPage(NamedTuple):
    """Rows in order, and the key of the last one; None if no more rows follow."""

    rows: list[Row]
    after: tuple[Any, ...] | None


def matching(which: OrgFilter) -> list[list[str] | None]:
    """The arguments `$1` to `$4` of `MATCHES`."""
    visible = None if which.visible_tags is None else list(which.visible_tags)
    return [visible, *(list(one) or None for one in (which.tags, which.data_centers, which.names))]


def containing(text: str) -> str:
    """The pattern of ILIKE for names that contain `text`."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


async def read_rows(
    database: Queries,
    statement: str,
    arguments: Sequence[object],
    *,
    limit: int,
    after: Sequence[Any] | None,
    key: Mapping[str, str] = BY_NAME,
    descending: bool = False,
) -> RowPage:
    """Returns the rows of `statement`, which ends within its WHERE clause, after the key `after`.

    `key`: the columns that sort the rows, each with its SQL; none is ever NULL, and together they are unique.
    """
    given, places = list(arguments), ""
    if after is not None:
        numbers = ", ".join(f"${len(given) + place}" for place in range(1, len(key) + 1))
        places = f" AND ({', '.join(key.values())}) {'<' if descending else '>'} ({numbers})"
        given += after
    order = ", ".join(f"{sql} DESC" if descending else sql for sql in key.values())
    query = f"{statement}{places} ORDER BY {order} LIMIT ${len(given) + 1}"
    # One row more than the page shows whether another page follows.
    rows = await database.fetch(query, *given, limit + 1)
    shown = rows[:limit]
    return RowPage(shown, tuple(shown[-1][column] for column in key) if len(rows) > limit else None)
