r"""Adds a comment to every relation and column that readers see, and to every other table.

psql's `\d+`, DBeaver, Metabase and similar tools show them. A later revision that adds a relation adds its comments.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0015"
down_revision = "0013"

COUNTS: Final = {
    "all_users": "AllUsers",
    "active_users": "ActiveUsers",
    "deactive_users": "DeactiveUsers",
    "confirmed_users": "ConfirmedUsers",
    "not_confirmed_users": "NotConfirmedUsers",
    "deleted_users": "DeletedUsers",
    "active_confirmed_users": "ActiveConfirmedUsers",
    "admin_users": "AdminUsers",
    "active_confirmed_admins": "ActiveConfirmedAdmins",
    "current_users": "CurrentUser",
}
COUNT_COLUMNS: Final = {column: f"Count of {name}; NULL: not known" for column, name in COUNTS.items()}

ORG_ID: Final = "Number of the org: orgs.id"
ORG: Final = "Name of the org"
USER_TYPE: Final = "One of Zoho's ten user types, in its spelling: AllUsers, ActiveUsers, ..."
TYPE: Final = "Number of the user type, 1 to 10, in Zoho's order"
SLOT: Final = "UTC start of the interval the row is about: floor(time / interval)"
POLLED_AT: Final = "When Zoho was asked"
DAY: Final = "Day of UTC"
OUTCOME: Final = (
    "ok, partial, throttled, unauthorized, forbidden, rejected, unavailable, malformed or missed (never asked)"
)
ERROR: Final = "Code of the error, Zoho's or the poller's; NULL where all ten counts are known"
OF_A_DAY: Final = {
    "first": "First known count of the day; NULL: none is known",
    "last": "Last known count of the day; NULL: none is known",
    "min": "Smallest known count of the day",
    "max": "Largest known count of the day",
    "samples": "Slots of the day with a known count",
    "missing": "Slots of the day without one",
}

READ: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "orgs": (
        "One row per org, removed ones included. Readers may read the columns with a comment: SELECT * is refused",
        {
            "id": "Number of the org, never used again",
            "name": "What the operator calls the org; unique among those that are not removed",
            "data_center": "Zoho's data centre of the org, such as us or eu",
            "edition": "Zoho's paid_type, such as enterprise; NULL: not known yet",
            "licences": "Licences bought; NULL: not known yet",
            "tags": "Tags the operator gave; a guest sees the orgs that carry one of its tags",
            "created_at": "When the org was added",
            "paused_at": "Since when an operator has polling paused; NULL: not paused",
            "removed_at": "When the org was removed; its history stays. NULL: not removed",
            "poll_interval_seconds": "Poll interval of the org's own; NULL: the service's",
            "parked_at": "Since when the org waits for a person to fix its credentials; NULL: it does not",
            "parked_code": "Zoho's code for what is wrong with the credentials",
            "paused_reason": "Why polling is paused, where the poller paused it: no_credentials",
            "resumed_at": "When an operator last resumed the org",
        },
    ),
    "user_counts": (
        "One row per org, user type and slot: the count, or why it is unknown. Name a user_type and a stretch of slots",
        {
            "org_id": ORG_ID,
            "org": ORG,
            "user_type": USER_TYPE,
            "slot": SLOT,
            "polled_at": POLLED_AT,
            "count": "Users of this type; NULL: not known, see outcome and error. Never 0 for unknown",
            "outcome": f"What became of the poll: {OUTCOME}",
            "error": "Why this count is not known; NULL where it is",
        },
    ),
    "latest_user_counts": (
        "One row per org and user type: the last count that is known",
        {
            "org_id": ORG_ID,
            "org": ORG,
            "user_type": USER_TYPE,
            "slot": SLOT,
            "polled_at": POLLED_AT,
            "count": "Users of this type",
            "age": "Time since polled_at",
        },
    ),
    "latest_org_snapshots": (
        "One row per org: the last known counts side by side",
        {
            "org_id": ORG_ID,
            "org": ORG,
            "slot": "Slot of the newest poll that knew any count",
            "polled_at": "When that poll asked Zoho",
            **COUNT_COLUMNS,
            "earlier": "User types whose count is of an earlier poll than slot; NULL: none",
        },
    ),
    "daily_user_counts": (
        "One row per org, user type and day of UTC; kept longer than single slots. The relation for trends",
        {
            "org_id": ORG_ID,
            "org": ORG,
            "user_type": USER_TYPE,
            "day": DAY,
            **OF_A_DAY,
            "avg": "Mean of the known counts of the day",
        },
    ),
    "fleet_daily_user_counts": (
        "One row per user type and day of UTC: the sum over all orgs, or over the orgs a guest sees",
        {
            "user_type": USER_TYPE,
            "day": DAY,
            "total": "Sum of the last counts of the day over the orgs with one; NULL: no org has one",
            "orgs": "Orgs in the sum",
            "unknown": "Orgs with slots on the day of which no count is known",
        },
    ),
    "poll_gaps": (
        "One row per org and slot of which something is not known, with the reason",
        {"org_id": ORG_ID, "org": ORG, "slot": SLOT, "reason": "Outcome and error, or not_running: nobody polled"},
    ),
    "org_snapshots": (
        "One row per org and slot, the ten counts side by side, in a partition per month; user_counts is the long form",
        {
            "org_id": ORG_ID,
            "slot": SLOT,
            "polled_at": POLLED_AT,
            "outcome": OUTCOME,
            "error": ERROR,
            "errors": "Error codes by user type, where types differ; NULL: none",
            "late_seconds": "Seconds from the time the poll was due to its first request",
            "requests": "Requests sent, those sent again included",
            "duration_ms": "Milliseconds from the first request to the last reply",
            "credits_remaining": "API credits left to the org by Zoho's last reply; NULL: Zoho did not say",
            **COUNT_COLUMNS,
        },
    ),
    "guest_tags": (
        "Which tags a guest's login may see the orgs of; the operator writes it",
        {"login": "Name of a login with the role poller_guest, or of a role it is a member of", "tag": "Tag of orgs"},
    ),
    "daily_counts": (
        "Behind daily_user_counts: the days that are rolled up. Query the view",
        {
            "org_id": ORG_ID,
            "type": TYPE,
            "day": DAY,
            **OF_A_DAY,
            "sum": "Sum of the known counts of the day: avg is sum / samples",
        },
    ),
    "latest_snapshots": (
        "Behind latest_user_counts and latest_org_snapshots. Query the views",
        {
            "org_id": ORG_ID,
            "slot": "Newest slot of which any count is known",
            "polled_at": "When that poll asked Zoho",
            **COUNT_COLUMNS,
            **{f"{column}_slot": f"Slot of {name}, where it is an earlier one" for column, name in COUNTS.items()},
            **{
                f"{column}_polled_at": f"When {name} was asked for, where it was earlier"
                for column, name in COUNTS.items()
            },
        },
    ),
    "dirty_days": (
        "Behind the views of days: days of orgs to be rolled up again",
        {"org_id": ORG_ID, "day": DAY},
    ),
    "fleet_days": (
        "Behind fleet_daily_user_counts: days that are summed. Query the view",
        {
            "type": TYPE,
            "day": DAY,
            "total": "Sum of the last counts of the day",
            "orgs": "Orgs in the sum",
            "unknown": "Orgs of which no count of the day is known",
        },
    ),
    "unsummed_days": ("Behind fleet_daily_user_counts: days whose sums are to be worked out again", {"day": DAY}),
    "org_schedules": (
        "Behind poll_gaps: how far the slots of each org are handed out",
        {
            "org_id": ORG_ID,
            "slot": "Last slot that was handed out",
            "interval_seconds": "Seconds between slots of the org",
            "due_at": "When the next slot is due",
            "newest_slot": "Newest slot with a row",
            "newest_at": "When newest_slot was read",
        },
    ),
    "latest_polls": (
        "Behind org_states: what the newest poll of each org came to. Query the view",
        {
            "org_id": ORG_ID,
            "first_slot": "Oldest slot of the org",
            "slot": "Newest slot of the org",
            "since": "First slot of the present run of polls that are ok, or that are not",
            "polled_at": "When Zoho was asked last",
            "late_seconds": "Seconds from the time the newest poll was due to its first request",
            "outcome": f"Of the newest slot: {OUTCOME}",
            "error": "Error code of the newest slot; NULL: none",
        },
    ),
    "service_settings": (
        "Behind org_states: one row, the settings of the running service that decide how often orgs are polled",
        {
            "alone": "Always true: there is one row",
            "poll_interval_seconds": "POLLER_POLL_INTERVAL",
            "credit_share": "POLLER_CREDIT_SHARE",
            "in_flight_share": "POLLER_IN_FLIGHT_SHARE",
            "api_version": "POLLER_API_VERSION",
            "updated_at": "When a worker last wrote them",
        },
    ),
    "org_limits": (
        "Behind org_states: until when orgs are held. Readers may read the columns with a comment",
        {"org_id": ORG_ID, "hold_until": "No request before this time, after a 429; NULL: not held"},
    ),
    "credit_spend": (
        "Behind org_states: API credits spent per org and quarter of an hour",
        {"org_id": ORG_ID, "bucket": "Start of the quarter of an hour", "credits": "Credits the poller spent in it"},
    ),
    "rollup_state": (
        "Behind the views of days: one row, how far days are rolled up and how far back slots go",
        {
            "alone": "Always true: there is one row",
            "rolled_until": "Days before this one are rolled up, but for those of dirty_days",
            "raw_since": "First day whose slots are still kept",
        },
    ),
}

INTERNAL: Final = {
    "access_tokens": "access tokens of orgs, encrypted, and the lease under which one worker renews each",
    "alembic_version": "the revision of this schema",
    "chores": "when each maintenance task was begun and done last",
    "late_days": "days that were counted before a late slot came",
    "org_credentials": "credentials of orgs, encrypted",
    "pgqueuer": "the queue of polls (PgQueuer)",
    "pgqueuer_log": "the queue's log (PgQueuer)",
    "pgqueuer_schedules": "schedules of the queue (PgQueuer)",
    "pgqueuer_statistics": "statistics of the queue (PgQueuer)",
    "poller_locks": "rows that workers and migrations lock, so that nobody else can",
    "shared_relations": "which relations and columns the roles poller_reader and poller_guest may read",
    "token_budgets": "when access tokens of each grant were issued: ten in ten minutes at most",
    "workers": "heartbeats of workers",
}


def upgrade() -> None:
    for relation, (comment, columns) in READ.items():
        kind = "TABLE" if relation in TABLES else "VIEW"
        op.execute(f"COMMENT ON {kind} {relation} IS {quoted(comment)}")
        for column, text in columns.items():
            op.execute(f"COMMENT ON COLUMN {relation}.{column} IS {quoted(text)}")
    for relation, text in INTERNAL.items():
        op.execute(f"COMMENT ON TABLE {relation} IS {quoted(f'Internal, not for queries: {text}')}")


TABLES: Final = READ.keys() - {
    "user_counts",
    "latest_user_counts",
    "latest_org_snapshots",
    "daily_user_counts",
    "fleet_daily_user_counts",
    "poll_gaps",
}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
