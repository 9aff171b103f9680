"""The network to Zoho fails: for one data centre or for all, before or after a connection is established."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme

from poller.core.schedule import Due
from poller.simulator import Fault
from tests import command
from tests.breakage.lab import LONG, Lab, lab
from tests.worker.lag import measured_lag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from poller.simulator import Simulator

SECONDS = 10 if LONG else 2
"""How long a slow Zoho takes."""


async def all_polled(there: Lab, since: Any = None, outcome: str = "ok") -> Any:
    """Waits until every org has such a row of a slot since then; returns the time."""
    await there.until(
        """
        SELECT count(DISTINCT org_id) = $1::bigint FROM org_snapshots
        WHERE outcome = $3 AND ($2::timestamptz IS NULL OR slot > $2)
        """,
        len(there.names),
        since,
        outcome,
        seconds=90,
    )
    return await there.database.fetchval("SELECT now()")


@pytest.mark.parametrize("fault", ["reset", *(["hang", "unavailable"] if LONG else [])])
async def test_an_outage_of_every_data_centre_is_recorded_and_the_first_slots_after_the_outage_are_on_time(
    database_url: str, tmp_path: Path, fault: str
) -> None:
    settings = {"POLLER_REQUEST_TIMEOUT": "2" if fault == "hang" else "5"}
    async with lab(database_url, tmp_path, orgs=12, interval=6, settings=settings) as there:
        worker = await there.start()
        fine_until = await all_polled(there)
        there.sim.add_faults(Fault(name=fault))
        await all_polled(there, fine_until, "unavailable")
        homes = set(there.sim.urls)
        away = "SELECT count(*) FROM workers, jsonb_object_keys(facts->'away') AS home"
        await there.until(f"{away} HAVING count(*) = $1::bigint", len(homes))
        there.sim.clear_faults()
        back_at = await there.database.fetchval("SELECT now()")
        async with measured_lag(database_url) as lag:
            await all_polled(there, back_at)
        await there.until(f"SELECT count(*) = 0 FROM ({away}) AS a (n) WHERE n > 0")
        rows = await there.nothing_is_missing_doubled_or_untrue()
        assert {row["outcome"] for row in rows} == {"ok", "unavailable"}
        # A circuit is tried once a second: what is due later than a try or two is polled when it is due.
        after = [row for row in rows if (Due(row["org_id"], row["slot"], 6).at - back_at).total_seconds() > 4]
        assert after
        assert {row["outcome"] for row in after} == {"ok"}
        assert max(row["late_seconds"] for row in after) <= 1 + lag.of_a_poll
        assert worker.count("data_center.away") == worker.count("data_center.back") == len(homes)


async def test_slow_replies_are_waited_for_and_do_not_delay_other_orgs(database_url: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"latency_median_seconds": SECONDS, "latency_p99_seconds": SECONDS}
    settings = {"POLLER_REQUEST_TIMEOUT": str(SECONDS * 3), "POLLER_IN_FLIGHT_SHARE": "0.5"}
    async with lab(database_url, tmp_path, orgs=8, interval=4 * SECONDS, settings=settings, **options) as there:
        await there.start()
        async with measured_lag(database_url) as lag:
            await all_polled(there)
        rows = await there.nothing_is_missing_doubled_or_untrue()
        assert {row["outcome"] for row in rows} == {"ok"}
        assert min(row["duration_ms"] for row in rows) >= SECONDS * 1_000
        assert max(row["late_seconds"] for row in rows) <= 1 + lag.of_a_poll


class Door:
    """A TLS server in front of the simulated Zoho; its certificate can be changed."""

    def __init__(self, sim: Simulator, authority: trustme.CA) -> None:
        self._behind = urlsplit(sim.base_url)
        self._authority = authority
        self._server: asyncio.Server | None = None
        self.port = 0

    async def show(self, name: str) -> None:
        """Uses a certificate of this name from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(name).configure_cert(context)
        await self.close()
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_behind = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        with suppress(OSError):
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_pump(reader, to_behind))
                ways.create_task(_pump(behind, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def with_a_door(database_url: str, folder: Path) -> AsyncIterator[tuple[Lab, Door]]:
    """Adds two data centres, one with an unknown host name and one behind TLS, and moves three orgs to each."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    async with lab(database_url, folder, orgs=12, interval=5) as there:
        door = Door(there.sim, authority)
        await door.show("another.example")
        lost, behind = "https://accounts.nowhere.invalid", f"https://localhost:{door.port}"
        centers = json.loads(there.environ["POLLER_DATA_CENTERS"]) | {
            "lost": {"accounts_server": lost, "api_domains": [lost]},
            "behind": {"accounts_server": behind, "api_domains": [behind]},
        }
        there.environ |= {"POLLER_DATA_CENTERS": json.dumps(centers), "SSL_CERT_FILE": str(folder / "authority.pem")}
        # Orgs of the data centre the door leads to, whose token replies name no API domain: their own is used.
        movable = [org for org in there.sim.fleet() if there.sim.urls[org.data_center] == there.sim.base_url][:6]
        for place, org in enumerate(movable):
            there.sim.add_faults(Fault(name="token_no_api_domain", org=org.index))
            home = ("lost", "behind")[place % 2]
            await there.database.execute("UPDATE orgs SET data_center = $2 WHERE name = $1", org.name, home)
        try:
            yield there, door
        finally:
            await door.close()


async def test_unknown_host_names_and_wrong_certificates_affect_only_their_own_orgs(
    database_url: str, tmp_path: Path
) -> None:
    async with with_a_door(database_url, tmp_path) as (there, door), measured_lag(database_url) as lag:
        await there.start()
        homes = "SELECT array_agg(DISTINCT home) FROM workers, jsonb_object_keys(facts->'away') AS home"
        await there.until(f"SELECT ({homes}) @> ARRAY['lost', 'behind']", seconds=60)
        told = await command.run("status", environ=there.environ)
        assert "unreachable data centres" in told.out
        assert "dns" in told.out
        assert "tls" in told.out
        await door.show("localhost")
        mended_at = await there.database.fetchval("SELECT now()")
        known = """
            SELECT count(DISTINCT org_id) = 3 FROM org_snapshots s JOIN orgs o ON o.id = s.org_id
            WHERE data_center = 'behind' AND outcome = 'ok' AND slot > $1
        """
        await there.until(known, mended_at, seconds=60)
        found = await there.database.fetch(
            "SELECT s.*, o.data_center FROM org_snapshots s JOIN orgs o ON o.id = s.org_id"
        )
        by_home = {home: [row for row in found if row["data_center"] == home] for home in ("lost", "behind")}
        assert {row["outcome"] for row in by_home["lost"]} == {"unavailable"}
        assert {row["error"] for row in by_home["lost"]} <= {"dns", "data_center_away"}
        assert {row["error"] for row in by_home["behind"] if row["outcome"] != "ok"} <= {"tls", "data_center_away"}
        others = [row for row in found if row["data_center"] not in by_home]
        assert {row["outcome"] for row in others} == {"ok"}
        assert max(row["late_seconds"] for row in others) <= 2 + lag.of_a_poll
