from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from poller.core.errors import DatabaseError, UsageError
from poller.core.model import Outcome
from poller.core.org_changes import ImportResult
from poller.core.secret import Secret
from poller.core.token import IssuedToken
from poller.store.orgs.changes import rename, update_org_info
from poller.store.orgs.credentials import fingerprint, read_credentials
from poller.store.orgs.encryption import Keyring
from poller.store.orgs.identity import twins
from poller.store.orgs.imports import import_orgs
from poller.store.orgs.orgs import find_orgs, pause, remove
from poller.store.orgs.parking import park
from poller.store.orgs.tokens import TokenStore
from tests.store.fleet import NOON, added, entry

if TYPE_CHECKING:
    from poller.core.org_entry import OrgEntry
    from poller.store.database import Database

EVERY_TABLE = (
    "SELECT to_jsonb(o) AS org, to_jsonb(c) AS credentials FROM orgs o JOIN org_credentials c ON c.org_id = o.id"
)


async def test_an_imported_org_is_stored_as_in_the_file(database: Database, keyring: Keyring) -> None:
    written = replace(
        entry('Acme, "Inc" ü'),
        zgid="123",
        edition="enterprise",
        licences=40,
        poll_interval_seconds=300,
        api_version="v8",
        tags=("emea", 'with "quotes", and {braces}'),
    )
    assert await import_orgs(database, keyring, [written]) == ImportResult(added=1)
    (org,) = await find_orgs(database, [written.name])
    assert (org.data_center, org.zgid, org.edition, org.licences) == ("eu", "123", "enterprise", 40)
    assert (org.poll_interval_seconds, org.api_version, org.tags) == (300, "v8", written.tags)
    assert (org.client_id, org.grant, org.key_id) == (written.client_id, "refresh_token", "k1")
    stored = await read_credentials(database, keyring, org.id)
    assert stored is not None
    assert (stored.client_secret, stored.refresh_token) == (written.client_secret, written.refresh_token)
    assert stored.grant_code is None


async def test_no_secret_is_readable_in_the_database(database: Database, keyring: Keyring) -> None:
    await import_orgs(
        database,
        keyring,
        [entry("a"), replace(entry("b"), refresh_token=None, grant_code=Secret("1000.grant-code-of-b"))],
    )
    everything = str([dict(row) for row in await database.fetch(EVERY_TABLE)])
    for word in ("client-secret", "refresh-token", "grant-code"):
        for spelling in (word, word.encode().hex()):
            assert spelling not in everything


async def test_importing_the_same_orgs_again_changes_nothing(database: Database, keyring: Keyring) -> None:
    fleet = [entry(f"org {number}") for number in range(1_200)]
    assert await import_orgs(database, keyring, fleet) == ImportResult(added=1_200)
    before = await database.fetch(EVERY_TABLE)
    assert await import_orgs(database, keyring, fleet) == ImportResult(unchanged=1_200)
    assert await database.fetch(EVERY_TABLE) == before


@pytest.mark.parametrize(
    "change",
    [
        {"data_center": "us"},
        {"client_id": "1000.OTHER"},
        {"client_secret": Secret("other")},
        {"refresh_token": Secret("1000.other")},
        {"refresh_token": None, "soid": "ZohoCRM.1"},
        {"licences": 3},
        {"tags": ("a", "b")},
        {"poll_interval_seconds": 60},
    ],
    ids=", ".join,
)
async def test_a_change_is_counted_once_and_stored(
    database: Database, keyring: Keyring, change: dict[str, object]
) -> None:
    await import_orgs(database, keyring, [entry("a"), entry("b")])
    changed = replace(entry("b"), **change)  # type: ignore[arg-type]
    expected = ImportResult(changed=1, unchanged=1)
    assert await import_orgs(database, keyring, [entry("a"), changed], dry_run=True) == expected
    assert await import_orgs(database, keyring, [entry("a"), changed]) == expected
    assert await import_orgs(database, keyring, [entry("a"), changed]) == ImportResult(unchanged=2)


async def test_fields_that_an_entry_leaves_out_are_kept(database: Database, keyring: Keyring) -> None:
    said = replace(entry("a"), edition="free", licences=3, poll_interval_seconds=60, tags=("x",))
    await import_orgs(database, keyring, [said])
    await import_orgs(database, keyring, [replace(entry("a"), data_center="us")])
    (org,) = await find_orgs(database, ["a"])
    assert (org.data_center, org.edition, org.licences, org.poll_interval_seconds, org.tags) == (
        ("us", "free", 3, 60, ("x",))
    )


async def test_a_dry_run_writes_nothing(database: Database, keyring: Keyring) -> None:
    assert await import_orgs(database, keyring, [entry("a")], dry_run=True) == ImportResult(added=1)
    assert await database.fetchval("SELECT count(*) FROM orgs") == 0


async def test_an_import_that_fails_half_way_leaves_nothing_behind(database: Database, keyring: Keyring) -> None:
    fleet = [entry(f"org {number}") for number in range(600)]
    with pytest.raises(DatabaseError):
        await import_orgs(database, keyring, [*fleet, replace(entry("bad"), poll_interval_seconds=0)])
    assert await database.fetchval("SELECT count(*) FROM orgs") == 0


async def test_an_org_given_twice_is_refused(database: Database, keyring: Keyring) -> None:
    with pytest.raises(UsageError, match="'a' is there twice"):
        await import_orgs(database, keyring, [entry("a"), entry("b"), entry("a")])


async def test_two_concurrent_imports_of_the_same_orgs_add_each_org_once(database: Database, keyring: Keyring) -> None:
    fleet = [entry(f"org {number}") for number in range(50)]
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(import_orgs(database, keyring, fleet)) for _ in range(4)]
    assert sorted(run.result().added for run in runs) == [0, 0, 0, 50]


async def test_import_progress_is_reported_up_to_the_last_entry(database: Database, keyring: Keyring) -> None:
    heard: list[int] = []
    await import_orgs(database, keyring, [entry(f"org {number}") for number in range(1_100)], progress=heard.append)
    assert heard == [500, 1_000, 1_100]


async def test_postgresql_plans_queries_for_the_orgs_of_a_large_import_at_once(
    database: Database, keyring: Keyring
) -> None:
    # Until PostgreSQL has looked at a table, it takes the table for empty: then a claim of polls reads all orgs.
    await import_orgs(database, keyring, [entry(f"org {number}") for number in range(500)])
    rows = "SELECT array_agg(reltuples::int) FROM pg_class WHERE relname IN ('orgs', 'org_credentials')"
    assert await database.fetchval(rows) == [500, 500]


@pytest.mark.parametrize(
    "change",
    [{"data_center": "us"}, {"client_secret": Secret("new")}, {"refresh_token": Secret("new")}],
    ids=", ".join,
)
async def test_new_credentials_or_another_data_centre_reset_the_state_of_the_org(
    database: Database, keyring: Keyring, change: dict[str, object]
) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    tokens, holder = TokenStore(database, keyring), uuid4()
    await tokens.acquire_lease(org_id, holder, 30, 0, NOON)
    assert await tokens.save(org_id, holder, IssuedToken(Secret("1000.old"), "https://a.example", NOON, NOON)) == 1
    await tokens.acquire_lease(org_id, holder, 30, 1, NOON)
    await park(database, org_id, "invalid_code", "mend it", NOON, outcome=Outcome.UNAUTHORIZED)

    await import_orgs(database, keyring, [replace(entry("a"), **change)])  # type: ignore[arg-type]

    assert await tokens.read(org_id) is None
    late = IssuedToken(Secret("1000.of the old credentials"), "https://a.example", NOON, NOON)
    assert await tokens.save(org_id, holder, late) is None
    (org,) = await find_orgs(database, ["a"])
    assert org.parked_at is None
    again = uuid4()
    await tokens.acquire_lease(org_id, again, 30, 1, NOON)
    assert await tokens.save(org_id, again, late) == 2


async def test_an_unchanged_import_keeps_the_token_and_a_pause(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    tokens, holder = TokenStore(database, keyring), uuid4()
    await tokens.acquire_lease(org_id, holder, 30, 0, NOON)
    await tokens.save(org_id, holder, IssuedToken(Secret("1000.kept"), "https://a.example", NOON, NOON))
    await pause(database, ["a"], NOON)
    await import_orgs(database, keyring, [replace(entry("a"), licences=9)])
    kept = await tokens.read(org_id)
    assert kept is not None
    assert kept.secret == Secret("1000.kept")
    (org,) = await find_orgs(database, ["a"])
    assert org.paused_at == NOON


def with_code(name: str) -> OrgEntry:
    return replace(entry(name), refresh_token=None, grant_code=Secret(f"1000.code-of-{name}"))


async def test_importing_an_exchanged_grant_code_again_keeps_its_refresh_token(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, with_code("a"))
    await TokenStore(database, keyring).save_refresh_token(org_id, Secret("1000.code-of-a"), Secret("1000.earned"))
    assert await import_orgs(database, keyring, [with_code("a")]) == ImportResult(unchanged=1)
    new_secret = replace(with_code("a"), client_secret=Secret("new"))
    assert await import_orgs(database, keyring, [new_secret]) == ImportResult(changed=1)
    stored = await read_credentials(database, keyring, org_id)
    assert stored is not None
    assert (stored.refresh_token, stored.grant_code) == (Secret("1000.earned"), None)
    assert stored.client_secret == Secret("new")


async def test_importing_credentials_again_fixes_those_whose_key_is_lost(database: Database, keyring: Keyring) -> None:
    (org_id,) = await added(database, keyring, entry("a"))
    other = Keyring({"k2": bytes(32)})
    assert await import_orgs(database, other, [entry("a")]) == ImportResult(changed=1)
    stored = await read_credentials(database, other, org_id)
    assert stored is not None
    assert stored.client_secret == entry("a").client_secret


async def test_importing_a_removed_org_with_its_old_grant_continues_its_history(
    database: Database, keyring: Keyring
) -> None:
    (before,) = await added(database, keyring, replace(entry("a"), tags=("x",)))
    await remove(database, ["a"], NOON)
    assert await import_orgs(database, keyring, [entry("a")], dry_run=True) == ImportResult(restored=1)
    assert await import_orgs(database, keyring, [entry("a")]) == ImportResult(restored=1)
    (org,) = await find_orgs(database, ["a"])
    assert (org.id, org.tags, org.grant, org.paused_at) == (before, ("x",), "refresh_token", None)
    assert await import_orgs(database, keyring, [entry("a")]) == ImportResult(unchanged=1)


async def test_importing_a_removed_org_with_its_old_zgid_continues_its_history(
    database: Database, keyring: Keyring
) -> None:
    (before,) = await added(database, keyring, replace(entry("a"), zgid="600012345"))
    await remove(database, ["a"], NOON)
    again = replace(entry("a"), refresh_token=None, soid="ZohoCRM.600012345")
    assert await import_orgs(database, keyring, [again]) == ImportResult(restored=1)
    assert [org.id for org in await find_orgs(database, ["a"])] == [before]


async def test_the_name_of_a_removed_org_is_refused_for_a_possibly_different_org(
    database: Database, keyring: Keyring
) -> None:
    (before,) = await added(database, keyring, entry("a"))
    await remove(database, ["a"], NOON)
    other = replace(entry("a"), refresh_token=Secret("1000.another"))
    with pytest.raises(UsageError, match=r"the name 'a' is that of an org removed on 2026-11-23, .*orgs restore 'a'"):
        await import_orgs(database, keyring, [other])
    assert await database.fetchval("SELECT count(*) FROM orgs") == 1
    await rename(database, "a", "a (old)")
    assert await import_orgs(database, keyring, [other]) == ImportResult(added=1)
    assert [org.id for org in await find_orgs(database, ["a (old)"], removed=True)] == [before]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_one_grant_under_two_names_of_a_file_is_refused(
    database: Database, keyring: Keyring, order: int, *, dry_run: bool
) -> None:
    pair = [entry("a"), replace(entry("a"), name="b")][::order]
    with pytest.raises(UsageError, match=f"'{pair[1].name}' has the credential of the org '{pair[0].name}'"):
        await import_orgs(database, keyring, pair, dry_run=dry_run)
    assert await database.fetchval("SELECT count(*) FROM orgs") == 0


@pytest.mark.parametrize(
    "twin",
    [
        replace(entry("b"), client_id="1000.CLIENT-a", refresh_token=entry("a").refresh_token),
        replace(entry("b"), zgid="600012345"),
        replace(entry("b"), refresh_token=None, soid="ZohoCRM.600012345"),
    ],
    ids=["grant", "zgid", "soid"],
)
async def test_an_org_that_exists_under_another_name_is_refused_until_it_is_renamed(
    database: Database, keyring: Keyring, twin: OrgEntry
) -> None:
    await import_orgs(database, keyring, [replace(entry("a"), zgid="600012345")])
    with pytest.raises(UsageError, match=r"'b' has the .* of the org 'a': .* `poller orgs rename 'a' 'b'`"):
        await import_orgs(database, keyring, [entry("c"), twin])
    assert await database.fetchval("SELECT count(*) FROM orgs") == 1
    await rename(database, "a", "b")
    result = await import_orgs(database, keyring, [entry("c"), twin])
    assert (result.added, result.unchanged + result.changed) == (1, 1)


async def test_the_same_zgid_in_another_data_centre_is_another_org(database: Database, keyring: Keyring) -> None:
    await import_orgs(database, keyring, [replace(entry("a"), zgid="1")])
    assert await import_orgs(database, keyring, [replace(entry("b"), zgid="1", data_center="us")]) == ImportResult(1)


async def test_existing_duplicate_orgs_can_still_be_imported_and_are_listed(
    database: Database, keyring: Keyring
) -> None:
    pair = [entry("a"), replace(entry("b"), zgid="1")]
    await import_orgs(database, keyring, pair)
    await database.execute("UPDATE orgs SET zgid = '1'")
    assert await twins(database) == [("a", "b", "zgid")]
    assert await import_orgs(database, keyring, pair) == ImportResult(unchanged=2)


async def test_a_field_cleared_by_an_import_is_unknown_and_importing_again_changes_nothing(
    database: Database, keyring: Keyring
) -> None:
    said = replace(entry("a"), edition="free", licences=3, poll_interval_seconds=60, api_version="v8", tags=("x",))
    await import_orgs(database, keyring, [said])
    cleared = frozenset({"edition", "licences", "poll_interval_seconds", "api_version", "tags"})
    empty = replace(entry("a"), cleared=cleared)
    assert await import_orgs(database, keyring, [empty]) == ImportResult(changed=1)
    (org,) = await find_orgs(database, ["a"])
    assert (org.edition, org.licences, org.poll_interval_seconds, org.api_version, org.tags) == (None,) * 4 + ((),)
    assert await import_orgs(database, keyring, [empty]) == ImportResult(unchanged=1)


async def test_importing_an_unchanged_file_keeps_values_from_zoho_and_a_changed_file_replaces_them(
    database: Database, keyring: Keyring
) -> None:
    said = replace(entry("a"), edition="free", licences=3)
    (org_id,) = await added(database, keyring, said)
    await update_org_info(database, org_id, NOON, zgid="7", edition="enterprise", licences=50)
    assert await import_orgs(database, keyring, [said]) == ImportResult(unchanged=1)
    (org,) = await find_orgs(database, ["a"])
    assert (org.edition, org.licences) == ("enterprise", 50)
    assert await import_orgs(database, keyring, [replace(said, licences=4)]) == ImportResult(changed=1)
    (org,) = await find_orgs(database, ["a"])
    assert (org.edition, org.licences) == ("enterprise", 4)


def test_every_kind_of_grant_has_its_own_fingerprint() -> None:
    base = replace(entry("a"), refresh_token=None)
    marks = {
        fingerprint(replace(base, refresh_token=Secret("x"))),
        fingerprint(replace(base, grant_code=Secret("x"))),
        fingerprint(replace(base, soid="x")),
        fingerprint(replace(base, soid="x", client_id="other")),
    }
    assert len(marks) == 4
    assert {len(mark) for mark in marks} == {32}
