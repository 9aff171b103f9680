"""The dashboard of one org, chosen by its name."""

from __future__ import annotations

from typing import Final

from tools.grafana.panels import Sql, chart, stat, table

PANELS: Final = (
    stat("State", "What the poller can say of the org now.", Sql("SELECT state FROM org_states WHERE org_id = $org")),
    stat(
        "Active users",
        "The last known count.",
        Sql("SELECT active_users FROM latest_org_snapshots WHERE org_id = $org"),
    ),
    stat(
        "Age of the counts",
        "Time since the counts were last known.",
        Sql("SELECT extract(epoch FROM now() - counts_at) FROM org_states WHERE org_id = $org"),
        "s",
    ),
    stat(
        "Seats bought",
        "As Zoho or the contract says.",
        Sql("SELECT purchased FROM seat_usage WHERE org_id = $org ORDER BY taken_at DESC LIMIT 1"),
    ),
    stat(
        "Seats run out in",
        "Days by the latest forecast; unknown where there is no trend or no seats are known.",
        Sql("SELECT exhausted_on - current_date FROM seat_forecasts WHERE org_id = $org AND user_type = 'ActiveUsers'"),
        "d",
    ),
    stat(
        "Credits spent",
        "Of the share that the poller may spend in 24 hours.",
        Sql("SELECT credits_spent::float8 / nullif(credits_share, 0) FROM org_states WHERE org_id = $org"),
        "percentunit",
    ),
    chart(
        "Counts",
        "Each poll; a poll without a known count is a gap.",
        (
            "",
            Sql(
                "SELECT slot AS time, user_type AS metric, count AS value FROM user_counts WHERE org_id = $org"
                " AND user_type IN (${type:sqlstring}) AND $__timeFilter(slot) ORDER BY 1",
                series=True,
            ),
        ),
        width=24,
    ),
    chart(
        "Counts by day",
        "The last known count of each day of UTC; a day without one is a gap.",
        (
            "",
            Sql(
                "SELECT day AS time, user_type AS metric, last AS value FROM daily_user_counts WHERE org_id = $org"
                " AND user_type IN (${type:sqlstring}) AND $__timeFilter(day) ORDER BY 1",
                series=True,
            ),
        ),
    ),
    chart(
        "Seats",
        "Seats bought and used, each time they were read.",
        (
            "",
            Sql(
                "SELECT taken_at AS time, purchased AS bought, used FROM seat_usage"
                " WHERE org_id = $org AND $__timeFilter(taken_at) ORDER BY 1",
                series=True,
            ),
        ),
    ),
    table(
        "Slots without counts",
        "Why counts are not known, the newest first.",
        "SELECT slot, reason FROM poll_gaps WHERE org_id = $org AND $__timeFilter(slot) ORDER BY slot DESC LIMIT 200",
    ),
    table(
        "Unusual days",
        "Anomalies in the time shown.",
        "SELECT day, kind, user_type, before, after, why FROM anomalies"
        " WHERE org_id = $org AND $__timeFilter(day) ORDER BY day DESC LIMIT 200",
    ),
)
