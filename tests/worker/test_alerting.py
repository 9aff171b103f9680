"""The evaluation of alert rules on a real database: what fires, what is over, and what is announced."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from poller.core.alerts import AlertFilter, AlertState, Exclusion, Severity
from poller.core.errors import ConflictError
from poller.store.capacity.alert_rules import delete_exclusion, list_rules, remove_rule, save_exclusion, save_rule
from poller.store.capacity.alert_states import delete_expired_alerts
from poller.store.capacity.alerts import (
    acknowledge,
    count_alerts,
    key_of,
    read_alerts,
    read_changes,
    snooze,
    unacknowledge,
    unsnooze,
)
from poller.store.locks import Lock, lock
from poller.worker.alerting import evaluate_alerts
from tests.store.capacity.alerts import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    add_anomaly,
    add_counts,
    add_org,
    add_rule,
    alert_rule,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.alerts import Alert, AlertRule, AlertTransition
    from poller.store.database import Database
    from poller.store.queries import Connection

STEP = MINUTE / 2


class Installation:
    """One org and one rule at a time of its own; every transition is kept."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.transitions: list[AlertTransition] = []

    async def enqueue(self, _connection: Connection, transitions: Sequence[AlertTransition]) -> None:
        self.transitions += transitions

    async def evaluate(self, after: Any = STEP) -> list[tuple[str, bool]]:
        """Evaluates after that time; returns the new states and whether they are announced."""
        self.now += after
        before = len(self.transitions)
        await evaluate_alerts(self.database, self.now, self.enqueue)
        return [(one.to_state, one.announce) for one in self.transitions[before:]]

    async def park(self, org_id: int, *, parked: bool = True) -> None:
        at, code = (NOW, "invalid_code") if parked else (None, None)
        await self.database.execute("UPDATE orgs SET parked_at = $2, parked_code = $3 WHERE id = $1", org_id, at, code)

    async def add(self, rule: AlertRule, org: str = "acme", **columns: Any) -> int:
        """Adds the rule, and an org; returns the id of the org."""
        async with self.database.transaction() as connection:
            await add_rule(connection, rule)
            return await add_org(connection, org, **columns)

    async def alerts(self, **conditions: Any) -> list[Alert]:
        return await read_alerts(self.database, AlertFilter(**conditions))

    async def rule(self, name: str) -> AlertRule:
        return next(rule for rule in await list_rules(self.database) if rule.name == name)


@pytest.fixture
def installation(database: Database) -> Installation:
    return Installation(database)


async def test_a_new_installation_fires_for_a_parked_org_and_says_when_it_works_again(
    installation: Installation,
) -> None:
    async with installation.database.transaction() as connection:
        org_id = await add_org(connection, resumed_at=NOW)
    assert await installation.evaluate() == []
    await installation.park(org_id)
    assert await installation.evaluate() == [("firing", True)]
    (alert,) = await installation.alerts()
    assert (alert.rule, alert.org, alert.state, alert.severity) == ("org_parked", "acme", "firing", "critical")
    assert alert.message == "polls have stopped until a person repairs the org: invalid_code"
    assert alert.remedy
    assert alert.since == alert.fired_at == installation.now
    assert await installation.evaluate() == []
    await installation.park(org_id, parked=False)
    assert await installation.evaluate() == [("resolved", True)]
    (alert,) = await installation.alerts()
    assert (alert.state, alert.resolved_at) == ("resolved", installation.now)
    changes = await read_changes(installation.database, alert.id)
    assert [(one.from_state, one.to_state, one.by) for one in changes] == [
        ("firing", "resolved", "poller"),
        (None, "firing", "poller"),
    ]


async def test_an_alert_says_the_value_and_the_threshold_it_exceeds(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("ActiveUsers", ">", 1_000))
    async with installation.database.connection() as connection:
        await add_counts(connection, org_id, NOW, active_users=1_234)
    await installation.evaluate()
    (alert,) = await installation.alerts()
    assert (alert.user_type, alert.value, alert.threshold) == ("ActiveUsers", 1_234, 1_000)
    assert alert.message == "ActiveUsers is 1,234 (alert: more than 1,000)"


async def test_unknown_counts_neither_fire_nor_resolve_and_the_alert_says_so(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("ActiveUsers", ">", 10))
    async with installation.database.connection() as connection:
        await add_counts(connection, org_id, NOW, active_users=11)
    await installation.evaluate()
    assert await installation.evaluate(40 * MINUTE) == []
    (alert,) = await installation.alerts()
    assert (alert.state, alert.value, alert.unknown_since) == ("firing", 11, installation.now)
    assert alert.message.endswith(f"; nothing is known since {installation.now:%Y-%m-%d %H:%M} UTC")
    async with installation.database.connection() as connection:
        await add_counts(connection, org_id, installation.now, active_users=12)
    assert await installation.evaluate() == []
    (alert,) = await installation.alerts()
    assert (alert.value, alert.unknown_since, alert.message) == (12, None, "ActiveUsers is 12 (alert: more than 10)")


async def test_a_corrected_count_resolves_the_alert_it_fired(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("ActiveUsers", ">", 10))
    async with installation.database.connection() as connection:
        await add_counts(connection, org_id, NOW, active_users=11)
        assert await installation.evaluate() == [("firing", True)]
        await add_counts(connection, org_id, NOW, active_users=9)
        assert await installation.evaluate() == [("resolved", True)]
    (alert,) = await installation.alerts()
    assert (alert.value, alert.resolved_reason) == (9, "the condition is over")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE orgs SET paused_at = now()", "the org is paused"),
        ("UPDATE orgs SET removed_at = now()", "the org was removed"),
        ("UPDATE alert_rules SET enabled = false", "the rule is disabled"),
        ("UPDATE alert_rules SET tags = '{gold}'", "the rule no longer covers the org"),
        ("INSERT INTO alert_exclusions (org_id, created_by) SELECT id, 'test' FROM orgs", "it is excluded"),
    ],
    ids=["paused", "removed", "disabled", "tags", "excluded"],
)
async def test_an_alert_whose_subject_is_no_longer_watched_is_resolved_silently_and_later_a_new_one(
    installation: Installation, change: str, reason: str
) -> None:
    org_id = await installation.add(alert_rule("parked"))
    await installation.park(org_id)
    await installation.evaluate()
    await installation.database.execute(change)
    assert await installation.evaluate() == [("resolved", False)]
    (alert,) = await installation.alerts()
    assert alert.resolved_reason == reason
    for statement in (
        "UPDATE orgs SET paused_at = NULL, removed_at = NULL",
        "UPDATE alert_rules SET enabled = true, tags = '{}' WHERE metric = 'parked' AND id > 8",
        "DELETE FROM alert_exclusions",
    ):
        await installation.database.execute(statement)
    assert await installation.evaluate() == [("firing", True)]
    assert len(await installation.alerts()) == 2


async def test_a_removed_rule_resolves_its_alerts_at_once(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("parked"))
    await installation.park(org_id)
    await installation.evaluate()
    async with installation.database.transaction() as connection:
        assert await remove_rule(connection, "rule_parked", installation.now, by="north")
        assert not await remove_rule(connection, "rule_parked", installation.now)
    (alert,) = await installation.alerts()
    assert (alert.state, alert.resolved_reason) == ("resolved", "the rule was removed")
    assert (await read_changes(installation.database, alert.id, limit=1))[0].by == "north"
    assert await installation.evaluate() == []
    assert [rule.name for rule in await list_rules(installation.database, removed=True)].count("rule_parked") == 1
    async with installation.database.transaction() as connection:
        with pytest.raises(ConflictError, match="removed"):
            await save_rule(connection, replace(alert_rule("parked"), id=9), NOW)


async def test_a_rule_that_watches_another_metric_resolves_what_it_fired(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("parked"))
    await installation.park(org_id)
    await installation.evaluate()
    changed = replace(await installation.rule("rule_parked"), metric="ActiveUsers", comparison=">", threshold=5)
    async with installation.database.transaction() as connection:
        await save_rule(connection, changed, installation.now)
    (alert,) = await installation.alerts()
    assert alert.resolved_reason == "the rule watches another metric now"


async def test_a_lower_threshold_fires_and_a_higher_one_resolves(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("ActiveUsers", ">", 10))
    async with installation.database.connection() as connection:
        await add_counts(connection, org_id, NOW, active_users=8)
    assert await installation.evaluate() == []
    rule = await installation.rule("rule_activeusers")
    for threshold, changes in ((5, [("firing", True)]), (8, [("resolved", True)])):
        async with installation.database.transaction() as connection:
            await save_rule(connection, replace(rule, threshold=threshold), installation.now)
        assert await installation.evaluate() == changes


async def test_two_rules_cannot_have_one_name(installation: Installation) -> None:
    async with installation.database.transaction() as connection:
        with pytest.raises(ConflictError, match="org_parked"):
            await save_rule(connection, alert_rule("parked", name="org_parked"), NOW)


async def test_an_anomaly_fires_once_and_is_over_after_seven_days(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("admins_up"))
    async with installation.database.connection() as connection:
        await add_anomaly(connection, org_id, "admins_up", NOW)
    assert await installation.evaluate() == [("firing", True)]
    assert await installation.evaluate() == []
    (alert,) = await installation.alerts()
    assert (alert.user_type, alert.subject, alert.message) == ("AdminUsers", str(NOW.date()), "one more")
    assert await installation.evaluate(7 * DAY) == [("resolved", True)]
    (alert,) = await installation.alerts()
    assert alert.resolved_reason == "7 days have passed"


async def test_an_anomaly_that_later_counts_correct_is_over_at_once(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("admins_up", clear_seconds=86_400))
    async with installation.database.connection() as connection:
        await add_anomaly(connection, org_id, "admins_up", NOW)
    await installation.evaluate()
    await installation.database.execute("DELETE FROM found_anomalies")
    assert await installation.evaluate() == [("resolved", True)]
    (alert,) = await installation.alerts()
    assert alert.resolved_reason == "later counts corrected it"


async def test_the_alert_about_a_worker_that_no_longer_runs_is_over(installation: Installation) -> None:
    await installation.database.execute(
        "INSERT INTO workers (id, name, version, started_at, seen_at, facts)"
        " VALUES (gen_random_uuid(), 'host:1', '1', $1, $1, $2)",
        *(NOW, {"clock_wrong_seconds": 7_200}),
    )
    assert await installation.evaluate() == [("firing", True)]
    (alert,) = await installation.alerts()
    assert alert.message.startswith("the clock of the worker's machine is 7,200 s ahead of PostgreSQL's")
    assert alert.org is None
    assert await installation.evaluate(10 * MINUTE) == [("resolved", False)]


async def test_acknowledging_and_snoozing_can_be_undone(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("parked"))
    await installation.park(org_id)
    await installation.evaluate()
    (alert,) = await installation.alerts()
    until = NOW + HOUR
    async with installation.database.transaction() as connection:
        await acknowledge(connection, alert.id, "north", NOW)
        await acknowledge(connection, alert.id, "north", NOW)
        await unacknowledge(connection, alert.id, "north", NOW)
        await snooze(connection, alert.id, until, "north", NOW)
        await unsnooze(connection, alert.id, "north", NOW)
        await acknowledge(connection, alert.id, "north", NOW)
    assert await installation.evaluate() == []
    states = [one.to_state.value for one in await read_changes(installation.database, alert.id)]
    assert states == ["acknowledged", "firing", "snoozed", "firing", "acknowledged", "firing"]
    await installation.park(org_id, parked=False)
    assert await installation.evaluate() == [("resolved", True)]
    async with installation.database.transaction() as connection:
        for change in (acknowledge, unacknowledge, unsnooze):
            with pytest.raises(ConflictError, match="resolved"):
                await change(connection, alert.id, "north", NOW)
        with pytest.raises(ConflictError, match="no alert"):
            await acknowledge(connection, 999, "north", NOW)


async def test_a_snoozed_alert_is_announced_again_when_its_time_is_over(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("parked"))
    await installation.park(org_id)
    await installation.evaluate()
    (alert,) = await installation.alerts()
    async with installation.database.transaction() as connection:
        await snooze(connection, alert.id, installation.now + 2 * MINUTE, "north", installation.now)
    assert await installation.evaluate() == []
    assert await installation.evaluate(2 * MINUTE) == [("firing", True)]


async def test_an_alert_that_flaps_is_announced_once_an_hour(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("parked"))
    announced = 0
    for _ in range(60):
        await installation.park(org_id)
        announced += sum(told for _, told in await installation.evaluate(MINUTE))
        await installation.park(org_id, parked=False)
        await installation.evaluate(MINUTE)
    assert announced == 2
    (alert,) = await installation.alerts()
    flaps = await installation.database.fetchval("SELECT flaps FROM alert_states WHERE id = $1", alert.id)
    assert flaps == 59


async def test_an_evaluation_by_another_process_is_left_alone(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("parked"))
    await installation.park(org_id)
    async with installation.database.transaction() as other:
        await lock(other, Lock.ALERTS)
        said = await evaluate_alerts(installation.database, NOW, installation.enqueue)
    assert said == "another process evaluates the rules"
    assert installation.transitions == []


async def test_many_evaluations_at_once_fire_an_alert_once(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("parked"))
    await installation.park(org_id)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(evaluate_alerts(installation.database, NOW, installation.enqueue))
    assert [one.to_state for one in installation.transitions] == ["firing"]


async def test_the_metric_of_a_newer_release_is_left_to_its_workers(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("parked"))
    await installation.park(org_id)
    await installation.evaluate()
    await installation.database.execute("UPDATE alert_rules SET metric = 'of_tomorrow' WHERE metric = 'parked'")
    assert await installation.evaluate() == []
    assert [alert.state for alert in await installation.alerts()] == ["firing"]


async def test_an_org_purged_while_its_alert_is_open_takes_the_alert_along(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("parked"))
    await installation.park(org_id)
    await installation.evaluate()
    await installation.database.execute("DELETE FROM orgs")
    assert await installation.evaluate() == []
    assert await installation.alerts() == []


async def test_alerts_are_listed_by_state_severity_and_age_a_page_at_a_time(installation: Installation) -> None:
    org_id = await installation.add(alert_rule("parked", severity=Severity.CRITICAL))
    async with installation.database.transaction() as connection:
        await add_rule(connection, alert_rule("gap_hours", ">=", 1))
        for name in ("birch", "cedar"):
            await add_org(connection, name, tags=["gold"], data_center="us", parked_at=NOW, parked_code="x")
    await installation.park(org_id)
    await installation.evaluate()
    (resolved, *_) = await installation.alerts(org_ids=[org_id], rules=["rule_gap_hours"])
    async with installation.database.transaction() as connection:
        await acknowledge(connection, resolved.id, "north", NOW)
    listed = await installation.alerts()
    assert [(one.state.value, one.severity.value) for one in listed] == [
        *[("firing", "critical")] * 3,
        *[("firing", "warning")] * 2,
        ("acknowledged", "warning"),
    ]
    pages, after = [], None
    while page := await read_alerts(installation.database, AlertFilter(), after=after, limit=4):
        pages.append(page)
        after = key_of(page[-1])
    assert [len(page) for page in pages] == [4, 2]
    assert [one.id for page in pages for one in page] == [one.id for one in listed]
    for conditions, alerts in (
        ({"states": [AlertState.FIRING]}, 5),
        ({"severities": ["critical"]}, 3),
        ({"tags": ["gold"]}, 4),
        ({"data_centers": ["us"], "rules": ["rule_parked"]}, 2),
        ({"visible_tags": ["gold"]}, 4),
        ({"visible_tags": []}, 0),
        ({"search": "BIRCH"}, 2),
        ({"search": "50%_"}, 0),
    ):
        assert len(await installation.alerts(**conditions)) == alerts, conditions
    assert (await count_alerts(installation.database, ["gold"]))[AlertState.FIRING] == 4
    assert len(await read_changes(installation.database, None, visible_tags=["gold"])) == 4


async def test_an_exclusion_is_replaced_by_one_of_the_same_subject_and_can_be_deleted(
    installation: Installation,
) -> None:
    org_id = await installation.add(alert_rule("parked"))
    async with installation.database.transaction() as connection:
        one = Exclusion(0, None, org_id, None, "migration", None, "north")
        first = await save_exclusion(connection, one, NOW)
        second = await save_exclusion(connection, replace(one, reason="still"), NOW)
        assert first == second
        assert await delete_exclusion(connection, first)
        assert not await delete_exclusion(connection, first)


async def test_alerts_are_kept_for_400_days_after_they_are_over_and_those_that_never_fired_for_seven(
    installation: Installation,
) -> None:
    await installation.add(alert_rule("parked"))
    for state, fired, days in (
        ("resolved", NOW, 401),
        ("resolved", NOW, 399),
        ("resolved", None, 8),
        ("resolved", None, 6),
        ("firing", NOW, None),
    ):
        await installation.database.execute(
            "INSERT INTO alert_states (rule_id, subject, state, severity, since, counted_from, fired_at, resolved_at,"
            " message, remedy) VALUES (1, $1, $2, 'info', $3, $3, $4, $5, '', '')",
            *(f"{state} {fired} {days}", state, NOW, fired, None if days is None else NOW - days * DAY),
        )
    assert await delete_expired_alerts(installation.database, NOW) == 2
    rows = await installation.database.fetch("SELECT resolved_at FROM alert_states ORDER BY id")
    assert [row[0] for row in rows] == [NOW - 399 * DAY, NOW - 6 * DAY, None]
