"""Who may ask for what: the rules that follow from the settings.

The probes `/healthz` and `/readyz` need no key: orchestrators have none, and neither says anything about an org. Static
files and the log-in need none either. Everything else needs one as soon as the service can be reached from another
machine (it listens off loopback, or a proxy passes requests on to it: POLLER_WEB_ORIGIN is set), or an access key is
stored. Until then the pages are open to this machine, and the API too unless POLLER_API_KEY is set.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.errors import SettingsError
from poller.core.secret import Secret
from poller.web.hosts import Origin, address_of, client_address, is_loopback, parse_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web
    from pydantic import SecretStr

    from poller.web.hosts import Network

PROBES: Final = frozenset({"/healthz", "/readyz"})
STATIC_PATH: Final = "/static/"
"""Style sheets and scripts: the same for everybody, and the page to log in needs them."""
OPEN_PATHS: Final = frozenset({"/login", "/logout"})
"""Browsers without a session request them."""
_ADD_KEY: Final = "make one with `poller access add NAME --may read`, or set POLLER_API_KEY"
_LOOPBACK_REMEDY: Final = "or set POLLER_WEB_HOST=127.0.0.1, or start `poller run --no-web`"


@dataclass(frozen=True, slots=True)
class Access:
    """What must be shown to this server, and whom it believes.

    `key`: of POLLER_API_KEY. `published`: others than this machine may ask.
    """

    key: SecretStr | None = None
    origin: Origin | None = None
    published: bool = False
    trusted_proxies: Sequence[Network] = ()
    """Whose `X-Forwarded-*` count."""

    @property
    def environment_key(self) -> Secret | None:
        """The key of POLLER_API_KEY."""
        return None if self.key is None else Secret(self.key.get_secret_value())

    def is_environment_key(self, shown: str) -> bool:
        """Whether this is the key of POLLER_API_KEY; compared in constant time."""
        # Bytes that are not UTF-8 arrive as surrogates.
        return self.key is not None and hmac.compare_digest(
            shown.encode("utf-8", "surrogateescape"), self.key.get_secret_value().encode("utf-8", "surrogateescape")
        )

    def source(self, request: web.Request) -> str:
        """The address that a request comes from."""
        return client_address(request.remote, request.headers.getall("X-Forwarded-For", []), self.trusted_proxies)

    def keeps_cookies(self, request: web.Request) -> bool:
        """Whether a browser keeps our cookies: over https, and over plain http only from this machine."""
        named = parse_host(request.headers.get("Host", ""))
        if named is None:
            return False
        if is_loopback(named[0]) or (self.origin is not None and self.origin.is_named_by(*named)):
            return True
        peer = address_of(request.remote or "")
        trusted = peer is not None and any(peer in network for network in self.trusted_proxies)
        return trusted and request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"


def is_api(path: str) -> bool:
    """Whether programs ask for this path: it answers problems, and no page to log in."""
    return path in {"/api", "/openapi.json"} or path.startswith("/api/")


def access_from(
    host: str,
    key: SecretStr | None,
    origin: str | None,
    trusted_proxies: Sequence[Network] = (),
    *,
    stored_keys: bool = False,
) -> Access:
    """The rules for a server at `host`; a `SettingsError` where it would be served to others unprotected.

    `stored_keys`: whether any key of `poller access` opens a session.
    """
    keyless = key is None and not stored_keys
    if not is_loopback(host):
        if keyless:
            raise SettingsError(
                f"POLLER_WEB_HOST: {host} can be reached by others and there is no access key",
                f"{_ADD_KEY}, {_LOOPBACK_REMEDY}",
            )
        if origin is None or not origin.startswith("https://"):
            raise SettingsError(
                f"POLLER_WEB_HOST: {host} can be reached by others and POLLER_WEB_ORIGIN is not an https address",
                f"set POLLER_WEB_ORIGIN to the https address of the proxy that people use, {_LOOPBACK_REMEDY}",
            )
    if origin is not None and keyless:
        raise SettingsError(
            "POLLER_WEB_ORIGIN: others are to reach the service and there is no access key",
            f"{_ADD_KEY}, or unset POLLER_WEB_ORIGIN",
        )
    parsed = None if origin is None else Origin.parse(origin)
    published = parsed is not None or not is_loopback(host)
    return Access(key, parsed, published=published, trusted_proxies=trusted_proxies)
