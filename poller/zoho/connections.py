"""The pool of connections to Zoho: a kept connection is used again only while the server has sent nothing on it.

A reply that a server sends without a request stays unread on the connection, and the next request there would get it
as its own: the count of another org. So a connection is closed when bytes arrive while no request is open on it, and
before each use the socket is asked whether bytes wait that the event loop has not read yet.

Refuses to: lend a connection with unread bytes or with a broken or closed stream.
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
except ImportError:  # no manual names it; `Connector` then refuses to be made
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
        if data and not self.awaits_reply:  # aiohttp calls it without data to go on with what it has kept
            self.force_close()
        super().data_received(data)


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, without connections on which the server has sent something that no request asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if getattr(self._factory, "func", None) is not ResponseHandler:
            raise IncompatibleError("aiohttp.TCPConnector._factory makes other protocols", guarded=False)
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
            if not self._has_spoken(connection):
                return connection
            connection.close()
        raise aiohttp.ClientError("the server speaks before it is asked")

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        if req.proxy_headers is not None:
            # aiohttp adds to them what the tunnel to one host needs, and the pool tells connections apart by them.
            req = copy(req)
            req.proxy_headers = CIMultiDict(req.proxy_headers)
        try:
            return await super()._create_connection(req, traces, timeout)
        except aiohttp.ClientHttpProxyError:
            raise
        except (aiohttp.ClientResponseError, aiohttp.ServerDisconnectedError) as error:
            raise NoTunnelError from error

    def _has_spoken(self, connection: Connection) -> bool:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            return False  # closed: sending on it fails
        if not isinstance(protocol, GuardedProtocol):
            connection.close()
            raise IncompatibleError("aiohttp.TCPConnector does not use its _factory", guarded=False)
        if protocol.should_close:
            return True
        encrypted = transport.get_extra_info("ssl_object")
        # After the handshake of TLS 1.3 the server sends tickets: bytes, but no reply. They are read with the first
        # reply, so that on a used connection every byte counts.
        if encrypted is not None and (encrypted.pending() or not protocol.is_reused):
            return bool(encrypted.pending())
        socket = transport.get_extra_info("socket")
        return socket is not None and self._is_readable(socket.fileno())

    def _is_readable(self, descriptor: int) -> bool:
        """True if bytes, the end of the stream or an error wait to be read: one system call, a third of a µs."""
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
