"""`poller poll` in a network with only a proxy: only the proxy can resolve the host names of Zoho."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trustme

from poller.simulator import Fault, Simulator, SimulatorOptions
from tests.connect_proxy import connect_proxy
from tests.simulated_fleet import fleet_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.command import Ended

    Process = Callable[..., Awaitable[Ended]]

PASSWORD = "hunter2-hunter2-hunter2"


@asynccontextmanager
async def behind_tls(sim: Simulator, authority: trustme.CA) -> AsyncIterator[int]:
    """The simulator as `zoho.example`; the port on loopback."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("zoho.example").configure_cert(tls)
    tasks: list[asyncio.Task[None]] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        there, back = await asyncio.open_connection("127.0.0.1", urlsplit(sim.base_url).port)
        try:
            await asyncio.gather(copy(reader, back), copy(there, writer))
        finally:
            back.transport.abort()
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_orgs_are_polled_through_the_proxy_and_its_password_is_in_no_output(
    process: Process, on_database: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    zoho = {"accounts_server": "https://zoho.example", "api_domains": ["https://zoho.example"]}
    async with Simulator(SimulatorOptions(orgs=3, grant_share=0.0)) as sim:
        homes = [name for name, url in sim.urls.items() if url == sim.base_url]
        sim.add_faults(Fault(name="token_no_api_domain"))
        file = fleet_file(sim, tmp_path)
        for home in sim.urls:
            file.write_text(file.read_text().replace(f",{home},", ",behind,"))
        async with behind_tls(sim, authority) as port, connect_proxy(port, f"poller:{PASSWORD}") as proxy:
            environ = {
                "POLLER_DATA_CENTERS": json.dumps({"behind": zoho}),
                "POLLER_PROXY": f"http://poller:{PASSWORD}@127.0.0.1:{proxy.port}",
                "SSL_CERT_FILE": str(tmp_path / "authority.pem"),
                "POLLER_LOG_LEVEL": "debug",
            }
            assert (await process("orgs", "import", "fleet.csv", environ=environ)).code == 0
            polled = await process("poll", "--json", environ=environ)
            wrong = await process(
                "poll", "--json", environ={**environ, "POLLER_PROXY": f"http://127.0.0.1:{proxy.port}"}
            )
    told = [json.loads(line) for line in polled.out.splitlines()]
    at_home = {org.name for org in sim.fleet() if org.data_center in homes}
    assert at_home
    assert {line["org"] for line in told if line["outcome"] == "ok"} >= at_home
    assert set(proxy.asked_for) == {"zoho.example:443"}
    assert PASSWORD not in polled.out + polled.err + wrong.out + wrong.err
