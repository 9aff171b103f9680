"""Zoho's own client works with the simulator; both were written independently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poller.simulator import Fault
from tests.simulator.caller import Caller, playing
from tests.simulator.zoho_sdk import read_with_sdk, sdk_python_or_skip

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def python() -> Path:
    return sdk_python_or_skip()


def _as_asked(caller: Caller, index: int, *, by: str = "refresh_token") -> dict[str, str]:
    org = caller.sim.org(index)
    return {
        "base": caller.sim.urls[org.data_center],
        "client_id": org.client_id,
        "client_secret": org.client_secret,
        by: str(getattr(org, by)),
    }


async def test_zohos_sdk_reads_the_true_counts_of_every_org(python: Path) -> None:
    async with playing(orgs=10) as caller:
        found = await read_with_sdk(python, [_as_asked(caller, index) for index in range(10)])
        for index, read in enumerate(found):
            org, counts = caller.sim.org(index), caller.sim.expected_counts(index)
            assert read["counts"] == counts
            assert read["org"] == {
                "company_name": org.name,
                "zgid": org.zgid,
                "time_zone": org.time_zone,
                "paid_type": org.edition,
                "users_license_purchased": org.licences,
            }
            bought = {
                "limits": org.licences,
                "used_count": counts["ActiveUsers"],
                "available_count": org.licences - counts["ActiveUsers"],
            }
            assert read["licences"] == (None if org.edition == "free" else bought)
        audit = caller.sim.audit()
        assert audit["breaches"] == []
        assert audit["requests"] == {"token": 10, "count": 100, "org": 10, "licences": 10}


async def test_zohos_sdk_can_use_a_grant_code_and_understands_the_simulated_errors(python: Path) -> None:
    async with playing(faults=(Fault(name="no_permission", user_type="AdminUsers"),)) as caller:
        (read,) = await read_with_sdk(python, [_as_asked(caller, 0, by="grant_code")])
        assert read["counts"] == caller.sim.expected_counts(0) | {"AdminUsers": "NO_PERMISSION"}
        assert caller.breaches == []
