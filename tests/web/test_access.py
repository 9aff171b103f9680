"""Requests over real sockets: which Host headers are allowed, who gets an answer, and headers of every reply."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
import structlog
from pydantic import SecretStr

from poller.query.reader import Reader
from poller.web import Access, Api, ProcessMetrics, access_from, serve
from tests.web.raw import exchange, status_of
from tests.web.test_api import KEY, RIGHT
from tests.web.test_web import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from poller.store.database import Database

EVIL = {"Host": "evil.example"}
ORIGIN = "https://poller.example.org"


@asynccontextmanager
async def served(access: Access, database: Database | None = None, *, orgs_named: int = 5) -> AsyncIterator[str]:
    from poller.web import Health

    process = Process()
    process.why_not = "PostgreSQL: cannot execute INSERT in a read-only transaction"
    health = Health(lambda: process.why_not, process.figures, process.ages, orgs_named)
    api = None if database is None else Api(Reader(database))
    async with serve("127.0.0.1", 0, health, ProcessMetrics(), api, access=access) as url:
        assert url is not None
        yield url


async def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as reply:
        return reply.status, await reply.text()


@pytest.mark.parametrize("path", ["/", "/metrics", "/metrics/orgs", "/api/v1/trend", "/nothing"])
async def test_a_request_for_another_host_is_refused_without_details(path: str) -> None:
    async with served(Access()) as url:
        status, text = await get(url + path, EVIL)
        assert status == 421
        assert "POLLER_WEB_ORIGIN" in text
        assert "Acme" not in text
        port = url.rpartition(":")[2]
        for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
            assert (await get(url + path, {"Host": host}))[0] in {200, 404}


async def test_probes_answer_on_any_address_and_give_reasons_only_to_allowed_hosts() -> None:
    async with served(Access(SecretStr(KEY), published=True)) as url:
        assert await get(f"{url}/healthz", EVIL) == (200, "alive\n")
        assert await get(f"{url}/readyz", EVIL) == (503, "not ready\n")
        status, text = await get(f"{url}/readyz")
        assert (status, text) == (503, "PostgreSQL: cannot execute INSERT in a read-only transaction\n")


@pytest.mark.parametrize("headers", ["", "Host: \r\n", "Host: 127.0.0.1\r\nHost: evil.example\r\n"])
async def test_a_request_without_one_host_is_refused(headers: str) -> None:
    async with served(Access()) as url:
        assert status_of(await exchange(url, f"GET /metrics HTTP/1.1\r\n{headers}\r\n".encode())) == 400


async def test_with_a_public_origin_every_page_needs_the_key_even_from_loopback() -> None:
    async with served(access_from("127.0.0.1", SecretStr(KEY), ORIGIN)) as url:
        for path in ("/", "/metrics", "/metrics/orgs", "/nothing"):
            status, text = await get(url + path)
            assert (status, "Acme" in text) == (401, False)
            assert (await get(url + path, RIGHT))[0] in {200, 404}
            assert (await get(url + path, {**RIGHT, "Host": "poller.example.org"}))[0] in {200, 404}
            assert (await get(url + path, {**RIGHT, **EVIL}))[0] == 421
        assert (await get(f"{url}/healthz"))[0] == 200


@pytest.mark.parametrize(
    "shown", [b"Bearer \xff", b"Bearer", b"\xff\xfe", b"Bearer " + b"\xc3\xa9" * 40, b"Basic Og=="]
)
async def test_a_key_of_arbitrary_bytes_is_refused_as_a_wrong_key(database: Database, shown: bytes) -> None:
    for access in (Access(SecretStr(KEY)), Access()):
        async with served(access, database) as url:
            host = url.removeprefix("http://").encode()
            request = b"GET /api/v1/trend HTTP/1.1\r\nHost: " + host + b"\r\nAuthorization: " + shown + b"\r\n\r\n"
            assert status_of(await exchange(url, request)) == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api", 404),
        ("POST", "/api/v1/trend", 405),
        ("DELETE", "/metrics", 405),
    ],
)
async def test_unknown_routes_and_methods_get_a_problem_reply_with_a_remedy(
    database: Database, method: str, path: str, status: int
) -> None:
    async with (
        served(Access(SecretStr(KEY)), database) as url,
        aiohttp.ClientSession() as session,
        session.request(method, url + path, headers=RIGHT) as reply,
    ):
        assert reply.status == status
        if path.startswith("/api"):
            assert reply.content_type == "application/problem+json"
            problem = await reply.json()
            assert problem.keys() == {"title", "status", "detail", "remedy", "errors"}
            assert (problem["status"], problem["errors"]) == (status, [])
        else:
            assert (await reply.text()).count("\n") == 1
        assert ("Allow" in reply.headers) is (status == 405)


async def test_a_program_that_asks_for_json_or_the_document_is_refused_with_a_problem(database: Database) -> None:
    access = access_from("127.0.0.1", SecretStr(KEY), ORIGIN)
    async with served(access, database) as url, aiohttp.ClientSession() as session:
        for path, accepted in (("/openapi.json", "*/*"), ("/health", "application/json"), ("/no", "application/json")):
            async with session.get(url + path, headers={"Accept": accepted}) as reply:
                assert (reply.status, reply.content_type) == (401, "application/problem+json"), path
                assert (await reply.json())["remedy"]
        async with session.get(f"{url}/health", headers={"Accept": "text/plain"}) as reply:
            assert (reply.status, reply.content_type) == (401, "text/plain")


async def test_every_reply_forbids_scripts_frames_and_sniffing_and_names_no_version(database: Database) -> None:
    async with served(Access(SecretStr(KEY)), database) as url, aiohttp.ClientSession() as session:
        for path in ("/", "/healthz", "/metrics", "/api/v1/trend", "/nothing", "/api/v1/trend?every=0d"):
            async with session.get(url + path, headers=RIGHT) as reply:
                assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
                assert "unsafe" not in reply.headers["Content-Security-Policy"]
                assert reply.headers["X-Content-Type-Options"] == "nosniff"
                assert reply.headers["Referrer-Policy"] == "same-origin"
                assert reply.headers["Cross-Origin-Opener-Policy"] == "same-origin"
                cache = "private, no-cache" if "ETag" in reply.headers else "no-store"
                assert reply.headers["Cache-Control"] == cache
                assert reply.headers["Server"] == "poller"


async def test_every_reply_has_its_own_request_id() -> None:
    async with served(Access()) as url, aiohttp.ClientSession() as session:
        ids = set()
        for path in ("/", "/nothing", "/metrics"):
            async with session.get(url + path) as reply:
                ids.add(reply.headers["X-Request-Id"])
        assert len(ids) == 3


async def test_refused_hosts_and_keys_are_logged_once_a_minute(database: Database) -> None:
    with structlog.testing.capture_logs() as logs:
        async with served(Access(SecretStr(KEY)), database) as url:
            for _ in range(20):
                await get(f"{url}/metrics", EVIL)
                await get(f"{url}/api/v1/trend", {"Authorization": "Bearer wrong"})
    assert [one["event"] for one in logs] == ["web.served", "web.wrong_host", "web.wrong_key"]
    assert {one["log_level"] for one in logs} == {"info"}
    assert "wrong" not in str(logs[2].get("key", ""))
