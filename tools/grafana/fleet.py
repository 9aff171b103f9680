"""The dashboard of all orgs."""

from __future__ import annotations

from typing import Final

from tools.grafana.panels import Sql, chart, stat, table

TO_ORG: Final = "/d/poller-org?var-org=${__data.fields.org_id}&${__url_time_range}"

PANELS: Final = (
    stat("Orgs", "Orgs that are not removed.", Sql("SELECT count(*) FROM org_states WHERE state <> 'removed'")),
    stat(
        "Need a person",
        "Orgs whose polls fail, that are parked, or that were not polled for two intervals.",
        Sql("SELECT count(*) FROM org_states WHERE state IN ('failing', 'parked', 'late')"),
    ),
    stat(
        "Unknown counts",
        "Orgs in use whose counts were not known in the last six hours, or never.",
        Sql(
            "SELECT count(*) FROM org_states WHERE state NOT IN ('removed', 'paused')"
            " AND (counts_at IS NULL OR counts_at < now() - interval '6 hours')"
        ),
    ),
    stat(
        "Active users",
        "Sum of the last known ActiveUsers over orgs that are not removed.",
        Sql(
            "SELECT sum(l.active_users) FROM latest_org_snapshots l JOIN org_states s USING (org_id)"
            " WHERE s.state <> 'removed'"
        ),
    ),
    stat(
        "Seats bought",
        "Sum over the orgs whose seats are known.",
        Sql(
            "SELECT sum(purchased) FROM (SELECT DISTINCT ON (org_id) purchased FROM seat_usage"
            " ORDER BY org_id, taken_at DESC) AS newest"
        ),
    ),
    stat(
        "Alerts firing",
        "Alerts that fire and that nobody has acknowledged or snoozed.",
        Sql("SELECT count(*) FROM alerts WHERE state = 'firing'"),
    ),
    chart(
        "Users of all orgs",
        "Sum over the orgs with a known count, each day of UTC. Compare it with the orgs that are unknown.",
        (
            "",
            Sql(
                "SELECT day AS time, user_type AS metric, total AS value FROM fleet_daily_user_counts"
                " WHERE user_type IN ('ActiveUsers', 'AllUsers') AND $__timeFilter(day) ORDER BY 1",
                series=True,
            ),
        ),
    ),
    chart(
        "Orgs without a known count",
        "Orgs whose ActiveUsers were not known on that day: their users are missing from the sum.",
        (
            "",
            Sql(
                "SELECT day AS time, unknown AS value FROM fleet_daily_user_counts"
                " WHERE user_type = 'ActiveUsers' AND $__timeFilter(day) ORDER BY 1",
                series=True,
            ),
        ),
    ),
    table(
        "Orgs that need a person",
        "Failing first, then parked and late; the org opens its dashboard.",
        "SELECT org_id, org, state, state_reason, since, counts_at FROM org_states"
        " WHERE state IN ('failing', 'parked', 'late') ORDER BY state, since LIMIT 200",
        link=TO_ORG,
    ),
    table(
        "Seats run out",
        "By the latest forecast, the next first, with the earliest and latest likely day (80 %).",
        "SELECT org_id, org, seats, round(used) AS used, exhausted_on, exhausted_low, exhausted_high"
        " FROM seat_forecasts WHERE exhausted_on IS NOT NULL ORDER BY exhausted_on LIMIT 200",
        link=TO_ORG,
    ),
    table(
        "Alerts",
        "Open alerts, the newest first.",
        "SELECT org_id, org, rule, state, severity, since, message FROM alerts"
        " WHERE state IN ('firing', 'acknowledged', 'snoozed') ORDER BY since DESC LIMIT 200",
        link=TO_ORG,
    ),
    table(
        "Unusual days",
        "Steps, freezes, zeros, new administrators and other anomalies of the last 30 days.",
        "SELECT org_id, org, day, kind, user_type, before, after, severity FROM anomalies"
        " WHERE day >= current_date - 30 ORDER BY day DESC LIMIT 200",
        link=TO_ORG,
    ),
)
