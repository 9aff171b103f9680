"""Imports orgs by name in one transaction, changing only what differs.

`core.profile` decides how an entry changes the profile of an org. An import refuses one Zoho org under two names. It
refuses the name of a removed org, unless that is the same Zoho org, which is then restored. This module does not read
files (`poller.onboarding.org_file` does), and it expects valid entries.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from poller.core.errors import CredentialError, DatabaseError, UsageError
from poller.core.org_changes import ImportResult, OrgChange
from poller.core.profile import Profile, differences, imported, limits_differ
from poller.store.capacity.contracts import ATTRIBUTES, JOIN, STORED, contract_changes, put_contracts
from poller.store.locks import Lock, lock
from poller.store.orgs.another_org import HAS_HISTORY, accept_zgids, refuse_other_zgids
from poller.store.orgs.credentials import Grant, fingerprint, put_credentials
from poller.store.orgs.encryption import Column
from poller.store.orgs.identity import IdentityCheck, is_same_org, refuse_removed_names, zgid_of
from poller.store.orgs.new_credentials import reset_after_new_credentials
from poller.store.orgs.profiles import COLUMNS, add_profiles, change_profiles, profile_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.core.org_changes import What
    from poller.core.org_entry import OrgEntry
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Connection, Row

CHUNK: Final = 500


async def import_orgs(
    database: Database,
    keyring: Keyring,
    entries: Sequence[OrgEntry],
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _done: None,
    on_change: Callable[[OrgChange], None] = lambda _change: None,
) -> ImportResult:
    """Adds and changes orgs as `entries` say, in one transaction.

    Calls `progress` with the number of entries done, and `on_change` for each org that differs. New credentials and a
    new data centre reset the org: see `new_credentials.reset_after_new_credentials`. With `dry_run` it writes nothing
    and returns what it would do.
    """
    _refuse_duplicates(entries)
    changes: dict[What, int] = {"added": 0, "changed": 0, "restored": 0}
    identities = IdentityCheck()
    async with database.transaction() as connection:
        # Otherwise two imports could both add the same name.
        await lock(connection, Lock.IMPORTS)
        for start in range(0, len(entries), CHUNK):
            chunk = entries[start : start + CHUNK]
            plan = _plan(chunk, await _stored(connection, chunk), keyring)
            await identities.refuse_twins(connection, chunk, plan.new_identities, plan.new_grants)
            for change in plan.changes:
                changes[change.what] += 1
                on_change(change)
            if not dry_run:
                await _apply(connection, keyring, plan)
            progress(start + len(chunk))
    if not dry_run and changes["added"] >= CHUNK:
        # imports.analyze: PostgreSQL does so itself within minutes. Until then every claim of polls reads all orgs.
        with contextlib.suppress(DatabaseError):
            await database.execute("ANALYZE orgs, org_credentials")
    return ImportResult(**changes, unchanged=len(entries) - sum(changes.values()))


@dataclass(frozen=True, slots=True)
class _ImportPlan:
    to_add: Sequence[OrgEntry]
    profiles: dict[int, Profile]
    """New profiles by org id, for orgs whose profile changes."""
    contracts: dict[int, dict[str, Any]]
    """Changes of contracts by org id, for orgs that exist."""
    refresh_info: Sequence[int]
    grants: Sequence[Grant]
    moved: Sequence[int]
    """Orgs whose data centre changes."""
    restored: Sequence[int]
    renumbered: Sequence[int]
    """Orgs whose zgid changes."""
    changes: Sequence[OrgChange]
    new_grants: frozenset[str]
    new_identities: frozenset[str]
    """Names of orgs whose grant or zgid changes."""


def _refuse_duplicates(entries: Iterable[OrgEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise UsageError(f"the org {entry.name!r} is there twice", "give each org once")
        seen.add(entry.name)


async def _stored(connection: Connection, entries: Sequence[OrgEntry]) -> dict[str, Any]:
    """Returns the stored orgs with the names of an import; for a name that only removed orgs have, the last removed."""
    rows = await connection.fetch(_STORED, [entry.name for entry in entries])
    return {row["name"]: row for row in rows}


def _plan(entries: Sequence[OrgEntry], stored: dict[str, Any], keyring: Keyring) -> _ImportPlan:
    known = [(stored[entry.name], entry) for entry in entries if entry.name in stored]
    refuse_removed_names([row for row, entry in known if row["removed_at"] and not is_same_org(row, entry)])
    refuse_other_zgids((row, zgid_of(entry)) for row, entry in known)
    grants = {
        row["id"]: _grant(row, entry, keyring) for row, entry in known if _credentials_differ(row, entry, keyring)
    }
    contracts = {row["id"]: new for row, entry in known if (new := contract_changes(row, entry))}
    profiles, refresh_info, changes = {}, [], []
    for row, entry in known:
        before = profile_of(row)
        after = imported(before, replace(entry, zgid=zgid_of(entry)))
        if after != before:
            profiles[row["id"]] = after
        if limits_differ(before, after):
            refresh_info.append(row["id"])
        fields = differences(before, after) + tuple(ATTRIBUTES.get(name, name) for name in contracts.get(row["id"], ()))
        fields += ("credentials",) if row["id"] in grants else ()
        if fields or row["removed_at"]:
            changes.append(OrgChange(entry.name, "restored" if row["removed_at"] else "changed", fields))
    to_add = [entry for entry in entries if entry.name not in stored]
    new_grants = frozenset(entry.name for row, entry in known if row["grant_fingerprint"] != fingerprint(entry))
    renumbered = {row["id"]: entry.name for row, entry in known if zgid_of(entry) not in {None, row["zgid"]}}
    return _ImportPlan(
        to_add=to_add,
        profiles=profiles,
        contracts=contracts,
        refresh_info=refresh_info,
        grants=list(grants.values()),
        moved=[row["id"] for row, entry in known if row["data_center"] != entry.data_center],
        restored=[row["id"] for row, _ in known if row["removed_at"]],
        changes=[*(OrgChange(entry.name, "added") for entry in to_add), *changes],
        renumbered=list(renumbered),
        new_grants=new_grants,
        new_identities=new_grants | set(renumbered.values()) | {entry.name for entry in to_add},
    )


def _credentials_differ(row: Row, entry: OrgEntry, keyring: Keyring) -> bool:
    if row["grant_fingerprint"] != fingerprint(entry) or row["client_id"] != entry.client_id:
        return True
    try:
        return keyring.decrypt(row["id"], Column.CLIENT, row["key_id"], row["client_secret"]) != entry.client_secret
    except CredentialError:
        # Its key is lost, so the import replaces the credentials.
        return True


def _grant(row: Row, entry: OrgEntry, keyring: Keyring) -> Grant:
    """Returns the grant of an entry; keeps the refresh token if the entry's grant code was exchanged for it before."""
    grant = Grant.of_entry(row["id"], entry)
    if entry.grant_code and row["refresh_token"] and row["grant_fingerprint"] == grant.fingerprint:
        with contextlib.suppress(CredentialError):
            refresh_token = keyring.decrypt(row["id"], Column.REFRESH, row["key_id"], row["refresh_token"])
            return grant.exchanged(refresh_token)
    return grant


async def _apply(connection: Connection, keyring: Keyring, plan: _ImportPlan) -> None:
    by_name = {entry.name: entry for entry in plan.to_add}
    new = {
        name: imported(Profile(entry.data_center), replace(entry, zgid=zgid_of(entry)))
        for name, entry in by_name.items()
    }
    added = await add_profiles(connection, new)
    grants = [*plan.grants, *(Grant.of_entry(org_id, by_name[name]) for name, org_id in added.items())]
    await change_profiles(connection, plan.profiles, plan.refresh_info)
    new_contracts = {org_id: contract_changes(None, by_name[name]) for name, org_id in added.items()}
    await put_contracts(connection, plan.contracts | new_contracts)
    await put_credentials(connection, keyring, grants)
    org_ids = [grant.org_id for grant in grants]
    await accept_zgids(connection, plan.renumbered)
    await reset_after_new_credentials(connection, [*org_ids, *plan.moved])
    if plan.restored:
        await connection.execute(_RESTORE, plan.restored)
    await connection.execute(_POLL_AGAIN, org_ids)


# imports.stored: an org that is not removed comes first. The rows are locked until the import ends; polls continue, and
# may write rows that refer to these orgs.
_STORED: Final = f"""
SELECT o.id, o.name, o.removed_at, o.removed_fingerprint, {HAS_HISTORY} AS has_history,
       {", ".join(f"o.{column}" for column in COLUMNS)},
       c.client_id, c.client_secret, c.refresh_token, c.key_id, c.grant_fingerprint, {STORED}
FROM orgs o LEFT JOIN org_credentials c ON c.org_id = o.id {JOIN}
WHERE o.name = ANY($1::text[]) AND o.id = (
    SELECT id FROM orgs same WHERE same.name = o.name ORDER BY same.removed_at DESC NULLS FIRST, id DESC LIMIT 1)
FOR NO KEY UPDATE OF o
"""  # noqa: S608 - names of the model

# imports.restore: removed orgs, which keep their history.
_RESTORE: Final = """
UPDATE orgs SET removed_at = NULL, removed_grant = NULL, removed_fingerprint = NULL, resumed_at = now(),
                updated_at = now()
WHERE id = ANY($1::int[])
"""

# imports.poll_again: orgs that were paused only because they had no credentials.
_POLL_AGAIN: Final = """
UPDATE orgs SET paused_at = NULL, paused_reason = NULL, resumed_at = now(), updated_at = now()
WHERE id = ANY($1::int[]) AND paused_reason = 'no_credentials'
"""
