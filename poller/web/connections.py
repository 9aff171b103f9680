"""Limits the connections of the web server, and closes those that are idle or do not read.

Polls need file descriptors too, so the web server uses at most its share. A connection is closed if it sends no
complete request header within `idle_seconds`, or reads nothing of its reply for `stalled_seconds`. At the limit, a new
connection replaces the one that has been idle longest; if none is idle, the new one is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from poller.web.refusals import Problem, refusal_reply
from poller.web.security_headers import add_security_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.web.rate_limited_log import RateLimitedLog

MOST_CONNECTIONS: Final = 128
LONGEST_HEADER: Final = 8_190
"""The most bytes of the request line, and of each header."""
_SHARE_OF_DESCRIPTORS: Final = 8
_ACCEPTED_AT_ONCE: Final = 16
_BACKLOG: Final = 128
_LOOK_SECONDS: Final = 1.0
_NO_DESCRIPTOR_SECONDS: Final = 1.0
_REFUSED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`most` None: 128, or an eighth of the descriptors that this process may open, if that is less."""

    most: int | None = None
    idle_seconds: float = 30.0
    stalled_seconds: float = 30.0

    def most_connections(self) -> int:
        """How many connections may be open at once."""
        if self.most is not None:
            return self.most
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return max(min(MOST_CONNECTIONS, descriptors // _SHARE_OF_DESCRIPTORS), 1)


class ClientConnection(web.RequestHandler):
    """One connection: aiohttp's protocol, registered with its `Listener`; it logs no traceback."""

    __slots__ = ("_listener", "_log", "seen_unsent", "stalled_since")

    def __init__(self, listener: Listener, server: web.Server, log: RateLimitedLog) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # none is kept
            keepalive_timeout=listener.limits.idle_seconds,
            lingering_time=1.0,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )
        self._listener = listener
        self._log = log
        self.seen_unsent = 0
        self.stalled_since = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered; an incomplete request header does not count as a request."""
        return not self._request_in_progress

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the timeout for the first request."""
        super().connection_made(transport)
        self._listener.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Removes the connection from its listener."""
        super().connection_lost(exc)
        self._listener.closed(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # aiohttp's signature
    ) -> web.StreamResponse:
        """The reply to bytes that are not an HTTP request; errors of handlers never reach this method."""
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            raise ConnectionError from exc
        self._log.event("web.malformed_request", client=request.remote, why=type(exc).__name__, status=status)
        what = "this is not an HTTP request" if status < 500 else "the request could not be handled"
        reply = refusal_reply(Problem(status, what, "send HTTP/1.1 with one Host header"))
        add_security_headers(reply)
        reply.force_close()
        return reply


class Listener:
    """Accepts connections for a server, within limits. `open` it, and `close` it at the end."""

    def __init__(self, server: web.Server, limits: ConnectionLimits, log: RateLimitedLog) -> None:
        self.limits = limits
        self.refused = 0
        self._most = limits.most_connections()
        self._server = server
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._listening: list[socket.socket] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._open: dict[ClientConnection, asyncio.WriteTransport] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._open) + len(self._starting)

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Listens at every address of `host` and returns the first; raises `OSError` if an address is not available."""
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, kind, protocol, _, address in found:
                # Port 0 means any free port, and then the same port at every address.
                port = port or (self._listening[0].getsockname()[1] if self._listening else 0)
                self._listening.append(_listen(family, kind, protocol, (address[0], port, *address[2:])))
        except OSError:
            self._stop_listening()
            raise
        for listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._close_stalled)
        address = self._listening[0].getsockname()
        return str(address[0]), int(address[1])

    async def close(self) -> None:
        """Accepts no more connections; the server closes the open ones."""
        if self._timer is not None:
            self._timer.cancel()
        for listening in self._listening:
            self._loop.remove_reader(listening)
        self._stop_listening()
        if self._starting:
            await asyncio.wait(self._starting)

    def opened(self, connection: ClientConnection) -> None:
        """Registers a new connection."""
        if connection.transport is not None:
            self._open[connection] = connection.transport

    def closed(self, connection: ClientConnection) -> None:
        """Forgets a closed connection."""
        self._open.pop(connection, None)

    def _stop_listening(self) -> None:
        for listening in self._listening:
            listening.close()
        self._listening.clear()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if self._starting and self.connections >= self._most:
                # In the loop's next turn these are open, and the oldest may be closed for a new one.
                return
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # No descriptor is left: tries again a little later, not in every turn of the loop.
                self._log.event("web.cannot_accept", why=error.strerror or str(error))
                self._loop.remove_reader(listening)
                self._loop.call_later(_NO_DESCRIPTOR_SECONDS, self._accept_again, listening)
                return
            accepted.setblocking(False)
            if self.connections < self._most or self._make_room():
                task = self._loop.create_task(self._start(accepted))
                self._starting.add(task)
                task.add_done_callback(self._starting.discard)
            else:
                self._refuse(accepted)

    def _accept_again(self, listening: socket.socket) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)

    async def _start(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: ClientConnection(self, self._server, self._log), accepted)
        except OSError:
            accepted.close()

    def _make_room(self) -> bool:
        """Closes the connection that has been idle longest: the first, because those in use are moved to the end."""
        for connection, transport in self._open.items():
            if connection.is_idle:
                self._log.event("web.connections_full", most=self._most)
                del self._open[connection]
                transport.abort()
                return True
        return False

    def _refuse(self, accepted: socket.socket) -> None:
        self.refused += 1
        self._log.event("web.connections_full", most=self._most)
        with contextlib.suppress(OSError):
            accepted.send(_REFUSED)
        accepted.close()

    def _close_stalled(self) -> None:
        """Closes connections whose unsent bytes have not decreased for too long; moves those in use to the end."""
        now = self._loop.time()
        for connection, transport in list(self._open.items()):
            unsent = transport.get_write_buffer_size()
            if not unsent or unsent != connection.seen_unsent:
                connection.seen_unsent, connection.stalled_since = unsent, now
            elif now - connection.stalled_since >= self.limits.stalled_seconds:
                self._log.event("web.reader_stalled", seconds=self.limits.stalled_seconds)
                transport.abort()
            if not connection.is_idle:
                self._open[connection] = self._open.pop(connection)
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._close_stalled)


def _listen(family: int, kind: int, protocol: int, address: Sequence[Any]) -> socket.socket:
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(tuple(address))
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
