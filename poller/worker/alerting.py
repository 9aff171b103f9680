"""Evaluates the alert rules: reads every metric, decides, and stores what changed with the messages about it.

All of it is one transaction, and one process at a time does it: an evaluation that is interrupted changes nothing, and
the next one does its work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.analysis.alert_rules import FLAP_WINDOW, RESOLVED, Evaluation
from poller.core.alerts import METRICS
from poller.core.quantities import count
from poller.store.capacity.alert_readings import stream_metric
from poller.store.capacity.alert_rules import list_rules
from poller.store.capacity.alert_states import (
    insert_alerts,
    insert_changes,
    read_current,
    read_facts,
    start_evaluation,
    update_alerts,
)
from poller.store.locks import Lock, try_lock
from poller.worker.alert_decisions import AlertUpdate, after_reading, without_reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from poller.core.alerts import AlertRule, AlertTransition
    from poller.store.capacity.alert_readings import AlertSubject
    from poller.store.capacity.alert_states import StoredAlert
    from poller.store.database import Database
    from poller.store.queries import Connection

    Enqueue = Callable[[Connection, Sequence[AlertTransition]], Awaitable[None]]


async def evaluate_alerts(database: Database, now: datetime, enqueue: Enqueue) -> str:
    """Evaluates every rule once; `enqueue` is called in the transaction that changes the alerts."""
    async with database.transaction() as connection:
        if not await try_lock(connection, Lock.ALERTS):
            return "another process evaluates the rules"
        # alerting.jit: compiling these statements takes longer than running them.
        await connection.execute("SET LOCAL jit = off")
        evaluation = Evaluation(now, await start_evaluation(connection, now))
        # A metric that this release does not know is left to the workers of the newer one.
        rules = {rule.id: rule for rule in await list_rules(connection) if rule.metric in METRICS}
        stored = await read_current(connection, now - FLAP_WINDOW)
        updates = await _decide(connection, rules, stored, evaluation)
        transitions = await _write(connection, rules, updates, now)
        if transitions:
            await enqueue(connection, transitions)
    return _describe(transitions)


async def _decide(
    connection: Connection,
    rules: Mapping[int, AlertRule],
    stored: Mapping[AlertSubject, StoredAlert],
    evaluation: Evaluation,
) -> list[AlertUpdate]:
    updates: list[AlertUpdate] = []
    unread = {about: one for about, one in stored.items() if one.state != RESOLVED and one.rule_id in rules}
    for metric in sorted({rule.metric for rule in rules.values() if rule.enabled}):
        async for reading in stream_metric(connection, metric, evaluation.now):
            about = reading.about
            unread.pop(about, None)
            update = after_reading(rules[reading.rule_id], stored.get(about), reading, evaluation)
            if update is not None:
                updates.append(update)
    return [*updates, *await _close(connection, rules, list(unread.values()), evaluation.now)]


async def _close(
    connection: Connection, rules: Mapping[int, AlertRule], unread: Sequence[StoredAlert], now: datetime
) -> list[AlertUpdate]:
    if not unread:
        return []
    facts = await read_facts(connection, [one.id for one in unread], now)
    closed = (without_reading(rules[one.rule_id], one, facts.get(one.id), now) for one in unread)
    return [update for update in closed if update is not None]


async def _write(
    connection: Connection, rules: Mapping[int, AlertRule], updates: Sequence[AlertUpdate], now: datetime
) -> list[AlertTransition]:
    new = await insert_alerts(connection, [update.row for update in updates if not update.row.id])
    await update_alerts(connection, [update.row for update in updates if update.row.id])
    stored = [(update, update.row.id or new.get(update.row.about, 0)) for update in updates]
    changed = [(update, alert_id) for update, alert_id in stored if update.is_transition and alert_id]
    known = await insert_changes(connection, [update.change(alert_id) for update, alert_id in changed], now)
    return [
        update.transition(alert_id, rules[update.row.rule_id], now) for update, alert_id in changed if alert_id in known
    ]


def _describe(transitions: Sequence[AlertTransition]) -> str:
    numbers: dict[str, int] = {}
    for one in transitions:
        numbers[one.to_state] = numbers.get(one.to_state, 0) + 1
    changes = ", ".join(f"{number} {state}" for state, number in sorted(numbers.items()))
    return f"{count(len(transitions), 'change')}{f': {changes}' if changes else ''}"
