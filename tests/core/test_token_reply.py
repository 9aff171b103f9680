from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from poller.core import remedies
from poller.core.admission import CRASHED, CREDIT_SHARE_SPENT, HELD, NOT_RUNNING, TOO_LATE
from poller.core.reply import BY_CODE, BY_FAILURE, Failure, NoReply, Reply
from poller.core.secret import Secret
from poller.core.token_reply import (
    COOL_DOWN_SECONDS,
    PERMANENT,
    Granted,
    Refused,
    Throttled,
    TokenResult,
    Unavailable,
    classify_token_reply,
    refresh_at,
)

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
TOKEN = "1000.8cb99d00000000000000be93.9b8000000000000f"
SECRET = Secret(TOKEN)


def verdict(document: object, status: int = 200, **headers: str) -> TokenResult:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return classify_token_reply(
        Reply(status, body, {name.replace("_", "-"): text for name, text in headers.items()}), NOW
    )


def test_a_granted_token_has_its_api_domain_and_lifetime() -> None:
    assert verdict(
        {
            "access_token": TOKEN,
            "api_domain": "https://www.zohoapis.eu",
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": "ZohoCRM.users.READ",
        }
    ) == Granted(SECRET, "https://www.zohoapis.eu", 3_600, "ZohoCRM.users.READ")


def test_the_reply_to_a_grant_code_has_a_refresh_token() -> None:
    assert verdict({"access_token": TOKEN, "refresh_token": "1000.r"}) == Granted(
        SECRET, None, 3_600, refresh_token=Secret("1000.r")
    )


@pytest.mark.parametrize(
    ("life", "seconds"),
    [
        ({}, 3_600),
        ({"expires_in": 3600}, 3_600),
        ({"expires_in": 60}, 60),
        ({"expires_in": "1800"}, 1_800),
        ({"expires_in": 1800.0}, 1_800),
        ({"expires_in": 3_600_000}, 3_600),
        ({"expires_in": 1_800_000, "expires_in_sec": 1800}, 1_800),
        ({"expires_in": 0}, 3_600),
        ({"expires_in": -5}, 3_600),
        ({"expires_in": True}, 3_600),
        ({"expires_in": None}, 3_600),
        ({"expires_in": "soon"}, 3_600),
        ({"expires_in": "٣٦٠٠"}, 3_600),
        ({"expires_in": [3600]}, 3_600),
        ({"expires_in": 1e400}, 3_600),
    ],
)
def test_a_missing_or_invalid_lifetime_is_an_hour(life: dict[str, object], seconds: int) -> None:
    granted = verdict({"access_token": TOKEN, **life})
    assert isinstance(granted, Granted)
    assert granted.expires_in_seconds == seconds


@pytest.mark.parametrize("domain", [None, 5, "", "x" * 2_000, "https://a\nb", ["https://www.zohoapis.com"]])
def test_an_invalid_api_domain_is_ignored(domain: object) -> None:
    assert verdict({"access_token": TOKEN, "api_domain": domain}) == Granted(SECRET, None, 3_600)


@pytest.mark.parametrize("token", ["", None, 5, True, "a b", "a\r\nX-Evil: 1", "é", "x" * 3_000, ["a"], {}])
def test_a_token_that_is_not_valid_in_a_header_is_refused(token: object) -> None:
    assert verdict({"access_token": token}) == Unavailable("bad_token")
    if token is not None:
        assert verdict({"access_token": TOKEN, "refresh_token": token}) == Unavailable("bad_token")


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize("code", sorted(PERMANENT))
def test_a_permanent_error_is_refused_with_its_remedy_for_any_status(code: str, status: int) -> None:
    refused = verdict({"error": code}, status)
    assert refused == Refused(code)
    assert isinstance(refused, Refused)
    assert refused.remedy == remedies.REMEDIES[code]


@pytest.mark.parametrize("code", ["invalid_client", "invalid_client_secret", "invalid_code", "missing_org_info"])
def test_the_documented_permanent_errors_are_known(code: str) -> None:
    assert code in PERMANENT


@pytest.mark.parametrize("status", [200, 400, 429])
@pytest.mark.parametrize(
    ("error", "description"),
    [
        ("Access Denied", "You have made too many requests continuously. Please try again after some time."),
        ("Zugriff verweigert", "Sie haben zu viele Anfragen gestellt."),
        ("拒绝访问", "您的请求过于频繁"),
        ("تم رفض الوصول", "طلبات كثيرة جدا"),
        ("", ""),
    ],
)
def test_a_throttled_reply_is_recognised_in_any_language(error: str, description: str, status: int) -> None:
    document = {"error": error, "error_description": description, "status": "failure"}
    assert verdict(document, status) == Throttled(COOL_DOWN_SECONDS)


@pytest.mark.parametrize(
    "document", [{}, {"status": "failure"}, {"error": None}, {"error": 5}, {"error": "general_error"}]
)
def test_a_reply_without_a_token_or_a_permanent_code_starts_a_cool_down(document: object) -> None:
    assert verdict(document) == Throttled(COOL_DOWN_SECONDS)


def test_a_token_in_a_reply_with_an_error_is_not_accepted() -> None:
    assert verdict({"access_token": TOKEN, "error": "Access Denied"}) == Throttled(COOL_DOWN_SECONDS)
    assert verdict({"access_token": TOKEN, "error": "invalid_code"}) == Refused("invalid_code")


@pytest.mark.parametrize("status", [201, 302, 400, 500])
def test_a_token_with_a_status_other_than_200_is_not_accepted(status: int) -> None:
    assert not isinstance(verdict({"access_token": TOKEN}, status), Granted)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", COOL_DOWN_SECONDS), ("1200", 1_200.0), ("soon", COOL_DOWN_SECONDS)]
)
def test_a_cool_down_lasts_as_long_as_retry_after_and_at_least_the_window(text: str, seconds: float) -> None:
    assert verdict({"error": "Access Denied"}, 400, retry_after=text) == Throttled(seconds)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"<html>", "not_json"),
        (200, b"", "empty"),
        (200, b"[]", "not_an_object"),
        (200, b'{"access_token":"1000', "not_json"),
        (200, b'{"access_token":"a","access_token":"b"}', "not_json"),
        (302, b"", "http_302"),
        (400, b"<html>", "http_400"),
        (503, b"<html>", "http_503"),
        (500, b'{"error":"whatever"}', "http_500"),
    ],
)
def test_a_reply_that_is_not_from_the_token_endpoint_itself_is_a_transient_failure(
    status: int, body: bytes, code: str
) -> None:
    assert verdict(body, status) == Unavailable(code)


def test_a_429_of_the_edge_starts_a_cool_down() -> None:
    assert verdict(b"<html>", 429) == Throttled(COOL_DOWN_SECONDS)


def test_the_retry_after_of_the_edge_is_respected() -> None:
    assert verdict(b"<html>", 503, retry_after="30") == Unavailable("http_503", 30.0)


@pytest.mark.parametrize("failure", Failure)
def test_a_missing_token_reply_is_a_transient_failure(failure: Failure) -> None:
    assert classify_token_reply(NoReply(failure), NOW) == Unavailable(failure.value)


def test_the_repr_of_a_granted_token_does_not_show_it() -> None:
    granted = verdict({"access_token": TOKEN, "refresh_token": TOKEN})
    assert isinstance(granted, Granted)
    assert granted.access_token == granted.refresh_token == SECRET
    assert TOKEN not in f"{granted} {granted!r}"


# A token is granted only with 200 and without an error: random replies would hardly ever be one.
VALUES = st.none() | st.integers() | st.floats() | st.text() | st.just(TOKEN) | st.sampled_from(sorted(PERMANENT))
NEARLY_GRANTED = st.fixed_dictionaries(
    {"access_token": st.just(TOKEN) | st.text(min_size=1)}, optional={"expires_in": VALUES, "api_domain": VALUES}
)
FIELDS = st.sampled_from(["access_token", "refresh_token", "error", "expires_in", "api_domain", "scope"])


@given(
    status=st.just(200) | st.integers(100, 599),
    body=st.binary(max_size=100)
    | (NEARLY_GRANTED | st.dictionaries(FIELDS, VALUES)).map(lambda document: json.dumps(document).encode()),
)
def test_no_reply_of_any_bytes_raises_or_grants_a_token_that_is_not_in_it(status: int, body: bytes) -> None:
    found = classify_token_reply(Reply(status, body), NOW)
    if isinstance(found, Granted):
        assert status == 200
        assert found.access_token.reveal() == json.loads(body)["access_token"]
        assert found.access_token.reveal().isascii()
        assert 0 < found.expires_in_seconds <= 86_400


@given(life=st.integers(1, 86_400), jitter=st.floats(0, 1, exclude_max=True))
def test_a_refresh_is_due_in_the_second_half_of_a_lifetime_and_before_its_last_quarter_or_five_minutes(
    life: int, jitter: float
) -> None:
    due = refresh_at(NOW, NOW + timedelta(seconds=life), jitter)
    assert NOW + timedelta(seconds=life / 2) <= due <= NOW + timedelta(seconds=life)
    assert due <= NOW + timedelta(seconds=life) - min(timedelta(minutes=5), timedelta(seconds=life / 4))


def test_a_token_of_an_hour_is_refreshed_five_to_ten_minutes_before_its_end() -> None:
    end = NOW + timedelta(hours=1)
    assert refresh_at(NOW, end, 0.0) == end - timedelta(minutes=5)
    assert refresh_at(NOW, end, 0.5) == end - timedelta(minutes=7.5)


def test_a_token_that_arrives_expired_is_due_for_refresh_at_once() -> None:
    assert refresh_at(NOW, NOW - timedelta(seconds=5), 0.9) <= NOW


def test_every_code_that_a_person_can_fix_has_its_own_remedy() -> None:
    general = remedies.remedy_for("BRAND_NEW_CODE")
    own = [TOO_LATE, NOT_RUNNING, CRASHED, HELD, CREDIT_SHARE_SPENT, "throttled", "current_user_not_one"]
    codes = [*BY_CODE, *PERMANENT, *BY_FAILURE, *own, "redirect", "not_json", "http_502"]
    assert [code for code in codes if remedies.remedy_for(code) == general] == []


def test_a_remedy_is_one_line_without_a_full_stop() -> None:
    for remedy in [*remedies.REMEDIES.values(), remedies.remedy_for("?")]:
        assert remedy == " ".join(remedy.split())
        assert remedy
        assert not remedy.endswith(".")


@pytest.mark.parametrize(
    ("state", "reason", "parked_remedy", "remedy"),
    [
        ("parked", "invalid_code", "import it again", "import it again"),
        ("parked", "invalid_code", None, remedies.remedy_for("invalid_code")),
        ("failing", "dns", None, remedies.remedy_for("dns")),
        ("failing", None, None, remedies.remedy_for("?")),
        ("late", None, None, "see whether enough workers run: `poller doctor`"),
        *((state, "held", None, None) for state in ("ok", "held", "paused", "never_polled", "removed")),
    ],
)
def test_an_org_has_a_remedy_where_its_state_needs_a_person(
    state: str, reason: str | None, parked_remedy: str | None, remedy: str | None
) -> None:
    assert remedies.remedy_of_state(state, reason, parked_remedy) == remedy
