from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from poller.core.model import Outcome, UserType
from poller.core.reply import (
    BY_CODE,
    HEADERS_READ,
    Classification,
    Failure,
    NoReply,
    Reply,
    Retry,
    classify,
    implausible,
)
from poller.core.reply_body import LARGEST_COUNT, LONGEST_WAIT_SECONDS, read_any_body, read_body

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def envelope(code: object, **more: object) -> bytes:
    return json.dumps({"code": code, "details": {}, "message": "…", "status": "error", **more}).encode()


def verdict(status: int, body: bytes, **headers: str) -> Classification:
    return classify(Reply(status, body, {name.replace("_", "-"): text for name, text in headers.items()}), NOW)


def test_a_count_is_the_number_in_the_reply() -> None:
    assert verdict(200, b'{"count": 11}') == Classification(Outcome.OK, 11)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b'{"count":0}', 0),
        (b'{\n    "count": 11\n}', 11),
        (b'{"count":"11"}', 11),
        (b' \t{ "count" :"0" }\r\n', 0),
        (b'{"count":2147483647}', LARGEST_COUNT),
        (b'{"count":"2147483647"}', LARGEST_COUNT),
        (b'{"count":11,"info":{"more":false}}', 11),
        (b'{"\\u0063ount":11}', 11),
        (b'{"count":-0}', 0),
    ],
)
def test_a_count_is_read_as_a_number_or_as_digits(body: bytes, count: int) -> None:
    assert verdict(200, body) == Classification(Outcome.OK, count)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"count":-1}', "bad_count"),
        (b'{"count":1.5}', "bad_count"),
        (b'{"count":11.0}', "bad_count"),
        (b'{"count":1e1}', "bad_count"),
        (b'{"count":NaN}', "bad_count"),
        (b'{"count":true}', "bad_count"),
        (b'{"count":null}', "bad_count"),
        (b'{"count":""}', "bad_count"),
        (b'{"count":" 11"}', "bad_count"),
        (b'{"count":"11\\n"}', "bad_count"),
        (b'{"count":"+11"}', "bad_count"),
        (b'{"count":"-1"}', "bad_count"),
        (b'{"count":"011"}', "bad_count"),
        (b'{"count":"1_1"}', "bad_count"),
        (b'{"count":"0x11"}', "bad_count"),
        ('{"count":"١١"}'.encode(), "bad_count"),  # noqa: RUF001 - Arabic digits
        ('{"count":"１１"}'.encode(), "bad_count"),  # noqa: RUF001 - full-width digits
        (b'{"count":2147483648}', "bad_count"),
        (b'{"count":"2147483648"}', "bad_count"),
        (b'{"count":9999999999}', "bad_count"),
        (b'{"count":' + b"9" * 5_000 + b"}", "not_json"),
        (b'{"count":[11]}', "bad_count"),
        (b'{"count":{"value":11}}', "bad_count"),
        (b"{}", "no_count"),
        (b'{"Count":11}', "no_count"),
        (b'{"data":{"count":11}}', "no_count"),
        (b'{"count":11,"count":12}', "not_json"),
        (b'{"count":"11}', "not_json"),
        (b'{"count":011}', "not_json"),
        (b'{"count":11', "not_json"),
        (b'{"cou', "not_json"),
        (b'{"count":11}{"count":12}', "not_json"),
        (b'\xef\xbb\xbf{"count":11}', "not_json"),
        ('{"count":11}'.encode("utf-16"), "not_json"),
        (b'\x0b{"count":11}', "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[" * 60_000, "not_json"),
        (b"<html><body>Scheduled maintenance</body></html>", "not_json"),
        (b"[]", "not_an_object"),
        (b'[{"count":11}]', "not_an_object"),
        (b"11", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"11"', "not_an_object"),
        (b"", "empty"),
        (b" \r\n", "empty"),
    ],
)
def test_an_invalid_count_is_never_accepted(body: bytes, code: str) -> None:
    retry = Retry.BACK_OFF if code in {"not_json", "empty"} else Retry.NO
    assert verdict(200, body) == Classification(Outcome.MALFORMED, None, code, retry)


@pytest.mark.parametrize("content_type", ["text/html", "text/plain;charset=UTF-8", "", None])
def test_the_content_type_of_a_body_is_ignored(content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert classify(Reply(200, b'{"count":11}', headers), NOW).count == 11


@pytest.mark.parametrize(
    "body",
    [
        b'{"count":11,"code":"INTERNAL_ERROR"}',
        b'{"count":11,"code":null}',
        b'{"count":11,"status":"error"}',
        b'{"count":11,"error":"Access Denied"}',
    ],
)
def test_a_reply_with_an_error_and_a_count_is_an_error(body: bytes) -> None:
    assert verdict(200, body).outcome is not Outcome.OK
    assert verdict(200, body).count is None


@pytest.mark.parametrize("status", [100, 201, 202, 203, 206, 226, 304, 400, 401, 403, 404, 418, 429, 500, 503, 999])
def test_a_count_with_a_status_other_than_200_is_not_accepted(status: int) -> None:
    found = verdict(status, b'{"count":11}')
    assert found.count is None
    assert found.outcome is not Outcome.OK


# Zoho's documented errors: status, code, outcome and retry.
CODES = [
    (401, "INVALID_TOKEN", Outcome.UNAUTHORIZED, Retry.REFRESH_TOKEN),
    (400, "INVALID_TOKEN", Outcome.UNAUTHORIZED, Retry.REFRESH_TOKEN),
    (401, "INVALID_OAUTHTOKEN", Outcome.UNAUTHORIZED, Retry.REFRESH_TOKEN),
    (401, "AUTHENTICATION_FAILURE", Outcome.UNAUTHORIZED, Retry.REFRESH_TOKEN),
    (401, "OAUTH_SCOPE_MISMATCH", Outcome.FORBIDDEN, Retry.NO),
    (403, "NO_PERMISSION", Outcome.FORBIDDEN, Retry.NO),
    (400, "NO_PERMISSION", Outcome.FORBIDDEN, Retry.NO),
    (400, "FEATURE_NOT_ENABLED", Outcome.FORBIDDEN, Retry.NO),
    (403, "FEATURE_NOT_ENABLED", Outcome.FORBIDDEN, Retry.NO),
    (400, "API_NOT_SUPPORTED", Outcome.FORBIDDEN, Retry.NO),
    (403, "API_NOT_SUPPORTED", Outcome.FORBIDDEN, Retry.NO),
    (400, "AUTHORIZATION_FAILED", Outcome.FORBIDDEN, Retry.NO),
    (403, "AUTHORIZATION_FAILED", Outcome.FORBIDDEN, Retry.NO),
    (400, "INVALID_REQUEST_METHOD", Outcome.REJECTED, Retry.NO),
    (400, "INVALID_DATA", Outcome.REJECTED, Retry.NO),
    (400, "BAD_REQUEST", Outcome.REJECTED, Retry.NO),
    (404, "INVALID_URL_PATTERN", Outcome.REJECTED, Retry.NO),
    (429, "TOO_MANY_REQUESTS", Outcome.THROTTLED, Retry.LATER),
    (500, "INTERNAL_ERROR", Outcome.UNAVAILABLE, Retry.BACK_OFF),
    (500, "INTERNAL_SERVER_ERROR", Outcome.UNAVAILABLE, Retry.BACK_OFF),
]


@pytest.mark.parametrize(("status", "code", "outcome", "retry"), CODES)
def test_every_documented_error_has_its_outcome(status: int, code: str, outcome: Outcome, retry: Retry) -> None:
    assert verdict(status, envelope(code)) == Classification(outcome, None, code, retry)


@pytest.mark.parametrize(("status", "code", "outcome", "retry"), CODES)
def test_an_error_code_with_status_200_is_classified_as_usual(
    status: int, code: str, outcome: Outcome, retry: Retry
) -> None:
    assert verdict(200, envelope(code)) == verdict(status, envelope(code))


def test_every_error_code_of_the_table_is_documented() -> None:
    assert {code for _, code, _, _ in CODES} == set(BY_CODE)


def test_a_profile_without_api_access_is_classified_by_its_code_and_not_by_the_details() -> None:
    body = envelope("NO_PERMISSION", details={"permissions": ["Crm_Implied_Api_Access"]})
    assert verdict(403, body) == Classification(Outcome.FORBIDDEN, None, "NO_PERMISSION", Retry.NO)


@pytest.mark.parametrize("status", [429, 200])
def test_the_older_format_of_too_many_requests_is_classified_the_same(status: int) -> None:
    body = b'{"code":429,"error":"Too many requests","error_info":"\xe4\xbd\xa0\xe5\xa5\xbd"}'
    assert verdict(status, body) == Classification(Outcome.THROTTLED, None, "TOO_MANY_REQUESTS", Retry.LATER)


def test_the_message_of_an_error_is_ignored() -> None:
    body = b'{"code":"INVALID_DATA","message":"TOO_MANY_REQUESTS, invalid oauth token","status":"error","details":{}}'
    assert verdict(400, body).outcome is Outcome.REJECTED


# What no code decides: status, body, then outcome, our code, retry.
BY_STATUS_ALONE: list[tuple[int, bytes, Outcome, str, Retry]] = [
    (204, b"", Outcome.MALFORMED, "empty", Retry.NO),
    (201, b'{"count":11}', Outcome.MALFORMED, "http_201", Retry.NO),
    (301, b"", Outcome.MALFORMED, "redirect", Retry.NO),
    (302, b"<html>", Outcome.MALFORMED, "redirect", Retry.NO),
    (307, b'{"count":11}', Outcome.MALFORMED, "redirect", Retry.NO),
    (400, b"", Outcome.REJECTED, "http_400", Retry.NO),
    (401, b"<html>", Outcome.UNAUTHORIZED, "http_401", Retry.REFRESH_TOKEN),
    (403, b"<html>", Outcome.FORBIDDEN, "http_403", Retry.BACK_OFF),
    (403, b"", Outcome.FORBIDDEN, "http_403", Retry.BACK_OFF),
    (403, b"{}", Outcome.FORBIDDEN, "http_403", Retry.NO),
    (404, b"<html>", Outcome.REJECTED, "http_404", Retry.NO),
    (405, b"", Outcome.REJECTED, "http_405", Retry.NO),
    (408, b"", Outcome.UNAVAILABLE, "http_408", Retry.BACK_OFF),
    (429, b"<html>", Outcome.THROTTLED, "http_429", Retry.LATER),
    (429, b"", Outcome.THROTTLED, "http_429", Retry.LATER),
    (429, b'{"error":"slow","error_info":"down"}', Outcome.THROTTLED, "http_429", Retry.LATER),
    (500, b"", Outcome.UNAVAILABLE, "http_500", Retry.BACK_OFF),
    (502, b"<html><h1>502 Bad Gateway</h1></html>", Outcome.UNAVAILABLE, "http_502", Retry.BACK_OFF),
    (503, b"<html>", Outcome.UNAVAILABLE, "http_503", Retry.BACK_OFF),
    (599, b"[]", Outcome.UNAVAILABLE, "http_599", Retry.BACK_OFF),
    (101, b"", Outcome.MALFORMED, "http_101", Retry.NO),
    (700, b"", Outcome.MALFORMED, "http_700", Retry.NO),
]


@pytest.mark.parametrize(("status", "body", "outcome", "code", "retry"), BY_STATUS_ALONE)
def test_without_a_known_code_the_status_decides(
    status: int, body: bytes, outcome: Outcome, code: str, retry: Retry
) -> None:
    assert verdict(status, body) == Classification(outcome, None, code, retry)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.MALFORMED),
        (302, Outcome.MALFORMED),
        (400, Outcome.REJECTED),
        (401, Outcome.UNAUTHORIZED),
        (403, Outcome.FORBIDDEN),
        (429, Outcome.THROTTLED),
        (503, Outcome.UNAVAILABLE),
    ],
)
def test_an_unknown_code_is_kept_and_classified_by_its_status(status: int, outcome: Outcome) -> None:
    found = verdict(status, envelope("BRAND_NEW_CODE"))
    assert (found.outcome, found.code) == (outcome, "BRAND_NEW_CODE")


@pytest.mark.parametrize("code", ["", "two words", "A" * 65, "X\n", "é", 500, True, None, ["INVALID_TOKEN"], {}])
def test_a_malformed_error_code_is_not_kept(code: object) -> None:
    assert verdict(400, envelope(code)) == Classification(Outcome.REJECTED, None, "http_400", Retry.NO)
    assert verdict(200, envelope(code)) == Classification(Outcome.MALFORMED, None, "no_code", Retry.NO)


@pytest.mark.parametrize(
    ("failure", "outcome", "retry"),
    [
        (Failure.TIMEOUT, Outcome.UNAVAILABLE, Retry.BACK_OFF),
        (Failure.DNS, Outcome.UNAVAILABLE, Retry.BACK_OFF),
        (Failure.TLS, Outcome.UNAVAILABLE, Retry.NO),
        (Failure.REFUSED, Outcome.UNAVAILABLE, Retry.BACK_OFF),
        (Failure.RESET, Outcome.UNAVAILABLE, Retry.BACK_OFF),
        (Failure.TOO_LARGE, Outcome.MALFORMED, Retry.NO),
        (Failure.PROTOCOL, Outcome.MALFORMED, Retry.BACK_OFF),
    ],
)
def test_every_network_failure_has_its_own_code(failure: Failure, outcome: Outcome, retry: Retry) -> None:
    assert classify(NoReply(failure), NOW) == Classification(outcome, None, failure.value, retry)


def test_there_is_a_rule_for_every_network_failure() -> None:
    assert all(classify(NoReply(failure), NOW).code == failure for failure in Failure)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("999999999", LONGEST_WAIT_SECONDS),
        ("9" * 30, None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=400), usegmt=True), LONGEST_WAIT_SECONDS),
        ("Sunday, 29-Mar-26 01:31:00 GMT", 60.0),
        ("Sun, 29 Mar 2026 01:31:00", None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("\udcff", None),
        ("Sun, 99 Foo 2026 25:61:61 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_WAIT_SECONDS),
        ("Sun Mar 29 " * 20, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(text: str, wait: float | None) -> None:
    assert verdict(429, envelope("TOO_MANY_REQUESTS"), retry_after=text).wait_seconds == wait
    assert verdict(503, b"", retry_after=text).wait_seconds == wait


def test_only_replies_to_be_retried_have_a_wait() -> None:
    assert verdict(400, envelope("INVALID_DATA"), retry_after="60").wait_seconds is None


@pytest.mark.parametrize(
    ("text", "credits_remaining"),
    [("0", 0), ("2499", 2_499), (" 7 ", 7), ("-1", None), ("1.5", None), ("many", None), ("", None), ("9" * 18, None)],
)
def test_the_credits_left_are_read_from_any_reply(text: str, credits_remaining: int | None) -> None:
    for found in (
        verdict(200, b'{"count":1}', x_api_credits_remaining=text),
        verdict(429, envelope("TOO_MANY_REQUESTS"), x_api_credits_remaining=text),
    ):
        assert found.credits_remaining == credits_remaining


@pytest.mark.parametrize(
    ("text", "ends_at"),
    [
        ("2026-03-29T03:00:00+01:00", datetime(2026, 3, 29, 2, tzinfo=UTC)),
        ("2026-03-29T02:00:00Z", datetime(2026, 3, 29, 2, tzinfo=UTC)),
        ("2026-03-28T19:00:00-07:00", datetime(2026, 3, 29, 2, tzinfo=UTC)),
        ("2026-03-29T02:00:00", None),
        ("2026-03-29T01:29:59Z", None),
        ("2026-04-29T02:00:00Z", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("2026-03-29T02:00:00\udcff", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_the_expiry_of_the_token_is_read_only_if_plausible(text: str, ends_at: datetime | None) -> None:
    found = verdict(200, b'{"count":1}', x_accesstoken_reset=text).token_ends_at
    assert found == ends_at
    assert found is None or found.tzinfo is UTC


def test_a_current_user_count_above_1_is_kept_and_flagged() -> None:
    assert implausible(UserType.CURRENT, 1) is None
    assert implausible(UserType.CURRENT, 2) == "current_user_not_one"
    assert implausible(UserType.CURRENT, 0) == "current_user_not_one"
    assert implausible(UserType.ALL, 2) is None


def test_the_repr_of_a_reply_shows_neither_body_nor_headers() -> None:
    reply = Reply(200, b'{"access_token":"1000.secret"}', {"set-cookie": "secret"})
    assert "secret" not in f"{reply} {reply!r}"


# No bytes whatsoever …

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
documents = st.dictionaries(
    st.sampled_from(["count", "code", "status", "error", "details", "Count"]),
    json_values | st.sampled_from([*BY_CODE, 429, "11", 11, "success", "error"]),
    max_size=4,
)
spaces = st.text(" \t\r\n\v", max_size=2)
nearly_counts = st.builds(
    lambda a, b, c, d, number: f'{a}{{{b}"count"{c}:{number}{d}}}{a}'.encode(),
    spaces,
    spaces,
    spaces,
    spaces,
    st.from_regex(r'"?[-+]?[0-9]{0,12}(\.[0-9])?"?', fullmatch=True),
)
bodies = st.one_of(
    st.binary(max_size=200),
    nearly_counts,
    documents.map(lambda document: json.dumps(document).encode()),
    st.tuples(documents, st.integers(0, 60)).map(lambda cut: json.dumps(cut[0]).encode()[: cut[1]]),
)
header_texts = st.one_of(
    st.text(max_size=80),
    st.integers().map(str),
    st.datetimes(timezones=st.timezones()).map(format_datetime),
    st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=-14)))).map(datetime.isoformat),
)
all_headers = st.dictionaries(st.sampled_from(HEADERS_READ), header_texts)


def said(body: bytes) -> set[int]:
    """A naive oracle: the set of counts that a reader could find in the body."""
    try:
        document: Any = json.loads(body.decode())
    except (ValueError, RecursionError):
        return set()
    count = document.get("count") if isinstance(document, dict) else None
    if isinstance(count, bool) or not isinstance(count, int | str) or str(count) != str(count).strip("+- _"):
        return set()
    return {int(count)} if str(count).isascii() and str(count).isdigit() else set()


@given(
    status=st.integers(0, 999) | st.sampled_from([200, 204, 302, 401, 403, 429, 500]), body=bodies, headers=all_headers
)
@example(status=200, body=b'{"count":011}', headers={})
@example(status=200, body=b'{"count":1, "count":2}', headers={})
def test_no_reply_of_any_bytes_raises_or_yields_a_count_that_is_not_in_it(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    found = classify(Reply(status, body, headers), NOW)
    assert (found.outcome is Outcome.OK) == (found.count is not None) == (found.code is None)
    if found.count is not None:
        assert status == 200
        assert {found.count} == said(body)
        assert 0 <= found.count <= LARGEST_COUNT
    assert found.wait_seconds is None or 0 <= found.wait_seconds <= LONGEST_WAIT_SECONDS
    assert found.credits_remaining is None or 0 <= found.credits_remaining <= LARGEST_COUNT
    assert found.token_ends_at is None or NOW < found.token_ends_at <= NOW + timedelta(days=1)
    assert found.code is None or (found.code.isascii() and found.code.replace("_", "").isalnum())


@given(count=st.integers(0, LARGEST_COUNT), quoted=st.booleans(), space=st.text(" \t\r\n", max_size=3))
def test_every_valid_count_is_read(count: int, quoted: bool, space: str) -> None:
    number = f'"{count}"' if quoted else str(count)
    assert verdict(200, f'{space}{{"count":{space}{number}}}'.encode()).count == count


@given(body=bodies)
def test_the_fast_and_the_general_body_parser_agree(body: bytes) -> None:
    assert read_body(body) == read_any_body(body)
