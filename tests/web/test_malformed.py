"""No bytes from a client cause a 5xx reply, a traceback, or more than one log line a minute."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_from_bytes

import pytest
import structlog
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import SecretStr

from poller.query.reader import Reader
from poller.simulator import Simulator, SimulatorOptions
from poller.store.read_only import connect_read_only
from poller.web import Access, Api, ConnectionLimits, Health, ProcessMetrics, serve
from tests.acceptance.processes import machine, serving
from tests.web.raw import exchange, status_of
from tests.web.scrape import served_at
from tests.web.test_api import KEY
from tests.web.test_web import Process
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NASTY = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET //[::1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT a:b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHo\x00st: a\r\n\r\n",
    b"\r\n\r\n\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello",
]


@asynccontextmanager
async def served(api: Api | None = None) -> AsyncIterator[str]:
    process = Process()
    health = Health(lambda: None, process.figures, process.ages, 5)
    limits = ConnectionLimits(idle_seconds=0.3)
    access = Access(SecretStr(KEY))
    async with serve("127.0.0.1", 0, health, ProcessMetrics(), api, access=access, limits=limits) as url:
        assert url is not None
        yield url


def harmless(reply: bytes) -> bool:
    """Whether the request was refused, answered or closed without a 5xx reply."""
    return not reply or status_of(reply) < 500


async def is_healthy(url: str) -> bool:
    """Whether the server answers a probe; a busy machine can take longer to send one than the server waits."""
    reply = await exchange(url, b"GET /healthz HTTP/1.0\r\n\r\n")
    return bool(reply) and status_of(reply) == 200


@pytest.mark.parametrize("request_bytes", NASTY, ids=lambda sent: repr(sent[:30]))
async def test_bytes_that_are_not_http_are_refused_without_a_warning_in_the_log(
    request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with served() as url:
            assert harmless(await exchange(url, request_bytes))
            await eventually(lambda: is_healthy(url))
    assert all(one["log_level"] == "info" for one in logs)
    assert not any("exc_info" in one for one in logs)
    assert not [one for one in caplog.records if one.levelname in {"WARNING", "ERROR", "CRITICAL"}]


async def test_a_thousand_malformed_requests_are_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with structlog.testing.capture_logs() as logs:
        async with served() as url:
            for _ in range(50):
                await asyncio.gather(*(exchange(url, NASTY[3]) for _ in range(20)))
    assert [one["event"] for one in logs] == ["web.served", "web.malformed_request"]
    assert not caplog.records


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda method, path, header, value: (
                method + b" /" + path + b" HTTP/1.1\r\nHost: a\r\n" + header + b": " + value + b"\r\n\r\n"
            ),
            st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"get", b"B\xc3\xa4"]),
            st.binary(max_size=60),
            st.sampled_from([b"Host", b"Authorization", b"Content-Length", b"Transfer-Encoding", b"Range", b"Cookie"]),
            st.binary(max_size=60),
        ),
    )
)
async def test_no_sequence_of_bytes_causes_a_5xx_reply(sent: bytes) -> None:
    with structlog.testing.capture_logs() as logs:
        async with served() as url:
            assert harmless(await exchange(url, sent, seconds=5))
    assert all(one["log_level"] == "info" for one in logs)


VALUES = st.one_of(
    st.sampled_from(
        [
            "9000y", "999999y", "2025y", "2026y", "999999d", "99999h", "1s", "0s", "-1d", "1" * 4_000, "0001-01-01",
            "9999-12-31", "2026-02-30", "\x00", "a\x00b", "\x1b[31m", "Europe/Berlin", "../etc/passwd", "Pacific/Apia",
            "AllUsers", "Acme", "%", "",
        ]
    ),
    st.text(max_size=30),
    st.integers(-(2**70), 2**70).map(str),
)  # fmt: skip


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(
        st.tuples(
            st.sampled_from(["org", "type", "since", "every", "tz", "zone", ""]),
            st.one_of(
                VALUES.map(lambda text: quote(text, errors="surrogatepass")),
                st.binary(max_size=20).map(quote_from_bytes),
            ),
        ),
        max_size=4,
    )
)
async def test_any_parameters_get_an_answer_or_a_refusal(parameter_server: str, asked: list[tuple[str, str]]) -> None:
    host = parameter_server.removeprefix("http://")
    query = "&".join(f"{name}={value}" for name, value in asked)
    request = f"GET /api/v1/trend?{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    with structlog.testing.capture_logs() as logs:
        assert status_of(await exchange(parameter_server, request.encode())) in {200, 400, 404}
    assert {one["event"] for one in logs} <= {"web.malformed_request"}, "a line too long for HTTP"


@pytest.fixture
async def parameter_server(database_url: str) -> AsyncIterator[str]:
    async with await connect_read_only(database_url) as database, served(Api(Reader(database))) as url:
        yield url


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("every=9000y", 400),
        ("since=2025y&every=100y", 400),
        ("since=2026-01-01&every=9000y&tz=Asia/Kolkata", 400),
        ("since=0001-01-01&tz=Asia/Kolkata&every=999d", 400),
        ("org=%00", 400),
        ("org=%ED%A0%80", 404),
        ("org=%ff%fe", 404),
        ("org=%1b%5B31m", 400),
        ("org=" + "a" * 501, 400),
        ("since=&every=", 400),
        ("org=", 200),
        ("tz=%00", 400),
        ("since=1d&since=1d", 400),
        ("every=99999999999999999999d", 400),
        ("&".join(f"a{n}=1" for n in range(1_000)), 400),
    ],
)
async def test_an_invalid_parameter_is_refused(parameter_server: str, query: str, status: int) -> None:
    host = parameter_server.removeprefix("http://")
    request = f"GET /api/v1/trend?{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    reply = await exchange(parameter_server, request.encode())
    assert status_of(reply) == status
    assert b"\x1b" not in reply


async def test_the_service_logs_no_traceback_for_malformed_requests(database_url: str) -> None:
    async with Simulator(SimulatorOptions(orgs=1)) as sim:
        mine = machine(sim, database_url, POLLER_WEB_PORT="0", POLLER_API_KEY=KEY)
        async with serving(mine) as service:
            url = await served_at(service)
            for sent in NASTY:
                assert harmless(await exchange(url, sent, seconds=0.5))
            service.send_signal(signal.SIGTERM)
            log = (await service.stderr.read()).decode()
    assert "Traceback" not in log
    assert '"level": "error"' not in log
    assert log.count("web.malformed_request") == 1
