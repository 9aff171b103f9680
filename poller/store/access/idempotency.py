"""Keeps the replies to write requests that carry an Idempotency-Key, for a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from poller.store.database import Database


class KeptReply(NamedTuple):
    """The reply to an earlier request with the same key; `status` None: that request is being answered."""

    route: str
    status: int | None
    body: bytes | None


async def begin(database: Database, caller: str, key: str, route: str) -> KeptReply | None:
    """Notes that a request with this key is being answered; returns the reply if there was such a request before."""
    async with database.transaction() as connection:
        await connection.execute(_EXPIRE)
        if await connection.fetchrow(_BEGIN, caller, key, route) is not None:
            return None
        row = await connection.fetchrow(_READ, caller, key)
    return None if row is None else KeptReply(*row)


async def keep(database: Database, caller: str, key: str, status: int, body: bytes) -> None:
    """Stores the reply."""
    await database.execute(_KEEP, caller, key, status, body)


async def forget(database: Database, caller: str, key: str) -> None:
    """Forgets a request that was refused: the same key may be used again."""
    await database.execute(_FORGET, caller, key)


# idempotency.expire: a request whose process died is forgotten after a minute.
_EXPIRE: Final = """
DELETE FROM idempotency_keys
WHERE created_at < now() - interval '1 day' OR (status IS NULL AND created_at < now() - interval '1 minute')
"""

# idempotency.begin
_BEGIN: Final = """
INSERT INTO idempotency_keys (caller, key, route) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING key
"""

# idempotency.read
_READ: Final = "SELECT route, status, body FROM idempotency_keys WHERE caller = $1 AND key = $2"

# idempotency.keep
_KEEP: Final = "UPDATE idempotency_keys SET status = $3, body = $4 WHERE caller = $1 AND key = $2"

# idempotency.forget
_FORGET: Final = "DELETE FROM idempotency_keys WHERE caller = $1 AND key = $2 AND status IS NULL"
