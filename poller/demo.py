"""The demo: a simulated Zoho, a database of its own, months of history, and polls every few seconds.

Everything real but Zoho: the history goes in by the store's own writing path, the polls over HTTP under the limits. It
touches no database but its own, whatever the settings say, and refuses to start twice over the same folder.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from zlib import crc32

from poller import embedded
from poller.app import App, open_app, open_fleet
from poller.core.datacenters import with_operators
from poller.core.errors import UsageError
from poller.core.model import COLUMNS, Outcome, Snapshot
from poller.core.org_entry import OrgEntry, entry_from
from poller.core.slots import slot_of, slots_between
from poller.embedded.exchange import unused
from poller.query.capacity import SEAT_TYPE
from poller.settings import KEY_FILE
from poller.simulator import Simulator, SimulatorOptions
from poller.store.capacity.seats import SeatReading, save_seats
from poller.store.orgs.imports import import_orgs
from poller.store.orgs.orgs import find_orgs
from poller.store.series.snapshots import write_snapshots
from poller.worker.analyses import forecast_fleet, search_anomalies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from poller.polling.runner import Committed, PollResult, PollRunner
    from poller.settings import Settings

FOLDER: Final = "demo"
"""In `DATA_DIR`: the demo's database and key, kept from one demo to the next."""
MADE_OF: Final = "demo.json"
"""In the demo's folder: which fleet its database is of."""
HISTORY_INTERVAL_SECONDS: Final = 3_600
_BATCH: Final = 1_000
_WEEK: Final = 7
_OUTAGE_EVERY: Final = 97
"""Of an org's days of history about one in so many is an outage: without gaps nobody would see what they look like."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How large a fleet, how long its history, how often it is polled."""

    orgs: int = 12
    seed: int = 2026
    days: int = 120
    every_seconds: int = 5

    @property
    def history(self) -> dict[str, int]:
        """What the demo's database is made of; another fleet needs another one."""
        return {"orgs": self.orgs, "seed": self.seed, "days": self.days}


class Demo:
    """A demo under way: what `open_demo` hands out."""

    def __init__(self, app: App, simulator: Simulator, fleet: PollRunner, options: DemoOptions) -> None:
        self.app = app
        self.simulator = simulator
        self._fleet = fleet
        self._options = options
        self._polled: dict[int, datetime] = {}
        self._ids: list[int] = []

    async def import_fleet(self) -> int:
        """Bring the simulated orgs in, as `poller orgs import` would; how many there are."""
        entries = [entry_from(org.row(), self.app.settings.data_centers) for org in self.simulator.fleet()]
        good = [entry for entry in entries if isinstance(entry, OrgEntry)]
        await import_orgs(self.app.database, self.app.keyring, good)
        self._ids = [org.id for org in await find_orgs(self.app.database, [entry.name for entry in good])]
        return len(good)

    async def back_fill(self, progress: Callable[[int, int], None]) -> int:
        """Write the history that is not there yet, hour by hour; `progress(done, total)` in snapshots; how many."""
        until = slot_of(self.app.database.clock.now(), HISTORY_INTERVAL_SECONDS)
        # demo.history: how far an earlier demo got.
        newest = await self.app.database.fetchval("SELECT max(slot) FROM org_snapshots WHERE slot < $1", until)
        since = until - timedelta(days=self._options.days)
        if newest is not None:
            since = max(since, slot_of(newest, HISTORY_INTERVAL_SECONDS) + timedelta(seconds=HISTORY_INTERVAL_SECONDS))
        slots = slots_between(since, until, HISTORY_INTERVAL_SECONDS)
        total, done = len(slots) * len(self._ids), 0
        batch: list[Snapshot] = []
        for slot in slots:
            batch.extend(self._remembered(index, org_id, slot) for index, org_id in enumerate(self._ids))
            if len(batch) >= _BATCH or slot == slots[-1]:
                await write_snapshots(self.app.database, batch, new=True)
                done += len(batch)
                batch = []
                progress(done, total)
        return done

    async def analyse(self) -> None:
        """Keep the seats of the history, a reading a week, and the forecasts and anomalies a service would make."""
        database, now = self.app.database, self.app.database.clock.now()
        for index, org_id in enumerate(self._ids):
            edition = self.simulator.org(index).edition
            for weeks in range(self._options.days // _WEEK, -1, -1):
                at = slot_of(now - timedelta(weeks=weeks), HISTORY_INTERVAL_SECONDS)
                used = self.simulator.expected_count(index, SEAT_TYPE, at)
                reading = SeatReading(self.simulator.licences(index, at), used, edition, None, "features")
                await save_seats(database, org_id, reading, at)
        await forecast_fleet(database, now)
        await search_anomalies(database, now)

    async def poll(self, committed: Committed) -> None:
        """Poll every org whose slot has not been polled yet."""

        def remember(batch: Sequence[PollResult]) -> None:
            self._polled.update({one.org.id: one.snapshot.slot for one in batch})
            committed(batch)

        await self._fleet.poll_all(None, remember, wanted=lambda org_id, slot: self._polled.get(org_id) != slot)

    def _remembered(self, index: int, org_id: int, slot: datetime) -> Snapshot:
        """What a poll at `slot` would have found."""
        if crc32(f"{self._options.seed}:{index}:{slot.date()}".encode()) % _OUTAGE_EVERY == 0:
            return Snapshot(org_id, slot, slot, Outcome.UNAVAILABLE, "http_503", requests=30, duration_ms=2_000)
        truths = self.simulator.expected_counts(index, slot)
        counts = {user_type: truths[user_type] for user_type in COLUMNS}
        return Snapshot(org_id, slot, slot, Outcome.OK, requests=len(COLUMNS), duration_ms=120, counts=counts)


@asynccontextmanager
async def open_demo(settings: Settings, options: DemoOptions) -> AsyncIterator[Demo]:
    """The simulator listening, the demo's database open, nothing imported yet."""
    folder = settings.data_dir / FOLDER
    with _only_one(folder):
        forget_another_fleet(folder, options)
        async with Simulator(SimulatorOptions(orgs=options.orgs, seed=options.seed)) as simulator:
            own = settings.model_copy(
                update={
                    "database_url": None,
                    "secret_keys": None,
                    "proxy": None,
                    "data_dir": folder,
                    "data_centers": with_operators(simulator.data_centers_setting()),
                    "poll_interval_seconds": options.every_seconds,
                    # Nobody else uses these orgs' credits, and a demo polls more often than a service would.
                    "credit_share": 1.0,
                }
            )
            async with open_app(own, name="poller demo", create=True) as app, open_fleet(app) as fleet:
                yield Demo(app, simulator, fleet, options)


def is_of_another_fleet(folder: Path, options: DemoOptions) -> bool:
    """Whether the demo's database is of other orgs than `options` ask for, or of fewer days."""
    if not embedded.is_made(folder):
        return False
    try:
        made = json.loads((folder / MADE_OF).read_text(encoding="utf-8"))
        return bool(made != {**options.history, "days": max(made["days"], options.days)})
    except (OSError, ValueError, TypeError, KeyError):
        return True


def forget_another_fleet(folder: Path, options: DemoOptions) -> None:
    """Remove the demo's database where it is of another fleet, and note what the next one is made of."""
    made_of = folder / MADE_OF
    if is_of_another_fleet(folder, options):
        with unused(folder):
            made_of.unlink(missing_ok=True)
            shutil.rmtree(folder / "postgresql")
            (folder / KEY_FILE).unlink(missing_ok=True)
    if not made_of.exists():
        made_of.write_text(json.dumps(options.history), encoding="utf-8")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another demo is running in {folder}", "end it, or set POLLER_DATA_DIR to another folder"
            ) from None
        yield
