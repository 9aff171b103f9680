"""Random sequences of counts, gaps, corrections, people and crashes on a real database, against the naive model.

Many orgs are evaluated together, each with a sequence of its own: every org and rule is one sequence.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from poller.core.alerts import Exclusion
from poller.core.errors import ConflictError
from poller.store.capacity.alert_rules import list_rules, save_exclusion, save_rule
from poller.store.capacity.alerts import acknowledge, snooze, unacknowledge
from poller.worker.alerting import evaluate_alerts
from tests.analysis.naive_alerts import NaiveAlert
from tests.store.capacity.alerts import NOW, add_org, add_rule, alert_rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from poller.core.alerts import AlertRule, AlertTransition
    from poller.store.database import Database
    from poller.store.queries import Connection

ORGS: Final = 250
STEPS: Final = 30
PAUSES: Final = (30, 30, 30, 60, 200, 301, 1_800, 7_200, -40)
STATES: Final = "SELECT rule_id, org_id, state, flaps FROM alert_states ORDER BY id"


class KilledError(Exception):
    """The process died at this statement."""


class DyingConnection:
    """A connection whose process dies at the n-th statement."""

    def __init__(self, connection: Connection, statements: int) -> None:
        self._connection = connection
        self._left = statements

    def __getattr__(self, name: str) -> Any:
        if name in {"fetch", "fetchval", "execute", "cursor"}:
            self._left -= 1
            if self._left < 0:
                raise KilledError
        return getattr(self._connection, name)


class DyingDatabase:
    """Its transactions roll back at the n-th statement."""

    def __init__(self, database: Database, statements: int) -> None:
        self._database = database
        self._statements = statements

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with self._database.transaction() as connection:
            yield DyingConnection(connection, self._statements)
            raise KilledError


class Fleet:
    """The database and the models, moved in step."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        self.database = database
        self.chance = chance
        self.seconds = 0
        self.rules: list[AlertRule] = []
        self.orgs: list[int] = []
        self.models: dict[tuple[int, int], NaiveAlert] = {}
        self.counts: dict[int, int | None] = {}
        self.paused: set[int] = set()
        self.excluded: set[int] = set()
        self.sent: list[tuple[int, int]] = []
        self.expected: list[tuple[int, int]] = []

    @property
    def now(self) -> Any:
        return NOW + timedelta(seconds=self.seconds)

    async def build(self) -> None:
        async with self.database.transaction() as connection:
            self.orgs = [await add_org(connection, f"org {n}") for n in range(ORGS)]
            await add_rule(connection, alert_rule("ActiveUsers", ">", 10, for_seconds=60, clear_seconds=60))
            await add_rule(connection, alert_rule("ActiveUsers", ">=", 5, name="low"))
        self.rules = [rule for rule in await list_rules(self.database) if rule.enabled]
        self.counts = dict.fromkeys(self.orgs)
        self.models = {(rule.id, org_id): NaiveAlert() for rule in self.rules for org_id in self.orgs}

    async def enqueue(self, _connection: Connection, transitions: Sequence[AlertTransition]) -> None:
        self.sent += [(one.rule.id, cast("int", one.alert.org_id)) for one in transitions if one.announce]

    async def poll(self) -> None:
        """New counts of some orgs, corrections of others, and gaps: the counts of the rest grow old."""
        for org_id in self.orgs:
            if self.chance.random() < 0.4:
                self.counts[org_id] = self.chance.choice([None, 0, 5, 10, 11, 11, 12])
        stale, known = self.now - timedelta(hours=2), self.now
        rows = [(org, known if count is not None else stale, count) for org, count in self.counts.items()]
        await self.database.execute(
            "INSERT INTO latest_snapshots (org_id, slot, polled_at, active_users)"
            " SELECT n.org_id, n.at, n.at, n.count FROM unnest($1::int[], $2::timestamptz[], $3::int[])"
            " AS n (org_id, at, count) ON CONFLICT (org_id)"
            " DO UPDATE SET slot = excluded.slot, polled_at = excluded.polled_at, active_users = excluded.active_users",
            *(list(column) for column in zip(*rows, strict=True)),
        )

    async def change(self) -> None:
        """People and the installation: pauses, exclusions, rules, acknowledgements, snoozes."""
        for chosen, column in ((self.paused, "paused_at"), (self.excluded, "")):
            for org_id in self.chance.sample(self.orgs, 6):
                chosen.symmetric_difference_update({org_id})
                if column:
                    at = self.now if org_id in chosen else None
                    await self.database.execute(f"UPDATE orgs SET {column} = $2 WHERE id = $1", org_id, at)
                elif org_id in chosen:
                    async with self.database.transaction() as connection:
                        exclusion = Exclusion(0, None, org_id, None, "", None, "test")
                        await save_exclusion(connection, exclusion, self.now)
                else:
                    await self.database.execute("DELETE FROM alert_exclusions WHERE org_id = $1", org_id)
        if self.chance.random() < 0.3:
            place = self.chance.randrange(len(self.rules))
            rule = replace(
                self.rules[place],
                for_seconds=self.chance.choice([0, 60, 90]),
                clear_seconds=self.chance.choice([0, 60]),
                threshold=self.chance.choice([5, 10, 11]),
                enabled=self.chance.random() < 0.8,
            )
            self.rules[place] = rule
            async with self.database.transaction() as connection:
                await save_rule(connection, rule, self.now)
        for row in await self.database.fetch("SELECT id, rule_id, org_id FROM alert_states WHERE state <> 'resolved'"):
            if self.chance.random() < 0.1:
                await self.act(row["id"], self.models[row["rule_id"], row["org_id"]])

    async def act(self, alert_id: int, model: NaiveAlert) -> None:
        action, until = self.chance.choice(["acknowledge", "snooze", "fire again"]), self.seconds + 400
        try:
            async with self.database.transaction() as connection:
                if action == "acknowledge":
                    await acknowledge(connection, alert_id, "test", self.now)
                elif action == "snooze":
                    await snooze(connection, alert_id, NOW + timedelta(seconds=until), "test", self.now)
                else:
                    await unacknowledge(connection, alert_id, "test", self.now)
        except ConflictError:
            assert model.state == "pending"
            return
        if action == "acknowledge":
            model.acknowledge()
        elif action == "snooze":
            model.snooze(until)
        else:
            model.fire_again()

    async def evaluate(self) -> None:
        """Sometimes the process is killed on the way; sometimes two evaluate at once."""
        if self.chance.random() < 0.5:
            dying = cast("Any", DyingDatabase(self.database, self.chance.randrange(12)))
            sent = list(self.sent)
            with pytest.raises(KilledError):
                await evaluate_alerts(dying, self.now, self.enqueue)
            self.sent = sent
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.chance.choice([1, 2])):
                tasks.create_task(evaluate_alerts(self.database, self.now, self.enqueue))
        for rule in self.rules:
            for org_id in self.orgs:
                self._expect(rule, org_id, self.models[rule.id, org_id])

    def _expect(self, rule: AlertRule, org_id: int, model: NaiveAlert) -> None:
        count, threshold = self.counts[org_id], rule.threshold or 0
        if not rule.enabled or org_id in self.paused or org_id in self.excluded:
            model.stop(self.seconds)
            return
        holds = None if count is None else count > threshold or (rule.comparison == ">=" and count == threshold)
        if model.evaluate(self.seconds, holds, rule.for_seconds, rule.clear_seconds):
            self.expected.append((rule.id, org_id))

    async def compare(self) -> None:
        alerts: dict[tuple[int, int], list[tuple[str, int]]] = {}
        for row in await self.database.fetch(STATES):
            alerts.setdefault((row["rule_id"], row["org_id"]), []).append((row["state"], row["flaps"]))
        for key, model in self.models.items():
            found = alerts.get(key, [])
            seen = (found[-1][0], found[-1][1], len(found)) if found else ("none", 0, 0)
            assert seen == (model.state, model.flaps, model.number), (key, self.seconds)


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_sequences_of_many_orgs_end_as_the_naive_model_says(database: Database, seed: int) -> None:
    fleet = Fleet(database, random.Random(seed))
    await fleet.build()
    for _ in range(STEPS):
        fleet.seconds += fleet.chance.choice(PAUSES)
        await fleet.poll()
        await fleet.change()
        await fleet.evaluate()
        await fleet.compare()
    assert sorted(fleet.sent) == sorted(fleet.expected)
    history = await database.fetchval("SELECT count(*) FROM alert_changes")
    print(f"{len(fleet.models)} sequences, {STEPS} evaluations, {len(fleet.sent)} messages, {history} changes")  # noqa: T201
    assert len(fleet.sent) > ORGS
