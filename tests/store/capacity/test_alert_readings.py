"""What each metric of alert rules reads: known values, and when a reading is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from poller.core.alerts import ANOMALY_KINDS, METRICS, Exclusion
from poller.core.model import COLUMNS
from poller.store.capacity.alert_readings import STATEMENTS, read_metric
from poller.store.capacity.alert_rules import save_exclusion
from tests.store.capacity.alerts import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    add_anomaly,
    add_counts,
    add_org,
    add_rule,
    add_seats,
    alert_rule,
)

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.alerts import AlertRule
    from poller.store.capacity.alert_readings import AlertReading
    from poller.store.queries import Connection


async def holding(connection: Connection, rule: AlertRule) -> list[AlertReading]:
    """The readings of a new rule that hold, by org."""
    await add_rule(connection, rule)
    return await found(connection, rule.metric)


async def found(connection: Connection, metric: str) -> list[AlertReading]:
    return sorted(await read_metric(connection, metric, NOW), key=lambda one: (one.org or "", one.subject))


async def reading(connection: Connection, rule: AlertRule, org_id: int | None, subject: str = "") -> AlertReading:
    """The reading about an alert that is open, whatever is read."""
    rule_id = await add_rule(connection, rule)
    user_type = rule.metric if rule.metric in set(COLUMNS) else ""
    await connection.execute(
        "INSERT INTO alert_states (rule_id, org_id, user_type, subject, state, severity, since, counted_from, message,"
        " remedy) VALUES ($1, $2, $3, $4, 'firing', 'warning', $5, $5, '', '')",
        *(rule_id, org_id, user_type, subject, NOW),
    )
    (one,) = await found(connection, rule.metric)
    return one


def test_every_metric_of_a_rule_has_a_statement() -> None:
    assert set(STATEMENTS) == set(METRICS)


@pytest.mark.parametrize("metric", METRICS)
async def test_no_metric_holds_for_a_fleet_without_orgs_and_workers(connection: Connection, metric: str) -> None:
    comparison, threshold = (None, None) if METRICS[metric].unit is None else (">=", 0)
    assert await holding(connection, alert_rule(metric, comparison, threshold)) == []


@pytest.mark.parametrize(("user_type", "column"), COLUMNS.items())
async def test_a_count_is_compared_for_each_user_type(connection: Connection, user_type: str, column: str) -> None:
    above, below = await add_org(connection, "above"), await add_org(connection, "below")
    await add_counts(connection, above, NOW - MINUTE, **{column: 11})
    await add_counts(connection, below, NOW - MINUTE, **{column: 10})
    (one,) = await holding(connection, alert_rule(user_type, ">", 10))
    assert (one.org, one.user_type, one.value) == ("above", user_type, 11)


@pytest.mark.parametrize(
    ("comparison", "holds"), [(">", False), (">=", True), ("<", False), ("<=", True)], ids=["gt", "ge", "lt", "le"]
)
async def test_a_value_equal_to_the_threshold_holds_only_with_or_equal(
    connection: Connection, comparison: str, holds: bool
) -> None:
    org_id = await add_org(connection)
    await add_counts(connection, org_id, NOW, active_users=0)
    one = await reading(connection, alert_rule("ActiveUsers", comparison, 0), org_id)
    assert (one.holds, one.value) == (holds, 0)


@pytest.mark.parametrize(
    ("polled_at", "holds"),
    [
        (NOW - 31 * MINUTE + MINUTE / 60, True),
        (NOW - 31 * MINUTE, None),
        (NOW + MINUTE / 20, True),
        (NOW + MINUTE, None),
    ],
    ids=["two intervals ago", "later than that", "within the tolerance of clocks", "in the future"],
)
async def test_a_count_is_known_for_two_intervals_and_a_minute(
    connection: Connection, polled_at: datetime, holds: bool | None
) -> None:
    org_id = await add_org(connection)
    await add_counts(connection, org_id, polled_at, active_users=20)
    one = await reading(connection, alert_rule("ActiveUsers", ">", 10), org_id)
    assert (one.holds, one.value) == (holds, 20 if holds else None)


async def test_a_count_whose_type_was_known_last_yesterday_is_unknown_although_others_are_known(
    connection: Connection,
) -> None:
    org_id = await add_org(connection)
    await add_counts(connection, org_id, NOW, active_users=20, admin_users=20, admin_users_polled_at=NOW - DAY)
    assert (await reading(connection, alert_rule("AdminUsers", ">", 10), org_id)).holds is None


async def test_the_counts_of_an_org_that_was_never_polled_are_unknown(connection: Connection) -> None:
    org_id = await add_org(connection)
    assert (await reading(connection, alert_rule("ActiveUsers", "<", 10), org_id)).holds is None


@pytest.mark.parametrize(
    ("seats", "used", "percent"),
    [
        ((50, None, None), 48, 96),
        ((50, 100, None), 48, 48),
        ((None, None, 64), 48, 75),
        ((40, None, None), 48, 120),
        ((0, None, None), 0, None),
        ((0, None, None), 5, None),
        ((None, None, None), 5, None),
    ],
    ids=["read", "contract", "licences", "more than all", "no seats", "users without seats", "unknown seats"],
)
async def test_seats_used_are_a_share_of_the_seats_of_the_contract_else_of_zoho(
    connection: Connection,
    seats: tuple[int | None, int | None, int | None],
    used: int,
    percent: float | None,
) -> None:
    purchased, contract, licences = seats
    org_id = await add_org(connection, licences=licences)
    await add_seats(connection, org_id, NOW - HOUR, purchased, used)
    if contract is not None:
        await connection.execute("INSERT INTO seat_contracts VALUES ($1, $2, 1, 'EUR', NULL, now())", org_id, contract)
    one = await reading(connection, alert_rule("seats_used_percent", ">=", 95), org_id)
    assert (one.value, one.holds) == (percent, None if percent is None else percent >= 95)


async def test_seats_used_of_an_old_reading_give_way_to_the_count_and_then_are_unknown(connection: Connection) -> None:
    org_id = await add_org(connection)
    await add_seats(connection, org_id, NOW - 3 * DAY, 100, 50)
    await add_seats(connection, org_id, NOW + HOUR, 100, 99)
    await add_counts(connection, org_id, NOW - MINUTE, active_users=97)
    rule = alert_rule("seats_used_percent", ">=", 95)
    assert (await reading(connection, rule, org_id)).value == 97
    await add_counts(connection, org_id, NOW - 2 * HOUR, active_users=97)
    (one,) = await found(connection, rule.metric)
    assert (one.holds, one.value) == (None, None)


@pytest.mark.parametrize(
    ("price", "used", "cost"),
    [(19.9, 40, 199.0), (19.9, 60, 0.0), (None, 40, None), (19.9, None, None)],
    ids=["idle", "none", "no price", "unknown users"],
)
async def test_the_cost_of_idle_seats_needs_a_price(
    connection: Connection, price: float | None, used: int | None, cost: float | None
) -> None:
    org_id = await add_org(connection)
    await add_seats(connection, org_id, NOW - HOUR, 50, used)
    await connection.execute(
        "INSERT INTO seat_contracts (org_id, price, currency, updated_at) VALUES ($1, $2, 'EUR', now())", org_id, price
    )
    one = await reading(connection, alert_rule("idle_cost", ">", 100), org_id)
    assert (one.value, one.note, one.holds) == (cost, "EUR", None if cost is None else cost > 100)


@pytest.mark.parametrize(
    ("seats", "days", "made_at", "expected"),
    [
        (50, 30, NOW, (True, 30)),
        (50, 31, NOW, (False, 31)),
        (50, -3, NOW, (True, 0)),
        (50, None, NOW, (False, None)),
        (None, None, NOW, (None, None)),
        (50, 5, NOW - 2 * DAY, (None, None)),
        (50, 5, NOW + DAY, (None, None)),
    ],
    ids=["at most", "later", "past", "not within a year", "no seats", "old forecast", "forecast of the future"],
)
async def test_days_to_exhaustion_are_those_of_a_recent_forecast(
    connection: Connection, seats: int | None, days: int | None, made_at: datetime, expected: tuple[Any, Any]
) -> None:
    org_id = await add_org(connection)
    day = None if days is None else (NOW + days * DAY).date()
    await connection.execute(
        "INSERT INTO forecast_results VALUES ($1, 'ActiveUsers', $2, $3, 40, 1, 'trend', $4, $5, $5, $5, 1, 1, 4)",
        *(org_id, made_at, NOW.date(), seats, day),
    )
    one = await reading(connection, alert_rule("days_to_exhaustion", "<=", 30), org_id)
    assert (one.holds, one.value) == expected


async def test_days_to_exhaustion_are_unknown_without_a_forecast(connection: Connection) -> None:
    org_id = await add_org(connection)
    assert (await reading(connection, alert_rule("days_to_exhaustion", ">", 1), org_id)).holds is None


@pytest.mark.parametrize(
    ("columns", "counts_at", "hours"),
    [
        ({}, NOW - 7 * HOUR, 7),
        ({}, NOW - 30 * MINUTE, 0),
        ({"poll_interval_seconds": 86_400}, NOW - 30 * HOUR, 0),
        ({"poll_interval_seconds": 86_400}, NOW - 60 * HOUR, 60),
        ({"resumed_at": NOW - 2 * HOUR}, NOW - 70 * HOUR, 2),
        ({"created_at": NOW - 8 * HOUR}, None, 8),
        ({}, NOW + HOUR, None),
    ],
    ids=["gap", "not late", "daily", "daily and late", "since it was resumed", "never polled", "in the future"],
)
async def test_a_gap_begins_with_the_last_known_counts_once_the_org_is_late(
    connection: Connection, columns: dict[str, Any], counts_at: datetime | None, hours: float | None
) -> None:
    org_id = await add_org(connection, **columns)
    if counts_at is not None:
        await add_counts(connection, org_id, counts_at, active_users=1)
    one = await reading(connection, alert_rule("gap_hours", ">=", 6), org_id)
    assert (one.value, one.holds) == (hours, None if hours is None else hours >= 6)


async def test_credits_are_a_share_of_what_the_poller_may_spend_in_a_day(connection: Connection) -> None:
    org_id = await add_org(connection, edition="enterprise", licences=50)
    share = await connection.fetchval("SELECT credits_share FROM org_states WHERE org_id = $1", org_id)
    for age, part in ((HOUR, 0.5), (20 * HOUR, 0.3), (25 * HOUR, 0.9), (-HOUR, 0.9)):
        await connection.execute("INSERT INTO credit_spend VALUES ($1, $2, $3)", org_id, NOW - age, int(share * part))
    one = await reading(connection, alert_rule("credits_percent", ">=", 80), org_id)
    assert (one.value, one.holds) == (80, True)


async def test_an_org_that_spent_no_credits_spent_0_percent(connection: Connection) -> None:
    org_id = await add_org(connection)
    one = await reading(connection, alert_rule("credits_percent", ">=", 80), org_id)
    assert (one.value, one.holds) == (0, False)


async def test_a_parked_org_holds_with_its_code_and_remedy(connection: Connection) -> None:
    await add_org(connection, "fine")
    await add_org(connection, "parked", parked_at=NOW, parked_code="invalid_code", parked_remedy="ask")
    (one,) = await holding(connection, alert_rule("parked"))
    assert (one.org, one.value, one.note, one.remedy) == ("parked", None, "invalid_code", "ask")


@pytest.mark.parametrize(
    ("age", "wrong", "holds"),
    [(MINUTE / 2, 7_200, True), (MINUTE / 2, -90, True), (MINUTE / 2, 0, False), (2 * MINUTE, 7_200, None)],
    ids=["ahead", "behind", "right", "not seen for a minute"],
)
async def test_the_clock_of_a_worker_is_known_while_the_worker_is_seen(
    connection: Connection, age: Any, wrong: float, holds: bool | None
) -> None:
    facts = {"clock_wrong_seconds": wrong}
    await connection.execute(
        "INSERT INTO workers VALUES ($1, 'host:1', '1', $2, $2, $3)", UUID(int=1), NOW - age, facts
    )
    one = await reading(connection, alert_rule("worker_clock"), None, "host:1")
    assert (one.subject, one.holds, one.value, one.org_id) == ("host:1", holds, abs(wrong), None)


async def test_of_two_workers_with_one_name_the_one_seen_last_counts(connection: Connection) -> None:
    for number, (age, wrong) in enumerate(((3 * MINUTE, 7_200), (MINUTE / 2, 0), (6 * MINUTE, 7_200))):
        facts = {"clock_wrong_seconds": wrong}
        await connection.execute(
            "INSERT INTO workers VALUES ($1, 'host:1', '1', $2, $2, $3)", UUID(int=number), NOW - age, facts
        )
    assert await holding(connection, alert_rule("worker_clock")) == []


@pytest.mark.parametrize("kind", ANOMALY_KINDS)
async def test_an_anomaly_holds_for_seven_days_for_each_org_type_and_day(connection: Connection, kind: str) -> None:
    org_id = await add_org(connection)
    for age in (-1, 0, 6, 7):
        await add_anomaly(connection, org_id, kind, NOW - age * DAY)
    await add_anomaly(connection, org_id, kind, NOW, user_type="ActiveUsers", after=0)
    await add_anomaly(connection, org_id, next(other for other in ANOMALY_KINDS if other != kind), NOW)
    found = {(one.user_type, one.subject, one.value) for one in await holding(connection, alert_rule(kind))}
    today, before = str(NOW.date()), str((NOW - 6 * DAY).date())
    assert found == {("AdminUsers", today, 2), ("AdminUsers", before, 2), ("ActiveUsers", today, 0)}


@pytest.mark.parametrize("column", ["paused_at", "removed_at"])
@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric != "worker_clock"])
async def test_a_paused_or_removed_org_has_no_reading(connection: Connection, metric: str, column: str) -> None:
    org_id = await add_org(connection, parked_at=NOW, parked_code="x", **{column: NOW})
    comparison, threshold = (None, None) if METRICS[metric].unit is None else (">=", 0)
    rule_id = await add_rule(connection, alert_rule(metric, comparison, threshold))
    await connection.execute(
        "INSERT INTO alert_states (rule_id, org_id, state, severity, since, counted_from, message, remedy)"
        " VALUES ($1, $2, 'firing', 'warning', $3, $3, '', '')",
        *(rule_id, org_id, NOW),
    )
    assert await found(connection, metric) == []


@pytest.mark.parametrize(
    ("scope", "orgs"),
    [
        ({}, "abcd"),
        ({"tags": ["gold"]}, "ab"),
        ({"tags": ["gold", "silver"]}, "abc"),
        ({"data_centers": ["us"]}, "bd"),
        ({"tags": ["gold"], "data_centers": ["us"]}, "b"),
        ({"tags": ["bronze"]}, ""),
    ],
    ids=str,
)
async def test_a_rule_covers_the_orgs_of_its_tags_and_data_centers(
    connection: Connection, scope: dict[str, Any], orgs: str
) -> None:
    for name, tags, data_center in (("a", ["gold"], "eu"), ("b", ["gold"], "us"), ("c", ["silver"], "eu")):
        await add_org(connection, name, tags=tags, data_center=data_center, parked_at=NOW, parked_code="x")
    await add_org(connection, "d", data_center="us", parked_at=NOW, parked_code="x")
    assert [one.org for one in await holding(connection, alert_rule("parked", **scope))] == list(orgs)


async def test_a_rule_on_some_orgs_covers_no_other(connection: Connection) -> None:
    ids = [await add_org(connection, name, parked_at=NOW, parked_code="x") for name in "abc"]
    found = await holding(connection, alert_rule("parked", org_ids=ids[1:]))
    assert [one.org_id for one in found] == ids[1:]


@pytest.mark.parametrize(
    ("exclusion", "orgs"),
    [
        ({"rule_id": True}, ""),
        ({"org_id": True}, "b"),
        ({"user_type": "AdminUsers"}, ""),
        ({"user_type": "ActiveUsers"}, "ab"),
        ({"rule_id": True, "org_id": True, "user_type": "AdminUsers"}, "b"),
        ({"org_id": True, "until": NOW + HOUR}, "b"),
        ({"org_id": True, "until": NOW}, "ab"),
    ],
    ids=["rule", "org", "type", "another type", "all three", "for an hour", "over"],
)
async def test_an_exclusion_takes_out_what_all_its_parts_match_until_its_time(
    connection: Connection, exclusion: dict[str, Any], orgs: str
) -> None:
    ids = [await add_org(connection, name) for name in "ab"]
    for org_id in ids:
        await add_counts(connection, org_id, NOW, admin_users=3)
    rule_id = await add_rule(connection, alert_rule("AdminUsers", ">", 2))
    given = {"rule_id": rule_id, "org_id": ids[0]}
    parts = {name: given[name] if value is True else value for name, value in exclusion.items()}
    fields: dict[str, Any] = dict.fromkeys(("rule_id", "org_id", "user_type", "until")) | parts
    await save_exclusion(connection, Exclusion(0, reason="", created_by="test", **fields), NOW)
    assert [one.org for one in await found(connection, "AdminUsers")] == list(orgs)


async def test_two_rules_on_one_metric_are_read_by_one_statement(connection: Connection) -> None:
    org_id = await add_org(connection)
    await add_counts(connection, org_id, NOW, active_users=20)
    ids = [
        await add_rule(connection, alert_rule("ActiveUsers", ">", threshold, name=name))
        for name, threshold in (("low", 10), ("high", 15), ("higher", 25))
    ]
    assert {one.rule_id for one in await found(connection, "ActiveUsers")} == set(ids[:2])


@pytest.mark.parametrize("column", ["enabled = false", "removed_at = now()"])
async def test_a_disabled_or_removed_rule_reads_nothing(connection: Connection, column: str) -> None:
    await add_org(connection, parked_at=NOW, parked_code="x")
    await add_rule(connection, alert_rule("parked"))
    await connection.execute(f"UPDATE alert_rules SET {column}")
    assert await found(connection, "parked") == []
