"""Replies in Zoho's format: the bodies and headers of the simulated endpoints, without faults.

`api` and `accounts` decide which reply to send. Sources: Zoho's documentation and published OpenAPI; the localised
reply to too many token requests is as observed.
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
    """An HTTP reply."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON_HEADERS)

    def with_headers(self, **more: str) -> Reply:
        """A copy with more headers; `Retry_After` stands for Retry-After."""
        added = {name.replace("_", "-"): value for name, value in more.items()}
        return replace(self, headers={**self.headers, **added})


def of_json(status: int, value: Any) -> Reply:
    """A reply with a JSON value."""
    return Reply(status, orjson.dumps(value))


def refusal(status: int, code: str, message: str, details: dict[str, Any] | None = None) -> Reply:
    """A reply with the API's JSON object for errors."""
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
"""The older format: an integer code, `error` and `error_info`."""

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
    """The token endpoint's reply to too many requests: observed with 400, documented with 200; localised."""
    error, description = THROTTLED_TEXTS[language]
    return of_json(status, {"error_description": description, "error": error, "status": "failure"})


def token_error(code: str) -> Reply:
    """A refusal of the token endpoint, which has status 200."""
    return of_json(200, {"error": code})


def count(number: int) -> Reply:
    """A plain count, without the headers about the token."""
    return Reply(200, b'{"count":%d}' % number)


def retry_after(seconds: int, spelling: str, now: float) -> dict[str, str]:
    """The Retry-After header as an argument of `with_headers`; empty if `spelling` is `off`."""
    if spelling == "off":
        return {}
    value = formatdate(now + seconds, usegmt=True) if spelling == "date" else str(seconds)
    return {"Retry_After": value}
