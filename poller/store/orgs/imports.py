"""Imports orgs from what an operator wrote down: by name, all or nothing, changing only what differs.

`core.profile` decides what becomes of an org's plain columns. An import refuses one Zoho org under two names, and the
name of a removed org unless it is the same org, which is then restored. This module reads no files
(`poller.onboarding.org_file` does) and checks no entries: those it gets are checked.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from poller.core.errors import CredentialError, UsageError
from poller.core.profile import Profile, differences, imported, limits_differ
from poller.store.capacity.contracts import ATTRIBUTES, JOIN, STORED, contract_changes, put_contracts
from poller.store.locks import Lock, lock
from poller.store.orgs.another_org import HAS_HISTORY, believe_zgids, refuse_other_zgids
from poller.store.orgs.credentials import Grant, fingerprint, put_credentials
from poller.store.orgs.encryption import Column
from poller.store.orgs.identity import IdentityCheck, is_same_org, refuse_removed_names, zgid_of
from poller.store.orgs.new_credentials import forget_old_credentials
from poller.store.orgs.profiles import COLUMNS, add_profiles, change_profiles, profile_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.core.org_entry import OrgEntry
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Connection, Record

CHUNK: Final = 500
What = Literal["added", "changed", "restored"]


@dataclass(frozen=True, slots=True)
class OrgChange:
    """What an import did, or would do, with one org: the fields name columns, or are `credentials`."""

    org: str
    what: What
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportResult:
    """How many orgs an import added, changed, found unchanged, and restored because they had been removed."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    restored: int = 0


async def import_orgs(
    database: Database,
    keyring: Keyring,
    entries: Sequence[OrgEntry],
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _done: None,
    tell: Callable[[OrgChange], None] = lambda _change: None,
) -> ImportResult:
    """Add and change orgs so that they are as `entries` say, in one transaction.

    `progress` hears how many are done, `tell` of each org that is not the same. New credentials, and another data
    centre, start from nothing: see `new_credentials.forget_old_credentials`. With `dry_run` nothing is written; the
    result says what would be.
    """
    _refuse_doubles(entries)
    changes: dict[What, int] = {"added": 0, "changed": 0, "restored": 0}
    identities = IdentityCheck()
    async with database.transaction() as connection:
        # Two imports of one name would each find it missing.
        await lock(connection, Lock.IMPORTS)
        for start in range(0, len(entries), CHUNK):
            chunk = entries[start : start + CHUNK]
            plan = _plan(chunk, await _stored(connection, chunk), keyring)
            await identities.refuse_twins(connection, chunk, plan.new_identities, plan.new_grants)
            for change in plan.changes:
                changes[change.what] += 1
                tell(change)
            if not dry_run:
                await _carry_out(connection, keyring, plan)
            progress(start + len(chunk))
    return ImportResult(**changes, unchanged=len(entries) - sum(changes.values()))


@dataclass(frozen=True, slots=True)
class _Plan:
    to_add: Sequence[OrgEntry]
    profiles: dict[int, Profile]
    """The new profiles of orgs of which a plain column differs."""
    contracts: dict[int, dict[str, Any]]
    """What changes of the contracts of orgs that are there."""
    ask_again: Sequence[int]
    grants: Sequence[Grant]
    moved: Sequence[int]
    """Orgs in another data centre than before."""
    restored: Sequence[int]
    renumbered: Sequence[int]
    """Orgs with another zgid than before."""
    changes: Sequence[OrgChange]
    new_grants: frozenset[str]
    new_identities: frozenset[str]
    """Names of orgs that get another grant, or another number at Zoho."""


def _refuse_doubles(entries: Iterable[OrgEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise UsageError(f"the org {entry.name!r} is there twice", "give each org once")
        seen.add(entry.name)


async def _stored(connection: Connection, entries: Sequence[OrgEntry]) -> dict[str, Any]:
    """What is stored of the orgs an import names; of a name that only removed orgs have, the last of them."""
    rows = await connection.fetch(_STORED, [entry.name for entry in entries])
    return {row["name"]: row for row in rows}


def _plan(entries: Sequence[OrgEntry], stored: dict[str, Any], keyring: Keyring) -> _Plan:
    known = [(stored[entry.name], entry) for entry in entries if entry.name in stored]
    refuse_removed_names([row for row, entry in known if row["removed_at"] and not is_same_org(row, entry)])
    refuse_other_zgids((row, zgid_of(entry)) for row, entry in known)
    grants = {
        row["id"]: _grant(row, entry, keyring) for row, entry in known if _credentials_differ(row, entry, keyring)
    }
    contracts = {row["id"]: new for row, entry in known if (new := contract_changes(row, entry))}
    profiles, ask_again, changes = {}, [], []
    for row, entry in known:
        before = profile_of(row)
        after = imported(before, replace(entry, zgid=zgid_of(entry)))
        if after != before:
            profiles[row["id"]] = after
        if limits_differ(before, after):
            ask_again.append(row["id"])
        fields = differences(before, after) + tuple(ATTRIBUTES.get(name, name) for name in contracts.get(row["id"], ()))
        fields += ("credentials",) if row["id"] in grants else ()
        if fields or row["removed_at"]:
            changes.append(OrgChange(entry.name, "restored" if row["removed_at"] else "changed", fields))
    to_add = [entry for entry in entries if entry.name not in stored]
    new_grants = frozenset(entry.name for row, entry in known if row["grant_fingerprint"] != fingerprint(entry))
    renumbered = {row["id"]: entry.name for row, entry in known if zgid_of(entry) not in {None, row["zgid"]}}
    return _Plan(
        to_add=to_add,
        profiles=profiles,
        contracts=contracts,
        ask_again=ask_again,
        grants=list(grants.values()),
        moved=[row["id"] for row, entry in known if row["data_center"] != entry.data_center],
        restored=[row["id"] for row, _ in known if row["removed_at"]],
        changes=[*(OrgChange(entry.name, "added") for entry in to_add), *changes],
        renumbered=list(renumbered),
        new_grants=new_grants,
        new_identities=new_grants | set(renumbered.values()) | {entry.name for entry in to_add},
    )


def _credentials_differ(row: Record, entry: OrgEntry, keyring: Keyring) -> bool:
    if row["grant_fingerprint"] != fingerprint(entry) or row["client_id"] != entry.client_id:
        return True
    try:
        return keyring.decrypt(row["id"], Column.CLIENT, row["key_id"], row["client_secret"]) != entry.client_secret
    except CredentialError:
        # Its key is lost: importing the org anew is the remedy.
        return True


def _grant(row: Record, entry: OrgEntry, keyring: Keyring) -> Grant:
    """A grant code that was exchanged is spent: what it gave stays, when only the client's secret is new."""
    grant = Grant.of_entry(row["id"], entry)
    if entry.grant_code and row["refresh_token"] and row["grant_fingerprint"] == grant.fingerprint:
        with contextlib.suppress(CredentialError):
            earned = keyring.decrypt(row["id"], Column.REFRESH, row["key_id"], row["refresh_token"])
            return grant.exchanged(earned)
    return grant


async def _carry_out(connection: Connection, keyring: Keyring, plan: _Plan) -> None:
    by_name = {entry.name: entry for entry in plan.to_add}
    new = {
        name: imported(Profile(entry.data_center), replace(entry, zgid=zgid_of(entry)))
        for name, entry in by_name.items()
    }
    added = await add_profiles(connection, new)
    grants = [*plan.grants, *(Grant.of_entry(org_id, by_name[name]) for name, org_id in added.items())]
    await change_profiles(connection, plan.profiles, plan.ask_again)
    new_contracts = {org_id: contract_changes(None, by_name[name]) for name, org_id in added.items()}
    await put_contracts(connection, plan.contracts | new_contracts)
    await put_credentials(connection, keyring, grants)
    org_ids = [grant.org_id for grant in grants]
    await believe_zgids(connection, plan.renumbered)
    await forget_old_credentials(connection, [*org_ids, *plan.moved])
    if plan.restored:
        await connection.execute(_RESTORE, plan.restored)
    await connection.execute(_POLL_AGAIN, org_ids)


# imports.stored: the living before the removed, held still until the import is over; polls may go on, and write rows
# that refer to these.
_STORED: Final = f"""
SELECT o.id, o.name, o.removed_at, o.removed_fingerprint, {HAS_HISTORY} AS has_history,
       {", ".join(f"o.{column}" for column in COLUMNS)},
       c.client_id, c.client_secret, c.refresh_token, c.key_id, c.grant_fingerprint, {STORED}
FROM orgs o LEFT JOIN org_credentials c ON c.org_id = o.id {JOIN}
WHERE o.name = ANY($1::text[]) AND o.id = (
    SELECT id FROM orgs same WHERE same.name = o.name ORDER BY same.removed_at DESC NULLS FIRST, id DESC LIMIT 1)
FOR NO KEY UPDATE OF o
"""  # noqa: S608 - names of the model

# imports.restore: an org that had been removed, with the history it had.
_RESTORE: Final = """
UPDATE orgs SET removed_at = NULL, removed_grant = NULL, removed_fingerprint = NULL, resumed_at = now(),
                updated_at = now()
WHERE id = ANY($1::int[])
"""

# imports.poll_again: orgs that were only paused because they had no credentials.
_POLL_AGAIN: Final = """
UPDATE orgs SET paused_at = NULL, paused_reason = NULL, resumed_at = now(), updated_at = now()
WHERE id = ANY($1::int[]) AND paused_reason = 'no_credentials'
"""
