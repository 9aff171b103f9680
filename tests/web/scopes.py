"""Two customers in one database, every kind of access key, and the table of what each route answers to whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.admin.access import add_key, revoke_key
from poller.core.callers import Right
from poller.core.model import COLUMNS, Outcome, Snapshot
from poller.core.slots import slot_of
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from tests.alert_rows import add_alert
from tests.store.fleet import added, entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

TAGS: Final = {"a": "customer:aardvark", "b": "customer:buzzard"}
NAMES: Final = {"a": ("Aardvark Mining", "Aardvark Trading"), "b": ("Buzzard Holdings", "Buzzard Transport")}
COUNTS: Final = {"a": 3_001_319, "b": 4_096_117}
"""Every count of each org; long enough to be no part of another number by chance."""
FIRST_ID: Final = 7_310_001
"""Ids that appear in a text in no other way."""
NO_ORG: Final = 7_319_999
FIRST_ALERT: Final = 7_320_001
_DAYS: Final = 12

_ROWS: Final = (
    """
    INSERT INTO seat_readings (org_id, taken_at, purchased, used, edition, renews_on, source)
    SELECT id, now() - interval '3 hours', 50000, 40000, 'enterprise', current_date + 20, 'features' FROM orgs
    """,
    """
    INSERT INTO seat_contracts (org_id, purchased, price, currency, renews_on, updated_at)
    SELECT id, 50000 + id, 20, 'EUR', current_date + 20, now() FROM orgs
    """,
    """
    INSERT INTO forecast_results (org_id, user_type, made_at, last_day, level, per_day, method, seats, exhausted_on,
                                  backtest_error, backtest_windows)
    SELECT id, 'ActiveUsers', now(), current_date - 1, 40, 1, 'trend', 50, current_date + 10, 0.5, 4 FROM orgs
    """,
    """
    INSERT INTO found_anomalies (org_id, user_type, day, kind, before, after, expected_low, expected_high, severity,
                                 why, found_at)
    SELECT id, 'ActiveUsers', current_date - 2, 'step', 10, 20, 9, 11, 'high', 'rose from 10 to 20', now() FROM orgs
    """,
    "INSERT INTO alert_exclusions (org_id, user_type, created_by) SELECT id, 'AdminUsers', 'test' FROM orgs",
)

_ALERT_IDS: Final = "SELECT setval(pg_get_serial_sequence('alert_states', 'id'), $1, false)"


@dataclass(frozen=True)
class Asker:
    """Somebody who sends requests: the headers that show a key or a session, and what the key allows."""

    name: str
    headers: Mapping[str, str]
    right: Right | None = None
    """None: the key is not valid."""
    tag: str | None = None
    """A letter of `TAGS`; None: every org, if the key is valid."""

    def sees(self, customer: str) -> bool:
        return self.right is not None and self.tag in {None, customer}


@dataclass
class Scopes:
    """The database of two customers."""

    database: Database
    keyring: Keyring
    ids: dict[str, list[int]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    alerts: dict[str, list[int]] = field(default_factory=dict)
    """The alerts about the orgs of each customer."""
    alert_of_all: int = 0
    """An alert about no org."""

    async def fill(self) -> None:
        """Imports two orgs of each customer, with everything a page may show of them."""
        # scopes.ids
        await self.database.execute("SELECT setval(pg_get_serial_sequence('orgs', 'id'), $1, false)", FIRST_ID)
        for customer, names in NAMES.items():
            self.ids[customer] = await added(self.database, self.keyring, *map(entry, names))
            # scopes.tags
            await self.database.execute(
                "UPDATE orgs SET tags = $1, edition = $2, licences = 50000 WHERE id = ANY($3)",
                [TAGS[customer], f"only-{customer}"],
                f"edition-{customer}",
                self.ids[customer],
            )
        now = self.database.clock.now()
        hour = slot_of(now, 3_600)
        slots = [hour - timedelta(days=back) for back in range(_DAYS, 0, -1)] + [hour - timedelta(hours=2), hour]
        for slot in slots:
            await write_snapshots(self.database, [*self._snapshots(slot)])
        await roll_up(self.database, now.date())
        for statement in _ROWS:
            await self.database.execute(statement)
        await self._park(now)
        await self.database.execute(_ALERT_IDS, FIRST_ALERT)
        self.alert_of_all = await add_alert(self.database, "worker_clock", None, subject="host-1")
        self.alerts = {
            customer: [
                await add_alert(self.database, "seats_used", org_id, message=NAMES[customer][0]) for org_id in ids
            ]
            for customer, ids in self.ids.items()
        }

    async def find_alerts(self) -> None:
        """Finds the alerts of a database that is filled already."""
        # scopes.alerts
        rows = await self.database.fetch("SELECT id, org_id FROM alert_states ORDER BY id")
        self.alert_of_all = next(row["id"] for row in rows if row["org_id"] is None)
        self.alerts = {who: [row["id"] for row in rows if row["org_id"] in ids] for who, ids in self.ids.items()}

    def _snapshots(self, slot: datetime) -> Sequence[Snapshot]:
        return [
            Snapshot(
                org_id, slot, slot, Outcome.OK, requests=10, duration_ms=100, counts=dict.fromkeys(COLUMNS, COUNTS[who])
            )
            if slot.day % 5
            else Snapshot(org_id, slot, slot, Outcome.UNAVAILABLE, "http_503", requests=30, duration_ms=100)
            for who, ids in self.ids.items()
            for org_id in ids
        ]

    async def _park(self, now: datetime) -> None:
        """The second org of each customer needs a person."""
        await self.database.execute(
            """
            UPDATE orgs SET parked_at = $1::timestamptz, parked_code = 'invalid_code', parked_outcome = 'unauthorized',
                            parked_remedy = 'import it again', probe_at = $1::timestamptz + interval '1 day'
            WHERE id = ANY($2)
            """,
            now - timedelta(hours=1),
            [ids[1] for ids in self.ids.values()],
        )

    async def askers(self) -> list[Asker]:
        """Everybody: each kind of key, as a header."""
        made = [Asker("no key", {}), Asker("a wrong key", _bearer(f"poller_1_{'0' * 64}"))]
        for name, right, tag in (
            ("read all", Right.READ, None),
            ("operate all", Right.OPERATE, None),
            ("read a", Right.READ, "a"),
            ("operate a", Right.OPERATE, "a"),
            ("read b", Right.READ, "b"),
        ):
            key = await self._add(name, right, tag)
            made.append(Asker(name, _bearer(key), right, tag))
        expired, revoked = (
            await self._add("expired", Right.OPERATE, "a"),
            await self._add("revoked", Right.OPERATE, "a"),
        )
        # scopes.expire
        await self.database.execute(
            "UPDATE access_keys SET expires_at = now() - interval '1 minute' WHERE name = 'expired'"
        )
        await revoke_key(self.database, "revoked")
        return [*made, Asker("expired", _bearer(expired)), Asker("revoked", _bearer(revoked))]

    async def _add(self, name: str, right: Right, tag: str | None) -> str:
        tags = [] if tag is None else [TAGS[tag]]
        _, text = await add_key(self.database, self.keyring, name, right=right, tags=tags)
        self.keys[name] = text.reveal()
        return self.keys[name]


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def traces(customer: str) -> list[str]:
    """Texts that are in a body only if it tells of an org of this customer."""
    numbers = (COUNTS[customer], len(NAMES[customer]) * COUNTS[customer], sum(COUNTS.values()))
    texts = (text for number in numbers for text in (str(number), f"{number:,}"))
    return [*NAMES[customer], TAGS[customer], f"only-{customer}", f"edition-{customer}", *texts]
