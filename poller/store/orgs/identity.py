"""Keeps one Zoho org from being polled and counted under two names.

Two orgs are the same Zoho org if they have the same grant (by fingerprint), or the same `zgid` (Zoho's number of the
org) in the same data centre. Twins that exist already stay as they are: `poller doctor` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from poller.core.errors import UsageError
from poller.store.orgs.credentials import fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from poller.core.org_entry import OrgEntry
    from poller.store.queries import Connection, Queries, Row


def zgid_of(entry: OrgEntry) -> str | None:
    """Returns the zgid of an entry; a `soid` contains it too."""
    return entry.zgid or (entry.soid.rpartition(".")[2] if entry.soid else None)


def is_same_org(row: Row, entry: OrgEntry) -> bool:
    """Returns whether `entry` is the removed org of `row`: by the grant it had, or by its zgid."""
    if row["removed_fingerprint"] == fingerprint(entry):
        return True
    return row["zgid"] is not None and (row["data_center"], row["zgid"]) == (entry.data_center, zgid_of(entry))


@dataclass(slots=True)
class IdentityCheck:
    """Refuses entries of one import that are the same Zoho org as another entry, or as an org in the database."""

    _seen: dict[tuple[object, ...], str] = field(default_factory=dict)

    async def refuse_twins(
        self, connection: Connection, entries: Sequence[OrgEntry], new: Collection[str], replaced: Collection[str]
    ) -> None:
        """Raises a `UsageError` if an entry named in `new` is the same Zoho org as one with another name.

        `new`: the names whose grant or zgid changes. `replaced`: the names whose present grant is being replaced.
        """
        for entry in entries:
            for mark in _marks(entry):
                other = self._seen.setdefault(mark, entry.name)
                if other != entry.name and entry.name in new:
                    raise _refusal(entry.name, other, mark)
        marks = {mark: entry.name for entry in entries if entry.name in new for mark in _marks(entry)}
        if not marks:
            return
        grants = [mark[1] for mark in marks if mark[0] == "grant"]
        zgids = [mark[2] for mark in marks if mark[0] == "zgid"]
        for row in await connection.fetch(_SAME, grants, zgids):
            found: list[tuple[object, ...]] = [("zgid", row["data_center"], row["zgid"])]
            if row["name"] not in replaced:
                found.append(("grant", row["grant_fingerprint"]))
            for mark in found:
                if mark in marks and marks[mark] != row["name"]:
                    raise _refusal(marks[mark], row["name"], mark)


def refuse_removed_names(rows: Sequence[Row]) -> None:
    """Raises a `UsageError` for names of removed orgs that may not be the same Zoho orgs."""
    if not rows:
        return
    first, more = rows[0], len(rows) - 1
    name = first["name"]
    others = f" (and {more:,} more)" if more else ""
    raise UsageError(
        f"the name {name!r}{others} is that of an org removed on {first['removed_at']:%Y-%m-%d}, with a history",
        f"`poller orgs restore '{name}'` and import again if it is the same org; if not, rename the removed one: "
        f"`poller orgs rename '{name}' '{name} (old)'`",
    )


async def twins(database: Queries) -> list[tuple[str, str, str]]:
    """Returns pairs of orgs that are the same Zoho org: both names, and the common mark (`grant`, `zgid` or `name`)."""
    return [(row["one"], row["other"], row["mark"]) for row in await database.fetch(_TWINS)]


def _marks(entry: OrgEntry) -> Iterator[tuple[object, ...]]:
    yield ("grant", fingerprint(entry))
    if (zgid := zgid_of(entry)) is not None:
        yield ("zgid", entry.data_center, zgid)


def _refusal(name: str, other: str, mark: tuple[object, ...]) -> UsageError:
    what = "credential" if mark[0] == "grant" else "zgid"
    return UsageError(
        f"{name!r} has the {what} of the org {other!r}: one Zoho org under two names is polled and counted twice",
        f"leave one out, or give it its new name with `poller orgs rename '{other}' '{name}'`",
    )


# identity.same: orgs with one of these grants or zgids, without removed ones. Each half uses its own index.
_SAME: Final = """
SELECT o.name, o.data_center, o.zgid, c.grant_fingerprint
FROM org_credentials c JOIN orgs o ON o.id = c.org_id
WHERE o.removed_at IS NULL AND c.grant_fingerprint = ANY($1::bytea[])
UNION
SELECT o.name, o.data_center, o.zgid, c.grant_fingerprint
FROM orgs o LEFT JOIN org_credentials c ON c.org_id = o.id
WHERE o.removed_at IS NULL AND o.zgid = ANY($2::text[])
"""

# identity.twins: for each group of twins, the first name with each of the others. It first finds the marks that occur
# twice, in one pass per mark and without names; usually there are none, and nothing else is read.
_TWINS: Final = """
WITH marks AS (
    SELECT o.name, 'grant' AS mark, min(o.name) OVER (PARTITION BY c.grant_fingerprint) AS one
    FROM org_credentials c JOIN orgs o ON o.id = c.org_id
    WHERE o.removed_at IS NULL
      AND c.grant_fingerprint IN (SELECT grant_fingerprint FROM org_credentials GROUP BY 1 HAVING count(*) > 1)
    UNION ALL
    SELECT name, 'zgid', min(name) OVER (PARTITION BY data_center, zgid)
    FROM orgs
    WHERE removed_at IS NULL AND zgid IS NOT NULL AND (data_center, zgid) IN (
        SELECT data_center, zgid FROM orgs WHERE removed_at IS NULL AND zgid IS NOT NULL
        GROUP BY 1, 2 HAVING count(*) > 1)
    UNION ALL
    SELECT name, 'name', min(name) OVER (PARTITION BY lower(regexp_replace(btrim(name), '\\s+', ' ', 'g')))
    FROM orgs
    WHERE removed_at IS NULL AND lower(regexp_replace(btrim(name), '\\s+', ' ', 'g')) IN (
        SELECT lower(regexp_replace(btrim(name), '\\s+', ' ', 'g')) FROM orgs WHERE removed_at IS NULL
        GROUP BY 1 HAVING count(*) > 1)
)
SELECT DISTINCT ON (one, name) one, name AS other, mark
FROM marks WHERE name <> one
ORDER BY one, name, mark LIMIT 100
"""
