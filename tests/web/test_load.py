"""Requests to the web delay nothing else in the process: long answers are made in slices and are limited."""

from __future__ import annotations

import asyncio
import gc
import gzip
import itertools
import math
import signal
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import structlog
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr

from poller.core.errors import DatabaseError
from poller.query.reader import Reader
from poller.simulator import Simulator, SimulatorOptions
from poller.store import database as databases
from poller.store.read_only import CONNECTIONS, connect_read_only
from poller.web import Access, Api, Health, ProcessMetrics, serve
from poller.web.loop_share import LoopShare
from poller.web.pages.rendering import Renderer
from tests.acceptance.processes import machine, serving as serving_process
from tests.processor import ten_milliseconds
from tests.simulated_fleet import import_by_command
from tests.store.fleet import added, entry
from tests.web.scrape import served_at
from tests.web.test_api import KEY, RIGHT, ask, refusal
from tests.worker.lag import measured_lag
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

READER = Path(__file__).with_name("load.py")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ORGS = 22
"""The orgs of a service."""


class LoopProbe:
    """Runs every millisecond; `longest` is the most processor time others used between two runs.

    It measures processor time and not real time, because other programs of a busy machine do not block the event loop.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.turns = 0
        self._before = time.thread_time()
        self._next = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self.longest = max(self.longest, time.thread_time() - self._before)
        self.turns += 1
        self._before = time.thread_time()
        self._next = asyncio.get_running_loop().call_later(0.001, self._turn)

    def stop(self) -> None:
        self._next.cancel()


async def longest_turn(work: Callable[[], Awaitable[None]]) -> float:
    """The most processor time that others use at a stretch while this is done, in 10 ms; the best of three tries.

    Busy neighbours make a processor slower for a moment, but hardly in three tries; what blocks the loop does in each.
    """
    longest = math.inf
    for _ in range(3):
        gc.collect()
        gc.freeze()
        unit, probe = ten_milliseconds(), LoopProbe()
        try:
            await work()
        finally:
            probe.stop()
            gc.unfreeze()
        assert probe.turns > 10
        longest = min(longest, probe.longest / max(unit, ten_milliseconds()))
        if longest < 1:
            break
    return longest


@asynccontextmanager
async def serving(database: Database, **changes: Any) -> AsyncIterator[str]:
    async def nothing(*_: Any) -> Any:
        raise DatabaseError("no database here", "use none")

    api = Api(Reader(database, lambda: NOW), **changes)
    health = Health(lambda: None, nothing, nothing)
    async with serve("127.0.0.1", 0, health, ProcessMetrics(), api, access=Access(SecretStr(KEY))) as url:
        assert url is not None
        yield url


async def reader(url: str, path: str, bytes_a_second: int) -> asyncio.subprocess.Process:
    parts = urlsplit(url)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(READER),
        str(parts.hostname),
        str(parts.port),
        path,
        KEY,
        str(bytes_a_second),
        stdout=asyncio.subprocess.PIPE,
    )


async def test_two_slow_readers_of_long_answers_do_not_block_the_event_loop(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    await added(database, keyring, *(entry(f"Org {number}") for number in range(4)))
    async with await connect_read_only(database_url) as readable, serving(readable) as url:
        path = "/api/v1/trend?since=20d&every=15m"
        # What is loaded once is not what is measured.
        assert (await ask(f"{url}/api/v1/trend", since="1d", every="15m"))[0] == 200

        async def read_twice() -> None:
            readers = [await reader(url, path, 30_000_000) for _ in range(2)]
            printed = [(await one.communicate())[0].decode().split() for one in readers]
            assert [words[:2] for words in printed] == [["HTTP/1.1", "200"]] * 2
            assert all(int(words[2]) > 13_000_000 for words in printed)

        assert await longest_turn(read_twice) < 1


async def test_a_request_for_too_long_an_answer_is_refused_with_the_limit(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, *(entry(f"Org {number}") for number in range(12)))
    async with serving(database) as url:
        assert await refusal(f"{url}/api/v1/trend", since="90d", every="15m") == (
            400,
            (
                "that is 1,036,800 points, and an answer has 1,000,000 at most; "
                "ask for one org or type, a shorter stretch or longer steps"
            ),
        )
        assert (await ask(f"{url}/api/v1/trend", since="90d", every="15m", org="Org 3", type="AllUsers"))[0] == 200


async def test_an_answer_that_takes_too_long_is_cut_off_however_steadily_it_is_read(
    database: Database, keyring: Keyring
) -> None:
    await added(database, keyring, entry("Acme"))
    with structlog.testing.capture_logs() as logs:
        async with serving(database, longest_seconds=4) as url:
            slow = await reader(url, "/api/v1/trend?since=90d&every=15m", 500_000)
            await eventually(lambda: any(one["event"] == "api.broken_off" for one in logs))
            assert (await ask(f"{url}/api/v1/trend", since="1d"))[0] == 200
            slow.kill()
            await slow.communicate()


async def test_the_ninth_concurrent_request_is_asked_to_retry_later() -> None:
    entered, released = asyncio.Semaphore(0), asyncio.Event()

    async def waits(*_: Any) -> Any:
        entered.release()
        await released.wait()
        raise DatabaseError("PostgreSQL: no connection", "start it", passing=True)

    health = Health(lambda: "stopping", waits, waits)
    async with serve("127.0.0.1", 0, health, ProcessMetrics()) as url:
        async with asyncio.TaskGroup() as group:
            eight = [group.create_task(ask(f"{url}/metrics")) for _ in range(8)]
            for _ in range(8):
                await entered.acquire()
            status, text = await ask(f"{url}/metrics")
            assert (status, "no more are at once" in text) == (503, True)
            assert (await ask(f"{url}/healthz"))[0] == 200, "probes always pass"
            assert await ask(f"{url}/readyz") == (503, "stopping\n")
            released.set()
        assert {one.result()[0] for one in eight} == {200}
        assert (await ask(f"{url}/metrics"))[0] == 200


async def test_the_database_connections_of_the_web_are_read_only_and_few(database_url: str) -> None:
    async with await connect_read_only(database_url) as readable:
        with pytest.raises(DatabaseError, match="read-only transaction"):
            await readable.execute("UPDATE orgs SET name = name")
        with pytest.raises(DatabaseError, match="read-only transaction"):
            await readable.fetch("DELETE FROM orgs RETURNING id")
        assert await readable.fetchval("SHOW statement_timeout") == "5s"

        async def busy() -> int:
            async with readable.connection() as connection:
                # Long enough for all requests to arrive.
                await connection.execute("SELECT pg_sleep(0.1)")
                open_now: int = await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'poller web'"
                )
                return open_now

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(busy()) for _ in range(12)]
        assert max(one.result() for one in asked) == CONNECTIONS


async def test_all_slices_together_take_at_most_half_of_the_loop() -> None:
    share = LoopShare(slice_seconds=0.004)
    busy = 0.0

    async def work(items: int) -> AsyncIterator[int]:
        nonlocal busy
        for item in range(items):
            until = time.thread_time() + 0.001
            while time.thread_time() < until:
                pass
            busy += 0.001
            yield item

    async def consume() -> int:
        return len([item async for item in share.sliced(work(100))])

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        counts = [group.create_task(consume()) for _ in range(3)]
    assert [one.result() for one in counts] == [100] * 3
    # A busy machine only makes this share smaller.
    assert busy / (time.monotonic() - began) <= 0.55


async def test_everything_else_has_a_turn_after_each_step_of_a_page_and_pages_are_made_one_after_the_other() -> None:
    share, others = LoopShare(step_seconds=0.0), 0
    made: list[tuple[str, int]] = []

    def page(name: str) -> Iterator[str]:
        for number in range(50):
            made.append((name, others))
            yield f"{name}{number}"

    async def polls() -> None:
        nonlocal others
        while len(made) < 100:
            others += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(polls())
        pages = [group.create_task(share.in_steps(page(name))) for name in "ab"]
    assert [page.result() for page in pages] == [[f"{name}{number}" for number in range(50)] for name in "ab"]
    assert [name for name, _ in made] == ["a"] * 50 + ["b"] * 50
    turns = [turn for _, turn in made]
    assert all(before < after for before, after in itertools.pairwise(turns)), turns


async def test_a_page_is_rendered_and_compressed_in_steps() -> None:
    renderer, others = Renderer(LoopShare(step_seconds=0.0)), 0
    request = make_mocked_request("GET", "/login", {"Accept-Encoding": "gzip"})
    page = asyncio.ensure_future(renderer.page(request, "login.html", target="/", error="", as_of=datetime.now(UTC)))
    while not page.done():
        others += 1
        await asyncio.sleep(0)
    body = page.result().body
    assert isinstance(body, bytes)
    assert "<title>Log in · poller</title>" in gzip.decompress(body).decode()
    assert others > 30, "a turn after each piece of the template and of the compressed text"


async def test_an_unknown_key_is_refused_without_a_database_query(database: Database) -> None:
    async with serving(database) as url:
        await database.close()
        assert (await refusal(f"{url}/api/v1/trend", {"Authorization": "Bearer x"}))[0] == 401
        assert (await refusal(f"{url}/api/v1/trend", RIGHT))[0] == 503


async def test_an_unknown_org_name_among_thousands_does_not_block_the_event_loop(database: Database) -> None:
    await database.execute(
        "INSERT INTO orgs (name, data_center)"
        " SELECT repeat('Umbrella Holdings of the North ', 5) || n, 'us' FROM generate_series(1, 4000) n"
    )
    async with serving(database) as url:
        await ask(f"{url}/api/v1/trend", org="warm up")

        async def ask_for_another() -> None:
            status, text = await refusal(f"{url}/api/v1/trend", org="Umbrella Holdings of the South " * 5)
            assert (status, "did you mean 'Umbrella Holdings" in text) == (404, True)

        assert await longest_turn(ask_for_another) < 1


async def test_a_worker_polls_on_time_while_two_clients_read_the_longest_answers(
    database_url: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=ORGS, grant_share=0.0, soid_share=0.0)) as sim:
        mine = machine(sim, database_url, POLLER_POLL_INTERVAL="4", POLLER_WEB_PORT="0", POLLER_API_KEY=KEY)
        await import_by_command(sim, tmp_path, mine.run)
        async with await databases.connect(database_url) as database, serving_process(mine) as service:
            # Credits for a poll every four seconds.
            await database.execute("UPDATE orgs SET edition = 'ultimate', licences = 100000")
            url = await served_at(service)
            await eventually(
                lambda: database.fetchval("SELECT count(*) > $1 FROM org_snapshots WHERE outcome = 'ok'", 3 * ORGS)
            )
            since = await database.fetchval("SELECT now()")
            async with measured_lag(database_url) as lag:
                readers = [await reader(url, "/api/v1/trend?since=11d&every=15m", 20_000_000) for _ in range(2)]
                printed = [(await one.communicate())[0].decode().split() for one in readers]
            assert [words[1] for words in printed] == ["200", "200"]
            assert all(int(words[2]) > 30_000_000 for words in printed)
            until = await database.fetchval("SELECT now()")
            await eventually(
                lambda: database.fetchval(
                    "SELECT count(DISTINCT org_id) = $1 FROM org_snapshots WHERE slot > $2", ORGS, until
                )
            )
            before = await polls(database, datetime.min.replace(tzinfo=UTC), since)
            meanwhile = await polls(database, since, until)
            service.send_signal(signal.SIGTERM)
            log = (await service.stderr.read()).decode()
    assert len(meanwhile) > ORGS
    # A busy machine delays polls, but not only while somebody reads.
    assert outcomes(meanwhile) <= outcomes(before) | {("ok", None)}
    assert latest(meanwhile) <= max(1, 2 * latest(before)) + lag.of_a_poll
    assert "worker.frozen" not in log or max(latest(before), lag.of_a_poll) > 1


async def polls(database: Database, since: datetime, until: datetime) -> list[Any]:
    """The polls of the slots between two times."""
    return await database.fetch(
        "SELECT outcome, error, late_seconds FROM org_snapshots WHERE slot > $1 AND slot <= $2", since, until
    )


def outcomes(polled: list[Any]) -> set[tuple[str, str | None]]:
    return {(row["outcome"], row["error"]) for row in polled}


def latest(polled: list[Any]) -> float:
    """The seconds by which the latest of these polls was late."""
    return max(row["late_seconds"] or 0 for row in polled)
