"""A connection between a worker and PostgreSQL that tests cut and repair: a Unix socket in front of the server's."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from types import TracebackType

_SOCKET = ".s.PGSQL.5432"


class Cable:
    """`async with Cable(dsn) as cable:` connect to `cable.dsn`, then call `cut`, `repair` or `clog`."""

    def __init__(self, dsn: str) -> None:
        self._behind = f"{parse_qs(urlsplit(dsn).query)['host'][0]}/{_SOCKET}"
        self._folder = tempfile.TemporaryDirectory(prefix="cable-")
        self.dsn = urlunsplit(urlsplit(dsn)._replace(query=f"host={quote(self._folder.name, safe='')}"))
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.delay_seconds = 0.0
        """How long every answer of the server is on its way."""

    async def cut(self) -> None:
        """Breaks every connection and refuses new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        (Path(self._folder.name) / _SOCKET).unlink(missing_ok=True)
        for writer in list(self._open):
            writer.transport.abort()

    async def repair(self) -> None:
        """Accepts connections again."""
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._carry, Path(self._folder.name) / _SOCKET)

    def clog(self) -> None:
        """Stops all data without closing any connection."""
        self._flows.clear()

    def unclog(self) -> None:
        """Forwards data again."""
        self._flows.set()

    async def __aenter__(self) -> Self:
        await self.repair()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unclog()
        await self.cut()
        self._folder.cleanup()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await asyncio.open_unix_connection(self._behind)
        except OSError:
            # The server is unreachable: the connection attempt fails.
            writer.transport.abort()
            return
        self._open |= {writer, behind_writer}
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pump(reader, behind_writer))
                ways.create_task(self._pump(behind_reader, writer, answers=True))
        finally:
            self._open -= {writer, behind_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._flows.wait()
                if answers and self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(data)
                await writer.drain()
        writer.close()
