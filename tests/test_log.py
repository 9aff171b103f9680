from __future__ import annotations

import io
import json
import logging
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given, strategies as st

from poller.core.secret import Secret
from poller.log import HIDDEN, bound, configure, redact, redact_event, redact_text
from tests.logging_state import logging_restored
from tests.processor import growth

if TYPE_CHECKING:
    from collections.abc import Iterator

HEX = "4f1c9a7e5b2d8f60" * 3
ACCESS = f"1000.{HEX[:32]}.{HEX[16:48]}"
CLIENT_SECRET = HEX[:42]
KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q="

hexes = st.text("0123456789abcdef", min_size=12, max_size=40)
tokens = st.builds("1000.{}.{}".format, hexes, hexes)
# Letters Zoho's tokens have none of, so that a token's end is its own.
around = st.text(st.sampled_from("xyz ,;&:/\"'()[]{}<>\n\t—é中"), max_size=20)
secret_keys = st.sampled_from(
    [
        "token",
        "access_token",
        "refresh_token",
        "client_secret",
        "PASSWORD",
        "Authorization",
        "secret_keys",
        "grant_code",
    ]
)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    with logging_restored():
        yield


def refuse() -> None:
    local = "-".join("abc")
    raise ValueError(f"refused {ACCESS}, {len(local.split('-'))}") from OSError("postgresql://u:hunter2@h/d")


def json_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def in_json(level: str = "info") -> tuple[io.StringIO, Any]:
    stream = io.StringIO()
    configure(log_format="json", level=level, stream=stream)
    return stream, structlog.get_logger()


@given(token=tokens, before=around, after=around)
def test_a_zoho_token_is_hidden_in_any_surrounding_text(token: str, before: str, after: str) -> None:
    assert token not in redact_text(f"{before}{token}{after}")
    assert token.rsplit(".", 1)[1] not in redact_text(f"{before}{token}{after}")


@given(
    token=tokens,
    nested=st.recursive(
        st.just("HERE"),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=2)
            | st.dictionaries(st.sampled_from(["a", "detail", "code", "body"]), inner, min_size=1, max_size=2)
        ),
        max_leaves=8,
    ),
)
def test_a_zoho_token_is_hidden_at_any_depth_of_nesting(token: str, nested: Any) -> None:
    def planted(value: Any) -> Any:
        match value:
            case dict():
                return {key: planted(item) for key, item in value.items()}
            case list():
                return [planted(item) for item in value]
            case _:
                return token

    printed = json.dumps(redact_event(None, "info", {"event": "x", "detail": planted(nested)}))
    assert token not in printed


@given(key=secret_keys, secret=st.text("abcdefgh!$0123456789", min_size=6, max_size=60))
def test_a_value_under_a_secret_key_is_hidden_for_every_type_of_value(key: str, secret: str) -> None:
    for value in (secret, secret.encode(), [secret], {"inner": secret}):
        printed = json.dumps(redact_event(None, "info", {"event": "x", "detail": {key: value}, key: value}))
        assert secret not in printed


@given(key=secret_keys, secret=st.text("ijklmnop0123456789", min_size=6, max_size=60))
def test_a_secret_in_a_form_a_query_or_json_is_hidden_in_any_text(key: str, secret: str) -> None:
    for text in (
        f"POST {key}={secret}&grant_type=refresh_token",
        f"{{'{key}': '{secret}', 'a': 1}}",
        json.dumps({"a": 1, key: secret}),
        json.dumps({key: secret + ' and "more"'}),
    ):
        assert secret not in redact_text(text), text


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        (f"Authorization: Zoho-oauthtoken {HEX}", f"Authorization: Zoho-oauthtoken {HIDDEN}"),
        ("authorization=Digest user=me", f"authorization={HIDDEN}"),
        ("Bearer abc.def", f"Bearer {HIDDEN}"),
        ("postgresql://poller:hunter2@db:5432/poller", f"postgresql://poller:{HIDDEN}@db:5432/poller"),
        ("postgresql://poller:hu@nt/er2@db/poller", f"postgresql://poller:{HIDDEN}@db/poller"),
        ("host=db password='hunter 2' user=x", f"host=db password={HIDDEN} user=x"),
        (f"client {CLIENT_SECRET}.", f"client {HIDDEN}."),
        (f"k1:{KEY},k0:{KEY}", f"k1:{HIDDEN},k0:{HIDDEN}"),
    ],
)
def test_secrets_of_every_format_are_hidden_and_the_other_text_is_kept(text: str, instead: str) -> None:
    assert redact_text(text) == instead


@pytest.mark.parametrize(
    "text",
    [
        "INVALID_TOKEN",
        "the refresh token was refused: ask for a new one",
        "https://www.zohoapis.com/crm/v7/users/actions/count?type=AllUsers",
        "postgresql://poller@/poller?host=%2Fsrv%2Fpg",
        "0b8dd1b8-6a53-4a52-9d6b-9ad1c2a5f2b0",
        "1000.50 credits",
        "zgid 60001234567890123",
    ],
)
def test_values_that_are_not_secrets_are_unchanged(text: str) -> None:
    assert redact_text(text) == text


def test_information_about_tokens_stays_readable() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    event = {"event": "token.refreshed", "tokens": 3, "token_expires_at": at, "code": "INVALID_TOKEN", "token": None}
    assert redact_event(None, "info", event) == {**event, "token_expires_at": at.isoformat()}


def test_a_grant_code_is_hidden_and_an_error_code_is_not() -> None:
    assert redact_event(None, "info", {"code": "OAUTH_SCOPE_MISMATCH", "event": "x"})["code"] == "OAUTH_SCOPE_MISMATCH"
    assert redact_event(None, "info", {"code": 429, "event": "x"})["code"] == 429
    assert redact_event(None, "info", {"code": "abc123.9", "event": "x"})["code"] == HIDDEN


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.frozensets(st.text()),
        max_leaves=10,
    )
)
def test_any_event_becomes_one_line_of_strict_json(value: Any) -> None:
    line = json.dumps(redact_event(None, "info", {"event": "x", "value": value}), allow_nan=False)
    assert len(line.splitlines()) == 1


def test_a_very_long_integer_and_a_list_that_contains_itself_can_be_logged() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    written = json.dumps([redact(10**5_000), redact(float("nan")), redact(cycle), redact("a " * 100_000)])
    assert len(written) < 20_000


@pytest.mark.parametrize(
    "piece", ["token", "1000.", "://", "://a:", '"token":"', "authorization: ", "_-.", "a", "1000.aaaaaa."]
)
def test_the_time_of_redacting_a_hostile_text_grows_with_its_length_and_no_more_where_it_is_cut(piece: str) -> None:
    texts = {length: (piece * length)[:length] for length in (1_600, 16_000, 1_000_000)}

    def of_length(length: int) -> str:
        return redact_text(texts[length])

    # A time that grows with the square of the length would be a hundred times as long.
    assert growth(of_length, 1_600, 16_000) < 40
    assert growth(of_length, 16_000, 1_000_000) < 4


@given(token=tokens, length=st.integers(15_900, 16_100))
def test_a_secret_across_the_cut_of_a_long_text_is_hidden_completely(token: str, length: int) -> None:
    text = redact_text("x " * (length // 2) + token + " y" * 9_000)
    assert token[: len(token) // 2] not in text


def test_a_value_whose_str_raises_loses_only_its_own_text() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(CLIENT_SECRET)

    assert redact(Broken()) == "<Broken, unprintable: RuntimeError>"


def test_line_breaks_and_control_characters_in_an_event_are_escaped() -> None:
    assert redact("Acme\n{} \x1b[2J\x9b") == "Acme\\x0a{} \\x1b[2J\\x9b"


def test_an_event_contains_the_context_bound_around_it() -> None:
    stream, log = in_json()
    with bound(org="Acme", slot="2026-11-01T00:00:00+00:00"):
        log.info("poll.finished", took=timedelta(seconds=1.5), secret=Secret("x"))
    log.info("poll.swept")
    first, second = json_lines(stream)
    assert (first["event"], first["org"], first["took"], first["secret"]) == ("poll.finished", "Acme", 1.5, HIDDEN)
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert "org" not in second


def test_events_below_the_level_are_not_written() -> None:
    stream, log = in_json("warning")
    log.info("quiet")
    log.warning("loud")
    logging.getLogger("aiohttp.server").info("quiet")
    assert [line["event"] for line in json_lines(stream)] == ["loud"]


def test_log_records_of_libraries_are_redacted_with_their_arguments_and_exceptions() -> None:
    stream, _ = in_json()
    try:
        refuse()
    except ValueError:
        logging.getLogger("aiohttp.client").exception("sent %s", f"client_secret={CLIENT_SECRET}", extra={"token": KEY})
    (line,) = json_lines(stream)
    assert line["event"] == f"sent client_secret={HIDDEN}"
    assert (line["logger"], line["level"], line["token"]) == ("aiohttp.client", "error", HIDDEN)
    assert "Traceback" in line["exception"]
    for secret in (ACCESS, ACCESS.split(".")[1], "hunter2", CLIENT_SECRET, KEY):
        assert secret not in stream.getvalue()


def test_exceptions_are_redacted_and_show_no_local_variables() -> None:
    for log_format in ("json", "console"):
        stream = io.StringIO()
        configure(log_format=log_format, level="info", stream=stream)
        try:
            refuse()
        except ValueError:
            structlog.get_logger().exception("poll.failed")
        assert "ValueError: refused 1000.[hidden], 3" in stream.getvalue()
        assert ACCESS not in stream.getvalue()
        assert "a-b-c" not in stream.getvalue()


def test_a_malformed_log_record_of_a_library_is_dropped_silently(capsys: pytest.CaptureFixture[str]) -> None:
    stream, _ = in_json()
    logging.getLogger("asyncpg").error("%d", ACCESS)
    assert stream.getvalue() == ""
    assert capsys.readouterr().err == ""


def test_a_python_warning_becomes_a_log_event() -> None:
    stream, _ = in_json()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn(f"token={ACCESS}", stacklevel=1)
    assert ACCESS not in stream.getvalue()
    assert json_lines(stream)[0]["logger"] == "py.warnings"


def test_a_closed_stream_loses_only_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    stream, log = in_json()
    stream.close()
    log.info("poll.finished")
    logging.getLogger("asyncpg").error("of a library")
    assert capsys.readouterr().err == "", "logging reports no error of its own"


def test_without_a_terminal_the_format_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_format=None, level="info")
    structlog.get_logger().info("poll.finished", org="Acmé")
    assert json.loads(capsys.readouterr().err)["org"] == "Acmé"


def test_the_console_format_is_human_readable() -> None:
    stream = io.StringIO()
    configure(log_format="console", level="info", stream=stream)
    structlog.get_logger().info("poll.finished", org="Acme Ltd", token=ACCESS)
    assert "poll.finished" in stream.getvalue()
    assert "org='Acme Ltd'" in stream.getvalue()
    assert ACCESS not in stream.getvalue()
