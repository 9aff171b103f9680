"""A complete installation with real parts: PostgreSQL, the simulated Zoho, and the poller between them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from poller.app import App, open_runner
from poller.core.datacenters import with_operators
from poller.polling.poll_all import poll_all
from poller.settings import Settings
from tests.simulated_fleet import import_fleet
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from poller.polling.results import PollResult
    from poller.simulator import Simulator
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


@dataclass(frozen=True)
class Customer:
    """A poller with a database, and the simulated Zoho whose orgs it polls."""

    app: App
    sim: Simulator

    async def poll(self, names: Sequence[str] | None = None) -> dict[str, PollResult]:
        """Polls the fleet once; returns the committed results by org name."""
        polled: dict[str, PollResult] = {}

        def committed(batch: Sequence[PollResult]) -> None:
            polled.update({one.org.name: one for one in batch})

        async with open_runner(self.app) as fleet:
            await poll_all(fleet, names, committed)
        return polled


@pytest.fixture
def customer(database: Database, keyring: Keyring) -> Callable[..., Any]:
    @asynccontextmanager
    async def look_after(sim: Simulator, **changes: Any) -> AsyncIterator[Customer]:
        settings = Settings(data_centers=with_operators(sim.data_centers_setting()), **changes)
        await import_fleet(database, keyring, sim, settings.data_centers)
        yield Customer(App(settings, database, keyring), sim)
        WITNESS.know_simulator(sim)

    return look_after
