from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from poller.core.errors import UsageError
from poller.query.selection import Selection
from poller.store.orgs.orgs import pause, remove
from tests.store.fleet import NOON, added, entry

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


@pytest.fixture
async def fleet(database: Database, keyring: Keyring) -> Database:
    """Four orgs with two tags; one org is paused and one is removed."""
    await added(
        database,
        keyring,
        replace(entry("a"), tags=("x", "y")),
        replace(entry("b"), tags=("x",), data_center="us"),
        replace(entry("paused"), tags=("x",)),
        replace(entry("removed"), tags=("x",)),
    )
    await pause(database, ["paused"], NOON)
    await remove(database, ["removed"], NOON)
    return database


async def names(database: Database, selection: Selection, *, removed: bool = False) -> list[str]:
    return list((await selection.find(database, removed=removed)).values())


async def test_tags_states_and_data_centres_are_combined_with_and(fleet: Database) -> None:
    assert await names(fleet, Selection(tags=("x",))) == ["a", "b", "paused"]
    assert await names(fleet, Selection(tags=("x", "y"))) == ["a"]
    assert await names(fleet, Selection(tags=("x",), states=("paused", "never_polled"), data_centers=("eu",))) == [
        "a",
        "paused",
    ]
    assert await names(fleet, Selection(names=("paused", "a"), tags=("x",))) == ["paused", "a"]
    with pytest.raises(UsageError, match="none of these orgs matches --tag y; see `poller orgs list`"):
        await names(fleet, Selection(names=("b",), tags=("y",)))


async def test_a_removed_org_is_selected_only_by_its_name_or_state(fleet: Database) -> None:
    assert await names(fleet, Selection(states=("removed",))) == ["removed"]
    assert await names(fleet, Selection(names=("removed",)), removed=True) == ["removed"]
    assert await names(fleet, Selection(tags=("x",)), removed=True) == ["a", "b", "paused"]
    with pytest.raises(UsageError, match="there is no org 'removed'"):
        await names(fleet, Selection(names=("removed",)))


async def test_paused_orgs_are_polled_by_name_or_state_and_not_by_tag(fleet: Database) -> None:
    assert await Selection().pollable(fleet) is None
    assert await Selection(tags=("x",)).pollable(fleet) == ["a", "b"]
    assert await Selection(names=("paused",)).pollable(fleet) == ["paused"]
    assert await Selection(states=("paused",)).pollable(fleet) == ["paused"]
