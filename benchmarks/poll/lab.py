"""Parts that the benchmarks of polling share: a responder, a poller that uses it, and a bare aiohttp loop to compare.

The client has one core; the responder and PostgreSQL share the other. PostgreSQL's time still counts for the poller,
which waits for its queries and commits while the responder waits for the core.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import ssl
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import trustme
from yarl import URL

from benchmarks.machine import CLIENT_CPU, SERVER_CPU, cpu_seconds, pinned
from benchmarks.parts import poller_over
from benchmarks.poll.responder import Figures
from poller import log
from poller.app import open_runner, open_zoho
from poller.cli.output import terminal
from poller.core.model import USER_TYPES
from poller.core.shares import polls_at_once
from poller.polling.poll_all import poll_all
from poller.polling.ports import PollPorts
from poller.polling.runner import PollRunner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from poller.app import App
    from poller.core.model import UserType
    from poller.core.reply import NoReply, Reply
    from poller.core.secret import Secret
    from poller.polling.results import PollResult
    from poller.zoho.access import Zoho

DATA_CENTERS = ("sim-us", "sim-eu")
"""The simulator's, whose orgs are polled; the responder answers for both."""


@dataclass(frozen=True, slots=True)
class Run:
    """One round: the requests with a reply, and the seconds and processor time of this process for all of them."""

    requests: int
    seconds: float
    cpu_seconds: float
    polls: int = 0
    latencies: Sequence[float] = ()

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Of 1,000 requests."""
        return 1_000_000 * self.cpu_seconds / self.requests

    def latency_ms(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return 1_000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass(slots=True)
class Clock:
    """A clock a day behind, turned on by an interval each round: a slot is polled once, and none is in the future."""

    ahead: timedelta = timedelta(days=-1)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True, slots=True)
class Responder:
    """The server of `benchmarks.poll.responder`, in a process of its own."""

    url: str
    process: asyncio.subprocess.Process

    @property
    def data_centers(self) -> dict[str, Any]:
        """`POLLER_DATA_CENTERS`."""
        return {name: {"accounts_server": self.url, "api_domains": [self.url]} for name in DATA_CENTERS}

    async def figures(self) -> Figures:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        return Figures(**json.loads(await self.process.stdout.readline()))


@asynccontextmanager
async def responding(latency_seconds: float = 0.0, *, certificate: Path | None = None) -> AsyncIterator[Responder]:
    options = {
        "cpu": SERVER_CPU,
        "latency_seconds": latency_seconds,
        "certificate": None if certificate is None else str(certificate),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.poll.responder", json.dumps(options)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield Responder((await process.stdout.readline()).decode().strip(), process)
    finally:
        process.stdin.close()  # its word to end
        await process.wait()


@dataclass(slots=True)
class Lab:
    """A poller and what it polls."""

    app: App
    responder: Responder
    in_flight: int
    clock: Clock = field(default_factory=Clock)

    async def poll(self, *, times: bool = False) -> Run:
        """Every org polled once, in a slot of its own, every row committed; with `times`, how long requests took."""
        requests = polls = 0
        latencies: list[float] | None = [] if times else None

        def committed(batch: Sequence[PollResult]) -> None:
            nonlocal requests, polls
            requests += sum(one.snapshot.requests for one in batch)
            polls += len(batch)
            assert all(one.snapshot.error is None for one in batch)

        self.clock.ahead += timedelta(seconds=self.app.settings.poll_interval_seconds)
        started, cpu_started = time.perf_counter(), time.process_time()
        if latencies is None:
            async with open_runner(self.app, now=self.clock.now) as fleet:
                await poll_all(fleet, None, committed)
        else:
            async with open_zoho(self.app, now=self.clock.now) as zoho:
                await poll_all(timed_runner(self.app, zoho, latencies), None, committed)
        cpu = time.process_time() - cpu_started
        return Run(requests, time.perf_counter() - started, cpu, polls, latencies or ())

    async def bare(self, requests: int, *, times: bool = False) -> Run:
        """Runs as many coroutines as requests in flight; each only sends requests and decodes replies, one by one.

        Tuned as the poller's client is: one session, no cookies, addresses built beforehand, the same timeout.
        """
        latencies: list[float] = []
        headers = {"Authorization": "Zoho-oauthtoken 1000.0123456789abcdef0123456789abcdef.0123456789abcdef0123456789"}
        urls = [URL(f"{self.responder.url}{COUNT_PATH}{kind}", encoded=True) for kind in USER_TYPES]
        left = iter(range(requests))
        timeout = aiohttp.ClientTimeout(total=self.app.settings.request_timeout_seconds)
        started, cpu_started = time.perf_counter(), time.process_time()
        connector = aiohttp.TCPConnector(limit=self.in_flight, ssl=ssl.create_default_context())
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout
        ) as session:

            async def ask() -> None:
                for number in left:
                    asked = time.perf_counter() if times else 0.0
                    async with session.get(urls[number % 10], headers=headers, allow_redirects=False) as response:
                        orjson.loads(await response.read())
                    if times:
                        latencies.append(time.perf_counter() - asked)

            async with asyncio.TaskGroup() as pool:
                for _ in range(self.in_flight):
                    pool.create_task(ask())
        cpu = time.process_time() - cpu_started
        return Run(requests, time.perf_counter() - started, cpu, latencies=latencies)

    def postgresql_cpu_seconds(self) -> float:
        """The processor time that all processes of PostgreSQL have used until now."""
        pid_file = next(self.app.settings.data_dir.glob("**/postmaster.pid"))
        return cpu_seconds(int(pid_file.read_text(encoding="ascii").split()[0]))


COUNT_PATH = "/crm/v7/users/actions/count?type="


@asynccontextmanager
async def lab(
    orgs: int, in_flight: int, *, latency_seconds: float = 0.0, tls: Certificates | None = None, **changes: Any
) -> AsyncIterator[Lab]:
    """A fleet imported, every token obtained, this process pinned to the client's core."""
    log.configure(log_format=None, level="error")
    changes = {"concurrency": in_flight, "credit_share": 1.0, **changes}
    with pinned(CLIENT_CPU):
        async with (
            responding(latency_seconds, certificate=tls.certificate if tls else None) as responder,
            poller_over(responder.data_centers, orgs, **changes) as app,
        ):
            opened = Lab(app, responder, in_flight)
            # The clock is a day behind: its days must not count as rolled up, as today's do not in the service.
            await app.database.execute("UPDATE rollup_state SET rolled_until = rolled_until - 2")
            await opened.poll()
            terminal.tune_gc()  # as the commands do
            try:
                yield opened
            finally:
                gc.unfreeze()


def timed_runner(app: App, zoho: Zoho, latencies: list[float]) -> PollRunner:
    """As `open_runner` makes it, but that `latencies` gets the seconds each request took."""

    async def timed(api_domain: str, version: str, user_type: UserType, token: Secret) -> Reply | NoReply:
        asked = time.perf_counter()
        reply = await zoho.client.count(api_domain, version, user_type, token)
        latencies.append(time.perf_counter() - asked)
        return reply

    tokens = zoho.tokens
    ports = PollPorts(
        request_count=timed,
        get_token=tokens.get,
        renew_token=tokens.renew,
        set_token_expiry=tokens.set_expiry,
        fetch_org_info=_no_info,
        read_seats=_no_info,
        now=zoho.now,
        sleep=zoho.sleep,
    )
    return PollRunner(
        app.settings.poll_policy,
        app.database,
        app.keyring,
        zoho.limiter,
        ports,
        max_concurrent_polls=polls_at_once(app.settings.concurrency),
    )


async def _no_info(*_: object) -> tuple[None, int]:
    return None, 0


@dataclass(frozen=True, slots=True)
class Certificates:
    """A certificate for loopback with its key, and a bundle of authorities that has the one that signed it."""

    certificate: Path
    bundle: Path


@asynccontextmanager
async def certificates(others: bytes = b"") -> AsyncIterator[Certificates]:
    """Certificates that this process and its children trust as the system's, through OpenSSL's `SSL_CERT_FILE`.

    `others` are the authorities beside ours.
    """
    with tempfile.TemporaryDirectory(prefix="poller-bench-") as folder:
        authority = trustme.CA()
        made = Certificates(Path(folder) / "server.pem", Path(folder) / "authorities.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(made.certificate)
        made.bundle.write_bytes(others + authority.cert_pem.bytes())
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(made.bundle)
        try:
            yield made
        finally:
            if before is None:
                del os.environ["SSL_CERT_FILE"]
            else:
                os.environ["SSL_CERT_FILE"] = before
