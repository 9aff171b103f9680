"""Pages of a list while orgs are added, removed and changed: what is there all the time is seen exactly once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.store.fleet import added, entry
from tests.web.api.fleet import KEYRING, client_of

if TYPE_CHECKING:
    from poller.store.database import Database
    from tests.web.api.fleet import Client

STAYING = [f"Stay {number}" for number in range(40)]


async def names_of(client: Client, path: str, field: str, between: object) -> list[str]:
    """The names on all pages; `between` runs before each further page."""
    names: list[str] = []
    page = await client.json(path)
    while True:
        names += [item[field] for item in page["items"]]
        if page["next_cursor"] is None:
            return names
        await between()  # type: ignore[operator]
        page = await client.json(f"{path}&cursor={page['next_cursor']}")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/orgs?limit=7&sort=org", "name"),
        ("/orgs?limit=7&sort=-org", "name"),
        ("/orgs?limit=7&sort=-name", "name"),
        ("/orgs?limit=7&sort=seats", "name"),
        ("/latest?limit=7", "org"),
        ("/seats?limit=7", "org"),
    ],
)
async def test_each_org_that_stays_is_seen_once_while_others_come_and_go(
    path: str, field: str, database: Database, database_url: str
) -> None:
    dice = random.Random(path)
    await added(database, KEYRING, *map(entry, STAYING))
    coming = iter(range(1_000))

    async def change() -> None:
        names = [f"{dice.choice('AStZ')}{dice.randrange(99)} passing {next(coming)}" for _ in range(4)]
        await added(database, KEYRING, *map(entry, names))
        await database.execute(
            "UPDATE orgs SET removed_at = now() WHERE name LIKE '%passing%' AND removed_at IS NULL AND random() < 0.5"
        )

    async with client_of(database_url) as client:
        seen = await names_of(client, path, field, change)
    assert sorted(name for name in seen if name in STAYING) == sorted(STAYING)
    assert len(seen) == len(set(seen))


async def test_every_sort_order_lists_every_org_once_in_both_directions(database: Database, database_url: str) -> None:
    await added(database, KEYRING, *(entry(name, edition="free") for name in STAYING[:12]))
    async with client_of(database_url) as client:
        sorts = next(
            parameter["schema"]["enum"]
            for parameter in (await client.ask("//openapi.json")).json["paths"]["/api/v1/orgs"]["get"]["parameters"]
            if parameter["name"] == "sort"
        )
        assert {"need", "-need", "org", "-exhausted_on", "name", "-last_polled_at"} <= set(sorts)
        for sort in sorts:
            items = await client.every_item(f"/orgs?sort={sort}", 5)
            assert sorted(item["name"] for item in items) == sorted(STAYING[:12]), sort
