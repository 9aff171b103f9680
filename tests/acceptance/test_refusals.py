"""Zoho refuses valid tokens for a while: no org is parked and no new grant is requested for this reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.polling.poll import REFRESH_PAUSE_SECONDS
from poller.simulator import Fault, control
from tests.acceptance.line import Clock, Line, line

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


async def outcomes(mine: Line) -> set[tuple[str, str | None]]:
    return {(one.snapshot.outcome.value, one.snapshot.error) for one in (await mine.poll()).values()}


async def parked(mine: Line) -> int:
    count: int = await mine.app.database.fetchval("SELECT count(parked_at) FROM orgs")
    return count


async def test_refusals_that_end_within_the_pause_after_a_token_refresh_lose_no_count(
    database: Database, keyring: Keyring
) -> None:
    begins = Clock().seconds + 900
    burst = Fault(name="invalid_token", since=begins, until=begins + REFRESH_PAUSE_SECONDS - 0.1)
    async with line(database, keyring, orgs=1, faults=(burst,)) as mine:
        assert await outcomes(mine) == {("ok", None)}
        mine.clock.seconds = begins
        assert await outcomes(mine) == {("ok", None)}


async def test_an_org_refused_in_one_slot_is_parked_only_if_it_is_refused_in_the_next_slot_too(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=4) as mine:
        assert await outcomes(mine) == {("ok", None)}
        mine.sim.add_faults(Fault(name="invalid_token", org=0))
        mine.clock.turn(minutes=15)
        assert await outcomes(mine) == {("ok", None), ("unauthorized", "INVALID_TOKEN")}
        assert await outcomes(mine) == {("ok", None), ("unauthorized", "INVALID_TOKEN")}
        assert await parked(mine) == 0
        mine.clock.turn(minutes=15)
        await mine.poll()
        org = await mine.org(0)
        assert (await parked(mine), org["parked_code"]) == (1, "INVALID_TOKEN")
        assert (org["probe_at"] - org["parked_at"]).total_seconds() == 900
        mine.sim.clear_faults()
        mine.clock.turn(minutes=16)
        assert await outcomes(mine) == {("ok", None)}
        assert await parked(mine) == 0


async def test_a_data_centre_that_refuses_all_its_orgs_for_hours_parks_no_org(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=6, data_centers=("sim-eu",)) as mine:
        assert await outcomes(mine) == {("ok", None)}
        mine.sim.add_faults(Fault(name="invalid_token"))
        for _ in range(8):
            mine.clock.turn(minutes=15)
            assert await outcomes(mine) == {("unauthorized", "INVALID_TOKEN")}
        assert await parked(mine) == 0
        mine.sim.clear_faults()
        mine.clock.turn(minutes=15)
        assert await outcomes(mine) == {("ok", None)}


async def test_withdrawn_consent_parks_an_org_at_once_even_if_its_last_poll_succeeded(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=1) as mine:
        assert await outcomes(mine) == {("ok", None)}
        control.revoke(mine.sim.zoho, 0)
        mine.clock.turn(minutes=15)
        assert await outcomes(mine) == {("unauthorized", "invalid_code")}
        assert await parked(mine) == 1
