"""Adds, lists and revokes access keys, and finds the caller whose key or session a request shows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from poller.admin.audit import record
from poller.core.audit import AuditAction
from poller.core.callers import COMMAND_LINE
from poller.core.durations import DAY_SECONDS
from poller.core.errors import DatabaseError, UsageError
from poller.core.names import normal_name
from poller.core.org_entry_fields import TAG_SEPARATOR
from poller.store.access import keys, sessions
from poller.store.access.scoped import missing_role
from poller.store.orgs.selection import unused_tags

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from poller.core.access_key import AccessKey, ShownKey
    from poller.core.callers import Caller, Right
    from poller.core.secret import Secret
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

T = TypeVar("T")

PATIENCE_SECONDS: Final = 5.0
SESSION_SECONDS: Final = sessions.LONGEST_SECONDS
_LONGEST_NAME: Final = 100
_LONGEST_SECONDS: Final = 100 * 365 * DAY_SECONDS


async def add_key(
    database: Database,
    keyring: Keyring,
    name: str,
    *,
    right: Right,
    tags: Sequence[str] = (),
    expires_seconds: int | None = None,
) -> tuple[AccessKey, Secret]:
    """Makes a key; returns what is stored of it, and its text, which can never be read again."""
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"{name[:50]!a} cannot be the name of a key", f"give 1 to {_LONGEST_NAME} printable characters"
        )
    if bad := [tag for tag in tags if not tag.strip() or not tag.isprintable() or TAG_SEPARATOR.search(tag)]:
        raise UsageError(f"{bad[0][:50]!a} is not a tag", "give printable text, and repeat --tag for several tags")
    if expires_seconds is not None and expires_seconds > _LONGEST_SECONDS:
        raise UsageError("a key cannot end in more than 100 years", "make it shorter, or without an end")
    added = await keys.insert_key(
        database,
        keyring,
        name,
        right=right,
        tags=list(dict.fromkeys(map(normal_name, tags))),
        expires_seconds=expires_seconds,
    )
    if added is None:
        remedy = f"give another name, or revoke it with: poller access revoke '{name}'"
        raise UsageError(f"there is a key named {name!r}", remedy)
    key, shown = added
    detail = {"id": key.id, "name": key.name, "may": right.value, "tags": list(key.tags), "expires_at": key.expires_at}
    await record(database, COMMAND_LINE, AuditAction.KEY_ADDED, detail=detail)
    return key, shown.text()


async def tags_of_no_org(database: Database, tags: Sequence[str]) -> list[str]:
    """Those of `tags` that no org has; a key with only such tags sees nothing."""
    return await unused_tags(database, tags)


async def list_keys(database: Database) -> list[AccessKey]:
    """Every key, revoked ones too, the oldest first."""
    return await keys.list_keys(database)


async def revoke_key(database: Database, name: str) -> AccessKey:
    """Revokes a key: its next request is refused, and its sessions are over."""
    revoked = await keys.revoke_key(database, name)
    if revoked is None:
        raise UsageError(f"no key named {name!r} is in use", "see them with `poller access list`")
    await record(database, COMMAND_LINE, AuditAction.KEY_REVOKED, detail={"id": revoked.id, "name": revoked.name})
    return revoked


async def any_usable_key(database: Database) -> bool:
    """Whether any stored key opens a session now."""
    return await keys.any_usable_key(database)


async def second_wall_missing(database: Database) -> bool:
    """Whether PostgreSQL does not itself hide other orgs from callers with tags."""
    return await missing_role(database)


class AccessStore:
    """Looks up what requests show: keys, and sessions of browsers. Raises a `DatabaseError` after `patience_seconds`.

    Without that limit requests would queue for the few connections while the database is slow.
    """

    def __init__(self, database: Database, keyring: Keyring, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.database = database
        self._keyring = keyring
        self._patience_seconds = patience_seconds
        self._key_was_stored = False

    async def caller_of_key(self, shown: ShownKey) -> Caller | None:
        """The caller with this key; None if it is wrong, expired or revoked. A `MissingKeyError`: see `find_caller`."""
        return await self._in_time(keys.find_caller(self.database, self._keyring, shown))

    async def caller_of_session(self, session_id: Secret, environment_key: Secret | None) -> Caller | None:
        """The caller that logged in; None if the session is over."""
        return await self._in_time(sessions.find_session(self.database, self._keyring, session_id, environment_key))

    async def start_session(self, caller: Caller, environment_key: Secret | None) -> Secret:
        """Starts a session and returns its id."""
        return await self._in_time(sessions.start_session(self.database, self._keyring, caller, environment_key))

    async def end_session(self, session_id: Secret) -> None:
        """Ends a session; nothing happens if there is none."""
        await self._in_time(sessions.end_session(self.database, self._keyring, session_id))

    async def has_keys(self) -> bool:
        """Whether a key was ever stored. Without one, the service is open to this machine."""
        # Keys are never deleted, so the answer changes once.
        if not self._key_was_stored:
            self._key_was_stored = await self._in_time(keys.any_key(self.database))
        return self._key_was_stored

    async def _in_time(self, asked: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await asked
        except TimeoutError:
            raise DatabaseError("the database does not answer", "try again in a few seconds", passing=True) from None
