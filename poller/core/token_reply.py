"""Classifies a reply of Zoho's token endpoint, and computes when a token is due for renewal.

The endpoint reports most errors with HTTP 200 and a message in the caller's language. So the error code decides: a
permanent one needs a person. Any other reply without a token is temporary, and more requests would prolong it.

Never raises; never accepts a token that is invalid in an HTTP header; does not check the `api_domain`
(`datacenters.is_believable_api_domain` does).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from poller.core.remedies import remedy_for
from poller.core.reply import NoReply
from poller.core.reply_body import BodyKind, decode_object, read_retry_after
from poller.core.secret import Secret

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.reply import Reply

TOKEN_LIFE_SECONDS: Final = 3_600
"""From Zoho's documentation; assumed if `expires_in` is missing or invalid."""
COOL_DOWN_SECONDS: Final = 600.0
"""The period of the documented limit: 10 access tokens per refresh token in 10 minutes."""

PERMANENT: Final = frozenset(
    {
        "invalid_client",  # an unknown id, or one of another data centre
        "invalid_client_secret",
        "invalid_code",  # revoked, wrong or used up
        "missing_org_info",  # client_credentials without a soid
        "invalid_soid",
        "invalid_redirect_uri",
        # RFC 6749, section 5.2
        "invalid_grant",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
_B64TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,2048}")  # RFC 6750, section 2.1
_DIGITS: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Granted:
    """A token. `api_domain` is unchecked; only a reply to a grant code has a `refresh_token`."""

    access_token: Secret
    api_domain: str | None
    expires_in_seconds: int
    scope: str | None = None
    refresh_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """No token until a person follows the `remedy`."""

    code: str

    @property
    def remedy(self) -> str:
        """What a person must do, and where."""
        return remedy_for(self.code)


@dataclass(frozen=True, slots=True)
class Throttled:
    """No token for `cool_down_seconds`, and no request for one, because a request would prolong the throttling."""

    cool_down_seconds: float
    code: str = "throttled"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No reply of the token endpoint itself: a failure of the network or an edge server, or maintenance.

    Zoho may still count an issued token.
    """

    code: str
    wait_seconds: float | None = None


TokenResult = Granted | Refused | Throttled | Unavailable


def classify_token_reply(reply: Reply | NoReply, now: datetime) -> TokenResult:
    """Classifies the reply to one token request; `now` (aware) turns a date in Retry-After into seconds."""
    if isinstance(reply, NoReply):
        return Unavailable(reply.failure.value)
    document = decode_object(reply.body)
    wait_seconds = read_retry_after(reply.headers.get("retry-after"), now)
    throttled = Throttled(max(COOL_DOWN_SECONDS, wait_seconds or 0.0))
    if isinstance(document, BodyKind):
        if reply.status == 429:
            return throttled
        return Unavailable(document.value if reply.status == 200 else f"http_{reply.status}", wait_seconds)
    error = document.get("error")
    if isinstance(error, str) and error in PERMANENT:
        return Refused(error)
    if reply.status == 200 and error is None and "access_token" in document:
        return _granted(document)
    return Unavailable(f"http_{reply.status}", wait_seconds) if reply.status >= 500 else throttled


def refresh_at(issued_at: datetime, expires_at: datetime, jitter: float) -> datetime:
    """When a new token is due: for a token of an hour, 5 to 10 minutes before its end, depending on `jitter` in [0, 1).

    Tokens with a shorter life are renewed between half and three quarters of their life.
    """
    margin = min(timedelta(minutes=5), max(expires_at - issued_at, timedelta()) / 4)
    return expires_at - margin - margin * jitter


def _granted(document: dict[str, Any]) -> Granted | Unavailable:
    access_token, refresh_token = document["access_token"], document.get("refresh_token")
    if not _is_token(access_token) or not (refresh_token is None or _is_token(refresh_token)):
        return Unavailable("bad_token")
    return Granted(
        Secret(access_token),
        _text(document.get("api_domain")),
        # Older replies have milliseconds in `expires_in` and seconds in `expires_in_sec`.
        _seconds(document.get("expires_in_sec")) or _seconds(document.get("expires_in")) or TOKEN_LIFE_SECONDS,
        _text(document.get("scope")),
        None if refresh_token is None else Secret(refresh_token),
    )


def _is_token(value: object) -> bool:
    return isinstance(value, str) and _B64TOKEN.fullmatch(value) is not None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 1_024 and value.isprintable() else None


def _seconds(value: object) -> int | None:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value <= 86_400 else None
