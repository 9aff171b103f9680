"""The address of the database: checked before it is used, and named (without user and password) where it cannot be.

What is wrong with an address is said without quoting it: a password with characters that have to be percent-encoded may
end up in any part.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from poller.core.database_address import ENCODE, database_address, login_breaks
from poller.core.errors import DatabaseError, SettingsError
from poller.store import tls_errors
from poller.store.errors import ADDRESS, readable_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

_URL: Final = "POLLER_DATABASE_URL"
_PORT: Final = re.compile(r"[0-9]{1,5}")
_LARGEST_PORT: Final = 65_535
_UNKNOWN_PARAMETER: Final = re.compile(r'unrecognized configuration parameter "([\w.]+)"')


@contextlib.contextmanager
def connecting(dsn: str) -> Iterator[None]:
    """For the first use of an address: what cannot work is refused, and errors name the host, port and database."""
    _forget_libpq_variables()
    check_address(dsn)
    try:
        with readable_errors():
            yield
    except (DatabaseError, ValueError, asyncpg.ClientConfigurationError) as error:
        # The cause may quote the address.
        found = _explain(dsn, error)
        raise found from (error.__cause__ if found is error else None)


def check_address(dsn: str) -> None:
    """Raise `SettingsError` for an address that cannot be one."""
    if not dsn.startswith(("postgresql://", "postgres://")):
        raise SettingsError(f"{_URL} is not the address of a PostgreSQL", ADDRESS)
    if login_breaks(dsn):
        raise SettingsError(f"{_URL} cannot be read as an address: user or password break it", ENCODE)
    hosts = re.split(r"[/?]", dsn.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
    for host in hosts.split(","):
        port = host.rpartition("]")[2].partition(":")[2]
        if port and not (_PORT.fullmatch(port) and 0 < int(port) <= _LARGEST_PORT):
            raise SettingsError(f"{_URL} has a port that is not a number from 1 to {_LARGEST_PORT}", ADDRESS)


def target(dsn: str) -> str:
    """Where an address leads: `db.example:5432, database poller`."""
    address = database_address(dsn)
    # A folder of sockets is its own name: the port is one of a file in it.
    places = [server.rpartition(":")[0] if server.startswith("/") else server for server in address.servers]
    return f"{', '.join(places)}, database {address.database}"


def _options(dsn: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(dsn).query))


def _explain(dsn: str, error: Exception) -> DatabaseError | SettingsError:
    where = f"PostgreSQL at {target(dsn)}"
    cause = error.__cause__ if isinstance(error, DatabaseError) else error
    if found := _of_tls(where, cause, _options(dsn)) or _of_words(where, cause):
        return found
    if isinstance(error, DatabaseError):
        error.what = error.what.replace("PostgreSQL:", f"{where}:", 1)
        return error
    return SettingsError(f"{_URL} cannot be used as an address", ADDRESS)


def _of_tls(where: str, cause: object, options: dict[str, str]) -> DatabaseError | SettingsError | None:
    if isinstance(cause, asyncpg.ClientConfigurationError):
        return tls_errors.of_configuration(where, str(cause))
    if isinstance(cause, (ssl.SSLError, FileNotFoundError, PermissionError, ConnectionError)):
        return tls_errors.of_connection(where, cause, options)
    return None


def _of_words(where: str, cause: object) -> DatabaseError | SettingsError | None:
    """For what the server says of the user, the password and the parameters."""
    if isinstance(cause, asyncpg.UndefinedObjectError) and (unknown := _UNKNOWN_PARAMETER.search(str(cause))):
        what = f"{where}: the parameter {unknown[1]} is known neither to the poller nor to the server"
        return SettingsError(what, f"take {unknown[1]} out of {_URL}")
    if isinstance(cause, asyncpg.InvalidPasswordError):
        return DatabaseError(f"{where}: {cause}", f"correct the user and password in {_URL}; {ENCODE}")
    if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError) and "no encryption" in str(cause):
        return DatabaseError(f"{where} wants TLS", f"add sslmode=require to {_URL}")
    return None


def _forget_libpq_variables() -> None:
    """Drop PGHOST, PGPORT, PGSSLMODE and the like, which asyncpg reads for whatever an address leaves out.

    They are of a shell that talks to another database. The poller's address says all there is to say.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
