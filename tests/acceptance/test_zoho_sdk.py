"""Compares stored counts with what Zoho's own client reads from the same simulated Zoho."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.line import line
from tests.simulator.zoho_sdk import read_with_sdk, sdk_python_or_skip

if TYPE_CHECKING:
    from pathlib import Path

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

ORGS = 6


@pytest.fixture(scope="module")
def python() -> Path:
    return sdk_python_or_skip()


async def test_zohos_own_client_reads_the_ten_counts_that_the_poller_stored(
    python: Path, database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=ORGS) as mine:
        await mine.poll()
        orgs = list(mine.sim.fleet())
        asked = [
            {
                "base": mine.sim.urls[org.data_center],
                "client_id": org.client_id,
                "client_secret": org.client_secret,
                "refresh_token": org.refresh_token,
            }
            for org in orgs
        ]
        told = await read_with_sdk(python, asked)
        print(f"\n{'org':32} {'user type':22} {'truth':>7} {'SDK':>7} {'stored':>7}")  # noqa: T201 - what it is for
        for index, org in enumerate(orgs):
            truth, stored = mine.sim.expected_counts(index, mine.clock.now()), (await mine.row(index))["counts"]
            assert told[index]["counts"] == stored == truth
            for kind, count in truth.items():
                print(f"{org.name:32} {kind:22} {count:7} {told[index]['counts'][kind]:7} {stored[kind]:7}")  # noqa: T201
            assert told[index]["org"]["paid_type"] == (await mine.org(index))["edition"]
        assert mine.breaches == []
