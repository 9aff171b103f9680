"""Workers with different encryption keys: orgs that one worker cannot decrypt are polled by another."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from poller.app import App, open_runner
from poller.polling.poll_all import poll_all
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from poller.store.orgs.key_rotation import rotate
from tests.worker.conftest import Service
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from poller.polling.results import PollResult
    from poller.worker import Worker

    Open = Callable[..., AbstractAsyncContextManager[Service]]

OLD, NEW = bytes(range(KEY_BYTES)), bytes(KEY_BYTES)
BOTH = Keyring({"k2": NEW, "k1": OLD})
WRONG = Keyring({"k1": NEW})


@asynccontextmanager
async def worker_with(mine: Service, keyring: Keyring) -> AsyncIterator[Worker]:
    """A worker with these keys."""
    other = Service(App(mine.app.settings, mine.app.database, keyring), mine.sim, mine.names)
    async with other.worker() as worker:
        yield worker


async def outcomes(mine: Service) -> set[tuple[str, str | None]]:
    rows = await mine.app.database.fetch("SELECT DISTINCT outcome, error FROM org_snapshots")
    return {(row["outcome"], row["error"]) for row in rows}


async def poll_by_hand(mine: Service, keyring: Keyring) -> list[PollResult]:
    polled: list[PollResult] = []
    async with open_runner(replace(mine.app, keyring=keyring)) as fleet:
        await poll_all(fleet, None, polled.extend)
    return polled


async def test_orgs_rotated_to_a_key_that_one_worker_lacks_are_polled_by_the_other(service: Open) -> None:
    async with service(orgs=6) as mine, mine.worker() as old, worker_with(mine, BOTH) as new:
        await eventually(lambda: old.polls > 6 and new.polls > 6)
        assert await rotate(mine.app.database, BOTH) >= 6
        at_rotation = new.polls
        await eventually(lambda: new.polls > at_rotation + 40)
        assert await outcomes(mine) == {("ok", None)}


async def test_orgs_that_no_worker_can_decrypt_are_recorded_as_missed_with_the_reason_and_the_key_is_named_once(
    service: Open,
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with service(orgs=3, interval=4) as mine:
            await rotate(mine.app.database, BOTH)
            async with mine.worker():
                await mine.until("SELECT count(*) >= 6 FROM org_snapshots")
            assert await outcomes(mine) == {("missed", "key_missing")}
            assert (
                await mine.app.database.fetchval("SELECT count(*) FROM org_snapshots WHERE polled_at IS NOT NULL") == 0
            )
            assert await mine.app.database.fetchval("SELECT count(parked_at) FROM orgs") == 0
            assert await mine.app.database.fetchval("SELECT coalesce(sum(credits), 0) FROM credit_spend") == 0
    assert [entry["key"] for entry in logs if entry["event"] == "key.missing"] == ["k2"]


async def test_a_worker_with_another_key_of_the_same_id_leaves_its_orgs_to_the_others(service: Open) -> None:
    async with service(orgs=6) as mine, worker_with(mine, WRONG), mine.worker() as right:
        await eventually(lambda: right.polls > 40)
        assert await outcomes(mine) == {("ok", None)}


async def test_an_access_token_encrypted_with_a_key_a_worker_lacks_is_renewed(service: Open) -> None:
    async with service(orgs=3) as mine:
        await poll_by_hand(mine, mine.app.keyring)
        await mine.app.database.execute("UPDATE access_tokens SET key_id = 'k9'")
        polled = await poll_by_hand(mine, mine.app.keyring)
        assert [one.snapshot.outcome.value for one in polled] == ["ok"] * 3


async def test_a_poll_by_hand_with_the_wrong_key_is_not_recorded_for_the_org_and_a_later_poll_fills_the_slot(
    service: Open,
) -> None:
    async with service(orgs=3, interval=86_400) as mine:
        for keyring, error in ((Keyring({"k2": NEW}), "key_missing"), (WRONG, "unreadable_credentials")):
            polled = await poll_by_hand(mine, keyring)
            assert {(one.snapshot.outcome.value, one.snapshot.error) for one in polled} == {("missed", error)}
        row: Any = await mine.app.database.fetchrow(
            "SELECT sum(credits) AS credits, count(parked_at) AS parked FROM orgs, credit_spend"
        )
        assert (row["credits"], row["parked"]) == (0, 0)
        await poll_by_hand(mine, mine.app.keyring)
        assert await outcomes(mine) == {("ok", None)}
