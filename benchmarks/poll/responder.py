"""A server that answers count and token requests with bytes made beforehand, so that it is never what is measured.

It is no Zoho: it knows no org, checks no token, keeps no limit and cannot fail; `poller simulate` does all that, at a
sixth of the speed. One process on one core; how busy that core was is among its figures.

`python -m benchmarks.poll.responder OPTIONS`, a JSON object with `cpu`, `latency_seconds` and perhaps `certificate`, a
PEM file. Its address is the first line it prints; for every line it reads it prints its figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

import uvloop

from poller.core.model import USER_TYPES

_HOST: Final = "127.0.0.1"
_TOKEN_SECONDS: Final = 86_400
"""The longest life the poller believes: rounds turn the clock by an interval each, and are not about tokens."""


@dataclass(slots=True)
class Figures:
    """`connections` that were set up to the end: over TLS each took one handshake."""

    connections: int = 0
    requests: int = 0
    cpu_seconds: float = 0.0


class Answers:
    """What is said to which request, and when."""

    def __init__(self, latency_seconds: float) -> None:
        self.address = ""
        self._latency_seconds = latency_seconds
        self._counts: dict[bytes, bytes] = {}
        self._due: deque[tuple[float, asyncio.Transport, bytes]] = deque()
        self._tokens = 0
        ends_at = datetime.now(UTC) + timedelta(seconds=_TOKEN_SECONDS)
        self._token_end = ends_at.isoformat(timespec="seconds")

    def give(self, transport: asyncio.Transport, head: bytes) -> None:
        line = head[: head.index(b"\r\n")]
        reply = self._counts.get(line) or self._made(line)
        if not self._latency_seconds:
            transport.write(reply)
            return
        # All wait equally long, so the first is the next: one timer does for all.
        loop = asyncio.get_running_loop()
        self._due.append((loop.time() + self._latency_seconds, transport, reply))
        if len(self._due) == 1:
            loop.call_at(self._due[0][0], self._write_due)

    def _write_due(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time() + 0.0005  # the loop's timers have milliseconds
        while self._due and self._due[0][0] <= now:
            _, transport, reply = self._due.popleft()
            if not transport.is_closing():
                transport.write(reply)
        if self._due:
            loop.call_at(self._due[0][0], self._write_due)

    def _made(self, line: bytes) -> bytes:
        method, target, _ = line.decode("ascii").split(" ")
        url = urlsplit(target)
        if (method, url.path) == ("POST", "/oauth/v2/token"):
            self._tokens += 1
            return self._reply(
                {
                    "access_token": f"1000.{self._tokens:032x}.{self._tokens:032x}",
                    "api_domain": self.address,
                    "token_type": "Bearer",
                    "expires_in": _TOKEN_SECONDS,
                }
            )
        assert method == "GET"
        assert url.path.endswith("/users/actions/count")
        user_type = parse_qs(url.query)["type"][0]
        count = 1 if user_type == "CurrentUser" else 100 + list(USER_TYPES).index(user_type)  # type: ignore[arg-type]
        self._counts[line] = self._reply({"count": count})
        return self._counts[line]

    def _reply(self, value: object) -> bytes:
        body = json.dumps(value, separators=(",", ":")).encode()
        head = (
            "HTTP/1.1 200 OK\r\nServer: responder\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
            f"Content-Type: application/json;charset=UTF-8\r\nX-ACCESSTOKEN-RESET: {self._token_end}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Connection(asyncio.Protocol):
    """One caller; of its requests only the first line and the length of the body are looked at."""

    def __init__(self, answers: Answers, figures: Figures) -> None:
        self._answers = answers
        self._figures = figures
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's are transports of its own
        self._figures.connections += 1

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            whole = end + 4
            if self._held.startswith(b"POST"):
                whole += _length(self._held[:end])
            if len(self._held) < whole:
                return
            head, self._held = self._held, self._held[whole:]
            self._figures.requests += 1
            self._answers.give(self._transport, head)


def _length(head: bytes) -> int:
    (length,) = (line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(length)


async def _serve(cpu: int, latency_seconds: float = 0.0, certificate: str | None = None) -> None:
    os.sched_setaffinity(0, {cpu})
    answers, figures = Answers(latency_seconds), Figures()
    tls = None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers, figures), _HOST, 0, ssl=tls, backlog=1_024)
    async with server:
        answers.address = f"{'http' if tls is None else 'https'}://{_HOST}:{server.sockets[0].getsockname()[1]}"
        print(answers.address, flush=True)
        ended = asyncio.Event()

        def tell() -> None:
            if not sys.stdin.readline():
                ended.set()
                return
            figures.cpu_seconds = time.process_time()
            print(json.dumps(asdict(figures)), flush=True)

        loop.add_reader(sys.stdin.fileno(), tell)
        await ended.wait()
        loop.remove_reader(sys.stdin.fileno())


if __name__ == "__main__":
    uvloop.run(_serve(**json.loads(sys.argv[1])))
