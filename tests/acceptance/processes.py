"""`poller` as real processes over one PostgreSQL, for what only processes show: being killed, and being many."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests import command
from tests.witness import WITNESS

if TYPE_CHECKING:
    from poller.simulator import Simulator

KEYS = "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q="


@dataclass(frozen=True)
class Machine:
    """Where commands run: an environment, and nothing of the one the tests run in."""

    environ: dict[str, str]

    async def start(self, *arguments: str) -> command.Running:
        return await command.start(*arguments, environ=self.environ, inherit=False)

    async def run(self, *arguments: str, stdin: str = "") -> command.Ended:
        return await command.run(*arguments, stdin=stdin.encode(), environ=self.environ, inherit=False)


def machine(sim: Simulator, database_url: str, **settings: str) -> Machine:
    """A machine whose poller asks the simulated Zoho and keeps what it says in that database."""
    WITNESS.know_simulator(sim)
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME", "LANG") if name in os.environ}
    return Machine(
        {
            **inherited,
            "POLLER_DATABASE_URL": database_url,
            "POLLER_SECRET_KEYS": KEYS,
            "POLLER_DATA_CENTERS": json.dumps(sim.data_centers_setting()),
            **settings,
        }
    )
