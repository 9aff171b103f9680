"""Receivers of messages: a webhook server and a mail server that refuse, fail, hang, close connections, and recover."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiosmtpd.controller import Controller

from poller.core.secret import Secret
from tests.ports import free_port
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from email.message import Message


# The log of the server itself, which names the recipients.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)


def secret_url(text: str) -> Secret:
    """An address that must not appear in any output of the suite."""
    WITNESS.know(text.partition("://")[2])
    return Secret(text)


@dataclass
class Webhook:
    """A server that keeps every request."""

    received: list[Any] = field(default_factory=list)
    accepted: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    statuses: list[int | str] = field(default_factory=list)
    """What to answer next: a status, `hang` or `close`. With none left: `always`."""
    always: int | str = 200
    retry_after: str | None = None
    under_way: int = 0
    most_at_once: int = 0
    seconds: float = 0.0
    port: int = 0
    hung: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            return await self._answer(request)
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.received.append(json.loads(body))
        self.headers.append(dict(request.headers))
        self.paths.append(request.path)
        does = self.statuses.pop(0) if self.statuses else self.always
        if does == "hang":
            await self.hung.wait()
            does = 503
        if does == "close":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if self.seconds:
            await asyncio.sleep(self.seconds)
        assert isinstance(does, int)
        if does < 300:
            self.accepted.append(json.loads(body))
        return web.Response(
            status=does, headers={} if self.retry_after is None else {"Retry-After": self.retry_after}, text="answer"
        )

    def url(self, path: str = "/hook/quite-secret-path", scheme: str = "webhook+http") -> Secret:
        return secret_url(f"{scheme}://127.0.0.1:{self.port}{path}")

    def times(self, of: Callable[[Any], Any] = lambda body: (body["id"], body["state"])) -> Counter[Any]:
        """How often each alert and state was accepted."""
        return Counter(of(body) for body in self.accepted)


@asynccontextmanager
async def webhook(port: int = 0, receiver: Webhook | None = None) -> AsyncIterator[Webhook]:
    receiver = receiver or Webhook()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        receiver.hung.set()
        await runner.cleanup()


@dataclass
class Mailbox:
    """A mail server, in a thread of its own as all of aiosmtpd's. `answers`: what it says next instead of `always`."""

    mails: list[Message] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    always: str = "250 OK"
    port: int = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        answer = self.answers.pop(0) if self.answers else self.always
        if answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content))
        return answer

    def url(self) -> Secret:
        return secret_url(f"mailto://127.0.0.1:{self.port}/?from=poller@msp.example&to=noc-very-private@msp.example")

    def text(self, number: int = -1) -> str:
        """The readable parts of a mail."""
        parts = [part.get_payload(decode=True) for part in self.mails[number].walk() if not part.is_multipart()]
        return "\n".join(part.decode() for part in parts if isinstance(part, bytes))


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    mailbox = Mailbox(port=free_port())
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
