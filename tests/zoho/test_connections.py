"""The connection pool against servers that send unsolicited replies.

These servers run in a thread with their own event loop: bytes that they send while the client's event loop is blocked
stay unread in the socket.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
import trustme
import uvloop

from poller.core.model import UserType
from poller.core.reply import NoReply, Reply
from poller.core.secret import Secret
from poller.zoho.client import ZohoClient
from tests.worker.waiting import PATIENCE_SECONDS
from tests.zoho.modes import open_client

pytestmark = pytest.mark.usefixtures("every_mode_that_keeps_connections")
TOKEN = Secret("1000.8cb99dfeedfacefeedfacebe93.9b8feedfacef")
ROUNDS = 20
ASKED = Reply(200, b'{"count": 11}')
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"count": 11}'
UNASKED = OK.replace(b"11", b"99")

Ask = Callable[[ZohoClient, str], Awaitable[Reply | NoReply]]
Run = Callable[[Coroutine[None, None, None]], None]


async def _arrival(connection: socket.socket) -> None:
    """Waits until the other side has acknowledged every byte: a busy kernel delivers after `send` has returned."""
    while struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))[0]:  # noqa: ASYNC110  # the kernel tells nobody
        await asyncio.sleep(0)


class Server:
    """Answers every request with a count of 11; `send` sends bytes on the newest connection."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.requests = 0
        self.connections: list[asyncio.StreamWriter] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._tls = tls
        self._loop = asyncio.new_event_loop()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.base = f"http{'s' if self._tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        self._serving.add(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line[15:]) for line in head.split("\r\n") if line[:15] == "Content-Length:"), 0)
                await reader.readexactly(length)
                self.requests += 1
                writer.write(OK)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()

    def send(self, data: bytes) -> None:
        """Sends bytes; returns once these are in the socket of the client."""
        self.do(self._send(data))

    async def _send(self, data: bytes) -> None:
        self.connections[-1].write(data)
        await _arrival(self.connections[-1].get_extra_info("socket"))

    def hang_up(self) -> None:
        self.do(self._hang_up())

    async def _hang_up(self) -> None:
        # A second descriptor: the transport closes its own a turn or two later.
        with socket.fromfd(self.connections[-1].get_extra_info("socket").fileno(), socket.AF_INET, 0) as same:
            self.connections[-1].close()
            await asyncio.sleep(0)
            same.shutdown(socket.SHUT_WR)
            await _arrival(same)

    def do(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=PATIENCE_SECONDS)

    def run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def stop(self) -> None:
        self.do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self) -> None:
        self._server.close()
        await self._server.wait_closed()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(tls)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        server.do(server.start())
        yield server
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["plain", "tls"])
def server(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[Server]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(context if request.param == "tls" else None) as started:
        yield started


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


async def count(client: ZohoClient, base: str) -> Reply | NoReply:
    return await client.count(base, "v7", UserType.ALL, TOKEN)


async def get(client: ZohoClient, base: str) -> Reply | NoReply:
    return await client.get(base, "/crm/v7/org", TOKEN)


async def post_token(client: ZohoClient, base: str) -> Reply | NoReply:
    return await client.post_token(base, {"refresh_token": TOKEN})


every_request = pytest.mark.parametrize("ask", [count, get, post_token])


@every_request
def test_an_unsolicited_reply_still_in_the_socket_is_not_used_for_the_next_request(
    run: Run, server: Server, trust: ssl.SSLContext, ask: Ask
) -> None:
    async def ask_in_turn() -> None:
        async with open_client(connections=4, request_timeout_seconds=PATIENCE_SECONDS, trust=trust) as client:
            for _ in range(ROUNDS):
                assert await ask(client, server.base) == ASKED
                server.send(UNASKED)
                assert await ask(client, server.base) == ASKED

    run(ask_in_turn())
    assert (server.requests, len(server.connections)) == (2 * ROUNDS, ROUNDS + 1)


@every_request
def test_a_connection_with_a_partial_unsolicited_reply_is_not_used_again(
    run: Run, server: Server, trust: ssl.SSLContext, ask: Ask
) -> None:
    async def ask_in_turn() -> None:
        async with open_client(connections=4, request_timeout_seconds=PATIENCE_SECONDS, trust=trust) as client:
            assert await ask(client, server.base) == ASKED
            server.send(b"HTTP/1.1")
            await asyncio.to_thread(lambda: None)  # the loop reads what came
            await asyncio.to_thread(lambda: None)
            assert await ask(client, server.base) == ASKED

    run(ask_in_turn())
    assert len(server.connections) == 2


@every_request
def test_a_connection_that_the_server_closed_while_the_event_loop_was_blocked_is_not_used_again(
    run: Run, server: Server, trust: ssl.SSLContext, ask: Ask
) -> None:
    async def ask_in_turn() -> None:
        async with open_client(connections=4, request_timeout_seconds=PATIENCE_SECONDS, trust=trust) as client:
            for _ in range(ROUNDS):
                assert await ask(client, server.base) == ASKED
                server.hang_up()

    run(ask_in_turn())
    assert (server.requests, len(server.connections)) == (ROUNDS, ROUNDS)


@every_request
def test_a_connection_without_unsolicited_data_is_used_for_every_request(
    run: Run, server: Server, trust: ssl.SSLContext, ask: Ask
) -> None:
    async def ask_in_turn() -> None:
        async with open_client(connections=4, request_timeout_seconds=PATIENCE_SECONDS, trust=trust) as client:
            for _ in range(ROUNDS):
                assert await ask(client, server.base) == ASKED

    run(ask_in_turn())
    assert (server.requests, len(server.connections)) == (ROUNDS, 1)
