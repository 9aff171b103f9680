"""The demo: a simulated Zoho, its own database, months of history, and polls every few seconds.

Only Zoho is simulated: the history is written by the store, and polls use HTTP and the limits. The demo uses only its
own database, even if the settings name another, and refuses to start twice in the same folder.
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
from poller.app import App, open_app, open_runner
from poller.core.datacenters import with_operators
from poller.core.errors import UsageError
from poller.core.model import COLUMNS, Outcome, Snapshot
from poller.core.org_entry import OrgEntry, entry_from
from poller.core.slots import slot_of, slots_between
from poller.embedded.exchange import unused
from poller.polling.poll_all import poll_all
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

    from poller.polling.poll_all import Committed
    from poller.polling.results import PollResult
    from poller.polling.runner import PollRunner
    from poller.settings import Settings

FOLDER: Final = "demo"
"""The folder in `DATA_DIR` with the demo's database and key; the next demo uses it again."""
MADE_OF: Final = "demo.json"
"""The file in the demo's folder that says for which fleet its database was made."""
HISTORY_INTERVAL_SECONDS: Final = 3_600
_BATCH: Final = 1_000
_WEEK: Final = 7
_OUTAGE_EVERY: Final = 97
"""About one of 97 days of an org's history is an outage, so that the demo shows what gaps look like."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The size of the fleet, the length of its history in days, and the interval of its polls in seconds."""

    orgs: int = 12
    seed: int = 2026
    days: int = 120
    every_seconds: int = 5

    @property
    def history(self) -> dict[str, int]:
        """The options that determine the demo's database; if they change, the demo needs a new one."""
        return {"orgs": self.orgs, "seed": self.seed, "days": self.days}


class Demo:
    """A running demo; `open_demo` returns it."""

    def __init__(self, app: App, simulator: Simulator, fleet: PollRunner, options: DemoOptions) -> None:
        self.app = app
        self.simulator = simulator
        self._fleet = fleet
        self._options = options
        self._polled: dict[int, datetime] = {}
        self._ids: list[int] = []

    async def import_fleet(self) -> int:
        """Imports the simulated orgs, like `poller orgs import`; returns how many there are."""
        entries = [entry_from(org.row(), self.app.settings.data_centers) for org in self.simulator.fleet()]
        valid = [entry for entry in entries if isinstance(entry, OrgEntry)]
        await import_orgs(self.app.database, self.app.keyring, valid)
        self._ids = [org.id for org in await find_orgs(self.app.database, [entry.name for entry in valid])]
        return len(valid)

    async def back_fill(self, progress: Callable[[int, int], None]) -> int:
        """Writes the missing history, hour by hour; returns how many snapshots. `progress(done, total)` counts them."""
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
            batch.extend(self._past_snapshot(index, org_id, slot) for index, org_id in enumerate(self._ids))
            if len(batch) >= _BATCH or slot == slots[-1]:
                await write_snapshots(self.app.database, batch, new=True)
                done += len(batch)
                batch = []
                progress(done, total)
        return done

    async def analyse(self) -> None:
        """Writes the seats of the history, one reading a week, and the forecasts and anomalies."""
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
        """Polls every org whose current slot has not been polled yet."""

        def remember(batch: Sequence[PollResult]) -> None:
            self._polled.update({one.org.id: one.snapshot.slot for one in batch})
            committed(batch)

        await poll_all(self._fleet, None, remember, wanted=lambda org_id, slot: self._polled.get(org_id) != slot)

    def _past_snapshot(self, index: int, org_id: int, slot: datetime) -> Snapshot:
        """The snapshot that a poll at `slot` would have written."""
        if crc32(f"{self._options.seed}:{index}:{slot.date()}".encode()) % _OUTAGE_EVERY == 0:
            return Snapshot(org_id, slot, slot, Outcome.UNAVAILABLE, "http_503", requests=30, duration_ms=2_000)
        expected = self.simulator.expected_counts(index, slot)
        counts = {user_type: expected[user_type] for user_type in COLUMNS}
        return Snapshot(org_id, slot, slot, Outcome.OK, requests=len(COLUMNS), duration_ms=120, counts=counts)


@asynccontextmanager
async def open_demo(settings: Settings, options: DemoOptions) -> AsyncIterator[Demo]:
    """Starts the simulator and opens the demo's database; imports nothing yet."""
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
                    # No other program uses these orgs' credits, and the demo polls more often than a service.
                    "credit_share": 1.0,
                }
            )
            async with open_app(own, name="poller demo", create=True) as app, open_runner(app) as fleet:
                yield Demo(app, simulator, fleet, options)


def is_of_another_fleet(folder: Path, options: DemoOptions) -> bool:
    """True if the demo's database has another fleet than `options`, or fewer days."""
    if not embedded.is_made(folder):
        return False
    try:
        made = json.loads((folder / MADE_OF).read_text(encoding="utf-8"))
        return bool(made != {**options.history, "days": max(made["days"], options.days)})
    except (OSError, ValueError, TypeError, KeyError):
        return True


def forget_another_fleet(folder: Path, options: DemoOptions) -> None:
    """Removes the demo's database if it has another fleet, and records the options of the next one."""
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
