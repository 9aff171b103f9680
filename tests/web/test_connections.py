"""Connections: limited in number, closed if idle, and with file descriptors left for polls."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import structlog

from poller.simulator import Simulator, SimulatorOptions
from poller.store import database as databases
from poller.web import ConnectionLimits, Health, ProcessMetrics, serve
from poller.web.connections import MOST_CONNECTIONS
from tests.acceptance.processes import machine, serving
from tests.simulated_fleet import import_by_command
from tests.web.scrape import served_at
from tests.web.test_access import get
from tests.web.test_web import Process
from tests.worker.waiting import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

IDLE = 1_600
LIMIT = 1_024


@asynccontextmanager
async def served(limits: ConnectionLimits, metrics: ProcessMetrics | None = None) -> AsyncIterator[str]:
    process = Process()
    health = Health(lambda: None, process.figures, process.ages)
    async with serve("127.0.0.1", 0, health, metrics or ProcessMetrics(), limits=limits) as url:
        assert url is not None
        yield url


@contextlib.contextmanager
def opened(url: str, number: int) -> Iterator[list[socket.socket]]:
    """Opens this number of connections and sends nothing."""
    parts = urlsplit(url)
    connections: list[socket.socket] = []
    try:
        for _ in range(number):
            one = socket.socket()
            connections.append(one)
            one.setblocking(False)
            one.connect_ex((str(parts.hostname), parts.port))
        yield connections
    finally:
        for one in connections:
            one.close()


async def connect_one_after_the_other(url: str, connections: list[socket.socket], number: int) -> None:
    """Opens many more connections, at most as many at once as the backlog of the server."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    for _ in range(number // 50):
        wave = [socket.socket() for _ in range(50)]
        connections += wave
        for one in wave:
            one.setblocking(False)
        async with asyncio.TaskGroup() as group:
            for one in wave:
                group.create_task(loop.sock_connect(one, (str(parts.hostname), parts.port)))


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed the connection."""
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


async def test_the_connection_that_has_been_idle_longest_makes_room_for_the_next() -> None:
    async with served(ConnectionLimits(most=4)) as url:
        with opened(url, 4) as first:
            await asyncio.sleep(0)  # the server accepts them
            assert await get(f"{url}/healthz") == (200, "alive\n")
            await eventually(lambda: is_closed(first[0]))
            assert not any(map(is_closed, first[2:]))


async def test_a_connection_above_the_limit_is_refused_if_all_others_are_in_use() -> None:
    entered, released = asyncio.Semaphore(0), asyncio.Event()

    class Slow(Process):
        async def figures(self):  # type: ignore[no-untyped-def]
            entered.release()
            await released.wait()
            return await super().figures()

    process = Slow()
    health = Health(lambda: None, process.figures, process.ages)
    limits = ConnectionLimits(most=2)
    async with serve("127.0.0.1", 0, health, ProcessMetrics(), limits=limits) as url, asyncio.TaskGroup() as group:
        assert url is not None
        two = [group.create_task(get(f"{url}/metrics")) for _ in range(2)]
        for _ in range(2):
            await entered.acquire()
        with opened(url, 1) as (third,):
            said = await eventually(lambda: _received(third))
            assert said.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 5" in said
        released.set()
        for one in two:
            assert (await one)[0] == 200


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0", b"G"])
async def test_a_connection_without_a_complete_request_is_closed_after_a_while(sent: bytes) -> None:
    async with served(ConnectionLimits(idle_seconds=0.2)) as url:
        with opened(url, 1) as (slow,):
            await asyncio.get_running_loop().sock_sendall(slow, sent) if sent else None
            await eventually(lambda: is_closed(slow))


async def test_a_header_that_arrives_byte_by_byte_is_not_waited_for() -> None:
    async with served(ConnectionLimits(idle_seconds=0.5)) as url, asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        closed = asyncio.create_task(reader.read())
        writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
        while not closed.done():
            writer.write(b"x")
            # Far more often than the server's patience lasts: each byte comes in time, the header never ends.
            await asyncio.wait([closed], timeout=0.05)
        assert await closed == b""
        writer.close()


async def test_a_request_whose_body_does_not_arrive_is_refused_after_a_while() -> None:
    async with served(ConnectionLimits()) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        host = url.removeprefix("http://")
        writer.write(
            f"POST /metrics HTTP/1.1\r\nHost: {host}\r\nOrigin: {url}\r\nContent-Length: 1000\r\n\r\n".encode()
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with served(ConnectionLimits()) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        host = url.removeprefix("http://")
        writer.write(
            f"POST /metrics HTTP/1.1\r\nHost: {host}\r\nOrigin: {url}\r\nContent-Length: 100000\r\n\r\n".encode()
        )
        writer.write(b"x" * 100_000)
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        writer.close()


async def test_a_client_that_reads_nothing_is_disconnected() -> None:
    metrics = ProcessMetrics()
    metrics.add_gauges("poller_padding", "x" * 200, "n", lambda: {f"{'y' * 500}{n}": 1.0 for n in range(20_000)})
    with structlog.testing.capture_logs() as logs:
        async with served(ConnectionLimits(stalled_seconds=0.5), metrics) as url:
            with opened(url, 1) as (stdout_closed,):
                host = url.removeprefix("http://")
                await asyncio.get_running_loop().sock_sendall(
                    stdout_closed, f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
                )
                await eventually(lambda: any(one["event"] == "web.reader_stalled" for one in logs))
                await eventually(lambda: _drained(stdout_closed))


async def test_web_connections_take_at_most_an_eighth_of_the_file_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert ConnectionLimits().most_connections() == 32
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
        assert ConnectionLimits().most_connections() == MOST_CONNECTIONS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
async def test_1600_idle_web_connections_take_no_file_descriptor_from_polls(database_url: str, tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * IDLE:
        pytest.skip(f"this process may open {hard} descriptors, and the test needs {2 * IDLE}")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * IDLE, hard))
    try:
        async with Simulator(SimulatorOptions(orgs=6, grant_share=0.0, soid_share=0.0)) as sim:
            mine = machine(sim, database_url, POLLER_POLL_INTERVAL="2", POLLER_WEB_PORT="0")
            await import_by_command(sim, tmp_path, mine.run)
            async with (
                await databases.connect(database_url) as database,
                serving(mine) as service,
            ):
                # Credits for a poll every other second.
                await database.execute("UPDATE orgs SET edition = 'ultimate', licences = 100000")
                resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
                url = await served_at(service)
                await until_ok(database, 6)
                with opened(url, 0) as idle:
                    await connect_one_after_the_other(url, idle, IDLE)
                    assert (await get(f"{url}/healthz"))[0] == 200
                    await eventually(lambda: sum(map(is_closed, idle)) >= IDLE - MOST_CONNECTIONS)
                    since = await database.fetchval("SELECT max(slot) FROM org_snapshots")
                    await until_ok(database, 12, since)
                    assert (await get(f"{url}/healthz"))[0] == 200
                    failed = await database.fetch(
                        "SELECT outcome, error FROM org_snapshots WHERE slot > $1 AND outcome <> 'ok'", since
                    )
                    assert [tuple(row) for row in failed] == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def until_ok(database: databases.Database, rows: int, since: object = None) -> None:
    async def enough() -> bool:
        found: int = await database.fetchval(
            "SELECT count(*) FROM org_snapshots WHERE outcome = 'ok' AND ($1::timestamptz IS NULL OR slot > $1)", since
        )
        return found >= rows

    await eventually(enough)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except BlockingIOError:
        return b""


def _drained(connection: socket.socket) -> bool:
    """Whether the server has closed the connection, after reading everything that was sent."""
    try:
        while connection.recv(1_000_000):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
