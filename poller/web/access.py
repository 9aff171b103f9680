"""Who may ask for what: the API key, and the rule that nothing but probes is served off loopback without one.

The probes `/healthz` and `/readyz` need no key: orchestrators have none, and neither says anything about an org. The
API always needs one. Everything else needs one as soon as the service can be reached from another machine: it listens
off loopback, or a proxy passes requests on to it (POLLER_WEB_ORIGIN is set).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.errors import SettingsError
from poller.web.hosts import Origin, is_loopback
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from poller.web.hosts import Network

PROBES: Final = frozenset({"/healthz", "/readyz"})
STATIC_PATH: Final = "/static/"
"""Style sheets and scripts: the same for everybody, and the page to log in needs them."""
_LOOPBACK_REMEDY: Final = "or set POLLER_WEB_HOST=127.0.0.1, or start `poller run --no-web`"


@dataclass(frozen=True, slots=True)
class Access:
    """What must be shown to this server, and whom it believes.

    `key` None: there is no API. `published`: others than this machine may ask.
    """

    key: SecretStr | None = None
    origin: Origin | None = None
    published: bool = False
    trusted_proxies: Sequence[Network] = ()
    """Whose `X-Forwarded-For` counts."""

    def check(self, path: str, authorization: str) -> None:
        """Raise a `Problem` unless `authorization`, the header's value, is good enough for `path`."""
        is_api = path == "/api" or path.startswith("/api/")
        if path in PROBES or path.startswith(STATIC_PATH) or not (is_api or self.published):
            return
        if self.key is None:
            raise Problem(404, "there is no API without a key", "set POLLER_API_KEY to have an API")
        if not self._shows_key(authorization, self.key):
            raise Problem(
                401,
                "the key is missing or wrong",
                "send the key of POLLER_API_KEY as Authorization: Bearer …",
                {"WWW-Authenticate": "Bearer"},
            )

    @staticmethod
    def _shows_key(authorization: str, key: SecretStr) -> bool:
        scheme, _, shown = authorization.partition(" ")
        # Bytes that are not UTF-8 arrive as surrogates.
        right = hmac.compare_digest(
            shown.strip().encode("utf-8", "surrogateescape"), key.get_secret_value().encode("utf-8", "surrogateescape")
        )
        return right and scheme.lower() == "bearer"


def access_from(
    host: str, key: SecretStr | None, origin: str | None, trusted_proxies: Sequence[Network] = ()
) -> Access:
    """The rules for a server at `host`; a `SettingsError` where it would be served to others unprotected."""
    if not is_loopback(host):
        if key is None:
            raise SettingsError(
                f"POLLER_WEB_HOST: {host} can be reached by others and there is no POLLER_API_KEY",
                f"make a key with: openssl rand -hex 32, {_LOOPBACK_REMEDY}",
            )
        if origin is None or not origin.startswith("https://"):
            raise SettingsError(
                f"POLLER_WEB_HOST: {host} can be reached by others and POLLER_WEB_ORIGIN is not an https address",
                f"set POLLER_WEB_ORIGIN to the https address of the proxy that people use, {_LOOPBACK_REMEDY}",
            )
    if origin is not None and key is None:
        raise SettingsError(
            "POLLER_WEB_ORIGIN: others are to reach the service and there is no POLLER_API_KEY",
            "make a key with: openssl rand -hex 32, or unset POLLER_WEB_ORIGIN",
        )
    parsed = None if origin is None else Origin.parse(origin)
    published = parsed is not None or not is_loopback(host)
    return Access(key, parsed, published=published, trusted_proxies=trusted_proxies)
