"""Turns errors of PostgreSQL, asyncpg and the network into a `DatabaseError` with a remedy.

It passes on the server's own sentence and nothing else: details and hints quote rows, and a malformed address could
quote a password.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

import asyncpg

from poller.core.errors import DatabaseError, LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSLATED: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""Every error that asyncpg may raise; a `TimeoutError` is an `OSError`."""
ADDRESS: Final = "write postgresql://user:password@host:5432/name"


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
    """Translates every error of asyncpg and of the network into a `DatabaseError` of one line with its remedy."""
    try:
        yield
    except asyncpg.ClientConfigurationError:
        raise
    except TRANSLATED as error:
        raise explain(error) from error


def explain(error: BaseException) -> DatabaseError:
    """Returns the `DatabaseError` that explains `error` and says what to do."""
    if _is_lost(error):
        return DatabaseError("PostgreSQL: the connection was lost", _SERVER_AWAY, passing=True)
    refused = _POOLER_REFUSES.search(str(error)) if isinstance(error, asyncpg.ProtocolViolationError) else None
    if refused:
        return DatabaseError(f"the pooler refuses the parameter {refused[1]}", _pooler_remedy(refused[1]))
    if isinstance(error, asyncpg.LockNotAvailableError):
        return LockedError("PostgreSQL: another session holds a lock for too long", _SEE_LOCKS, passing=True)
    if type(error) is asyncpg.InvalidAuthorizationSpecificationError and "pg_hba.conf" not in str(error):
        return DatabaseError(f"PostgreSQL: {_what(error)}", _LOGIN)
    for kinds, remedy in _REMEDIES:
        if isinstance(error, kinds):
            return DatabaseError(f"PostgreSQL: {_what(error)}", remedy, passing=isinstance(error, _PASSING))
    return DatabaseError(f"PostgreSQL: {_what(error)}", "see PostgreSQL's log", passing=isinstance(error, _PASSING))


def _pooler_remedy(parameter: str) -> str:
    return (
        f"take {parameter} out of POLLER_DATABASE_URL and set it with ALTER ROLE … SET, or add it to"
        " ignore_startup_parameters in pgbouncer.ini"
    )


def _is_lost(error: BaseException) -> bool:
    """Returns whether the connection was lost between two statements: asyncpg has no error class for this.

    It is closed, or the server has said goodbye and the end of the stream is still on its way.
    """
    words = (
        (asyncpg.InterfaceError, "closed"),
        # A reserved connection that was lost while it was idle.
        (asyncpg.InterfaceError, "released back to the pool"),
        (asyncpg.InternalClientError, "cannot switch to state"),
    )
    return any(isinstance(error, kind) and word in str(error) for kind, word in words)


# Transient errors: retrying may succeed without a change to the poller. They come from the server, its disk, its locks,
# the network, and the limits of a session.
_PASSING: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.InvalidCachedStatementError,
    # asyncpg raises this for a session that was killed while it was idle, and if none of several hosts is a primary.
    asyncpg.InternalClientError,
    OSError,
)
SESSION: Final = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
)
"""Errors that a session may repeat until it ends, even after their cause is fixed: a timeout of its role, a server that
is no longer the primary, a protocol out of step."""
_SEE_LOCKS: Final = "run `poller doctor`, which names the session that holds a lock"
_LOGIN: Final = "correct the user in POLLER_DATABASE_URL, or have an administrator let it log in"
_SERVER_AWAY: Final = "start PostgreSQL, or correct POLLER_DATABASE_URL, and try again"
_POOLER_REFUSES: Final = re.compile(r"unsupported startup parameter(?: in options)?: (\w+)")
_REMEDIES: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]] = (
    (asyncpg.InvalidPasswordError, f"correct the user and password in POLLER_DATABASE_URL: {ADDRESS}"),
    (asyncpg.InvalidAuthorizationSpecificationError, "let this user in from this machine in the server's pg_hba.conf"),
    (asyncpg.InvalidCatalogNameError, "create the database, or correct its name in POLLER_DATABASE_URL"),
    (
        (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError),
        "run `poller migrate`",
    ),
    (asyncpg.InsufficientPrivilegeError, "use the role that owns the poller's tables, or grant this one what it lacks"),
    (asyncpg.TooManyConnectionsError, "raise max_connections, or run fewer pollers"),
    (
        (asyncpg.UntranslatableCharacterError, asyncpg.CharacterNotInRepertoireError),
        "move the poller to a database with ENCODING 'UTF8'",
    ),
    (asyncpg.DiskFullError, "free space on PostgreSQL's disk"),
    (
        (asyncpg.ReadOnlySQLTransactionError, asyncpg.TargetServerAttributeNotMatched),
        "point POLLER_DATABASE_URL at the primary, not at a replica",
    ),
    ((asyncpg.DeadlockDetectedError, asyncpg.SerializationError), "try again"),
    (asyncpg.QueryCanceledError, f"try again; if it lasts, {_SEE_LOCKS}"),
    (socket.gaierror, "correct the host in POLLER_DATABASE_URL, or fix name resolution"),
    (ssl.SSLError, "correct sslmode and the certificates in POLLER_DATABASE_URL"),
    (TimeoutError, "see whether PostgreSQL is up, reachable and not overloaded, and try again"),
    (
        (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, OSError),
        _SERVER_AWAY,
    ),
)


def _what(error: BaseException) -> str:
    # The server's error about a value, and asyncpg's own (which is a ValueError): both quote the value.
    if isinstance(error, (asyncpg.DataError, ValueError)):
        of_encoding = isinstance(error, (asyncpg.UntranslatableCharacterError, asyncpg.CharacterNotInRepertoireError))
        return "the database's encoding lacks a character" if of_encoding else "a value does not fit its column"
    if isinstance(error, asyncpg.PostgresError):
        return str(getattr(error, "message", None) or error.args[0])
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return _what_of_system(error)
    return str(error.args[0]) if error.args else type(error).__name__


def _what_of_system(error: OSError) -> str:
    # asyncio's message for a refused connection contains a Python tuple.
    if error.errno is not None and not isinstance(error, (socket.gaierror, ssl.SSLError)):
        return os.strerror(error.errno)
    return error.strerror or "no connection"
