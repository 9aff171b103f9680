from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.errors import UsageError
from poller.core.org_changes import ImportResult, Restored
from poller.core.profile import ProfileChange
from poller.core.secret import Secret
from poller.store.orgs.changes import rename, restore, set_profiles, update_org_info
from poller.store.orgs.imports import import_orgs
from poller.store.orgs.orgs import find_orgs, pause, remove, resume
from tests.store.fleet import NOON, added, entry

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

LATER = NOON + timedelta(hours=1)


async def test_settings_are_changed_and_unset_without_a_secret(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, replace(entry("a"), tags=("x", "y")))
    change = ProfileChange(tag=("z",), untag=("x",), poll_interval_seconds=300, api_version="v8")
    assert await set_profiles(database, [org_id], change) == 1
    assert await set_profiles(database, [org_id], change) == 0
    (org,) = await find_orgs(database, ["a"])
    assert (org.tags, org.poll_interval_seconds, org.api_version) == (("y", "z"), 300, "v8")
    back = ProfileChange(tag=("x",), untag=("z",), clear=frozenset({"poll_interval_seconds", "api_version"}))
    assert await set_profiles(database, [org_id], back) == 1
    (org,) = await find_orgs(database, ["a"])
    assert (set(org.tags), org.poll_interval_seconds, org.api_version) == ({"x", "y"}, None, None)


async def test_an_edition_that_was_set_overrides_zoho_and_the_import_file_until_it_is_reset(
    database: Database, keyring: Keyring
) -> None:
    said = replace(entry("a"), edition="free")
    (org_id,) = await added(database, keyring, said)
    await set_profiles(database, [org_id], ProfileChange(edition="enterprise"))
    assert not await update_org_info(database, org_id, NOON, zgid=None, edition="standard", licences=None)
    assert await import_orgs(database, keyring, [said]) == ImportResult(unchanged=1)
    assert [org.edition for org in await find_orgs(database, ["a"])] == ["enterprise"]
    assert await set_profiles(database, [org_id], ProfileChange(clear=frozenset({"edition"}))) == 1
    assert await database.fetchval("SELECT facts_at FROM orgs") is None
    assert await update_org_info(database, org_id, NOON, zgid=None, edition="standard", licences=None)
    assert [org.edition for org in await find_orgs(database, ["a"])] == ["standard"]
    assert await set_profiles(database, [org_id], ProfileChange(clear=frozenset({"edition"}))) == 0


async def test_an_org_is_renamed_to_a_normalised_name_and_back_but_never_to_a_taken_name(
    database: Database, keyring: Keyring
) -> None:
    (org_id, _) = await added(database, keyring, entry("a"), entry("b"))
    await rename(database, "a", "Cafe\u0301  Nord")
    assert [org.id for org in await find_orgs(database, ["Café Nord"])] == [org_id]
    await rename(database, "Cafe\u0301 Nord", "a")
    with pytest.raises(UsageError, match="there is an org 'b' already"):
        await rename(database, "a", "b")
    await remove(database, ["b"], NOON)
    with pytest.raises(UsageError, match="there is a removed org 'b' already"):
        await rename(database, "a", "b")


async def test_a_removed_org_is_found_only_by_requests_for_history(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    await remove(database, ["a"], NOON)
    assert [org.id for org in await find_orgs(database, ["a"], removed=True)] == [org_id]
    with pytest.raises(UsageError, match="there is no org 'a'"):
        await find_orgs(database, ["a"])


async def test_a_restored_org_is_paused_until_it_has_credentials(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, replace(entry("a"), tags=("x",), poll_interval_seconds=60))
    await remove(database, ["a"], NOON)
    assert await restore(database, [org_id], LATER) == [Restored("a", "refresh_token")]
    assert await restore(database, [org_id], LATER) == []
    (org,) = await find_orgs(database, ["a"])
    assert (org.tags, org.poll_interval_seconds, org.grant, org.paused_at) == (("x",), 60, None, LATER)
    with pytest.raises(UsageError, match="the org 'a' has no credentials"):
        await resume(database, ["a"], LATER)
    new = replace(entry("a"), refresh_token=Secret("1000.new"))
    assert await import_orgs(database, keyring, [new]) == ImportResult(changed=1)
    (org,) = await find_orgs(database, ["a"])
    assert (org.paused_at, org.grant) == (None, "refresh_token")


async def test_an_org_paused_by_a_person_is_still_paused_after_its_restore(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    await pause(database, ["a"], NOON)
    await remove(database, ["a"], LATER)
    await restore(database, [org_id], LATER)
    await import_orgs(database, keyring, [entry("a")])
    assert [org.paused_at for org in await find_orgs(database, ["a"])] == [NOON]
