"""Creates alert rules with those of a new installation, alerts with their history, and the outbox of messages.

An alert is one rule on one subject: an org and a user type, or a worker. At most one alert of a subject is open. Every
change of state is a row of `alert_changes`. A message is written in the transaction that changes the state, once per
address, and deleted by nobody but retention. Addresses are secrets, and stored encrypted.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0029"
down_revision = "0028"

# Empty arrays of orgs, tags and data centres match every org; several that are not empty must all match.
# Quiet hours are local times in the zone; messages wait until they end.
RULES: Final = """
CREATE TABLE alert_rules (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    metric        text NOT NULL,
    comparison    text CHECK (comparison IN ('>', '>=', '<', '<=')),
    threshold     double precision CHECK (threshold BETWEEN -1e15 AND 1e15),
    for_seconds   integer NOT NULL DEFAULT 0 CHECK (for_seconds BETWEEN 0 AND 31536000),
    clear_seconds integer NOT NULL DEFAULT 1800 CHECK (clear_seconds BETWEEN 0 AND 31536000),
    severity      text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    org_ids       integer[] NOT NULL DEFAULT '{}',
    tags          text[] NOT NULL DEFAULT '{}',
    data_centers  text[] NOT NULL DEFAULT '{}',
    quiet_from    time,
    quiet_until   time,
    quiet_zone    text,
    enabled       boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    removed_at    timestamptz,
    CHECK ((comparison IS NULL) = (threshold IS NULL)),
    CHECK (num_nonnulls(quiet_from, quiet_until, quiet_zone) IN (0, 3))
)
"""
RULE_NAMES: Final = "CREATE UNIQUE INDEX alert_rules_name_key ON alert_rules (name) WHERE removed_at IS NULL"

# NULL matches every rule, org or user type. An excluded subject is no alert; reports still show it.
EXCLUSIONS: Final = """
CREATE TABLE alert_exclusions (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id    integer REFERENCES alert_rules ON DELETE CASCADE,
    org_id     integer REFERENCES orgs ON DELETE CASCADE,
    user_type  text,
    reason     text NOT NULL DEFAULT '',
    until      timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    CHECK (num_nonnulls(rule_id, org_id, user_type) > 0),
    UNIQUE NULLS NOT DISTINCT (rule_id, org_id, user_type)
)
"""
EXCLUSIONS_BY_ORG: Final = "CREATE INDEX alert_exclusions_org_idx ON alert_exclusions (org_id)"

# `subject`: the worker, or the day of an anomaly; empty elsewhere. `held_seconds` and `cleared_seconds`: how long the
# condition held and was over until `counted_from`, without the time in which it was unknown; a row is written only when
# something changes. `clear_since`: since when it holds no more. `unknown_since`: since when nothing is known.
# `announced`: receivers were told that it fires, last at `announced_at`. `delivered_at`: the first time that a message
# about the firing alert was delivered.
ALERTS: Final = """
CREATE TABLE alert_states (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id         integer NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    org_id          integer REFERENCES orgs ON DELETE CASCADE,
    user_type       text NOT NULL DEFAULT '',
    subject         text NOT NULL DEFAULT '',
    state           text NOT NULL CHECK (state IN ('pending', 'firing', 'acknowledged', 'snoozed', 'resolved')),
    severity        text NOT NULL,
    since           timestamptz NOT NULL,
    fired_at        timestamptz,
    resolved_at     timestamptz,
    snoozed_until   timestamptz,
    held_seconds    double precision NOT NULL DEFAULT 0,
    cleared_seconds double precision NOT NULL DEFAULT 0,
    counted_from    timestamptz NOT NULL,
    clear_since     timestamptz,
    unknown_since   timestamptz,
    announced       boolean NOT NULL DEFAULT false,
    announced_at    timestamptz,
    value           double precision,
    threshold       double precision,
    message         text NOT NULL,
    remedy          text NOT NULL,
    resolved_reason text,
    delivered_at    timestamptz,
    flaps           integer NOT NULL DEFAULT 0,
    CHECK ((state = 'resolved') = (resolved_at IS NOT NULL)),
    CHECK (state <> 'snoozed' OR snoozed_until IS NOT NULL)
)
"""
OPEN_ONCE: Final = """
CREATE UNIQUE INDEX alert_states_open_key ON alert_states (rule_id, org_id, user_type, subject) NULLS NOT DISTINCT
WHERE state <> 'resolved'
"""
ALERTS_BY_ORG: Final = "CREATE INDEX alert_states_org_idx ON alert_states (org_id, id DESC)"
ALERTS_BY_RULE: Final = "CREATE INDEX alert_states_rule_idx ON alert_states (rule_id, id DESC)"
ALERTS_RESOLVED: Final = "CREATE INDEX alert_states_resolved_idx ON alert_states (resolved_at) WHERE state = 'resolved'"

# One row. A long time between two evaluations counts neither as holding nor as over.
EVALUATED: Final = """
CREATE TABLE alert_evaluation (
    alone boolean PRIMARY KEY DEFAULT true CHECK (alone),
    at    timestamptz NOT NULL
)
"""
LOCK: Final = "INSERT INTO poller_locks (name) VALUES ('alerts') ON CONFLICT DO NOTHING"

# `by`: who did it: the name of an access key, "command line", or "poller".
CHANGES: Final = """
CREATE TABLE alert_changes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id   bigint NOT NULL REFERENCES alert_states ON DELETE CASCADE,
    at         timestamptz NOT NULL,
    from_state text,
    to_state   text NOT NULL,
    by         text NOT NULL,
    detail     text NOT NULL DEFAULT ''
)
"""
CHANGES_BY_ALERT: Final = "CREATE INDEX alert_changes_alert_idx ON alert_changes (alert_id, id)"

# `rule_id` NULL: an address of POLLER_NOTIFY_URLS. `fingerprint`: HMAC of the address, under the pepper of `key_id`.
# `leased_until`: until then one worker sends to it. `retry_at`: no attempt before, after that many `failures` in a row.
ADDRESSES: Final = """
CREATE TABLE notify_addresses (
    id          integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    rule_id     integer REFERENCES alert_rules ON DELETE CASCADE,
    url         bytea NOT NULL,
    key_id      text NOT NULL,
    fingerprint bytea NOT NULL,
    scheme      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    retry_at    timestamptz,
    failures    integer NOT NULL DEFAULT 0,
    UNIQUE NULLS NOT DISTINCT (rule_id, fingerprint)
)
"""

# `about`: firing, resolved, digest or test; `occasion` tells messages of one alert and kind apart. `message_id` is the
# same for every attempt. `alert_ids`: every alert that it names; `alert_id`: if it is a single one. `not_before`: the
# end of quiet hours. `error`: of the last attempt, without the address. `given_up_at`: no more attempts.
MESSAGES: Final = """
CREATE TABLE notify_messages (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id   uuid NOT NULL DEFAULT gen_random_uuid(),
    address_id   integer NOT NULL REFERENCES notify_addresses ON DELETE CASCADE,
    alert_id     bigint REFERENCES alert_states ON DELETE CASCADE,
    alert_ids    bigint[] NOT NULL DEFAULT '{}',
    about        text NOT NULL CHECK (about IN ('firing', 'resolved', 'digest', 'test')),
    occasion     text NOT NULL DEFAULT '',
    content      jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    not_before   timestamptz NOT NULL DEFAULT now(),
    attempts     integer NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    given_up_at  timestamptz,
    error        text,
    UNIQUE NULLS NOT DISTINCT (address_id, alert_id, about, occasion)
)
"""
MESSAGES_WAITING: Final = """
CREATE INDEX notify_messages_waiting_idx ON notify_messages (address_id, id)
WHERE delivered_at IS NULL AND given_up_at IS NULL
"""
MESSAGES_BY_ALERT: Final = "CREATE INDEX notify_messages_alert_idx ON notify_messages (alert_id)"
MESSAGES_BY_ALERTS: Final = "CREATE INDEX notify_messages_alerts_idx ON notify_messages USING gin (alert_ids)"

NEW_INSTALL: Final = """
INSERT INTO alert_rules (name, metric, comparison, threshold, for_seconds, clear_seconds, severity) VALUES
    ('org_parked',     'parked',             NULL, NULL, 0, 0,    'critical'),
    ('counts_unknown', 'gap_hours',          '>=', 6,    0, 0,    'critical'),
    ('seats_used',     'seats_used_percent', '>=', 95,   0, 3600, 'warning'),
    ('seats_run_out',  'days_to_exhaustion', '<=', 30,   0, 86400, 'warning'),
    ('admins_up',      'admins_up',          NULL, NULL, 0, 0,    'critical'),
    ('users_zero',     'zero',               NULL, NULL, 0, 0,    'critical'),
    ('step',           'step',               NULL, NULL, 0, 0,    'warning'),
    ('worker_clock',   'worker_clock',       NULL, NULL, 0, 60,   'critical')
"""

VIEW: Final = """
CREATE VIEW alerts WITH (security_invoker = true) AS
SELECT a.id, r.name AS rule, a.org_id, o.name AS org, nullif(a.user_type, '') AS user_type,
       nullif(a.subject, '') AS subject, a.state, a.severity, a.since, a.fired_at, a.resolved_at, a.snoozed_until,
       a.unknown_since, a.value, a.threshold, a.message, a.remedy, a.resolved_reason, a.delivered_at
FROM alert_states a JOIN alert_rules r ON r.id = a.rule_id LEFT JOIN orgs o ON o.id = a.org_id
"""
COLUMNS: Final = {
    "id": "Number of the alert; messages carry it",
    "rule": "Name of the rule",
    "org_id": "Number of the org: orgs.id; NULL: the alert is about no org",
    "org": "Name of the org; NULL: the alert is about no org",
    "user_type": "User type concerned; NULL: none",
    "subject": "Worker, or day of an anomaly; NULL: neither",
    "state": "pending, firing, acknowledged, snoozed or resolved",
    "severity": "info, warning or critical",
    "since": "Since when the condition holds",
    "fired_at": "When it began to fire; NULL: it never did",
    "resolved_at": "When it was over; NULL: it is not",
    "snoozed_until": "Until when no message is sent; NULL: not snoozed",
    "unknown_since": "Since when nothing is known about it; NULL: it is known",
    "value": "Value of the rule's metric at the last evaluation; NULL: none",
    "threshold": "Value it is compared with; NULL: none",
    "message": "What is wrong, in a sentence",
    "remedy": "What to do about it",
    "resolved_reason": "Why it is over; NULL: it is not",
    "delivered_at": "When the first message about it arrived; NULL: none has",
}
ON_TABLE: Final = {
    "rule_id": "Number of the rule: alert_rules.id",
    "held_seconds": "Seconds for which the condition has held, without those in which it was unknown",
    "clear_since": "Since when the condition holds no more; NULL: it holds",
    "cleared_seconds": "Seconds for which the condition has been over, without those in which it was unknown",
    "counted_from": "The time up to which those seconds are counted",
    "announced": "Whether receivers were told that it fires",
    "announced_at": "When receivers were last told that it fires; NULL: never",
    "flaps": "How often it fired again soon after it was over",
}
CHANGE_COLUMNS: Final = {
    "id": "Number of the change",
    "alert_id": "Number of the alert: alerts.id",
    "at": "When the state changed",
    "from_state": "State before; NULL: the alert is new",
    "to_state": "State after",
    "by": "Who changed it: an access key, command line, or poller",
    "detail": "Why, in words",
}
RULE_COLUMNS: Final = {
    "id": "Number of the rule",
    "name": "Name of the rule",
    "metric": "A user type, a figure of an org, or a kind of anomaly",
    "comparison": "How the metric is compared with the threshold; NULL: not at all",
    "threshold": "Value the metric is compared with; NULL: none",
    "for_seconds": "Seconds the condition must hold before the alert fires",
    "clear_seconds": "Seconds the condition must be over before the alert is",
    "severity": "info, warning or critical",
    "enabled": "Whether the rule is evaluated",
    "removed_at": "When the rule was removed; NULL: it is in use",
}
TABLES: Final = {
    "alert_rules": "Rules by which alerts fire",
    "alert_states": "Alerts; the view alerts shows them with names",
    "alert_changes": "Changes of state of each alert",
    "alert_evaluation": "Internal, not for queries: when the rules were last evaluated",
    "alert_exclusions": "Internal, not for queries: orgs and user types without alerts; poller alerts rules shows them",
    "notify_addresses": "Internal, not for queries: where messages are sent, encrypted",
    "notify_messages": "Internal, not for queries: messages about alerts, sent and not yet sent",
}
OF_ITS_ORGS: Final = "org_id IN (SELECT id FROM orgs)"
OF_ITS_ALERTS: Final = "alert_id IN (SELECT id FROM alert_states)"
WITH_ITS_ALERTS: Final = "id IN (SELECT rule_id FROM alert_states)"
RULE_LIST: Final = ", ".join(RULE_COLUMNS)
READERS: Final = f"""
INSERT INTO shared_relations (name, columns, guests_see) VALUES
    ('alert_rules', '{RULE_LIST}', '{WITH_ITS_ALERTS}'),
    ('alert_states', NULL, '{OF_ITS_ORGS}'),
    ('alert_changes', NULL, '{OF_ITS_ALERTS}'),
    ('alerts', NULL, NULL)
"""  # noqa: S608 - it stands above
WEB: Final = f"""
INSERT INTO web_relations (name, columns, visible) VALUES
    ('alert_rules', '{RULE_LIST}', '{WITH_ITS_ALERTS}'),
    ('alert_states', NULL, '{OF_ITS_ORGS}'),
    ('alert_changes', NULL, '{OF_ITS_ALERTS}'),
    ('alerts', NULL, NULL)
"""  # noqa: S608 - it stands above


def upgrade() -> None:
    for statement in (
        RULES,
        RULE_NAMES,
        EXCLUSIONS,
        EXCLUSIONS_BY_ORG,
        ALERTS,
        OPEN_ONCE,
        ALERTS_BY_ORG,
        ALERTS_BY_RULE,
        ALERTS_RESOLVED,
        EVALUATED,
        LOCK,
        CHANGES,
        CHANGES_BY_ALERT,
        ADDRESSES,
        MESSAGES,
        MESSAGES_WAITING,
        MESSAGES_BY_ALERT,
        MESSAGES_BY_ALERTS,
        NEW_INSTALL,
        VIEW,
    ):
        op.execute(statement)
    op.execute("COMMENT ON VIEW alerts IS 'Alerts, open and over, with the names of rule and org'")
    for table, text in TABLES.items():
        op.execute(f"COMMENT ON TABLE {table} IS {quoted(text)}")
    under = {name: text for name, text in COLUMNS.items() if name not in {"rule", "org"}} | ON_TABLE
    commented = {"alerts": COLUMNS, "alert_states": under, "alert_changes": CHANGE_COLUMNS, "alert_rules": RULE_COLUMNS}
    for relation, columns in commented.items():
        for column, text in columns.items():
            op.execute(f"COMMENT ON COLUMN {relation}.{column} IS {quoted(text)}")
    for statement in (READERS, "SELECT admit_readers()", WEB, "SELECT admit_web()"):
        op.execute(statement)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
