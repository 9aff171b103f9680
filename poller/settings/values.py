"""Reads the value of each setting from its text; a `ValueError` says what is wrong and repeats no secret."""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from poller.core.database_address import ENCODE, login_breaks
from poller.core.datacenters import check_origin, with_operators
from poller.core.digest_schedule import DigestSchedule
from poller.core.model import API_VERSION
from poller.core.retention import parse_retention
from poller.core.slots import parse_interval

if TYPE_CHECKING:
    from pathlib import Path

SHORTEST_API_KEY: Final = 32
PROXY_OF_ENVIRONMENT: Final = "environment"
_HOST: Final = re.compile(r"(\[[0-9a-f:.%]+\]|[^\[\]:]*)(?::(?P<port>.*))?", re.IGNORECASE)
_NEXT_ADDRESS: Final = re.compile(r",\s*(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)


def duration(value: object) -> object:
    """Seconds of a duration such as `90s`, `15m` or `1h`; a bare number is seconds."""
    if not isinstance(value, str):
        return value
    try:
        return parse_interval(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a duration from 1s to 1d") from None


def retention(value: object) -> object:
    """How long rows are kept; None: forever."""
    if not isinstance(value, str):
        return value
    try:
        return parse_retention(value)
    except ValueError:
        raise ValueError(f"{shown(value)} does not say how long") from None


def database_url(url: SecretStr) -> SecretStr:
    """The address of a PostgreSQL server; only its form is checked."""
    try:
        parts = urlsplit(url.get_secret_value())
    except ValueError:
        parts = urlsplit("")
    if login_breaks(url.get_secret_value()):
        raise ValueError(f"user or password break it; {ENCODE}")
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError("it is not the address of a PostgreSQL database")
    for host in parts.netloc.rpartition("@")[2].split(","):
        if (found := _HOST.fullmatch(host)) and not _is_port(found["port"] or "5432"):
            raise ValueError("its port is not a number from 1 to 65535")
    return url


def api_key(key: SecretStr) -> SecretStr:
    """A key that is too long to guess."""
    if len(key.get_secret_value()) < SHORTEST_API_KEY:
        raise ValueError(f"it is shorter than {SHORTEST_API_KEY} characters")
    return key


def api_version(version: str) -> str:
    """A version of Zoho's API, such as `v8`, which is a segment of a path."""
    if not re.fullmatch(API_VERSION, version):
        raise ValueError(f"{shown(version)} is not a version of Zoho's API")
    return version


def data_centers(value: object) -> object:
    """Zoho's data centres and those of the JSON object `value`."""
    if not isinstance(value, str):
        return value
    try:
        listed = json.loads(value)
    except (ValueError, RecursionError) as wrong:
        raise ValueError("it is not JSON") from wrong
    if not isinstance(listed, dict):
        raise ValueError("it is not a JSON object of data centres by name")  # noqa: TRY004  # pydantic's protocol
    for name, entry in listed.items():
        domains = entry.get("api_domains") if isinstance(entry, dict) else None
        if not isinstance(domains, list) or not all(isinstance(domain, str) for domain in domains):
            raise ValueError(f"{name!r} needs an accounts_server and a list of api_domains")
    return with_operators(listed)


def proxy(url: SecretStr) -> SecretStr:
    """`environment`, or the http:// address of a proxy, whose user and password are percent-encoded."""
    text = url.get_secret_value()
    if text == PROXY_OF_ENVIRONMENT:
        return url
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("it is not the address of a proxy, or its port is not a number from 1 to 65535") from None
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("it is not the http:// address of a proxy")
    if not port:
        raise ValueError("it names no port from 1 to 65535")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("it must end after the port: percent-encode / ? # in a password")
    return url


def web_origin(url: str) -> str:
    """An https origin without a slash at the end; http only for loopback."""
    return check_origin(url)


def networks(value: object) -> object:
    """Addresses and networks, comma-separated."""
    if not isinstance(value, str):
        return value
    found = []
    for part in (part.strip() for part in value.split(",")):
        try:
            found.append(ip_network(part, strict=False))
        except ValueError:
            raise ValueError(f"{shown(part)} is not an IP address or network") from None
    return tuple(found)


def notify_urls(value: object) -> object:
    """Apprise addresses, comma-separated; a comma inside an address stays where no new address follows it."""
    if not isinstance(value, str):
        return value
    addresses = [address.strip().rstrip(",") for address in _NEXT_ADDRESS.split(value)]
    for number, address in enumerate(addresses, start=1):
        scheme, _, rest = address.partition("://")
        if not re.fullmatch("[a-z][a-z0-9+.-]*", scheme, re.IGNORECASE) or not rest:
            raise ValueError(f"address {number} is not of the form scheme://…")
    return tuple(SecretStr(address) for address in addresses)


def digest(value: object) -> object:
    """When a digest is sent, such as `daily 08:00 Europe/Berlin`."""
    return DigestSchedule.parse(value) if isinstance(value, str) else value


def folder(path: Path) -> Path:
    """An absolute path; `~` is the home folder."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError("it begins with ~ and this user has no home folder") from None


def lower(value: object) -> object:
    """The value in lower case."""
    return value.lower() if isinstance(value, str) else value


def shown(text: str) -> str:
    """A value that is not secret, cut to the length of a line."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 65_535
