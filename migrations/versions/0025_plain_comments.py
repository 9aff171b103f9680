"""Rewords comments that were hard to understand, and corrects those of `org_schedules`.

psql and other tools show them to analysts. The comments of `org_schedules` described the last slot instead of the next.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0025"
down_revision = "0024"

INTERNAL: Final = "Internal, not for queries: "
COMMENTS: Final = {
    "COLUMN orgs.id": "Number of the org; a number is never reused",
    "COLUMN orgs.poll_interval_seconds": "Poll interval of this org; NULL: the interval of the service applies",
    "COLUMN orgs.paused_at": "When an operator paused polling; NULL: not paused",
    "COLUMN orgs.parked_at": "When polling stopped until a person fixes the credentials; NULL: it did not stop",
    "COLUMN orgs.parked_code": "Error code that explains why the org is parked",
    "VIEW user_counts": (
        "One row per org, user type and slot: the count, or why it is unknown. "
        "Filter by user_type and by a range of slots"
    ),
    "COLUMN user_counts.outcome": (
        "Outcome of the poll: ok, partial, throttled, unauthorized, forbidden, rejected, unavailable, malformed "
        "or missed (not polled)"
    ),
    "VIEW latest_user_counts": "One row per org and user type: the last known count",
    "COLUMN latest_org_snapshots.slot": "Newest slot with a known count",
    "COLUMN latest_org_snapshots.polled_at": "When Zoho was asked for that slot",
    "COLUMN latest_org_snapshots.earlier": "User types whose count is older than slot; NULL: none",
    "COLUMN fleet_daily_user_counts.orgs": "Number of orgs in the sum",
    "COLUMN fleet_daily_user_counts.unknown": "Number of orgs with slots on the day but without a known count",
    "VIEW poll_gaps": "One row per org and slot with an unknown count, and the reason",
    "COLUMN poll_gaps.reason": "Outcome and error code; never polled: no row yet, because no worker was running",
    "COLUMN org_snapshots.outcome": (
        "ok, partial, throttled, unauthorized, forbidden, rejected, unavailable, malformed or missed (not polled)"
    ),
    "COLUMN org_snapshots.requests": "Number of requests sent, including retries",
    "COLUMN org_snapshots.credits_remaining": "API credits left for all apps of the org; NULL: Zoho did not say",
    "TABLE guest_tags": "Tags of the orgs that a guest may see; the operator writes this table",
    "TABLE latest_snapshots": (
        "Source of latest_user_counts and latest_org_snapshots: last known counts. Query the views"
    ),
    "COLUMN latest_snapshots.slot": "Newest slot with a known count",
    "COLUMN latest_snapshots.polled_at": "When Zoho was asked for that slot",
    "TABLE daily_counts": "Source of daily_user_counts: days that are rolled up. Query the view",
    "TABLE dirty_days": "Source of daily_user_counts: days of orgs that changed and wait to be rolled up again",
    "TABLE fleet_days": "Source of fleet_daily_user_counts: days that are summed. Query the view",
    "COLUMN fleet_days.orgs": "Number of orgs in the sum",
    "COLUMN fleet_days.unknown": "Number of orgs without a known count on the day",
    "TABLE unsummed_days": "Source of fleet_daily_user_counts: days whose sums are out of date",
    "TABLE org_schedules": "Source of poll_gaps: the next slot of each org that has no job in the queue yet",
    "COLUMN org_schedules.slot": "Next slot to add to the queue, or to record as missed",
    "COLUMN org_schedules.due_at": "When that slot is due",
    "COLUMN org_schedules.newest_slot": "Newest slot that was ever added to the queue; NULL: none",
    "COLUMN org_schedules.newest_at": "When newest_slot was due; NULL: none",
    "TABLE latest_polls": "Source of org_states: the outcome of the newest poll of each org. Query the view",
    "COLUMN latest_polls.since": "First slot of the current run of polls that are ok, or that are not",
    "COLUMN latest_polls.polled_at": "When the org was polled last",
    "COLUMN latest_polls.outcome": "Outcome of the newest slot",
    "TABLE service_settings": "Source of org_states: one row, the settings of the running service",
    "COLUMN service_settings.updated_at": "When a worker or poller poll last wrote the row",
    "TABLE org_limits": "Source of org_states: until when orgs are held. Readers may read the columns with a comment",
    "TABLE credit_spend": "Source of org_states: API credits that the poller spent, per org and quarter of an hour",
    "TABLE rollup_state": "Source of the daily views: one row, the watermarks of rollups and retention",
    "COLUMN rollup_state.rolled_until": "Days before this one are rolled up, except those in dirty_days",
    "COLUMN rollup_state.raw_since": "Days before this one are final: their snapshots may have been dropped",
    "TABLE access_tokens": (
        f"{INTERNAL}encrypted access tokens of orgs, and the lease of the worker that renews a token"
    ),
    "TABLE chores": f"{INTERNAL}when each maintenance task last started and ended, and its result",
    "TABLE late_days": f"{INTERNAL}final days of orgs for which snapshots arrived late",
    "TABLE poller_locks": f"{INTERNAL}rows that workers and migrations lock; other roles cannot lock them",
    "TABLE token_budgets": f"{INTERNAL}when access tokens of each grant were issued; Zoho allows ten in ten minutes",
    "VIEW org_states": "One row per org, removed ones included: its state, and the facts that decide the state",
    "COLUMN org_states.interval_seconds": "The configured poll interval: that of the org, else that of the service",
    "COLUMN org_states.effective_interval_seconds": (
        "The interval in use: longer than interval_seconds if the credits do not pay for more polls"
    ),
    "COLUMN org_states.since": "When the state began; for states that depend on polls, the start of the first slot",
    "VIEW anomalies": "Days on which a count changed in an unusual way",
    "COLUMN anomalies.found_at": "When the anomaly was first found",
    "COLUMN found_anomalies.found_at": "When the anomaly was first found",
    "COLUMN seat_forecasts.seats": "Seats that the forecast was compared with; NULL: not known",
    "COLUMN seat_forecasts.exhausted_on": (
        "Day when the forecast reaches the seats; NULL: not within a year, or no trend"
    ),
    "COLUMN seat_forecasts.backtest_windows": "Number of past windows in the mean error",
    "COLUMN forecast_results.seats": "Seats that the forecast was compared with; NULL: not known",
    "COLUMN forecast_results.exhausted_on": (
        "Day when the forecast reaches the seats; NULL: not within a year, or no trend"
    ),
    "COLUMN forecast_results.backtest_windows": "Number of past windows in the mean error",
    "COLUMN forecast_results.backtest_coverage80": (
        "Share of past windows in which the count was inside the 80 % interval"
    ),
}


def upgrade() -> None:
    for what, text in COMMENTS.items():
        op.execute(f"COMMENT ON {what} IS '{text.replace(chr(39), chr(39) * 2)}'")
