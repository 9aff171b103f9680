"""Classifies the reply to a count request, with three literal tables.

The error code decides first, then the status and the kind of the body. Zoho's message never decides, because it is
localised, and neither does the content type, which has been seen missing and wrong. A count is accepted only with HTTP
200 and only if it is unambiguous.

Never raises for any bytes, never guesses a number, and passes on no text of Zoho's except a plain code. Source of the
rows: Zoho's "Users Count" page and its lists of possible errors, its OpenAPI, and HTTP itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.model import Outcome, UserType
from poller.core.reply_body import BodyKind, read_body, read_credits_remaining, read_retry_after, read_token_end

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

HEADERS_READ: Final = ("retry-after", "x-api-credits-remaining", "x-accesstoken-reset")
"""The only headers in a `Reply`, in this spelling."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply: the whole `body`, and only the headers of `HEADERS_READ`. The body may contain a token."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Failure(StrEnum):
    """Why there is no reply. Each has a value of its own because each has a different remedy."""

    TIMEOUT = "timeout"
    DNS = "dns"
    TLS = "tls"
    REFUSED = "refused"
    RESET = "reset"
    TOO_LARGE = "too_large"
    PROTOCOL = "protocol"
    """The server does not speak HTTP."""
    LOCAL_RESOURCES = "local_resources"
    """This machine or process has no file descriptor, port or memory left for a connection."""
    NO_ROUTE = "no_route"
    """This machine has no network route to the address."""
    PROXY_DNS = "proxy_dns"
    PROXY_UNREACHABLE = "proxy_unreachable"
    PROXY_LOGIN = "proxy_login"
    """The proxy requires a user and password, or refuses these."""
    PROXY_DENIED = "proxy_denied"
    """The proxy refuses to connect to the host, or cannot."""


LOCAL_FAILURES: Final = frozenset({Failure.LOCAL_RESOURCES.value, Failure.NO_ROUTE.value})
"""Codes of requests that never left this machine: they say nothing about Zoho or the org."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """There is no reply to classify, and why."""

    failure: Failure


class Retry(StrEnum):
    """Whether to send the request again."""

    NO = "no"
    """Not in this poll: the reply would be the same. After UNAUTHORIZED or FORBIDDEN a person must act."""
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a word, not a secret
    """Once, with a new token; if the reply is the same, as `NO`."""
    BACK_OFF = "back_off"
    """Soon, a few times, each time after a longer wait: the network or Zoho failed."""
    LATER = "later"
    """Not before the org's hold ends; the org itself has not failed."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What a reply means and what to do next.

    `count` is set if and only if `outcome` is OK. `code` is Zoho's code, or the poller's own in lower case if Zoho sent
    none; None if the outcome is OK. `wait_seconds` is the Retry-After (0 to a day), None without one.
    """

    outcome: Outcome
    count: int | None = None
    code: str | None = None
    retry: Retry = Retry.NO
    wait_seconds: float | None = None
    credits_remaining: int | None = None
    token_ends_at: datetime | None = None


class ReplyRule(NamedTuple):
    """A row's result in each of the tables: the outcome, and whether to retry."""

    outcome: Outcome
    retry: Retry


_STALE_TOKEN: Final = ReplyRule(Outcome.UNAUTHORIZED, Retry.REFRESH_TOKEN)
_NOT_ALLOWED: Final = ReplyRule(Outcome.FORBIDDEN, Retry.NO)
_OUR_FAULT: Final = ReplyRule(Outcome.REJECTED, Retry.NO)
_THROTTLED: Final = ReplyRule(Outcome.THROTTLED, Retry.LATER)
_ZOHOS_FAULT: Final = ReplyRule(Outcome.UNAVAILABLE, Retry.BACK_OFF)
_NONSENSE: Final = ReplyRule(Outcome.MALFORMED, Retry.NO)
_NEVER_LEFT: Final = ReplyRule(Outcome.MISSED, Retry.BACK_OFF)
_CUT_OFF: Final = ReplyRule(Outcome.MALFORMED, Retry.BACK_OFF)

BY_CODE: Final[Mapping[str, ReplyRule]] = {
    "INVALID_TOKEN": _STALE_TOKEN,
    "INVALID_OAUTHTOKEN": _STALE_TOKEN,
    "AUTHENTICATION_FAILURE": _STALE_TOKEN,
    "OAUTH_SCOPE_MISMATCH": _NOT_ALLOWED,
    "NO_PERMISSION": _NOT_ALLOWED,
    "FEATURE_NOT_ENABLED": _NOT_ALLOWED,
    "API_NOT_SUPPORTED": _NOT_ALLOWED,
    "AUTHORIZATION_FAILED": _NOT_ALLOWED,
    "INVALID_REQUEST_METHOD": _OUR_FAULT,
    "INVALID_DATA": _OUR_FAULT,
    "BAD_REQUEST": _OUR_FAULT,
    "INVALID_URL_PATTERN": _OUR_FAULT,
    "TOO_MANY_REQUESTS": _THROTTLED,
    "INTERNAL_ERROR": _ZOHOS_FAULT,
    "INTERNAL_SERVER_ERROR": _ZOHOS_FAULT,
}

_ANY: Final = frozenset(BodyKind)
_UNREADABLE: Final = frozenset({BodyKind.NOT_JSON, BodyKind.EMPTY})
_READABLE: Final = _ANY - _UNREADABLE

# The first row that matches applies. An unreadable body comes from an edge server, not from the API, so it does not
# count against the org.
BY_STATUS: Final[tuple[tuple[range, frozenset[BodyKind], ReplyRule], ...]] = (
    (range(200, 201), _UNREADABLE, _CUT_OFF),
    (range(200, 400), _ANY, _NONSENSE),
    (range(401, 402), _ANY, _STALE_TOKEN),
    (range(403, 404), _READABLE, _NOT_ALLOWED),
    (range(403, 404), _UNREADABLE, ReplyRule(Outcome.FORBIDDEN, Retry.BACK_OFF)),
    (range(408, 409), _ANY, _ZOHOS_FAULT),
    (range(429, 430), _ANY, _THROTTLED),
    (range(400, 500), _ANY, _OUR_FAULT),
    (range(500, 600), _ANY, _ZOHOS_FAULT),
)
BY_FAILURE: Final[Mapping[Failure, ReplyRule]] = {
    Failure.TIMEOUT: _ZOHOS_FAULT,
    Failure.DNS: _ZOHOS_FAULT,
    Failure.TLS: ReplyRule(Outcome.UNAVAILABLE, Retry.NO),  # retrying does not help, and the server may not be Zoho's
    Failure.REFUSED: _ZOHOS_FAULT,
    Failure.RESET: _ZOHOS_FAULT,
    Failure.TOO_LARGE: _NONSENSE,
    Failure.PROTOCOL: _CUT_OFF,
    Failure.LOCAL_RESOURCES: _NEVER_LEFT,
    Failure.NO_ROUTE: _NEVER_LEFT,
    Failure.PROXY_DNS: _ZOHOS_FAULT,
    Failure.PROXY_UNREACHABLE: _ZOHOS_FAULT,
    Failure.PROXY_LOGIN: ReplyRule(Outcome.UNAVAILABLE, Retry.NO),  # a wrong password stays wrong
    Failure.PROXY_DENIED: _ZOHOS_FAULT,
}


def classify(reply: Reply | NoReply, now: datetime) -> Classification:
    """Classifies the reply to one count request; `now` (aware) turns a date in Retry-After into seconds."""
    if isinstance(reply, NoReply):
        outcome, retry = BY_FAILURE[reply.failure]
        return Classification(outcome, None, reply.failure.value, retry)
    headers = reply.headers
    credits_remaining = read_credits_remaining(headers.get("x-api-credits-remaining"))
    token_ends_at = read_token_end(headers.get("x-accesstoken-reset"), now)
    kind, count, code = read_body(reply.body)
    if kind is BodyKind.COUNT and reply.status == 200:
        return Classification(Outcome.OK, count, None, Retry.NO, None, credits_remaining, token_ends_at)
    outcome, retry = _rule_for(reply.status, kind, code)
    may_wait = retry is Retry.LATER or retry is Retry.BACK_OFF
    wait_seconds = read_retry_after(headers.get("retry-after"), now) if may_wait else None
    code = code or _own_code(reply.status, kind)
    return Classification(outcome, None, code, retry, wait_seconds, credits_remaining, token_ends_at)


def implausible(user_type: UserType, count: int) -> str | None:
    """The code of an implausible count, which is stored and flagged: CurrentUser is always 1, according to Zoho."""
    return "current_user_not_one" if user_type is UserType.CURRENT and count != 1 else None


def _rule_for(status: int, kind: BodyKind, code: str | None) -> ReplyRule:
    if code is not None and code in BY_CODE:
        return BY_CODE[code]
    for statuses, kinds, rule in BY_STATUS:
        if status in statuses and kind in kinds:
            return rule
    return _NONSENSE


def _own_code(status: int, kind: BodyKind) -> str:
    if status == 200 or (status == 204 and kind is BodyKind.EMPTY):
        return kind.value
    return "redirect" if 300 <= status < 400 else f"http_{status}"
