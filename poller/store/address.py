"""Checks the database's address, and names its host, port and database in errors.

Errors never quote the address: a password with characters that are not percent-encoded may end up in any part.
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
    """Wraps the first use of an address: refuses one that cannot work; errors name the host, port and database."""
    _remove_libpq_variables()
    check_address(dsn)
    try:
        with readable_errors():
            yield
    except (DatabaseError, ValueError, asyncpg.ClientConfigurationError) as error:
        # The cause may quote the address.
        found = _explain(dsn, error)
        raise found from (error.__cause__ if found is error else None)


def check_address(dsn: str) -> None:
    """Raises `SettingsError` for text that is not the address of a PostgreSQL."""
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
    """Returns the servers and the database of an address: `db.example:5432, database poller`."""
    address = database_address(dsn)
    # A server that starts with / is a folder of sockets; its port only names a file in that folder.
    places = [server.rpartition(":")[0] if server.startswith("/") else server for server in address.servers]
    return f"{', '.join(places)}, database {address.database}"


def _options(dsn: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(dsn).query))


def _explain(dsn: str, error: Exception) -> DatabaseError | SettingsError:
    where = f"PostgreSQL at {target(dsn)}"
    cause = error.__cause__ if isinstance(error, DatabaseError) else error
    if found := _of_tls(where, cause, _options(dsn)) or _of_server(where, cause):
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


def _of_server(where: str, cause: object) -> DatabaseError | SettingsError | None:
    """Explains errors of the server about the user, the password and the parameters."""
    if isinstance(cause, asyncpg.UndefinedObjectError) and (unknown := _UNKNOWN_PARAMETER.search(str(cause))):
        what = f"{where}: the parameter {unknown[1]} is known neither to the poller nor to the server"
        return SettingsError(what, f"take {unknown[1]} out of {_URL}")
    if isinstance(cause, asyncpg.InvalidPasswordError):
        return DatabaseError(f"{where}: {cause}", f"correct the user and password in {_URL}; {ENCODE}")
    if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError) and "no encryption" in str(cause):
        return DatabaseError(f"{where} wants TLS", f"add sslmode=require to {_URL}")
    return None


def _remove_libpq_variables() -> None:
    """Removes PGHOST, PGPORT, PGSSLMODE and so on from the environment: asyncpg would add them to an address.

    They belong to a shell that uses another database. Only the poller's own address counts.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
