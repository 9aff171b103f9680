"""Creates access keys, browser sessions, the audit log, and the role that pages use for callers with tags.

A key and a session are stored as HMAC-SHA256 under a pepper, which is derived from the encryption key `pepper_id`.
Nobody can log in with what is stored here.

The role `poller_web` sees only the orgs with one of the tags in the setting `poller.tags`, and nothing without that
setting. Pages and the API take this role for each transaction of a caller with tags, in addition to the conditions of
their queries. `web_relations` lists what the role may read, and a function grants it. A later revision that adds a
relation adds a row to the table and calls the function again.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0026"
down_revision = "0025"

KEYS: Final = """
CREATE TABLE access_keys (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL CHECK (name <> ''),
    hash         bytea NOT NULL CHECK (octet_length(hash) = 32),
    pepper_id    text NOT NULL,
    may          text NOT NULL CHECK (may IN ('read', 'operate')),
    tags         text[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
)
"""
# A name is free again once its key is revoked.
KEY_NAMES: Final = "CREATE UNIQUE INDEX access_keys_name_key ON access_keys (name) WHERE revoked_at IS NULL"

# `key_id` NULL: logged in with the key of POLLER_API_KEY, whose HMAC is `environment`. A session of another value of
# that key is over.
SESSIONS: Final = """
CREATE TABLE web_sessions (
    hash        bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    key_id      integer REFERENCES access_keys ON DELETE CASCADE,
    environment bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(key_id, environment) = 1)
)
"""
SESSIONS_BY_KEY: Final = "CREATE INDEX web_sessions_key_idx ON web_sessions (key_id)"

# `key_id` and `org_id` are no references: what was done stays known after a key or an org is deleted.
AUDIT: Final = """
CREATE TABLE audit (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    key_id integer,
    caller text NOT NULL,
    source text NOT NULL,
    action text NOT NULL,
    org_id integer,
    detail jsonb
)
"""
AUDIT_BY_TIME: Final = "CREATE INDEX audit_at_idx ON audit (at, id)"
# One row per key, org and day.
SEEN_ONCE: Final = """
CREATE UNIQUE INDEX audit_seen_idx ON audit (((at AT TIME ZONE 'UTC')::date), caller, key_id, org_id)
NULLS NOT DISTINCT WHERE action = 'seen'
"""
# Retention deletes rows that are older than a year. Nothing else changes a row, not even the owner's mistake.
KEEP_AUDIT: Final = """
CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.at < now() - interval '365 days' THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is kept for 365 days and never changed' USING ERRCODE = 'insufficient_privilege';
END $$
"""
KEEP_ROWS: Final = """
CREATE TRIGGER keep_audit BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION keep_audit()
"""
KEEP_ALL_ROWS: Final = """
CREATE TRIGGER keep_all_audit BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION keep_audit()
"""

# The answers to write requests that carried an Idempotency-Key. `status` NULL: the request is being answered.
IDEMPOTENCY: Final = """
CREATE TABLE idempotency_keys (
    caller     text NOT NULL,
    key        text NOT NULL CHECK (key <> ''),
    route      text NOT NULL,
    status     integer,
    body       bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
)
"""
IDEMPOTENCY_BY_TIME: Final = "CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at)"

# `columns` NULL: all columns. `visible`: the condition for rows that the role may see; NULL for tables that are not
# about orgs, and for views, which read their tables with the rights of the reader (security_invoker).
WEB_RELATIONS: Final = """
CREATE TABLE web_relations (
    name    name PRIMARY KEY,
    columns text,
    visible text
)
"""
# IN, not = ANY (ARRAY(...)): in a subquery that runs once per org, the array is searched from its start each time.
OF_ITS_ORGS: Final = "org_id IN (SELECT id FROM orgs)"
COLUMNS_OF_ORGS: Final = (
    "id, name, data_center, zgid, edition, licences, poll_interval_seconds, api_version, tags, created_at, updated_at,"
    " paused_at, removed_at, parked_at, parked_code, parked_remedy, probe_at, probes, facts_at, stated_edition,"
    " stated_licences, edition_source, licences_source, paused_reason, resumed_at, parked_outcome"
)
# The dedupe key of a poll's job begins with the number of its org.
OF_ITS_POLLS: Final = (
    "CASE WHEN entrypoint = 'poll' THEN split_part(dedupe_key, ':', 1)::integer IN (SELECT id FROM orgs) ELSE true END"
)
TABLES: Final[dict[str, tuple[str | None, str | None]]] = {
    "orgs": (COLUMNS_OF_ORGS, "tags && nullif(current_setting('poller.tags', true), '')::text[]"),
    **dict.fromkeys(
        (
            "audit",
            "credit_spend",
            "daily_counts",
            "dirty_days",
            "forecast_results",
            "found_anomalies",
            "latest_polls",
            "latest_snapshots",
            "org_limits",
            "org_schedules",
            "org_snapshots",
            "seat_contracts",
            "seat_readings",
            "seat_refusals",
        ),
        (None, OF_ITS_ORGS),
    ),
    "access_tokens": ("org_id, issued_at, expires_at, generation, lease_until, cool_until, cool_downs", OF_ITS_ORGS),
    "pgqueuer": ("id, priority, created, updated, heartbeat, execute_after, status, entrypoint, headers", OF_ITS_POLLS),
    **dict.fromkeys(("chores", "forecast_quantiles", "rollup_state", "service_settings", "workers"), (None, None)),
}
VIEWS: Final = (
    "anomalies",
    "daily_user_counts",
    "latest_org_snapshots",
    "latest_user_counts",
    "org_states",
    "poll_gaps",
    "seat_forecasts",
    "seat_usage",
    "user_counts",
)

LOCKED: Final = {"ACCESS EXCLUSIVE": [name for name, (_, visible) in TABLES.items() if visible and name != "audit"]}

# Returns the statements that this role may not run: an administrator runs them, then `poller migrate` grants the rest.
# The policy `all_roles` is necessary because a table with row-level security and no policy is empty for all but its
# owner. From PostgreSQL 16 on, who creates a role may not take it without a grant.
ADMIT: Final = """
CREATE FUNCTION admit_web() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    shared web_relations;
    membership text := format('GRANT poller_web TO %I', current_user)
        || CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN ' WITH INHERIT FALSE, SET TRUE'
                ELSE '' END;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'poller_web') THEN
        BEGIN
            CREATE ROLE poller_web NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RETURN NEXT 'CREATE ROLE poller_web NOLOGIN';
                RETURN NEXT membership;
                RETURN;
        END;
    END IF;
    FOR shared IN SELECT * FROM web_relations LOOP
        EXECUTE format('GRANT SELECT %s ON %I TO poller_web', '(' || shared.columns || ')', shared.name);
    END LOOP;
    FOR shared IN
        SELECT * FROM web_relations w
        WHERE visible IS NOT NULL
          AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = w.name::text::regclass AND polname = 'web')
    LOOP
        EXECUTE format('CREATE POLICY all_roles ON %I USING (true)', shared.name);
        EXECUTE format('CREATE POLICY web ON %I AS RESTRICTIVE TO poller_web USING (%s)', shared.name, shared.visible);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', shared.name);
    END LOOP;
    IF NOT has_schema_privilege('poller_web', current_schema(), 'USAGE') THEN
        BEGIN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO poller_web', current_schema());
        EXCEPTION
            WHEN insufficient_privilege THEN
                RETURN NEXT format('GRANT USAGE ON SCHEMA %I TO poller_web', current_schema());
        END;
    END IF;
    IF NOT may_be_web() THEN
        BEGIN
            EXECUTE membership;
        EXCEPTION
            WHEN insufficient_privilege THEN RETURN NEXT membership;
        END;
    END IF;
END $$
"""
# Whether the current role may take the role poller_web.
MAY_BE_WEB: Final = """
CREATE FUNCTION may_be_web() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN pg_has_role(oid, 'SET')
                     ELSE pg_has_role(oid, 'MEMBER') END
         FROM pg_roles WHERE rolname = 'poller_web'), false)
$$
"""
NOW: Final = "SELECT admit_web()"

COMMENTS: Final = {
    "access_keys": "access keys of pages and API, as hashes; poller access list shows them",
    "web_sessions": "sessions of browsers that logged in, as hashes",
    "audit": "who changed or saw what; poller audit shows it. Rows are kept for 365 days",
    "idempotency_keys": "answers to write requests of the API, for a day",
    "web_relations": "what the role poller_web may read",
}


def upgrade() -> None:
    for statement in (
        KEYS,
        KEY_NAMES,
        SESSIONS,
        SESSIONS_BY_KEY,
        AUDIT,
        AUDIT_BY_TIME,
        SEEN_ONCE,
        KEEP_AUDIT,
        KEEP_ROWS,
        KEEP_ALL_ROWS,
        IDEMPOTENCY,
        IDEMPOTENCY_BY_TIME,
        WEB_RELATIONS,
    ):
        op.execute(statement)
    for name, (columns, visible) in {**TABLES, **dict.fromkeys(VIEWS, (None, None))}.items():
        values = ", ".join("NULL" if value is None else quoted(value) for value in (name, columns, visible))
        op.execute(f"INSERT INTO web_relations (name, columns, visible) VALUES ({values})")  # noqa: S608 - from above
    for table, text in COMMENTS.items():
        op.execute(f"COMMENT ON TABLE {table} IS {quoted(f'Internal, not for queries: {text}')}")
    for statement in (MAY_BE_WEB, ADMIT, NOW):
        op.execute(statement)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
