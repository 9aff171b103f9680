"""The limits of each org in a complete installation: credits, requests in flight, holds; and other orgs."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from poller.core.editions import limits_of
from poller.core.model import Org, Outcome
from poller.core.reply import Reply
from poller.core.secret import Secret
from poller.core.token import AccessToken
from poller.polling.bounded import for_each
from poller.polling.poll import LONGEST_WAIT_SECONDS, poll_org
from poller.polling.ports import PollPorts
from poller.simulator import FAULTS, Fault, Simulator, SimulatorOptions, control
from poller.zoho.limiter import Limiter
from tests.acceptance.line import Line, line
from tests.acceptance.processes import machine
from tests.zoho.token_shelf import utc_now
from tests.zoho.turned_clock import now, run_turned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from poller.simulator import SimulatedOrg
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


def of_edition(edition: str, mine: Line | Simulator) -> int:
    """The first simulated org of that edition."""
    sim = mine.sim if isinstance(mine, Line) else mine
    return next(org.index for org in sim.fleet() if org.edition == edition)


def unsaid(org: SimulatedOrg) -> dict[str, Any]:
    """The import row of an org with its credentials only."""
    return {**org.row(), "edition": "", "licences": ""}


# --- credits ---------------------------------------------------------------------------------------------------------


async def test_a_free_org_with_a_15_minute_interval_is_polled_every_30_minutes_to_stay_within_its_credit_share(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=40) as mine, mine.process() as poll:
        free = of_edition("free", mine)
        await poll([name for index, name in enumerate(mine.names) if index != free])
        for _ in range(2 * 96):
            await poll([mine.names[free]])
            mine.clock.turn(minutes=15)
        rows = await mine.rows(free)
        assert [row["slot"].minute % 30 for row in rows] == [0] * len(rows)
        assert len(rows) == 2 * 48
        spent = await spent_in_any_day(mine, free)
        # 10 % of 5,000: two polls per slot would leave no credits for the last slots of the day.
        assert 490 <= spent <= 500
        assert {row["outcome"] for row in rows} == {"ok", "throttled"}
        assert {row["error"] for row in rows if row["outcome"] == "throttled"} == {"credit_share_spent"}
        assert mine.breaches == []


async def spent_in_any_day(mine: Line, index: int) -> int:
    """The most credits spent in any 24 hours, computed from the requests in the rows."""
    rows = await mine.rows(index)
    day = timedelta(hours=24)
    costs: list[tuple[datetime, int]] = [(row["slot"], row["requests"]) for row in rows]
    return max(sum(cost for slot, cost in costs if start <= slot < start + day) for start, _ in costs)


async def test_all_processes_together_stay_within_the_credit_share_also_across_restarts(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=40, settings={"credit_share": 0.02}) as mine:
        free = of_edition("free", mine)
        outcomes = [(await mine.poll([mine.names[free]]))[mine.names[free]].snapshot.outcome.value for _ in range(14)]
        assert outcomes == ["ok"] * 10 + ["throttled"] * 4
        assert mine.audit(free)["requests"] == 100
        mine.clock.turn(hours=24, minutes=16)
        assert (await mine.poll([mine.names[free]]))[mine.names[free]].snapshot.outcome == "ok"


async def test_the_poller_leaves_the_last_credits_of_the_day_to_the_customer(
    database: Database, keyring: Keyring
) -> None:
    """Other programs spend credits; Zoho reports the rest, and the poller uses only its share of the rest."""
    async with line(database, keyring, orgs=40) as mine:
        index = of_edition("free", mine)
        name = mine.names[index]
        await mine.poll([name])
        control.spend(mine.sim.zoho, index, 4_920)
        mine.clock.turn(minutes=30)
        assert (await mine.poll([name]))[name].snapshot.credits_remaining == 60
        mine.clock.turn(minutes=30)
        row = (await mine.poll([name]))[name].snapshot
        assert (row.outcome, row.error, row.requests) == ("throttled", "credit_share_spent", 0)
        # The header is too old after an hour: one more poll is made, and Zoho sends the header again.
        mine.clock.turn(minutes=31)
        assert (await mine.poll([name]))[name].snapshot.credits_remaining == 50


async def test_requests_that_a_hold_prevents_cost_no_credits(database: Database, keyring: Keyring) -> None:
    async with line(database, keyring, orgs=40) as mine:
        index = of_edition("free", mine)
        mine.sim.add_faults(Fault(name="too_many_requests", org=index, retry_after=7_200))
        spent = []
        for _ in range(4):
            await mine.poll([mine.names[index]])
            spent.append(
                await database.fetchval(
                    "SELECT sum(credits)::int FROM credit_spend s JOIN orgs o ON o.id = s.org_id WHERE o.name = $1",
                    mine.names[index],
                )
            )
            mine.clock.turn(minutes=30)
        assert spent == [2, 2, 2, 2]
        assert mine.audit(index)["requests"] == 2
        assert mine.breaches == []


# --- editions --------------------------------------------------------------------------------------------------------


async def test_edition_and_licences_are_read_with_the_first_poll_and_then_once_a_day(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=12, row=unsaid) as mine:
        await mine.poll()
        for index in range(12):
            org, known = await mine.org(index), mine.sim.org(index)
            assert (org["edition"], org["licences"], org["zgid"]) == (known.edition, known.licences, known.zgid)
        asked = [mine.sim.audit()["requests"]["org"]]
        for _ in range(5):
            mine.clock.turn(hours=6)
            await mine.poll()
            asked.append(mine.sim.audit()["requests"]["org"])
        assert asked == [12, 12, 12, 12, 24, 24]
        assert mine.breaches == []


async def test_an_org_whose_scopes_hide_its_edition_is_asked_for_it_once_a_day_and_gets_the_free_editions_limits(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=1, row=unsaid) as mine:
        control.narrow(mine.sim.zoho, 0, "ZohoCRM.users.READ")
        for _ in range(5):
            assert (await mine.poll_one()).snapshot.outcome == "ok"
            mine.clock.turn(hours=6)
        assert mine.sim.audit()["requests"] == {
            "token": mine.audit()["token_asks"],
            "count": 50,
            "org": 2,
            "licences": 2,
        }
        assert (await mine.org())["edition"] is None
        assert mine.audit()["most_in_flight"] <= 2


async def test_any_reply_to_the_org_info_request_leaves_the_counts_stored_and_is_requested_again_the_next_day(
    database: Database, keyring: Keyring
) -> None:
    names = [name for name in FAULTS if not name.startswith("token_")]
    faults = tuple(Fault(name=name, org=index, endpoint="org") for index, name in enumerate(names))
    # Ends what hangs among the first replies; after them, and beside them, every request has the time it needs.
    settings = {"request_timeout_seconds": 8}
    async with line(database, keyring, orgs=len(names), faults=faults, row=unsaid, settings=settings) as mine:
        assert {one.snapshot.outcome.value for one in (await mine.poll()).values()} == {"ok"}
        assert {(await mine.org(index))["edition"] for index in range(len(names))} == {None}
        mine.sim.clear_faults()
        mine.clock.turn(hours=25)
        assert {one.snapshot.outcome.value for one in (await mine.poll()).values()} == {"ok"}
        for index in range(len(names)):
            assert (await mine.org(index))["edition"] == mine.sim.org(index).edition
        assert mine.sim.audit()["requests"]["org"] == 2 * len(names)
        assert mine.breaches == []


async def test_an_edition_set_by_the_operator_is_checked_with_zoho_a_day_later(
    database: Database, keyring: Keyring
) -> None:
    wrong = {"edition": "ultimate", "licences": 9}
    async with line(database, keyring, orgs=1, row=lambda org: {**org.row(), **wrong}) as mine:
        await database.execute("UPDATE orgs SET created_at = $1", mine.clock.now())
        await mine.poll()
        assert (await mine.org())["edition"] == "ultimate"
        mine.clock.turn(hours=24)
        await mine.poll()
        known = mine.sim.org(0)
        assert ((await mine.org())["edition"], (await mine.org())["licences"]) == (known.edition, known.licences)


async def test_an_interval_that_the_credits_do_not_allow_is_shown_with_the_effective_interval(
    database_url: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=40)) as sim:
        mine = machine(sim, database_url)
        free = sim.org(of_edition("free", sim))
        rich = sim.org(of_edition("ultimate", sim))
        file = tmp_path / "orgs.csv"
        header = "name,data_center,client_id,client_secret,refresh_token\n"
        lines = [
            f"{org.name},{org.data_center},{org.client_id},{org.client_secret},{org.refresh_token}\n"
            for org in (free, rich)
        ]
        file.write_text(header + "".join(lines))
        assert (await mine.run("orgs", "import", str(file))).code == 0
        unknown = (await mine.run("orgs", "show", rich.name)).out
        assert "not known: limits of the free edition are kept" in unknown
        assert "30m, stretched from 15m: 10% of the credits pay no more (5,000 a day, for its edition" in unknown
        assert (await mine.run("poll")).code == 0
        shown = (await mine.run("orgs", "show", free.name)).out
        assert "30m, stretched from 15m: 10% of the credits pay no more (5,000 a day)" in shown
        # Ten counts, and the questions what edition it is and how many seats it has.
        assert "12 by the poller in the last 24 hours, of 500 that are its share" in shown
        known = (await mine.run("orgs", "show", rich.name)).out
        assert "edition        ultimate\n" in known
        assert "stretched" not in known
        status = (await mine.run("status")).out
        assert "stretched  1\n" in status
        assert f"  {free.name}  30m instead of 15m" in status
        assert rich.name not in status


# --- throttled -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_date", [False, True])
async def test_a_retry_after_received_by_one_process_is_respected_by_the_next_process(
    database: Database, keyring: Keyring, as_date: bool
) -> None:
    async with line(database, keyring, orgs=2, settings={"poll_interval_seconds": 60}) as mine:
        fault = Fault(name="too_many_requests", org=0, times=1, retry_after=600, retry_after_date=as_date)
        mine.sim.add_faults(fault)
        outcomes = []
        for _ in range(11):
            polled = await mine.poll()
            outcomes.append(polled[mine.names[0]].snapshot)
            assert polled[mine.names[1]].snapshot.outcome == "ok"
            mine.clock.turn(minutes=1)
        assert outcomes[0].outcome in {"partial", "throttled"}
        assert [(one.outcome, one.error, one.requests) for one in outcomes[1:10]] == [("throttled", "held", 0)] * 9
        assert outcomes[10].outcome == "ok"
        assert mine.breaches == []


@pytest.mark.parametrize(("retry_after", "counts"), [(8, 9), (15, 9), (22, 0), (3_600, 0)])
async def test_a_poll_waits_for_the_end_of_a_short_hold_and_skips_an_org_with_a_longer_one(
    database: Database, keyring: Keyring, retry_after: int, counts: int
) -> None:
    async with line(database, keyring, orgs=1, settings={"in_flight_share": 0.01}) as mine:
        await mine.poll()
        mine.clock.turn(minutes=15)
        mine.sim.add_faults(Fault(name="too_many_requests", user_type="AllUsers", times=1, retry_after=retry_after))
        began = mine.clock()
        polled = await mine.poll_one()
        assert len(polled.snapshot.counts) == counts
        waited = mine.clock() - began
        # The longest wait, and what ten requests one after the other take beside it.
        assert (waited >= retry_after) == (counts > 0)
        assert waited < LONGEST_WAIT_SECONDS + 10


async def test_a_429_without_retry_after_holds_the_org_for_a_minute_and_each_further_429_doubles_the_hold(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=1, settings={"poll_interval_seconds": 60}) as mine:
        mine.sim.add_faults(Fault(name="too_many_requests"))
        asked, before = [], 0
        for minute in range(32):
            await mine.poll()
            if mine.audit()["requests"] > before:
                asked.append(minute)
            before = mine.audit()["requests"]
            mine.clock.turn(minutes=1)
        assert asked == [0, 1, 3, 7, 15, 31]


@dataclass
class Crowd:
    """A hundred orgs polled concurrently by one process on a manual clock; each org has its own latency."""

    throttled: int | None
    latencies: dict[int, float] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def run(self) -> None:
        run_turned(self._run())

    async def _run(self) -> None:
        limiter = Limiter(1_000, now=now)

        async def orgs() -> AsyncIterator[Org]:
            for number in range(100):
                yield Org(number, f"org {number}", "us", "v8", 900, "free")

        async def poll(org: Org) -> None:
            world = PollPorts(
                request_count=lambda *_: self._ask(org),
                get_token=self._token,
                renew_token=self._token,
                set_token_expiry=_nothing,
                fetch_org_info=_no_facts,
                read_seats=_no_seats,
                now=utc_now,
            )
            started = now()
            with limiter.org(org.id, limits_of(org.edition)) as own:
                snapshot = await poll_org(org, utc_now(), own, world)
            self.latencies[org.id], self.outcomes[org.id] = now() - started, snapshot.outcome

        await for_each(orgs(), poll, at_once=100)

    async def _ask(self, org: Org) -> Reply:
        await asyncio.sleep(0.05 + org.id / 1_000)
        if org.id == self.throttled:
            return Reply(429, b'{"code": "TOO_MANY_REQUESTS"}', {"retry-after": "15"})
        return Reply(200, b'{"count": 1}')

    async def _token(self, *_: object) -> AccessToken:
        return AccessToken(Secret("t"), "https://www.zohoapis.com", utc_now(), utc_now() + timedelta(hours=1), 1)


async def _nothing(*_: object) -> None:
    return None


async def _no_facts(*_: object) -> tuple[None, int]:
    return None, 0


async def _no_seats(_org: object, _limiter: object) -> tuple[None, int]:
    return None, 0


def test_throttling_one_of_a_hundred_orgs_does_not_change_the_latency_of_the_others() -> None:
    """Compares the latency of every org to the microsecond: only the throttled org waits for its Retry-After."""
    calm, throttled = Crowd(throttled=None), Crowd(throttled=40)
    calm.run()
    throttled.run()
    assert throttled.outcomes.pop(40) is Outcome.THROTTLED
    assert len(throttled.outcomes) == 99
    assert set(throttled.outcomes.values()) == {Outcome.OK}
    assert 15.0 < throttled.latencies.pop(40) < 21.0
    del calm.latencies[40]
    assert throttled.latencies == pytest.approx(calm.latencies, abs=1e-6)


# --- whom a token may be sent to -------------------------------------------------------------------------------------


async def test_no_token_is_sent_to_a_server_with_an_untrusted_certificate_or_an_invalid_host_name(
    database: Database, keyring: Keyring
) -> None:
    presented = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(presented)
    names = ("accounts-of-an-impostor", "api-of-an-impostor", "nowhere")
    async with Simulator(SimulatorOptions(orgs=1, tls=presented)) as impostor:

        def data_centers(sim: Simulator) -> dict[str, Any]:
            url, evil, nowhere = sim.base_url, impostor.base_url, f"https://{'a' * 70}.example"
            ways = ((evil, url), (url, evil), (url, nowhere))
            return {
                name: {"accounts_server": accounts, "api_domains": [api]}
                for name, (accounts, api) in zip(names, ways, strict=True)
            }

        async with line(
            database,
            keyring,
            orgs=3,
            data_centers=("sim",),
            faults=(Fault(name="token_no_api_domain"),),
            more_data_centers=data_centers,
            row=lambda org: {**org.row(), "data_center": names[org.index]},
        ) as mine:
            await mine.poll()
            rows = [await mine.row(index) for index in range(3)]
            assert [(row["outcome"], row["error"]) for row in rows] == [
                ("unavailable", "tls"),
                ("unavailable", "tls"),
                ("unavailable", "dns"),
            ]
            assert mine.sim.audit()["requests"] == {"token": 2}
            assert mine.breaches == []
        assert impostor.audit()["requests"] == {}
