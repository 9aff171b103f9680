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
    import ssl
    from asyncio import AbstractEventLoop
    from asyncio.trsock import TransportSocket
    from collections.abc import Callable, Sequence

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
        self._poll_socket: Callable[[int], Sequence[object]] | None = None
        self._encrypted: ssl.SSLObject | None = None

    # Every reply passes the next two, so they call the class directly: `super()` takes twice as long.

    def set_response_params(self, **parameters: Any) -> None:
        self.awaits_reply = True
        ResponseHandler.set_response_params(self, **parameters)

    def data_received(self, data: bytes) -> None:
        if not self.awaits_reply and data:  # without data, aiohttp only goes on with bytes that it has kept
            self.force_close()
        ResponseHandler.data_received(self, data)

    def has_unread(self, transport: asyncio.Transport) -> bool:
        """True if there are bytes, an end of stream or an error that the event loop has not read yet."""
        if self._poll_socket is None:
            self._encrypted = transport.get_extra_info("ssl_object")
            self._poll_socket = _poll_function(transport.get_extra_info("socket"))
        # After the handshake of TLS 1.3 the server sends session tickets, which are bytes but no reply. They are read
        # with the first reply. So bytes on the socket of a reused connection are never tickets.
        if self._encrypted is not None and (self._encrypted.pending() or not self.is_reused):
            return bool(self._encrypted.pending())
        return bool(self._poll_socket(0))  # one system call, a third of a µs


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, but never returns a connection on which the server has sent bytes without a request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if getattr(self._factory, "func", None) is not ResponseHandler:
            raise IncompatibleError("aiohttp.TCPConnector._factory creates another protocol class", guarded=False)
        self._factory = cast("functools.partial[ResponseHandler]", functools.partial(GuardedProtocol, loop=self._loop))

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
        return protocol.should_close or protocol.has_unread(transport)

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if isinstance(protocol, GuardedProtocol):
            protocol.awaits_reply = False
            protocol.is_reused = True
        super()._release(key, protocol, should_close=should_close)


def _poll_function(socket: TransportSocket | None) -> Callable[[int], Sequence[object]]:
    """`poll` of this socket alone, which returns events if there is anything to read. Without a socket, returns none.

    The socket is registered once, because that takes longer than to ask.
    """
    if socket is None:
        return lambda _milliseconds: ()
    readable = select.poll()
    readable.register(socket.fileno(), select.POLLIN)
    return readable.poll
