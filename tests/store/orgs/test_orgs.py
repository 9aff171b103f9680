from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from poller.core.errors import UsageError
from poller.core.model import Outcome, Snapshot
from poller.core.rate_limit import RateLimitState
from poller.core.secret import Secret
from poller.store.orgs import changes, orgs, parking
from poller.store.orgs.credentials import crowded_clients, waiting_grant_codes
from poller.store.orgs.credits import spend
from poller.store.orgs.rate_limits import RateLimitUpdate, save_limits
from poller.store.series.snapshots import write_snapshots
from tests.store.fleet import NOON, added, entry

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


async def names(database: Database) -> list[str]:
    rows = await database.fetch("SELECT name FROM orgs WHERE removed_at IS NULL ORDER BY name")
    return [row["name"] for row in rows]


async def test_orgs_are_returned_in_the_order_of_the_given_names(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("a"), entry("b"), entry("c"))
    assert [org.name for org in await orgs.find_orgs(database, ["c", "a", "c"])] == ["c", "a"]


async def test_an_unknown_name_gets_a_suggestion(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("Acme Corporation"), entry("Globex"))
    with pytest.raises(UsageError, match=r"there is no org 'Acme Corp'; did you mean 'Acme Corporation'\?"):
        await orgs.find_orgs(database, ["Globex", "Acme Corp"])
    with pytest.raises(UsageError, match="there is no org 'zzz'; see `poller orgs list`"):
        await orgs.pause(database, ["zzz"], NOON)


async def test_an_org_record_contains_no_secret(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("a"))
    (org,) = await orgs.find_orgs(database, ["a"])
    assert not [value for value in vars_of(org) if isinstance(value, (bytes, Secret))]


def vars_of(org: orgs.OrgRecord) -> list[object]:
    return [getattr(org, name) for name in org.__dataclass_fields__]


async def test_pausing_and_resuming_count_only_changed_orgs(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("a"), entry("b"))
    assert await orgs.pause(database, ["a"], NOON) == 1
    assert await orgs.pause(database, ["a", "b"], NOON + timedelta(hours=1)) == 1
    paused = await orgs.find_orgs(database, ["a", "b"])
    assert [org.paused_at for org in paused] == [NOON, NOON + timedelta(hours=1)]
    assert await orgs.count_orgs(database) == 0
    assert await orgs.resume(database, ["a", "b"], NOON) == 2
    assert await orgs.resume(database, ["a", "b"], NOON) == 0
    assert await orgs.count_orgs(database) == 2


async def test_a_parked_org_is_probed_after_an_hour_and_then_less_and_less_often_down_to_daily(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    now, waits = NOON, []
    for probe in range(8):
        await parking.park(database, org_id, "invalid_code", f"remedy {probe}", now, outcome=Outcome.UNAUTHORIZED)
        (org,) = await orgs.find_orgs(database, ["a"])
        assert org.probe_at is not None
        waits.append((org.probe_at - now) / timedelta(hours=1))
        now = org.probe_at
    assert waits == [1, 2, 4, 8, 16, 24, 24, 24]
    (org,) = await orgs.find_orgs(database, ["a"])
    assert (org.parked_at, org.parked_code, org.parked_remedy) == (NOON, "invalid_code", "remedy 7")
    assert await parking.unpark(database, org_id)
    assert not await parking.unpark(database, org_id)
    await parking.park(database, org_id, "invalid_code", "again", NOON, outcome=Outcome.UNAUTHORIZED)
    (org,) = await orgs.find_orgs(database, ["a"])
    assert org.probe_at == NOON + timedelta(hours=1)


async def test_ten_workers_that_find_the_same_fault_delay_the_next_probe_once(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    for second in range(10):
        await parking.park(
            database, org_id, "NO_PERMISSION", "mend it", NOON + timedelta(seconds=second), outcome=Outcome.FORBIDDEN
        )
    (org,) = await orgs.find_orgs(database, ["a"])
    assert org.probe_at == NOON + timedelta(hours=1)
    await parking.park(
        database, org_id, "invalid_code", "mend that", NOON + timedelta(minutes=30), outcome=Outcome.UNAUTHORIZED
    )
    (org,) = await orgs.find_orgs(database, ["a"])
    assert (org.parked_code, org.parked_remedy) == ("invalid_code", "mend that")


async def test_resuming_a_parked_org_unparks_it_without_a_check(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    await parking.park(database, org_id, "NO_PERMISSION", "mend it", NOON, outcome=Outcome.FORBIDDEN)
    assert await orgs.resume(database, ["a"], NOON) == 1
    (org,) = await orgs.find_orgs(database, ["a"])
    assert (org.parked_at, org.parked_code, org.probe_at) == (None, None, None)


async def give_it_everything(database: Database, org_id: int) -> None:
    """Adds a row of this org to every table."""
    await database.execute("UPDATE access_tokens SET lease_holder = $1, lease_until = $2", uuid4(), NOON)
    await spend(database, {org_id: 10}, NOON)
    await save_limits(database, [RateLimitUpdate(org_id, RateLimitState(), 4_000, NOON)])
    await write_snapshots(database, [Snapshot(org_id, NOON, NOON, Outcome.UNAVAILABLE, error="timeout")])


async def rows_of(database: Database, org_id: int) -> set[str]:
    """All tables that have a row of this org."""
    tables = await database.fetch(
        """
        SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_name)
        WHERE c.column_name = 'org_id' AND t.table_type = 'BASE TABLE' AND t.table_schema = 'public'
        """
    )
    found = set()
    for (table,) in tables:
        if await database.fetchval(f"SELECT count(*) FROM {table} WHERE org_id = $1", org_id):
            found.add(table)
    return found


async def test_a_removed_org_keeps_its_history_and_loses_its_secrets(database: Database, keyring: Keyring) -> None:
    org_id, other = await added(database, keyring, entry("a"), entry("b"))
    await give_it_everything(database, org_id)
    before = await rows_of(database, org_id)
    assert {"org_credentials", "access_tokens", "org_snapshots"} <= before
    assert await orgs.remove(database, ["a"], NOON) == 1
    after = await rows_of(database, org_id)
    assert "org_snapshots" in after
    assert not after & {"org_credentials", "access_tokens", "org_limits", "credit_spend"}
    assert await names(database) == ["b"]
    assert {"org_credentials", "access_tokens"} <= await rows_of(database, other)


async def test_a_purged_org_leaves_nothing_in_any_table(database: Database, keyring: Keyring) -> None:
    org_id, other = await added(database, keyring, entry("a"), entry("b"))
    await give_it_everything(database, org_id)
    await write_snapshots(database, [Snapshot(other, NOON, NOON, Outcome.UNAVAILABLE, error="timeout")])
    assert await orgs.purge(database, ["a"]) == 1
    assert await rows_of(database, org_id) == set()
    assert await database.fetchval("SELECT array_agg(name) FROM orgs") == ["b"]
    assert "org_snapshots" in await rows_of(database, other)


async def test_purging_an_org_keeps_a_removed_org_of_the_same_name_until_it_is_the_only_one(
    database: Database, keyring: Keyring
) -> None:
    (removed,) = await added(database, keyring, entry("a"))
    await orgs.remove(database, ["a"], NOON)
    # As earlier releases allowed: another org of that name.
    await added(database, keyring, entry("b"))
    await database.execute("UPDATE orgs SET name = 'a' WHERE name = 'b'")
    assert await orgs.purge(database, ["a"]) == 1
    assert await database.fetchval("SELECT array_agg(id) FROM orgs") == [removed]
    assert await orgs.purge(database, ["a"]) == 1
    with pytest.raises(UsageError, match="there is no org 'a'"):
        await orgs.purge(database, ["a"])


async def test_org_info_from_zoho_is_stored_once_and_missing_values_erase_nothing(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    assert await changes.update_org_info(database, org_id, NOON, zgid="60001", edition="enterprise", licences=50)
    assert not await changes.update_org_info(database, org_id, NOON, zgid="60001", edition="enterprise", licences=50)
    assert not await changes.update_org_info(database, org_id, NOON, zgid=None, edition=None, licences=None)
    assert await changes.update_org_info(database, org_id, NOON, zgid=None, edition=None, licences=51)
    (org,) = await orgs.find_orgs(database, ["a"])
    assert (org.zgid, org.edition, org.licences) == ("60001", "enterprise", 51)


async def test_org_info_of_a_removed_org_is_ignored(database: Database) -> None:
    assert not await changes.update_org_info(database, 99, NOON, zgid="60001", edition="free", licences=3)


async def test_grant_codes_wait_in_the_order_of_their_import(database: Database, keyring: Keyring) -> None:
    def with_code(name: str) -> object:
        return replace(entry(name), refresh_token=None, grant_code=Secret(f"1000.code-of-{name}"))

    first, second = await added(database, keyring, with_code("b"), with_code("a"))  # type: ignore[arg-type]
    await added(database, keyring, entry("c"))
    assert await waiting_grant_codes(database) == [first, second]
    assert await waiting_grant_codes(database, ["a", "c"]) == [second]


async def test_clients_with_many_refresh_tokens_are_listed_with_the_fullest_first(
    database: Database, keyring: Keyring
) -> None:
    def of(client: str, number: int) -> object:
        return replace(entry(f"{client} {number}"), client_id=client, refresh_token=Secret(f"1000.{number}"))

    orgs_of = [of("full", number) for number in range(4)] + [of("fuller", number) for number in range(6)]
    alone = replace(entry("soid"), refresh_token=None, soid="ZohoCRM.1", client_id="full")
    await added(database, keyring, *orgs_of, alone, of("empty", 0))  # type: ignore[arg-type]
    assert await crowded_clients(database, at_least=4) == [("fuller", 6), ("full", 4)]
