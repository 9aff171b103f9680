"""Chooses how to send requests with the installed aiohttp: the fast transport only if its assumptions hold.

The fast transport and the guarded pool use undocumented names of aiohttp. Before the first request, both are tried
against a server in memory. So a release of aiohttp that changes such a name makes polls slower, but none fails.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import aiohttp
from aiohttp import hdrs
from yarl import URL

from poller.zoho.connections import Connector
from poller.zoho.incompatibility import IncompatibleError
from poller.zoho.proxy import Proxy
from poller.zoho.session import HEADERS, open_session
from poller.zoho.transport import Transport, prepare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.client_proto import ResponseHandler

    from poller.zoho.connections import GuardedProtocol
    from poller.zoho.session import RawResponse

_SECONDS: Final = 10.0
_URL: Final = URL("http://check.invalid/?type=AllUsers")
_REPLY: Final = b'HTTP/1.1 200 OK\r\nX-Check: yes\r\nContent-Length: 13\r\n\r\n{"count": 11}'
_UNSOLICITED: Final = _REPLY.replace(b"11", b"99")
_TOKEN: Final = "check"  # noqa: S105 - no secret


class ClientMode(StrEnum):
    """How a client sends its requests, the fastest first."""

    FAST = "fast"
    """Counts by the fast transport, other requests through the session; all over the guarded pool."""
    SESSION = "session"
    """All requests through the session, over the guarded pool."""
    SINGLE_USE = "single_use"
    """All requests through the session, each on a new connection: without the guard, a kept connection could give one
    org's reply to the next org."""


class Choice(NamedTuple):
    """The mode to use, and why a faster one is not possible."""

    mode: ClientMode
    why: str | None = None


async def usable_mode(fastest: ClientMode = ClientMode.FAST) -> Choice:
    """The fastest mode that works with this aiohttp, `fastest` or slower."""
    if fastest is ClientMode.SINGLE_USE:
        return Choice(fastest)
    why = await _checked(_check_pool)
    if why is not None:
        return Choice(ClientMode.SINGLE_USE, why)
    if fastest is ClientMode.SESSION:
        return Choice(fastest)
    why = await _checked(_check_fast)
    return Choice(ClientMode.FAST) if why is None else Choice(ClientMode.SESSION, why)


class _Pipe(asyncio.Transport):
    """A connection in memory to a server that sends the same reply to every request."""

    def __init__(self, protocol: GuardedProtocol) -> None:
        super().__init__()
        self.requests: list[bytes] = []
        self.protocol = protocol
        self._written = b""
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._written += bytes(data)
        if self._written.endswith(b"\r\n\r\n"):
            self.requests.append(self._written)
            self._written = b""
            asyncio.get_running_loop().call_soon(self._reply)

    def _reply(self) -> None:
        try:
            self.protocol.data_received(_REPLY)
        except Exception as error:  # noqa: BLE001 - asyncio's transports do the same
            self._closed = True
            self.protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _InMemory(Connector):
    """The guarded pool with connections in memory."""

    def __init__(self) -> None:
        super().__init__(limit=2)
        self.pipes: list[_Pipe] = []

    async def _create_connection(self, *_arguments: Any, **_named: Any) -> ResponseHandler:
        protocol = cast("GuardedProtocol", self._factory())
        self.pipes.append(_Pipe(protocol))
        protocol.connection_made(self.pipes[-1])
        return protocol


async def _checked(check: Callable[[_InMemory], Awaitable[str | None]]) -> str | None:
    """Why the check failed; None if it passed."""
    try:
        connector = _InMemory()
        async with asyncio.timeout(_SECONDS), connector:
            return await check(connector)
    except IncompatibleError as changed:
        return str(changed)
    except TimeoutError:
        return "a reply is never read"
    except Exception as error:  # noqa: BLE001 - a changed aiohttp may raise anything
        return f"{type(error).__name__}: {error}"[:200]


async def _check_pool(connector: _InMemory) -> str | None:
    parameters = list(inspect.signature(aiohttp.TCPConnector._create_connection).parameters)  # noqa: SLF001
    if parameters != ["self", "req", "traces", "timeout"]:
        return f"aiohttp.TCPConnector._create_connection takes {', '.join(parameters)}"
    async with open_session(connector, _SECONDS) as session:
        if not session.can_disable_retry:
            return "aiohttp.ClientSession has no _retry_connection"
        return await _exercise(connector.pipes, lambda: session.request("GET", _URL))


async def _check_fast(connector: _InMemory) -> str | None:
    request = prepare(_URL)
    prepare(URL("https://check.invalid"), Proxy(URL("http://proxy.invalid:3128"), {hdrs.PROXY_AUTHORIZATION: "Basic"}))
    with closing(Transport(connector, _SECONDS)) as transport:
        why = await _exercise(connector.pipes, lambda: transport.get(request, _TOKEN))
    if why is not None:
        return why
    line, *headers = connector.pipes[0].requests[0].decode().removesuffix("\r\n\r\n").split("\r\n")
    wanted = {hdrs.HOST: "check.invalid", hdrs.AUTHORIZATION: _TOKEN, **HEADERS}
    if line != f"GET {_URL.raw_path_qs} HTTP/1.1" or sorted(headers) != sorted(f"{k}: {v}" for k, v in wanted.items()):
        return "aiohttp.ClientRequest makes other headers"
    return None


async def _exercise(pipes: list[_Pipe], send: Callable[[], Awaitable[RawResponse]]) -> str | None:
    """Sends four requests: on a new connection, on the kept one, and after a partial and a whole unsolicited reply."""
    for sent, connections, unsolicited in ((1, 1, b""), (2, 1, _UNSOLICITED[:20]), (3, 2, _UNSOLICITED), (4, 3, b"")):
        response = await send()
        if (response.status, response.headers.get("X-Check"), response.body) != (200, "yes", b'{"count": 11}'):
            return "a reply is not read as it was sent"
        if len(pipes) != connections or sum(len(pipe.requests) for pipe in pipes) != sent:
            return "connections are kept or closed differently"
        if pipes[-1].protocol.awaits_reply or not pipes[-1].protocol.is_reused:
            return "aiohttp.TCPConnector does not use its _release"
        pipes[-1].protocol.data_received(unsolicited)
    return None
