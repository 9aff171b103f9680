"""The API returns the data of `poller trend` to requests with the key, and does not delay polls."""

from __future__ import annotations

import asyncio
import json
import socket
import tracemalloc
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import structlog
from pydantic import SecretStr

from poller.core.errors import DatabaseError
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.query.reader import Reader
from poller.simulator import Simulator, SimulatorOptions
from poller.store.series.snapshots import write_snapshots
from poller.web import Access, Api, Health, ProcessMetrics, serve
from tests import command
from tests.acceptance.processes import machine, serving
from tests.command import KEYS
from tests.simulated_fleet import import_by_command
from tests.store.fleet import added, entry
from tests.web.scrape import served_at
from tests.witness import WITNESS
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

KEY = "0123456789abcdef" * 2 + "-api-key"
RIGHT = {"Authorization": f"Bearer {KEY}"}
HOUR = timedelta(hours=1)
# Half a day after the end of summer time in Berlin.
AUTUMN = datetime(2026, 10, 25, 12, tzinfo=UTC)
ORGS = ("Acme", "Bär & Söhne")


@asynccontextmanager
async def served(
    database: Database, now: Callable[[], datetime] | None = None, *, key: str | None = KEY, **changes: Any
) -> AsyncIterator[str]:
    async def nothing(*_: Any) -> Any:
        raise DatabaseError("no database here", "use none")

    secret = None if key is None else SecretStr(key)
    api = Api(Reader(database, now or (lambda: datetime.now(UTC))), **changes)
    health = Health(lambda: None, nothing, nothing)
    async with serve("127.0.0.1", 0, health, ProcessMetrics(), api, access=Access(secret)) as url:
        assert url is not None
        yield f"{url}/api/v1/trend"


async def ask(url: str, headers: Mapping[str, str] = RIGHT, /, **asked: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, params=asked, headers=headers) as reply:
        return reply.status, await reply.text()


async def refusal(url: str, headers: Mapping[str, str] = RIGHT, /, **asked: str) -> tuple[int, str]:
    """Status, detail and remedy of a request that is refused."""
    async with aiohttp.ClientSession() as session, session.get(url, params=asked, headers=headers) as reply:
        problem = await reply.json(content_type="application/problem+json")
        assert problem["status"] == reply.status
        return reply.status, f"{problem['detail']}; {problem['remedy']}"


async def answer(url: str, **asked: str) -> list[dict[str, Any]]:
    status, text = await ask(url, **asked)
    assert status == 200, text
    found: list[dict[str, Any]] = json.loads(text)
    return found


async def fill(database: Database, keyring: Keyring, until: datetime, hours: int = 120) -> None:
    """Two orgs polled every hour, except for a day without polls."""
    ids = await added(database, keyring, *map(entry, ORGS))
    slots = [until - n * HOUR for n in range(1, hours) if not 35 <= n < 59]
    await write_snapshots(
        database,
        [
            Snapshot(org_id, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 10 * org_id + slot.hour))
            for org_id in ids
            for slot in slots
        ],
    )


async def test_days_are_those_of_the_requested_time_zone(database: Database, keyring: Keyring) -> None:
    await fill(database, keyring, AUTUMN + 20 * HOUR)
    async with served(database, lambda: AUTUMN + 20 * HOUR) as url:
        asked = {"org": "Acme", "type": "AdminUsers", "since": "2026-10-23"}
        of_berlin = await answer(url, tz="Europe/Berlin", **asked)
        of_utc = await answer(url, **asked)
    assert [(one["at"], one["samples"]) for one in of_berlin] == [
        ("2026-10-23T00:00:00+02:00", 24),
        ("2026-10-24T00:00:00+02:00", 0),
        ("2026-10-25T00:00:00+02:00", 25),
        ("2026-10-26T00:00:00+01:00", 9),
    ]
    assert [one["at"] for one in of_utc] == [f"2026-10-{day}T00:00:00+00:00" for day in (23, 24, 25, 26)]
    assert {one["user_type"] for one in of_utc} == {"AdminUsers"}


async def test_the_trend_api_returns_the_same_points_as_the_trend_command(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    await fill(database, keyring, datetime.now(UTC).replace(minute=0, second=0, microsecond=0))
    environ = {"POLLER_DATABASE_URL": database_url, "POLLER_SECRET_KEYS": KEYS}
    # Two days before the first poll, so that whole days are unknown at any hour of the day.
    day = f"{datetime.now(UTC) - timedelta(days=7):%Y-%m-%d}"
    async with served(database) as url:
        for asked in (
            {"org": ORGS[1], "since": day, "every": "1d", "tz": "America/St_Johns"},
            {"type": "activeusers", "since": day, "every": "1w", "tz": "UTC"},
            {"org": "Acme", "since": day, "every": "1h"},
        ):
            flags = [f"--{name}={value}" for name, value in asked.items() if name != "org"]
            org = [asked["org"]] if "org" in asked else []
            told = await command.run("trend", *org, *flags, "--format=json", environ=environ)
            found = await answer(url, **asked)
            assert found == json.loads(told.out)
            assert any(one["last"] is None for one in found) or asked["every"] == "1w"
            assert any(one["last"] is not None for one in found)


async def test_the_trend_api_answers_csv_as_the_trend_command_does(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    await fill(database, keyring, datetime.now(UTC).replace(minute=0, second=0, microsecond=0))
    environ = {"POLLER_DATABASE_URL": database_url, "POLLER_SECRET_KEYS": KEYS}
    told = await command.run("trend", "Acme", "--since=2d", "--format=csv", environ=environ)
    async with served(database) as url, aiohttp.ClientSession() as session:
        for asked, accept in (({"format": "csv"}, "*/*"), ({}, "text/csv")):
            params = {"org": "Acme", "since": "2d"} | asked
            async with session.get(url, params=params, headers=RIGHT | {"Accept": accept}) as reply:
                assert (reply.status, reply.content_type) == (200, "text/csv")
                assert (await reply.text()).splitlines() == told.out.splitlines()
        async with session.get(url, params={"format": "xml"}, headers=RIGHT) as reply:
            problem = await reply.json(content_type="application/problem+json")
    assert (problem["status"], problem["remedy"]) == (400, "use json or csv")


async def test_a_trend_that_the_client_has_already_is_not_sent_again(database: Database, keyring: Keyring) -> None:
    await fill(database, keyring, AUTUMN)
    asked = {"org": "Acme", "since": "3d"}
    async with served(database, lambda: AUTUMN) as url, aiohttp.ClientSession() as session:
        for kind in ("json", "csv"):
            params = asked | {"format": kind}
            async with session.get(url, params=params, headers=RIGHT) as reply:
                tag = reply.headers["ETag"]
                assert await reply.text()
            async with session.get(url, params=params, headers=RIGHT | {"If-None-Match": tag}) as reply:
                assert (reply.status, await reply.read(), reply.headers["ETag"]) == (304, b"", tag)
            async with session.get(url, params=params | {"type": "AdminUsers"}, headers=RIGHT) as reply:
                assert (reply.status, reply.headers["ETag"] == tag) == (200, False)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"since": "x"}, "since"),
        ({"every": "x"}, "every"),
        ({"tz": "x"}, "tz"),
        ({"type": "x"}, "type"),
        ({"y": "1"}, "y"),
    ],
)
async def test_the_trend_api_names_the_wrong_parameter(database: Database, asked: dict[str, str], named: str) -> None:
    async with (
        served(database) as url,
        aiohttp.ClientSession() as session,
        session.get(url, params=asked, headers=RIGHT) as reply,
    ):
        problem = await reply.json(content_type="application/problem+json")
    assert [(error["parameter"], error["in"]) for error in problem["errors"]] == [(named, "query")]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": f"Basic {KEY}"}],
)
async def test_a_request_without_the_right_key_gets_only_the_hint_to_send_it(
    database: Database, headers: dict[str, str]
) -> None:
    async with served(database) as url, aiohttp.ClientSession() as session:
        async with session.get(url, headers=headers, params={"org": "nobody"}) as reply:
            assert reply.status == 401
            assert reply.headers["WWW-Authenticate"] == "Bearer"
            assert reply.content_type == "application/problem+json"
            assert await reply.json() == {
                "title": "Unauthorized",
                "status": 401,
                "detail": "the key is missing or wrong",
                "remedy": "send an access key (`poller access add`) or that of POLLER_API_KEY as Authorization: Bearer "
                "…, or log in at /login",
                "errors": [],
            }
        async with session.get(url, params={"key": KEY}) as reply:
            assert reply.status == 401


async def test_without_any_key_the_api_is_open_to_this_machine_but_not_to_a_wrong_key(database: Database) -> None:
    async with served(database, key=None) as url:
        assert (await ask(url, {}))[0] == 200
        assert (await refusal(url, {"Authorization": "Bearer "}))[0] == 401


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"tz": "Nonsense"}, "there is no time zone 'Nonsense'; name one such as Europe/Berlin, or UTC"),
        ({"since": "soon"}, "'soon' is not a duration; write 15m, 1h, 1d, 12w or 1y"),
        ({"since": "2999-01-01"}, "2999-01-01 is not in the past; name an earlier day"),
        ({"every": "0d"}, "'0d' is not a duration; write 15m, 1h, 1d, 12w or 1y"),
        ({"since": "100y", "every": "1s"}, "that is more than 10,000 buckets; ask for a shorter stretch or longer bu"),
        ({"type": "Robots"}, "'Robots' is not a user type; use one of AllUsers, ActiveUsers"),
        ({"zone": "UTC"}, "there is no parameter 'zone'; ask with org, type, since, every, tz"),
    ],
)
async def test_an_invalid_trend_request_gets_one_line_with_the_remedy(
    database: Database, asked: dict[str, str], told: str
) -> None:
    async with served(database) as url:
        status, text = await refusal(url, **asked)
    assert (status, text.count("\n")) == (400, 0)
    assert text.startswith(told)


async def test_a_repeated_parameter_and_an_unknown_org_are_reported(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("Acme"))
    async with served(database) as url:
        assert await refusal(f"{url}?tz=UTC&tz=UTC") == (400, "tz is given twice; give it once")
        status, text = await ask(url, org="Acmee")
        assert status == 404
        assert "Acme" in text


async def test_the_trend_of_a_fleet_without_orgs_is_an_empty_list(database: Database) -> None:
    async with served(database) as url:
        assert await answer(url) == []


async def test_an_unreachable_database_is_reported(database: Database) -> None:
    async with served(database) as url:
        await database.close()
        assert await refusal(url) == (503, "the database does not answer; try again in a few seconds")


async def reading_nothing(url: str, **asked: str) -> tuple[socket.socket, Any]:
    """A request whose client reads the start of the answer and then nothing more."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    taken.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(taken, (parts.hostname, parts.port))
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    await loop.sock_sendall(
        taken,
        f"GET {parts.path}?{query} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode(),
    )
    return taken, await loop.sock_recv(taken, 100)


LONG = {"since": "2026-07-15", "every": "15m"}
"""Tens of megabytes: far more than lies between two sockets."""


async def test_requests_above_the_limit_of_running_answers_are_asked_to_retry_later(
    database: Database, keyring: Keyring
) -> None:
    await fill(database, keyring, AUTUMN)
    async with served(database, lambda: AUTUMN, at_once=1) as url:
        taken, begun = await reading_nothing(url, **LONG)
        assert begun.startswith(b"HTTP/1.1 200")
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=RIGHT, params={"since": "2026-10-20"}) as reply,
        ):
            assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
        taken.close()

        async def has_room() -> bool:
            return (await ask(url, since="2026-10-20"))[0] == 200

        await eventually(has_room)


async def test_a_client_that_does_not_read_its_answer_is_disconnected_and_its_database_connection_released(
    database: Database, keyring: Keyring
) -> None:
    await fill(database, keyring, AUTUMN)
    with structlog.testing.capture_logs() as logs:
        async with served(database, lambda: AUTUMN, at_once=1, patience_seconds=0.2) as url:
            taken, _ = await reading_nothing(url, **LONG)
            await eventually(lambda: any(one["event"] == "api.broken_off" for one in logs))
            assert await answer(url, since="2026-10-20", type="AllUsers")
            taken.close()
    broken_off = [one for one in logs if one["event"] == "api.broken_off"]
    assert [one["why"] for one in broken_off] == ["nothing was read for 0.2 s"]


async def test_a_long_answer_is_complete_and_uses_little_memory(database: Database, keyring: Keyring) -> None:
    await fill(database, keyring, AUTUMN)
    async with served(database, lambda: AUTUMN) as url, aiohttp.ClientSession() as session:
        lines = size = 0
        tracemalloc.start()
        try:
            asked = {"since": "2026-09-25", "every": "15m"}
            async with session.get(url, headers=RIGHT, params=asked) as reply:
                async for block in reply.content.iter_any():
                    lines, size = lines + block.count(b"\n"), size + len(block)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # A line each for the list's two ends, and for every quarter of an hour, type and org.
    assert lines == 2 + 2 * 10 * ((AUTUMN - datetime(2026, 9, 25, tzinfo=UTC)) // timedelta(minutes=15))
    assert size > 11_000_000
    assert peak < size / 6


async def test_the_service_answers_requests_with_its_key_and_never_logs_the_key(
    database_url: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=1, grant_share=0.0, soid_share=0.0)) as sim:
        mine = machine(sim, database_url, POLLER_WEB_PORT="0", POLLER_API_KEY=KEY, POLLER_LOG_LEVEL="debug")
        await import_by_command(sim, tmp_path, mine.run)
        assert (await mine.run("poll")).code == 0
        async with serving(mine) as service:
            url = f"{await served_at(service)}/api/v1/trend"
            assert (await ask(url, {"Authorization": "Bearer no"}))[0] == 401
            today = [one for one in await answer(url, since="1d") if one["samples"]]
            assert {one["user_type"]: one["last"] for one in today} == sim.expected_counts(0)
    assert KEY in WITNESS.secrets
