"""Reads and writes the profiles of orgs (the columns that are not secret), many orgs at once."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Final

import orjson

from poller.core.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.store.queries import Connection, Row

COLUMNS: Final = tuple(Profile.__dataclass_fields__)
"""The names of the columns of `orgs` that a profile holds."""
_TYPES: Final = {"licences": "int", "stated_licences": "int", "poll_interval_seconds": "int"}


def profile_of(row: Row) -> Profile:
    """Returns the profile in a row that has every column of `COLUMNS`."""
    return Profile(**{column: row[column] for column in COLUMNS if column != "tags"}, tags=tuple(row["tags"]))


async def add_profiles(connection: Connection, profiles: Mapping[str, Profile]) -> dict[str, int]:
    """Adds orgs by name, none of which exists; returns their ids."""
    if not profiles:
        return {}
    rows = await connection.fetch(_ADD, list(profiles), *_arrays(list(profiles.values())))
    return {row["name"]: row["id"] for row in rows}


async def change_profiles(connection: Connection, profiles: Mapping[int, Profile], refresh_info: Sequence[int]) -> None:
    """Writes the profiles of orgs by id; for those in `refresh_info` the org info is requested again."""
    if profiles:
        await connection.execute(_CHANGE, list(profiles), *_arrays(list(profiles.values())), list(refresh_info))


def _arrays(profiles: Sequence[Profile]) -> list[list[Any]]:
    """Returns one list per column. Tags are sent as JSON: an SQL array cannot hold lists of different lengths."""
    rows = [astuple(profile) for profile in profiles]
    arrays = [list(column) for column in zip(*rows, strict=True)]
    tags = COLUMNS.index("tags")
    arrays[tags] = [orjson.dumps(one).decode() for one in arrays[tags]]
    return arrays


def _unnest(first: str) -> str:
    types = [first, *(f"{_TYPES.get(column, 'text')}[]" for column in COLUMNS)]
    return ", ".join(f"${place}::{sql_type}" for place, sql_type in enumerate(types, 1))


def _value(column: str) -> str:
    return "ARRAY(SELECT jsonb_array_elements_text(new.tags::jsonb))" if column == "tags" else f"new.{column}"


# profiles.add: orgs with names that no org has.
_ADD: Final = f"""
INSERT INTO orgs (name, {", ".join(COLUMNS)})
SELECT name, {", ".join(map(_value, COLUMNS))}
FROM unnest({_unnest("text[]")}) AS new (name, {", ".join(COLUMNS)})
RETURNING id, name
"""  # noqa: S608 - names of the model

# profiles.change: replaces whole profiles.
_CHANGE: Final = f"""
UPDATE orgs SET {", ".join(f"{column} = {_value(column)}" for column in COLUMNS)}, updated_at = now(),
       facts_at = CASE WHEN orgs.id = ANY(${len(COLUMNS) + 2}::int[]) AND orgs.facts_at IS DISTINCT FROM 'epoch'
                       THEN NULL ELSE orgs.facts_at END
FROM unnest({_unnest("int[]")}) AS new (id, {", ".join(COLUMNS)})
WHERE orgs.id = new.id
"""  # noqa: S608 - names of the model
