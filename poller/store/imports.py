"""Bringing orgs in from what an operator wrote down: by name, all or nothing, changing only what differs.

What an entry leaves unsaid stays as it is (an org's edition may have been learned from Zoho meanwhile). It refuses to
read files (`poller.orgfile` does) and to judge entries: those it gets are checked.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from poller.core.errors import CredentialError, UsageError
from poller.store.credentials import Grant, fingerprint, put_credentials
from poller.store.locks import Lock, lock
from poller.store.new_credentials import forget_old_credentials
from poller.store.secrets import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from poller.core.entry import OrgEntry
    from poller.store.database import Database
    from poller.store.secrets import Keyring

CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class ImportResult:
    """How many orgs an import added, changed and found unchanged."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


async def import_orgs(
    database: Database,
    keyring: Keyring,
    entries: Sequence[OrgEntry],
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _done: None,
) -> ImportResult:
    """Add and change orgs so that they are as `entries` say, in one transaction; `progress` hears how many are done.

    New credentials, and another data centre, start from nothing: see `new_credentials.forget_old_credentials`.
    With `dry_run` nothing is written; the result says what would be.
    """
    _refuse_doubles(entries)
    added = changed = 0
    async with database.transaction() as connection:
        # Two imports of one name would each find it missing.
        await lock(connection, Lock.IMPORTS)
        for start in range(0, len(entries), CHUNK):
            chunk = entries[start : start + CHUNK]
            plan = _plan(chunk, await _stored(connection, chunk), keyring)
            added += len(plan.to_add)
            changed += len(plan.changed)
            if not dry_run:
                await _carry_out(connection, keyring, plan)
            progress(start + len(chunk))
    return ImportResult(added, changed, len(entries) - added - changed)


@dataclass(frozen=True, slots=True)
class _Plan:
    to_add: Sequence[OrgEntry]
    changed: frozenset[int]
    profiles: Sequence[tuple[int, OrgEntry]]
    """Orgs of which a plain column differs."""
    grants: Sequence[Grant]
    moved: Sequence[int]
    """Orgs in another data centre than before."""


def _refuse_doubles(entries: Iterable[OrgEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise UsageError(f"the org {entry.name!r} is there twice", "give each org once")
        seen.add(entry.name)


async def _stored(connection: Any, entries: Sequence[OrgEntry]) -> dict[str, Any]:
    # imports.stored: what is known of the orgs an import names, held still until it is over; polls may go on, and write
    # rows that refer to these.
    rows = await connection.fetch(
        """
        SELECT o.id, o.name, o.data_center, o.zgid, o.edition, o.licences, o.poll_interval_seconds, o.api_version,
               o.tags, c.client_id, c.client_secret, c.refresh_token, c.key_id, c.grant_fingerprint
        FROM orgs o LEFT JOIN org_credentials c ON c.org_id = o.id
        WHERE o.removed_at IS NULL AND o.name = ANY($1::text[])
        FOR NO KEY UPDATE OF o
        """,
        [entry.name for entry in entries],
    )
    return {row["name"]: row for row in rows}


def _plan(entries: Sequence[OrgEntry], stored: dict[str, Any], keyring: Keyring) -> _Plan:
    known = [(stored[entry.name], entry) for entry in entries if entry.name in stored]
    profiles = [(row["id"], entry) for row, entry in known if _profile_differs(row, entry)]
    grants = [_grant(row, entry, keyring) for row, entry in known if _credentials_differ(row, entry, keyring)]
    return _Plan(
        to_add=[entry for entry in entries if entry.name not in stored],
        changed=frozenset([org_id for org_id, _ in profiles] + [grant.org_id for grant in grants]),
        profiles=profiles,
        grants=grants,
        moved=[row["id"] for row, entry in known if row["data_center"] != entry.data_center],
    )


def _profile_differs(row: Any, entry: OrgEntry) -> bool:
    if row["data_center"] != entry.data_center or (entry.tags and tuple(row["tags"]) != entry.tags):
        return True
    return any(
        getattr(entry, column) is not None and getattr(entry, column) != row[column]
        for column in ("zgid", "edition", "licences", "poll_interval_seconds", "api_version")
    )


def _credentials_differ(row: Any, entry: OrgEntry, keyring: Keyring) -> bool:
    if row["grant_fingerprint"] != fingerprint(entry) or row["client_id"] != entry.client_id:
        return True
    try:
        return keyring.decrypt(row["id"], Column.CLIENT, row["key_id"], row["client_secret"]) != entry.client_secret
    except CredentialError:
        # Its key is lost: importing the org anew is the remedy.
        return True


def _grant(row: Any, entry: OrgEntry, keyring: Keyring) -> Grant:
    """A grant code that was exchanged is spent: what it gave stays, when only the client's secret is new."""
    grant = Grant.of_entry(row["id"], entry)
    if entry.grant_code and row["refresh_token"] and row["grant_fingerprint"] == grant.fingerprint:
        with contextlib.suppress(CredentialError):
            earned = keyring.decrypt(row["id"], Column.REFRESH, row["key_id"], row["refresh_token"])
            return grant.exchanged(earned)
    return grant


async def _carry_out(connection: Any, keyring: Keyring, plan: _Plan) -> None:
    grants = [*plan.grants, *(Grant.of_entry(org_id, entry) for org_id, entry in await _add(connection, plan.to_add))]
    await _change_profiles(connection, plan.profiles)
    await put_credentials(connection, keyring, grants)
    await forget_old_credentials(connection, [*(grant.org_id for grant in grants), *plan.moved])


async def _add(connection: Any, entries: Sequence[OrgEntry]) -> list[tuple[int, OrgEntry]]:
    if not entries:
        return []
    # imports.add: orgs whose names nobody has. Tags travel as JSON: SQL's arrays of arrays are rectangular.
    rows = await connection.fetch(
        """
        INSERT INTO orgs (name, data_center, zgid, edition, licences, poll_interval_seconds, api_version, tags)
        SELECT name, data_center, zgid, edition, licences, poll_interval_seconds, api_version,
               ARRAY(SELECT jsonb_array_elements_text(tags::jsonb))
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::text[], $8::text[])
             AS new (name, data_center, zgid, edition, licences, poll_interval_seconds, api_version, tags)
        RETURNING id, name
        """,
        [entry.name for entry in entries],
        *_profile_columns(entries),
    )
    by_name = {entry.name: entry for entry in entries}
    return [(row["id"], by_name[row["name"]]) for row in rows]


async def _change_profiles(connection: Any, changes: Sequence[tuple[int, OrgEntry]]) -> None:
    if not changes:
        return
    # imports.change: what an entry says takes the place of what was known; what it does not say stays.
    await connection.execute(
        """
        UPDATE orgs SET
            data_center = new.data_center,
            zgid = coalesce(new.zgid, orgs.zgid),
            edition = coalesce(new.edition, orgs.edition),
            licences = coalesce(new.licences, orgs.licences),
            poll_interval_seconds = coalesce(new.poll_interval_seconds, orgs.poll_interval_seconds),
            api_version = coalesce(new.api_version, orgs.api_version),
            tags = CASE WHEN new.tags = '[]' THEN orgs.tags
                        ELSE ARRAY(SELECT jsonb_array_elements_text(new.tags::jsonb)) END,
            updated_at = now()
        FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::text[], $8::text[])
             AS new (id, data_center, zgid, edition, licences, poll_interval_seconds, api_version, tags)
        WHERE orgs.id = new.id
        """,
        [org_id for org_id, _ in changes],
        *_profile_columns([entry for _, entry in changes]),
    )


def _profile_columns(entries: Sequence[OrgEntry]) -> tuple[list[Any], ...]:
    return (
        [entry.data_center for entry in entries],
        [entry.zgid for entry in entries],
        [entry.edition for entry in entries],
        [entry.licences for entry in entries],
        [entry.poll_interval_seconds for entry in entries],
        [entry.api_version for entry in entries],
        [orjson.dumps(entry.tags).decode() for entry in entries],
    )
