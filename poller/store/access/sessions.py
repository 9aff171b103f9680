"""Browser sessions in the database: only an HMAC of the random id that the browser keeps in its cookie.

A session ends after 12 hours, after 30 minutes without a request, with a log-out, and with its key. The session of a
log-in with POLLER_API_KEY keeps an HMAC of that key, and ends when the key changes.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from poller.core.callers import ENVIRONMENT, Caller
from poller.core.secret import Secret
from poller.store.access.keys import caller_of

if TYPE_CHECKING:
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Queries

LONGEST_SECONDS: Final = 12 * 3_600
IDLE_SECONDS: Final = 30 * 60
_SESSION: Final = "session"
_ENVIRONMENT: Final = "environment"


async def start_session(
    queries: Queries, keyring: Keyring, caller: Caller, environment_key: Secret | None = None
) -> Secret:
    """Starts a session of `caller` and returns its id; deletes sessions that are over.

    `environment_key`: the key of POLLER_API_KEY, for a caller without a stored key.
    """
    session_id = Secret(secrets.token_urlsafe(32))
    of_environment = None
    if caller.key_id is None:
        assert environment_key is not None  # noqa: S101 - nobody else logs in
        of_environment = keyring.mac(keyring.current_id, _ENVIRONMENT, environment_key)
    # sessions.start
    await queries.execute(
        """
        WITH over AS (
            DELETE FROM web_sessions WHERE created_at < now() - make_interval(secs => $4)
               OR seen_at < now() - make_interval(secs => $5)
        )
        INSERT INTO web_sessions (hash, key_id, environment) VALUES ($1, $2, $3)
        """,
        keyring.mac(keyring.current_id, _SESSION, session_id),
        caller.key_id,
        of_environment,
        LONGEST_SECONDS,
        IDLE_SECONDS,
    )
    return session_id


async def find_session(
    queries: Queries, keyring: Keyring, session_id: Secret, environment_key: Secret | None = None
) -> Caller | None:
    """The caller of a session; None if it is over or there never was one. Notes the request once a minute."""
    # sessions.find
    rows = await queries.fetch(
        """
        SELECT s.hash, s.environment, s.seen_at < now() - interval '1 minute' AS unnoted, k.id, k.name, k.may, k.tags
        FROM web_sessions s LEFT JOIN access_keys k ON k.id = s.key_id
        WHERE s.hash = ANY ($1::bytea[])
          AND s.created_at > now() - make_interval(secs => $2) AND s.seen_at > now() - make_interval(secs => $3)
          AND (s.key_id IS NULL OR k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()))
        """,
        keyring.macs(_SESSION, session_id),
        LONGEST_SECONDS,
        IDLE_SECONDS,
    )
    if not rows:
        return None
    row = rows[0]
    if row["environment"] is not None and (
        environment_key is None or row["environment"] not in keyring.macs(_ENVIRONMENT, environment_key)
    ):
        return None
    if row["unnoted"]:
        # sessions.note_request
        await queries.execute(
            """
            WITH of_key AS (UPDATE access_keys SET last_used_at = now() WHERE id = $2)
            UPDATE web_sessions SET seen_at = now() WHERE hash = $1
            """,
            row["hash"],
            row["id"],
        )
    return ENVIRONMENT if row["id"] is None else caller_of(row)


async def end_session(queries: Queries, keyring: Keyring, session_id: Secret) -> None:
    """Ends a session."""
    # sessions.end
    await queries.execute("DELETE FROM web_sessions WHERE hash = ANY ($1::bytea[])", keyring.macs(_SESSION, session_id))
