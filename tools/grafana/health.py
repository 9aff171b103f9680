"""The dashboard of the workers."""

from __future__ import annotations

from typing import Final

from tools.grafana.panels import chart, stat

PANELS: Final = (
    stat("Workers", "Workers with a heartbeat in the last minute.", "max(poller_workers)"),
    stat("Database", "1: PostgreSQL answers every worker; 0: at least one gets no answer.", "min(poller_database_up)"),
    stat("Overdue", "How long the oldest overdue job has waited.", "max(poller_queue_overdue_seconds)", "s"),
    stat("Lateness, p99", "One poll in a hundred starts later than this.", "poller:lateness_seconds:p99_15m", "s"),
    stat("Parked", "Orgs that a person must repair.", 'max(poller_orgs{state="parked"})'),
    stat(
        "Clock",
        "The largest difference between a worker's clock and PostgreSQL's.",
        "max(abs(poller_clock_difference_seconds))",
        "s",
    ),
    chart(
        "Polls", "Committed polls a second, by outcome.", ("{{outcome}}", "poller:polls:rate"), unit="ops", stacked=True
    ),
    chart(
        "Lateness",
        "From the time a slot was due to its claim.",
        ("p99", "poller:lateness_seconds:p99_15m"),
        ("p50", "histogram_quantile(0.5, sum by (le) (rate(poller_poll_lateness_seconds_bucket[$__rate_interval])))"),
        unit="s",
    ),
    chart(
        "Requests",
        "Requests for counts a second, by HTTP status.",
        ("{{status}}", "poller:requests:rate"),
        unit="reqps",
        stacked=True,
    ),
    chart(
        "Duration of a poll",
        "All ten requests of one org.",
        ("p99", "histogram_quantile(0.99, sum by (le) (rate(poller_poll_duration_seconds_bucket[$__rate_interval])))"),
        ("p50", "histogram_quantile(0.5, sum by (le) (rate(poller_poll_duration_seconds_bucket[$__rate_interval])))"),
        unit="s",
    ),
    chart("Queue", "Jobs by state; overdue ones should be none.", ("{{state}}", "max by (state) (poller_queue_jobs)")),
    chart("Orgs", "Orgs by state.", ("{{state}}", "max by (state) (poller_orgs)")),
    chart(
        "Missed slots",
        "Rows with the outcome missed a second, by reason.",
        ("{{reason}}", "sum by (reason) (rate(poller_slots_missed_total[$__rate_interval]))"),
        unit="ops",
    ),
    chart(
        "Data centres away",
        "1 while the circuit breaker of a data centre is open at a worker.",
        ("{{data_center}}", "max by (data_center) (poller_data_center_away)"),
    ),
    chart(
        "Credits", "API credits spent a second.", ("credits", "sum(rate(poller_credits_spent_total[$__rate_interval]))")
    ),
    chart(
        "Token requests",
        "Requests to token endpoints a second, by status.",
        ("{{status}}", "sum by (status) (rate(poller_token_requests_total[$__rate_interval]))"),
        unit="reqps",
    ),
    chart(
        "Results not yet written",
        "Poll results that wait for PostgreSQL, by worker.",
        ("{{instance}}", "poller_sink_rows"),
    ),
    chart(
        "Web requests",
        "Requests to pages and API a second, by HTTP status.",
        ("{{status}}", "sum by (status) (rate(poller_web_requests_total[$__rate_interval]))"),
        unit="reqps",
    ),
    chart(
        "Maintenance tasks",
        "Time since each task last succeeded.",
        ("{{chore}}", "time() - max by (chore) (poller_chore_last_success_timestamp_seconds)"),
        unit="s",
    ),
    chart(
        "Messages not delivered",
        "Messages about alerts that wait for their receiver, and those that were given up.",
        ("waiting", "max(poller_messages_waiting)"),
        ("given up", "max(poller_messages_given_up)"),
    ),
    chart(
        "Oldest message",
        "How long the oldest message about an alert has waited.",
        ("oldest", "max(poller_messages_oldest_seconds)"),
        unit="s",
    ),
    chart(
        "Clocks",
        "How far each worker's clock is ahead of PostgreSQL's.",
        ("{{instance}}", "poller_clock_difference_seconds"),
        unit="s",
    ),
)
