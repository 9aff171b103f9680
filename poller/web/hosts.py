"""Checks the `Host` header: whether it names this server. A pure decision.

A web page on another site can make its own name resolve to 127.0.0.1 (DNS rebinding) and then read what this server
sends; the browser sends that name as `Host`. So a request is answered only if `Host` is a name that an attacker cannot
own: a loopback name or address, the address at which the connection arrived, or the host of POLLER_WEB_ORIGIN.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of an address such as https://poller.example.org."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Origin:
        """Parses `https://host[:port]`, which the settings have checked."""
        parts = urlsplit(url)
        return cls(parts.scheme, _canonical(parts.hostname or ""), parts.port or _DEFAULT_PORTS[parts.scheme])

    @classmethod
    def of_header(cls, header: str) -> Origin | None:
        """From the header `Origin` of a request; None for `null` and what is none."""
        scheme, separator, rest = header.partition("://")
        named = parse_host(rest) if separator and scheme in _DEFAULT_PORTS else None
        return None if named is None else cls(scheme, named[0], named[1] or _DEFAULT_PORTS[scheme])

    def is_named_by(self, host: str, port: int | None) -> bool:
        """Whether a `Host` header with this host and port means it."""
        return (host, port or _DEFAULT_PORTS[self.scheme]) == (self.host, self.port)


def parse_host(header: str) -> tuple[str, int | None] | None:
    """Host (lower case, without brackets or a final dot) and port of a `Host` header; None if it is invalid."""
    match = _HOST.fullmatch(header)
    if match is None:
        return None
    return _canonical(match["name"].strip("[]")), int(match["port"]) if match["port"] else None


def is_allowed(host: str, port: int | None, local: tuple[str, int], origin: Origin | None) -> bool:
    """Whether `host` and `port` name this server; `local` is the address and port the connection arrived at."""
    if origin is not None and origin.is_named_by(host, port):
        return True
    if (port or _DEFAULT_PORTS["http"]) != local[1]:
        return False
    return is_loopback(host) or (address_of(host) is not None and address_of(host) == address_of(local[0]))


def is_own(origin: Origin, host: str, port: int | None, public: Origin | None) -> bool:
    """Whether a page at `origin` is ours: at the address people use, or at the allowed host of this request."""
    if origin == public:
        return True
    by_public_name = public is not None and public.is_named_by(host, port)
    return not by_public_name and origin == Origin("http", host, port or _DEFAULT_PORTS["http"])


def is_loopback(host: str) -> bool:
    """Whether this is a loopback name or address."""
    address = address_of(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def address_of(host: str) -> Address | None:
    """The IP address in `text` (IPv4 inside IPv6 as IPv4), or None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address of the client: `peer`, or what trusted proxies report in `X-Forwarded-For` (the headers' values).

    Each proxy adds the address of its own client at the end. So entries are read from the last one backwards, as long
    as the proxy that wrote them is trusted.
    """
    client = peer or "unknown"
    for entry in reversed([entry.strip() for value in forwarded_for for entry in value.split(",")]):
        address, sender = address_of(entry), address_of(client)
        if address is None or sender is None or not any(sender in network for network in trusted):
            break
        client = str(address)
    return client


def _canonical(name: str) -> str:
    return name.lower().rstrip(".")
