"""Imports orgs from checked entries, after refusing what could not succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.errors import UsageError
from poller.onboarding.grant_codes import many_token_warnings, refuse_too_many
from poller.store.orgs.imports import import_orgs
from poller.store.orgs.orgs import has_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poller.core.org_changes import ImportResult, OrgChange
    from poller.core.org_entry import OrgEntry
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


async def refuse_existing(database: Database, name: str) -> None:
    """Raises `UsageError` where an org of this name has credentials already."""
    if await has_credentials(database, name):
        remedy = "change it with `poller orgs import` or `poller orgs set`"
        raise UsageError(f"there is an org {name!r} already", remedy)


async def import_entries(
    database: Database,
    keyring: Keyring,
    entries: Sequence[OrgEntry],
    *,
    dry_run: bool = False,
    progress: Callable[[int], None],
    on_change: Callable[[OrgChange], None],
) -> ImportResult:
    """Adds and changes orgs: all of `entries`, or none. With `dry_run`, says what would change.

    A `UsageError` where some of the grant codes would expire before Zoho exchanges them.
    """
    await refuse_too_many(database, entries)
    return await import_orgs(database, keyring, entries, dry_run=dry_run, progress=progress, on_change=on_change)


async def warnings_after_import(database: Database, entries: Sequence[OrgEntry]) -> list[str]:
    """Sentences about clients of these entries that have too many refresh tokens."""
    return await many_token_warnings(database, {entry.client_id for entry in entries})
