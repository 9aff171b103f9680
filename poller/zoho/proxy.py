"""The proxy for requests to Zoho, by CONNECT: TLS is end to end, between this process and Zoho.

An address in POLLER_PROXY is used for every https request. With `environment`, and only then, HTTPS_PROXY, ALL_PROXY
and NO_PROXY apply. Plain http is only for loopback and never goes through a proxy.

Refuses to: show the user or the password; use a proxy whose address is not http://.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from poller.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from poller.core.secret import Secret

ENVIRONMENT = "environment"


class NoTunnelError(aiohttp.ClientError):
    """The proxy's reply to CONNECT is not HTTP, or there was none."""


class Proxy(NamedTuple):
    """A proxy's address without credentials, and the header with the credentials, which only the proxy receives."""

    url: URL
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Proxy({self.url})"


def proxy_for(setting: Secret | None) -> Callable[[URL], Proxy | None]:
    """Returns a function from a URL to the proxy for it; `setting` is the value of POLLER_PROXY.

    Raises `SettingsError` if the address in the environment is invalid.
    """
    if setting is None:
        return lambda _url: None
    if setting.reveal() != ENVIRONMENT:
        named = _proxy(setting.reveal(), "POLLER_PROXY")
        return lambda url: named if url.scheme == "https" else None
    proxies = getproxies_environment()
    name = "https" if "https" in proxies else "all"
    if name not in proxies:
        return lambda _url: None
    found = _proxy(proxies[name].strip(), f"{name.upper()}_PROXY")

    def of_environment(url: URL) -> Proxy | None:
        bypassed = proxy_bypass(f"{url.host}:{url.port}", proxies)
        return found if url.scheme == "https" and not bypassed else None

    return of_environment


def _proxy(address: str, name: str) -> Proxy:
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme != "http" or not host:
        raise SettingsError(f"{name} is not the http:// address of a proxy", "write http://user:password@host:port")
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers[hdrs.PROXY_AUTHORIZATION] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return Proxy(URL.build(scheme="http", host=host, port=port or 80), CIMultiDict(headers))
