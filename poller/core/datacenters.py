"""Zoho's data centres: which server issues an org's tokens, and to which API domains a token may be sent.

An access token is a bearer token: any server that receives it can use it. So the `api_domain` of a token reply is
accepted only if it is https on one of Zoho's own domains, or listed by the operator. Plain http is only for loopback.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class DataCenter:
    """The accounts server of one data centre, which issues tokens, and its API domains; the first is the default."""

    name: str
    accounts_server: str
    api_domains: tuple[str, ...]

    @property
    def api_domain(self) -> str:
        """The API domain to use if a token reply names none."""
        return self.api_domains[0]


def _zoho(name: str, accounts: str, api: str) -> DataCenter:
    return DataCenter(name, f"https://accounts.{accounts}", (f"https://www.{api}",))


# Source: Zoho's "Multi DC" documentation. `ae` is not documented and follows the pattern of the others.
ZOHO_DATA_CENTERS: Final[Mapping[str, DataCenter]] = {
    dc.name: dc
    for dc in (
        _zoho("us", "zoho.com", "zohoapis.com"),
        _zoho("eu", "zoho.eu", "zohoapis.eu"),
        _zoho("in", "zoho.in", "zohoapis.in"),
        _zoho("au", "zoho.com.au", "zohoapis.com.au"),
        _zoho("jp", "zoho.jp", "zohoapis.jp"),
        _zoho("ca", "zohocloud.ca", "zohoapis.ca"),
        _zoho("sa", "zoho.sa", "zohoapis.sa"),
        _zoho("cn", "zoho.com.cn", "zohoapis.com.cn"),
        _zoho("uk", "zoho.uk", "zohoapis.uk"),
        _zoho("ae", "zoho.ae", "zohoapis.ae"),
    )
}

# Registrable domains of Zoho, under which no one else can have a host: those of the table, for api.zoho.* too.
_ZOHO_DOMAINS: Final = frozenset(
    domain
    for dc in ZOHO_DATA_CENTERS.values()
    for domain in (
        dc.accounts_server.removeprefix("https://accounts."),
        dc.api_domain.removeprefix("https://www."),
    )
)
_HOST_LABELS: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")


def is_believable_api_domain(url: str, data_center: DataCenter) -> bool:
    """True if a token of this data centre may be sent to `url`, which a token reply or a stored token names.

    True for the exact domains that the operator listed, and for https origins under a Zoho domain without user-info,
    port, path, non-ASCII or punycode host.
    """
    origin = url.removesuffix("/")
    if origin in data_center.api_domains:
        return True
    host = origin.removeprefix("https://")
    if host == origin or not _HOST_LABELS.fullmatch(host) or "xn--" in host:
        return False
    return any(host == domain or host.endswith(f".{domain}") for domain in _ZOHO_DOMAINS)


def check_origin(url: str) -> str:
    """The operator's `url` as an origin without a slash at the end; a `ValueError` says why it is invalid."""
    origin = url.removesuffix("/")
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        raise ValueError(f"{url!r} is not an address, or its port is not a number from 1 to 65535") from None
    if port == 0:
        raise ValueError(f"{url!r} has the port 0, where nothing listens")
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError(f"{url!r} is not an https:// address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with user-info in it is refused")
    if parts.path or parts.query or parts.fragment:
        raise ValueError(f"{url!r} must end after the host: no path, no query")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError(f"{url!r} is plain http: allowed to loopback only, use https")
    return origin


def with_operators(listed: Mapping[str, Mapping[str, str | Sequence[str]]]) -> dict[str, DataCenter]:
    """Zoho's data centres and the operator's.

    `{"lab": {"accounts_server": "http://127.0.0.1:9000", "api_domains": ["http://127.0.0.1:9001"]}}` adds `lab`.
    Refuses to change one of Zoho's own, because credentials of its orgs would be sent elsewhere. A `ValueError` names
    the invalid entry.
    """
    table = dict(ZOHO_DATA_CENTERS)
    for name, entry in listed.items():
        accounts_server, api_domains = entry.get("accounts_server"), entry.get("api_domains")
        if not isinstance(accounts_server, str) or isinstance(api_domains, str) or not api_domains:
            raise ValueError(f"{name!r} needs an accounts_server and a list of api_domains")
        try:
            origins = tuple(check_origin(url) for url in api_domains)
            added = DataCenter(name, check_origin(accounts_server), origins)
        except ValueError as wrong:
            raise ValueError(f"{name!r}: {wrong}") from wrong
        if added != ZOHO_DATA_CENTERS.get(name, added):
            raise ValueError(f"{name!r} is one of Zoho's own data centres and keeps its addresses")
        table[name] = added
    return table


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
