"""Reads hosts, ports and database name from the address of a PostgreSQL, for messages without the password.

Never raises: the parts of an invalid address are `?`. No result contains a password.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

_PORT: str = "5432"
_HOST = re.compile(r"\[(?P<six>[^\]]*)\](?::(?P<port>\d+))?|(?P<four>[^:]*)(?::(?P<other>\d+))?")
_MASK = "…"
ENCODE = "percent-encode special characters in them: @ is %40, : is %3A, / is %2F, ? is %3F, # is %23, % is %25"
"""The remedy for a user or a password that breaks an address."""
_DEFAULT_HOST = "its default host"
"""PostgreSQL's Unix socket, or localhost."""


class DatabaseAddress(NamedTuple):
    """Hosts and ports in the order in which they are tried, separated by commas, and the name of the database."""

    host: str
    port: str
    database: str

    @property
    def servers(self) -> list[str]:
        """`host:port` of each server that is tried."""
        pairs = zip(self.host.split(","), self.port.split(","), strict=True)
        return [f"[{host}]:{port}" if host.count(":") > 1 else f"{host}:{port}" for host, port in pairs]

    def __str__(self) -> str:
        """One clause for a message: `database poller on db.example:5432`."""
        return f"database {self.database} on {','.join(self.servers)}"


def database_address(dsn: str) -> DatabaseAddress:
    """The parts of `dsn` (`postgresql://…`) that name the database, with PostgreSQL's own defaults."""
    try:
        parts = urlsplit(dsn)
        query = dict(parse_qsl(parts.query))
    except ValueError:
        return DatabaseAddress("?", "?", "?")
    user, _, rest = parts.netloc.rpartition("@")
    hosts, ports = [], []
    for entry in rest.split(","):
        found = _HOST.fullmatch(entry)
        hosts.append(unquote(found["six"] or found["four"] or "") if found else "?")
        ports.append((found["port"] or found["other"] or "") if found else "")
    if query.get("host"):
        hosts = query["host"].split(",")
        ports = ports if len(ports) == len(hosts) else [""] * len(hosts)
    if query.get("port"):
        given = query["port"].split(",")
        ports = given if len(given) == len(hosts) else given[:1] * len(hosts)
    user = unquote(user.partition(":")[0]) or query.get("user", "")
    name = unquote(parts.path.removeprefix("/")) or query.get("dbname") or query.get("database") or user
    return DatabaseAddress(
        ",".join(host or _DEFAULT_HOST for host in hosts), ",".join(port or _PORT for port in ports), name or "?"
    )


def login_breaks(dsn: str) -> bool:
    """Whether a special character of user or password, not percent-encoded, cuts an address in the wrong place."""
    rest = dsn.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    path, _, query = rest.partition("?")
    stray = not at and ("@" in path or "@" in query.partition("=")[0])
    return stray or "@" in user or "[" in user or "]" in user or "#" in rest


def without_password(url: str) -> str:
    """A URL of any kind, with `…` instead of its password and of every parameter that may be a secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return _MASK
    login, at, rest = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    if not parts.scheme or not rest + parts.path:
        return _MASK
    query = re.sub(r"(?i)((?:^|&)[^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*", rf"\1{_MASK}", parts.query)
    netloc = f"{user}{colon and f':{_MASK}'}{at}{rest}"
    return urlunsplit((parts.scheme, netloc, parts.path, query, _MASK if parts.fragment else ""))
