"""Snapshots: the one fact table, one row per org and slot whatever happened, and what is asked of it most.

A row holds what Zoho said or why we do not know. `latest_snapshots` follows it in the same statement, so that "now" is
never a search. No foreign key: a poll that ends after its org is purged must not take its batch down with it. No
default partition: it would have to be searched for every new month; the writer makes a month that is missing.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"

# Eight-byte columns, then four, then two, then what is mostly NULL: 71 bytes of data and no padding between them.
SNAPSHOTS: Final = """
CREATE TABLE org_snapshots (
    slot                    timestamptz NOT NULL,
    polled_at               timestamptz,
    org_id                  integer NOT NULL,
    duration_ms             integer NOT NULL,
    all_users               integer,
    active_users            integer,
    deactive_users          integer,
    confirmed_users         integer,
    not_confirmed_users     integer,
    deleted_users           integer,
    active_confirmed_users  integer,
    admin_users             integer,
    active_confirmed_admins integer,
    current_users           integer,
    late_seconds            smallint NOT NULL,
    requests                smallint NOT NULL,
    outcome                 text NOT NULL CHECK (outcome IN ('ok', 'partial', 'throttled', 'unauthorized', 'forbidden',
                                                             'rejected', 'unavailable', 'malformed', 'missed')),
    error                   text,
    errors                  jsonb,
    credits_remaining       integer,
    PRIMARY KEY (org_id, slot),
    CONSTRAINT ok_knows_all_ten CHECK (outcome <> 'ok' OR num_nulls(
        all_users, active_users, deactive_users, confirmed_users, not_confirmed_users, deleted_users,
        active_confirmed_users, admin_users, active_confirmed_admins, current_users) = 0)
) PARTITION BY RANGE (slot)
"""

# Rows arrive in the order of their slots, so a few kilobytes find "the last two hours of everybody".
BY_SLOT: Final = "CREATE INDEX org_snapshots_slot_idx ON org_snapshots USING brin (slot) WITH (autosummarize = on)"

# Failures are few; this is what a look at the fleet's gaps reads instead of everything.
GAPS_BY_SLOT: Final = "CREATE INDEX org_snapshots_gaps_idx ON org_snapshots (slot) WHERE outcome <> 'ok'"

# The last known count of every type, and of which slot it is where that is not the row's own. Rewritten with every
# poll, hence room in each page for updates in place.
LATEST: Final = """
CREATE TABLE latest_snapshots (
    org_id                            integer PRIMARY KEY,
    slot                              timestamptz NOT NULL,
    polled_at                         timestamptz,
    all_users                         integer,
    active_users                      integer,
    deactive_users                    integer,
    confirmed_users                   integer,
    not_confirmed_users               integer,
    deleted_users                     integer,
    active_confirmed_users            integer,
    admin_users                       integer,
    active_confirmed_admins           integer,
    current_users                     integer,
    all_users_slot                    timestamptz,
    active_users_slot                 timestamptz,
    deactive_users_slot               timestamptz,
    confirmed_users_slot              timestamptz,
    not_confirmed_users_slot          timestamptz,
    deleted_users_slot                timestamptz,
    active_confirmed_users_slot       timestamptz,
    admin_users_slot                  timestamptz,
    active_confirmed_admins_slot      timestamptz,
    current_users_slot                timestamptz,
    all_users_polled_at               timestamptz,
    active_users_polled_at            timestamptz,
    deactive_users_polled_at          timestamptz,
    confirmed_users_polled_at         timestamptz,
    not_confirmed_users_polled_at     timestamptz,
    deleted_users_polled_at           timestamptz,
    active_confirmed_users_polled_at  timestamptz,
    admin_users_polled_at             timestamptz,
    active_confirmed_admins_polled_at timestamptz,
    current_users_polled_at           timestamptz
) WITH (fillfactor = 50)
"""

# Outer joins: a name is looked up only where it is asked for, and a snapshot is never hidden for want of one.
# security_invoker: what a reader may see is decided by the reader's own rights, not by the owner's.
USER_COUNTS: Final = """
CREATE VIEW user_counts WITH (security_invoker = true) AS
SELECT s.org_id, o.name AS org, t.user_type, s.slot, s.polled_at, t.count, s.outcome,
       coalesce(s.errors ->> t.user_type, CASE WHEN t.count IS NULL THEN s.error END) AS error
FROM org_snapshots s
LEFT JOIN orgs o ON o.id = s.org_id
CROSS JOIN LATERAL (VALUES
    ('AllUsers', s.all_users),
    ('ActiveUsers', s.active_users),
    ('DeactiveUsers', s.deactive_users),
    ('ConfirmedUsers', s.confirmed_users),
    ('NotConfirmedUsers', s.not_confirmed_users),
    ('DeletedUsers', s.deleted_users),
    ('ActiveConfirmedUsers', s.active_confirmed_users),
    ('AdminUsers', s.admin_users),
    ('ActiveConfirmedAdmins', s.active_confirmed_admins),
    ('CurrentUser', s.current_users)
) AS t (user_type, count)
"""

LATEST_USER_COUNTS: Final = """
CREATE VIEW latest_user_counts WITH (security_invoker = true) AS
SELECT l.org_id, o.name AS org, t.user_type, coalesce(t.slot, l.slot) AS slot,
       coalesce(t.polled_at, l.polled_at) AS polled_at, t.count, now() - coalesce(t.polled_at, l.polled_at) AS age
FROM latest_snapshots l
LEFT JOIN orgs o ON o.id = l.org_id
CROSS JOIN LATERAL (VALUES
    ('AllUsers', l.all_users, l.all_users_slot, l.all_users_polled_at),
    ('ActiveUsers', l.active_users, l.active_users_slot, l.active_users_polled_at),
    ('DeactiveUsers', l.deactive_users, l.deactive_users_slot, l.deactive_users_polled_at),
    ('ConfirmedUsers', l.confirmed_users, l.confirmed_users_slot, l.confirmed_users_polled_at),
    ('NotConfirmedUsers', l.not_confirmed_users, l.not_confirmed_users_slot, l.not_confirmed_users_polled_at),
    ('DeletedUsers', l.deleted_users, l.deleted_users_slot, l.deleted_users_polled_at),
    ('ActiveConfirmedUsers', l.active_confirmed_users, l.active_confirmed_users_slot,
                             l.active_confirmed_users_polled_at),
    ('AdminUsers', l.admin_users, l.admin_users_slot, l.admin_users_polled_at),
    ('ActiveConfirmedAdmins', l.active_confirmed_admins, l.active_confirmed_admins_slot,
                              l.active_confirmed_admins_polled_at),
    ('CurrentUser', l.current_users, l.current_users_slot, l.current_users_polled_at)
) AS t (user_type, count, slot, polled_at)
WHERE t.count IS NOT NULL AND o.removed_at IS NULL
"""

# A partial poll is a gap only while some count is unknown: later polls of its slot may have filled it.
POLL_GAPS: Final = """
CREATE VIEW poll_gaps WITH (security_invoker = true) AS
SELECT s.org_id, o.name AS org, s.slot,
       concat_ws(': ', s.outcome, coalesce(unknown.types, s.error)) AS reason
FROM org_snapshots s
LEFT JOIN orgs o ON o.id = s.org_id
LEFT JOIN LATERAL (
    SELECT string_agg(concat_ws(' ', t.user_type, coalesce(s.errors ->> t.user_type, s.error)), ', ') AS types
    FROM (VALUES
        ('AllUsers', s.all_users),
        ('ActiveUsers', s.active_users),
        ('DeactiveUsers', s.deactive_users),
        ('ConfirmedUsers', s.confirmed_users),
        ('NotConfirmedUsers', s.not_confirmed_users),
        ('DeletedUsers', s.deleted_users),
        ('ActiveConfirmedUsers', s.active_confirmed_users),
        ('AdminUsers', s.admin_users),
        ('ActiveConfirmedAdmins', s.active_confirmed_admins),
        ('CurrentUser', s.current_users)
    ) AS t (user_type, count)
    WHERE s.outcome = 'partial' AND t.count IS NULL
) AS unknown ON true
WHERE s.outcome <> 'ok' AND (s.outcome <> 'partial' OR unknown.types IS NOT NULL)
"""

# Roles belong to the whole server: another database of it may have made this one already, or be making it now.
READER: Final = """
DO $$
BEGIN
    CREATE ROLE poller_reader NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'no right to make roles: have an administrator run CREATE ROLE poller_reader, then grant it '
                     'SELECT on org_snapshots, latest_snapshots, user_counts, latest_user_counts, poll_gaps '
                     'and on orgs (id, name, tags, removed_at)';
END $$
"""

READER_GRANTS: Final = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'poller_reader') THEN
        GRANT SELECT ON org_snapshots, latest_snapshots, user_counts, latest_user_counts, poll_gaps TO poller_reader;
        GRANT SELECT (id, name, tags, removed_at) ON orgs TO poller_reader;
    END IF;
END $$
"""


def upgrade() -> None:
    for statement in (
        SNAPSHOTS,
        BY_SLOT,
        GAPS_BY_SLOT,
        LATEST,
        USER_COUNTS,
        LATEST_USER_COUNTS,
        POLL_GAPS,
        READER,
        READER_GRANTS,
    ):
        op.execute(statement)
