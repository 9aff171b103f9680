"""The faults by name, in one literal table: what each fault sends.

`@COUNT@` in a body becomes the true count, so that an unusual reply can still be right. `@FOREIGN_SERVER@` in a header
or a token reply becomes the address of a server to which no token may be sent. `faults` decides when a fault applies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from poller.simulator import replies
from poller.simulator.replies import Reply, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Delivery = Literal["reply", "bare", "reset", "reset_in_body", "drip", "hang"]
"""How a reply is sent: normally, without a content type, reset before it or within it, one byte at a time, never."""

COUNT: Final = b"@COUNT@"
FOREIGN_SERVER: Final = "@FOREIGN_SERVER@"


@dataclass(frozen=True, slots=True)
class Spec:
    """What one fault does: sends a reply of its own, or changes (`alter`) the genuine token reply."""

    reply: Reply | None = None
    delivery: Delivery = "reply"
    alter: Callable[[dict[str, Any]], object] | None = None
    hides_count: bool = True


def _count(body: bytes, *, right: bool = False) -> Spec:
    return Spec(Reply(200, body), hides_count=not right)


def _text(status: int, body: bytes, content_type: str) -> Reply:
    return Reply(status, body, {"Content-Type": content_type})


_HTML: Final = b"<!DOCTYPE html><html><head><title>Zoho</title></head><body><h1>Maintenance</h1></body></html>"
_TRUE: Final = b'{"count":@COUNT@}'

FAULTS: Final[Mapping[str, Spec]] = {
    # the count itself
    "count_string": _count(b'{"count":"@COUNT@"}', right=True),
    "count_negative": _count(b'{"count":-1}'),
    "count_fraction": _count(b'{"count":1.5}'),
    "count_whole_fraction": _count(b'{"count":11.0}'),
    "count_true": _count(b'{"count":true}'),
    "count_null": _count(b'{"count":null}'),
    "count_empty_string": _count(b'{"count":""}'),
    "count_padded_string": _count(b'{"count":" 11 "}'),
    "count_too_big": _count(b'{"count":2147483648}'),
    "count_absent": _count(b"{}"),
    "count_list": _count(b'{"count":[11]}'),
    "count_zero": _count(b'{"count":0}'),
    # the body
    "error_with_200": Spec(refusal(200, "INTERNAL_ERROR", "Internal Server Error")),
    "integer_429": Spec(replies.TOO_MANY_OLDER),
    "no_content": Spec(Reply(204, b"", {})),
    "html": Spec(_text(200, _HTML, "text/html;charset=UTF-8")),
    "empty": _count(b""),
    "truncated": _count(b'{"count":1'),
    "list": _count(b'[{"count":11}]'),
    "not_utf8": _count(b'{"count":"\xff\xfe"}'),
    "deep": _count(b"[" * 30_000 + b"]" * 30_000),
    "huge": _count(b'{"count":11,"padding":"' + b"x" * 131_072 + b'"}'),
    "wrong_content_type": Spec(_text(200, _TRUE, "text/plain"), hides_count=False),
    "no_content_type": Spec(Reply(200, _TRUE, {}), "bare", hides_count=False),
    # the way here
    "redirect": Spec(Reply(302, b"", {"Location": f"{FOREIGN_SERVER}/elsewhere"})),
    "redirect_307": Spec(Reply(307, b"", {"Location": f"{FOREIGN_SERVER}/elsewhere"})),
    "drip": Spec(Reply(200, b" "), "drip"),
    "hang": Spec(Reply(200), "hang"),
    "reset": Spec(Reply(200), "reset"),
    "reset_in_body": Spec(Reply(200, b'{"count":'), "reset_in_body"),
    # Zoho's errors
    "invalid_token": Spec(replies.INVALID_TOKEN),
    "invalid_oauthtoken": Spec(refusal(401, "INVALID_OAUTHTOKEN", "invalid oauth token")),
    "authentication_failure": Spec(replies.NO_AUTHENTICATION),
    "oauth_scope_mismatch": Spec(replies.SCOPE_MISMATCH),
    "no_permission": Spec(replies.NO_API_ACCESS),
    "no_permission_400": Spec(
        refusal(400, "NO_PERMISSION", "permission denied", {"permissions": ["Crm_Implied_Api_Access"]})
    ),
    "feature_not_enabled": Spec(refusal(400, "FEATURE_NOT_ENABLED", "feature not enabled")),
    "api_not_supported": Spec(refusal(400, "API_NOT_SUPPORTED", "API is not supported in this edition")),
    "authorization_failed": Spec(refusal(403, "AUTHORIZATION_FAILED", "User does not have sufficient privilege")),
    "invalid_request_method": Spec(replies.WRONG_METHOD),
    "invalid_data": Spec(replies.WRONG_TYPE),
    "bad_request": Spec(refusal(400, "BAD_REQUEST", "bad request")),
    "invalid_url_pattern": Spec(replies.WRONG_URL),
    "too_many_requests": Spec(replies.TOO_MANY),
    "html_429": Spec(_text(429, _HTML, "text/html")),
    "internal_error": Spec(refusal(500, "INTERNAL_ERROR", "Internal Server Error")),
    "internal_server_error": Spec(refusal(500, "INTERNAL_SERVER_ERROR", "Internal Server Error")),
    "html_500": Spec(_text(500, _HTML, "text/html")),
    "bad_gateway": Spec(_text(502, _HTML, "text/html")),
    "unavailable": Spec(_text(503, b"", "text/html")),
    # the token endpoint
    "token_html": Spec(_text(200, _HTML, "text/html;charset=UTF-8")),
    "token_empty": Spec(Reply(200, b"")),
    "token_list": Spec(replies.of_json(200, [])),
    "token_500": Spec(_text(500, _HTML, "text/html")),
    "token_redirect": Spec(Reply(307, b"", {"Location": f"{FOREIGN_SERVER}/oauth/v2/token"})),
    "token_drip": Spec(Reply(200, b" "), "drip"),
    "token_hang": Spec(Reply(200), "hang"),
    "token_reset": Spec(Reply(200), "reset"),
    **{
        f"token_throttled_{status}_{language}": Spec(replies.throttled(language, status))
        for language in replies.THROTTLED_TEXTS
        for status in (200, 400)
    },
    **{
        f"token_{code}": Spec(replies.token_error(code))
        for code in ("invalid_client", "invalid_client_secret", "invalid_code", "missing_org_info")
    },
    "token_no_expires_in": Spec(alter=lambda reply: reply.pop("expires_in")),
    "token_string_expires_in": Spec(alter=lambda reply: reply.update(expires_in=str(reply["expires_in"]))),
    "token_no_access_token": Spec(alter=lambda reply: reply.pop("access_token")),
    "token_no_api_domain": Spec(alter=lambda reply: reply.pop("api_domain")),
    "token_forged_api_domain": Spec(alter=lambda reply: reply.update(api_domain=FOREIGN_SERVER)),
}
