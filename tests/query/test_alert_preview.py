"""What a rule would have done in the last 30 days, on a real database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.core.alerts import METRICS
from poller.core.model import COLUMNS, UserType
from poller.query.alert_preview import PREVIEW_DAYS, preview_rule
from tests.store.capacity.alerts import DAY, NOW, add_anomaly, add_org, add_seats, alert_rule

if TYPE_CHECKING:
    from poller.core.alerts import AlertRule
    from poller.query.alert_preview import AlertPreview
    from poller.store.database import Database

ACTIVE = [*COLUMNS].index(UserType.ACTIVE) + 1


async def org_with_counts(database: Database, name: str, counts: dict[int, int | None], **columns: Any) -> int:
    """An org with one count on each of these days before today; None: a day without any known count."""
    async with database.transaction() as connection:
        org_id = await add_org(connection, name, **columns)
        for age, count in counts.items():
            for user_type in (1, ACTIVE):
                await connection.execute(
                    "INSERT INTO daily_counts VALUES ($1, $2, $3, $4::int, $4, $4, $4, $4::int, $5, 1)",
                    *(user_type, (NOW - age * DAY).date(), org_id, count, 0 if count is None else 96),
                )
        return org_id


async def previewed(database: Database, rule: AlertRule, **options: Any) -> AlertPreview:
    return await preview_rule(database, rule, NOW, **options)


def ages(preview: AlertPreview) -> list[tuple[str, int, int | None, float | None]]:
    """Org, first and last day as days before today, and peak."""
    today = NOW.date()
    return [
        (one.org, (today - one.since).days, None if one.until is None else (today - one.until).days, one.peak)
        for one in preview.alerts
    ]


async def test_a_preview_lists_the_spans_in_which_the_counts_exceeded_the_threshold(database: Database) -> None:
    await org_with_counts(database, "acme", {40: 99, 9: 5, 8: 11, 7: 15, 6: 5, 2: 20, 0: 12})
    await org_with_counts(database, "birch", dict.fromkeys(range(30), 10))
    await org_with_counts(database, "paused", {1: 99}, paused_at=NOW)
    preview = await previewed(database, alert_rule("ActiveUsers", ">", 10))
    assert preview.known
    assert ages(preview) == [("acme", 2, None, 20), ("acme", 8, 7, 15)]
    fields = preview.fields()
    assert (fields["days"], fields["alerts"], fields["orgs"], fields["open"]) == (PREVIEW_DAYS, 2, 1, 1)
    assert "shorter than a day" in fields["note"]


async def test_a_preview_for_a_low_count_takes_the_lowest_of_each_day(database: Database) -> None:
    await org_with_counts(database, "acme", {5: 3, 4: 1, 3: 9})
    assert ages(await previewed(database, alert_rule("ActiveUsers", "<", 5))) == [("acme", 5, 4, 1)]


async def test_a_preview_covers_the_orgs_of_the_rule_that_the_caller_sees(database: Database) -> None:
    gold = await org_with_counts(database, "gold", {1: 99}, tags=["gold"])
    await org_with_counts(database, "silver", {1: 99}, tags=["silver"], data_center="us")
    for scope, options, orgs in (
        ({}, {}, ["gold", "silver"]),
        ({"tags": ["gold"]}, {}, ["gold"]),
        ({"data_centers": ["us"]}, {}, ["silver"]),
        ({"org_ids": [gold]}, {}, ["gold"]),
        ({}, {"visible_tags": ["silver"]}, ["silver"]),
        ({}, {"visible_tags": []}, []),
    ):
        preview = await previewed(database, alert_rule("ActiveUsers", ">", 10, **scope), **options)
        assert sorted(one.org for one in preview.alerts) == orgs
    await database.execute("INSERT INTO alert_exclusions (org_id, created_by) VALUES ($1, 'test')", gold)
    preview = await previewed(database, alert_rule("ActiveUsers", ">", 10))
    assert [one.org for one in preview.alerts] == ["silver"]


async def test_a_preview_of_seats_uses_readings_and_where_there_is_none_the_counts(database: Database) -> None:
    org_id = await org_with_counts(database, "acme", {4: 48, 2: 10, 1: 10}, licences=50)
    async with database.connection() as connection:
        await add_seats(connection, org_id, NOW - 3 * DAY, 40, 40)
        await add_seats(connection, org_id, NOW - 2 * DAY, 40, 20)
    preview = await previewed(database, alert_rule("seats_used_percent", ">=", 95))
    assert ages(preview) == [("acme", 4, 3, 100)]


async def test_a_preview_of_idle_cost_needs_a_price(database: Database) -> None:
    org_id = await org_with_counts(database, "acme", {2: 10}, licences=50)
    rule = alert_rule("idle_cost", ">", 100)
    assert ages(await previewed(database, rule)) == []
    await database.execute(
        "INSERT INTO seat_contracts (org_id, price, currency, updated_at) VALUES ($1, 5, 'EUR', now())", org_id
    )
    assert ages(await previewed(database, rule)) == [("acme", 2, None, 200)]


async def test_a_preview_of_gaps_sees_whole_days_since_the_org_was_connected(database: Database) -> None:
    known = dict.fromkeys(range(30), 5)
    await org_with_counts(database, "acme", known | {9: None, 8: None, 7: None, 4: None})
    await org_with_counts(database, "young", {1: 5}, created_at=NOW - 3 * DAY)
    preview = await previewed(database, alert_rule("gap_hours", ">=", 48))
    assert ages(preview) == [("acme", 9, 7, 72)]
    assert "shorter gaps are missing" in preview.note


async def test_a_preview_of_anomalies_lists_each_for_its_seven_days(database: Database) -> None:
    async with database.transaction() as connection:
        org_id = await add_org(connection)
        await add_anomaly(connection, org_id, "zero", NOW - 20 * DAY, after=0)
        await add_anomaly(connection, org_id, "zero", NOW - 2 * DAY, after=0)
        await add_anomaly(connection, org_id, "zero", NOW - 31 * DAY)
        await add_anomaly(connection, org_id, "step", NOW)
    preview = await previewed(database, alert_rule("zero"))
    assert ages(preview) == [("acme", 2, None, 0), ("acme", 20, 14, 0)]


async def test_a_preview_says_so_where_the_past_is_not_kept(database: Database) -> None:
    for metric in ("parked", "worker_clock", "credits_percent", "days_to_exhaustion"):
        unit = METRICS[metric].unit
        preview = await previewed(database, alert_rule(metric, ">" if unit else None, 1 if unit else None))
        assert not preview.known
        assert preview.note.endswith("not kept")
        assert preview.fields()["rows"] == []


async def test_every_metric_has_a_preview_of_a_fleet_without_orgs(database: Database) -> None:
    for metric in METRICS.values():
        threshold = (">", 1) if metric.unit else (None, None)
        assert list((await previewed(database, alert_rule(metric.name, *threshold))).alerts) == []
