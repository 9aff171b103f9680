"""Creates snapshots: one row per org and slot, successful or not, and the views and the table for frequent queries.

A row has the counts from Zoho, or the reason why they are unknown. The statement that writes it also updates
`latest_snapshots`, so that the latest counts need no search. There is no foreign key to `orgs`: if an org is purged
during a poll, the insert of the whole batch would fail. There is no default partition, because every new month would
have to search it; the writer creates a missing month.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"

# Columns of eight bytes first, then four, then two, then those that are mostly NULL: 71 bytes of data without padding.
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

# Rows arrive in the order of their slots, so a BRIN index of a few kilobytes finds the last two hours of all orgs.
BY_SLOT: Final = "CREATE INDEX org_snapshots_slot_idx ON org_snapshots USING brin (slot) WITH (autosummarize = on)"

# Failures are few; a query for gaps of the whole fleet reads this index only.
GAPS_BY_SLOT: Final = "CREATE INDEX org_snapshots_gaps_idx ON org_snapshots (slot) WHERE outcome <> 'ok'"

# The last known count of every type, and its slot if that differs from the row's slot. Each row changes with every
# poll, so the fillfactor leaves room for updates in place.
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

# Outer joins: the planner skips the look-up of the name if a query does not select it, and a snapshot without a name is
# still shown. security_invoker: the rights of the reader apply, not those of the owner of the view.
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

# A partial poll is a gap only while some count is unknown: later polls of the slot may have added the others.
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

# Roles belong to the whole server, so the migration of another database may have created the role, or may be creating
# it.
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
