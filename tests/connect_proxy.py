"""An HTTP proxy on loopback that opens tunnels by CONNECT, as in networks without direct access."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class ConnectProxy:
    """The port of the proxy, and the head of each request.

    `denied`: the reply instead of a tunnel; `silent`: no reply at all.
    """

    port: int = 0
    login: str | None = None
    target: int = 0
    """The port on loopback that every tunnel leads to, for any requested host."""
    denied: str | None = None
    silent: bool = False
    nonsense: bytes | None = None
    """What it sends instead of an HTTP reply."""
    heads: list[str] = field(default_factory=list)

    @property
    def asked_for(self) -> list[str]:
        """`host:port` of each CONNECT."""
        return [head.split(" ")[1] for head in self.heads]

    def answer_to(self, head: str) -> str:
        wanted = self.login and f"Basic {base64.b64encode(self.login.encode()).decode()}"
        given = [line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("Proxy-Authorization: ")]
        if wanted is not None and given != [wanted]:
            return "407 Proxy Authentication Required"
        if not head.startswith("CONNECT "):
            return "405 Method Not Allowed"
        return self.denied or "200 Connection established"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def connect_proxy(target: int, login: str | None = None) -> AsyncIterator[ConnectProxy]:
    """A proxy whose tunnels lead to the port `target`, for clients with `login` (`user:password`)."""
    proxy = ConnectProxy(login=login, target=target)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            proxy.heads.append(head)
            if proxy.silent:
                await reader.read()
                return
            if proxy.nonsense is not None:
                writer.write(proxy.nonsense)
                await writer.drain()
                writer.close()
                return
            answer = proxy.answer_to(head)
            writer.write(f"HTTP/1.1 {answer}\r\n\r\n".encode())
            if answer.startswith("200"):
                there, back = await asyncio.open_connection("127.0.0.1", proxy.target)
                try:
                    await asyncio.gather(_copy(reader, back), _copy(there, writer))
                finally:
                    back.transport.abort()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
            await asyncio.wait([task])
        await server.wait_closed()
