"""The pool of connections to Zoho: closes a kept connection on which the server has sent bytes without a request.

Such bytes may be a reply, and the next request on the connection would take that reply as its own: the count of another
org. So the pool closes a connection when bytes arrive while no request is open on it. Before each use it also checks
whether the socket has bytes that the event loop has not read yet.

Refuses to: use a connection with unread bytes or with a broken or closed stream.
"""

from __future__ import annotations

import asyncio
import functools
import select
from copy import copy
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from multidict import CIMultiDict

from poller.zoho.incompatibility import IncompatibleError
from poller.zoho.proxy import NoTunnelError

try:
    from aiohttp.client_proto import ResponseHandler
except ImportError:  # undocumented; without this class `Connector.__init__` raises `IncompatibleError`
    ResponseHandler = asyncio.Protocol  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from aiohttp import ClientRequest
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

__all__ = ["Connector"]


class GuardedProtocol(ResponseHandler):
    """aiohttp's protocol, which closes the connection when bytes arrive while no request is open."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__(loop)
        self.awaits_reply = False
        self.is_reused = False

    def set_response_params(self, **parameters: Any) -> None:
        self.awaits_reply = True
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        if data and not self.awaits_reply:  # without data, aiohttp only goes on with bytes that it has kept
            self.force_close()
        super().data_received(data)


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, but never returns a connection on which the server has sent bytes without a request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if getattr(self._factory, "func", None) is not ResponseHandler:
            raise IncompatibleError("aiohttp.TCPConnector._factory creates another protocol class", guarded=False)
        self._factory = cast("functools.partial[ResponseHandler]", functools.partial(GuardedProtocol, loop=self._loop))
        self._readable = select.poll()

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        for _ in range(self.limit + 1):  # every connection of the pool, and a new one
            connection = await super().connect(req, traces, timeout)
            if not self._has_unread(connection):
                return connection
            connection.close()
        raise aiohttp.ClientError("the server sends bytes before it receives a request")

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        if req.proxy_headers is not None:
            # A copy: aiohttp adds headers for the tunnel to one host, and these headers are part of the pool's key.
            req = copy(req)
            req.proxy_headers = CIMultiDict(req.proxy_headers)
        try:
            return await super()._create_connection(req, traces, timeout)
        except aiohttp.ClientHttpProxyError:
            raise
        except (aiohttp.ClientResponseError, aiohttp.ServerDisconnectedError) as error:
            raise NoTunnelError from error

    def _has_unread(self, connection: Connection) -> bool:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            return False  # closed: sending on it fails
        if not isinstance(protocol, GuardedProtocol):
            connection.close()
            raise IncompatibleError("aiohttp.TCPConnector does not use its _factory", guarded=False)
        if protocol.should_close:
            return True
        encrypted = transport.get_extra_info("ssl_object")
        # After the handshake of TLS 1.3 the server sends session tickets, which are bytes but no reply. They are read
        # with the first reply. So bytes on the socket of a reused connection are never tickets.
        if encrypted is not None and (encrypted.pending() or not protocol.is_reused):
            return bool(encrypted.pending())
        socket = transport.get_extra_info("socket")
        return socket is not None and self._is_readable(socket.fileno())

    def _is_readable(self, descriptor: int) -> bool:
        """True if there are bytes, an end of stream or an error to read. Takes one system call, a third of a µs."""
        if descriptor < 0:
            return True
        self._readable.register(descriptor, select.POLLIN)
        try:
            return bool(self._readable.poll(0))
        finally:
            self._readable.unregister(descriptor)

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if isinstance(protocol, GuardedProtocol):
            protocol.awaits_reply = False
            protocol.is_reused = True
        super()._release(key, protocol, should_close=should_close)
