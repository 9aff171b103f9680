"""Replies in Zoho's shapes: every body and header the simulated endpoints give when nothing is scripted to go wrong.

It refuses to decide anything: which reply is due is for `api` and `accounts`.
Shapes: Zoho's documentation and published OpenAPI; the throttled token reply as met in the field, localised.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON: Final = "application/json;charset=UTF-8"
_JSON_HEADERS: Final[Mapping[str, str]] = {"Content-Type": JSON}


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP reply."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON_HEADERS)

    def with_headers(self, **more: str) -> Reply:
        """The same with more headers; `Retry_After` is written Retry-After."""
        added = {name.replace("_", "-"): value for name, value in more.items()}
        return replace(self, headers={**self.headers, **added})


def of_json(status: int, value: Any) -> Reply:
    """Any JSON value."""
    return Reply(status, orjson.dumps(value))


def refusal(status: int, code: str, message: str, details: dict[str, Any] | None = None) -> Reply:
    """The API's error envelope."""
    return of_json(status, {"code": code, "details": details or {}, "message": message, "status": "error"})


NO_AUTHENTICATION: Final = refusal(401, "AUTHENTICATION_FAILURE", "Authentication failed")
INVALID_TOKEN: Final = refusal(401, "INVALID_TOKEN", "invalid oauth token")
SCOPE_MISMATCH: Final = refusal(401, "OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL")
NO_API_ACCESS: Final = refusal(403, "NO_PERMISSION", "permission denied", {"permissions": ["Crm_Implied_Api_Access"]})
WRONG_METHOD: Final = refusal(400, "INVALID_REQUEST_METHOD", "The http request method type is not a valid one")
WRONG_URL: Final = refusal(404, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one")
WRONG_TYPE: Final = refusal(400, "INVALID_DATA", "invalid data", {"param_name": "type"})
TOO_MANY: Final = refusal(429, "TOO_MANY_REQUESTS", "You have exceeded the maximum number of requests")
TOO_MANY_OLDER: Final = of_json(
    429,
    {
        "code": 429,
        "error": "Too Many Requests",
        "error_info": "You have exceeded the maximum number of requests",
        "status": "error",
    },
)
"""The older shape of the same: an integer code, `error` and `error_info`."""

THROTTLED_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "en": ("Access Denied", "You have made too many requests continuously. Please try again after some time."),
    "de": (
        "Zugriff verweigert",
        "Sie haben fortlaufend zu viele Anforderungen gestellt. Bitte später erneut versuchen.",
    ),
    "fr": ("Accès refusé", "Vous avez effectué trop de requêtes en continu. Veuillez réessayer ultérieurement."),
    "es": ("Acceso denegado", "Ha realizado demasiadas solicitudes seguidas. Vuelva a intentarlo más tarde."),
    "ja": ("アクセスが拒否されました", "連続してリクエストが送信されました。しばらくしてからもう一度お試しください。"),
    "zh": ("访问被拒绝", "您连续发出的请求过多。请稍后重试。"),
}


def throttled(language: str, status: int) -> Reply:
    """The token endpoint's "too many": 400 in the field, 200 in Zoho's own article, in the caller's language."""
    error, description = THROTTLED_TEXTS[language]
    return of_json(status, {"error_description": description, "error": error, "status": "failure"})


def token_error(code: str) -> Reply:
    """The token endpoint's refusals come with HTTP 200."""
    return of_json(200, {"error": code})


def count(number: int) -> Reply:
    """A plain count, without what belongs to a token."""
    return Reply(200, b'{"count":%d}' % number)


def retry_after(seconds: int, spelling: str, now: float) -> dict[str, str]:
    """The header as an argument of `with_headers`; nothing for the spelling `off`."""
    if spelling == "off":
        return {}
    value = formatdate(now + seconds, usegmt=True) if spelling == "date" else str(seconds)
    return {"Retry_After": value}
