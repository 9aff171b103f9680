"""Contracts in an import: kept, changed if different, cleared if empty, and unchanged if absent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from poller.core.org_changes import ImportResult, OrgChange
from poller.core.org_entry import CONTRACT
from poller.store.capacity.contracts import read_contract
from poller.store.orgs.imports import import_orgs
from poller.store.orgs.orgs import find_orgs
from tests.store.fleet import entry

if TYPE_CHECKING:
    from poller.core.org_entry import OrgEntry
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

WRITTEN: dict[str, Any] = {"seats": 120, "price": Decimal("19.9"), "currency": "EUR", "renews_on": date(2027, 1, 31)}
KEPT = {"purchased": 120, "price": Decimal("19.9"), "currency": "EUR", "renews_on": date(2027, 1, 31)}


def said(name: str = "acme") -> OrgEntry:
    return replace(entry(name), **WRITTEN)


async def contract(database: Database, name: str = "acme") -> dict[str, object] | None:
    (org,) = await find_orgs(database, [name])
    return await read_contract(database, org.id)


async def test_a_contract_is_imported_with_a_new_org_and_importing_it_again_changes_nothing(
    database: Database, keyring: Keyring
) -> None:
    assert await import_orgs(database, keyring, [said(), entry("other")]) == ImportResult(added=2)
    assert await contract(database) == KEPT
    assert await contract(database, "other") is None
    assert await import_orgs(database, keyring, [said()]) == ImportResult(unchanged=1)


async def test_absent_columns_keep_a_contract_and_empty_ones_clear_it(database: Database, keyring: Keyring) -> None:
    await import_orgs(database, keyring, [said()])
    assert await import_orgs(database, keyring, [entry("acme")]) == ImportResult(unchanged=1)
    assert await contract(database) == KEPT
    half = replace(entry("acme"), cleared=frozenset({"price", "currency"}))
    assert await import_orgs(database, keyring, [half]) == ImportResult(changed=1)
    assert await contract(database) == {**KEPT, "price": None, "currency": None}
    assert await import_orgs(database, keyring, [replace(half, cleared=frozenset(CONTRACT))]) == ImportResult(changed=1)
    assert await contract(database) is None


async def test_a_dry_run_lists_the_changes_of_a_contract_without_making_them(
    database: Database, keyring: Keyring
) -> None:
    await import_orgs(database, keyring, [said(), said("birch")])
    told: list[OrgChange] = []
    changed = [replace(said(), seats=130, renews_on=date(2028, 1, 31)), said("birch")]
    result = await import_orgs(database, keyring, changed, dry_run=True, on_change=told.append)
    assert result == ImportResult(changed=1, unchanged=1)
    assert told == [OrgChange("acme", "changed", ("seats", "renews_on"))]
    assert await contract(database) == KEPT
