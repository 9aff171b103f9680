"""Creates the roles for readers, and for guests, who see only the orgs with one of their tags.

The table `shared_relations` lists what they may read, and a function grants it. If the poller's role may not create
roles, an administrator does, and `poller migrate` grants the rights. A later revision that adds a relation adds a row
to the table and calls the function again.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0007"
down_revision = "0006"

# `login`: the name of a login, or of a role that the login is a member of.
GUEST_TAGS: Final = """
CREATE TABLE guest_tags (
    login name NOT NULL,
    tag   text NOT NULL CHECK (tag <> ''),
    PRIMARY KEY (login, tag)
)
"""

# For the policy of `orgs`, which applies to every query of a guest.
ORGS_BY_TAG: Final = "CREATE INDEX orgs_tags_idx ON orgs USING gin (tags)"

# `columns` NULL: all columns. `guests_see`: the condition for rows that a guest may see; NULL for tables that are not
# about orgs, and for views, which read their tables with the rights of the reader (security_invoker).
SHARED: Final = """
CREATE TABLE shared_relations (
    name       name PRIMARY KEY,
    columns    text,
    guests_see text
)
"""

# Arrays instead of joins: they are computed once per query, and an index then finds the rows.
OF_ITS_ORGS: Final = "org_id = ANY (ARRAY(SELECT id FROM orgs))"
ALL_SO_FAR: Final = f"""
INSERT INTO shared_relations (name, columns, guests_see) VALUES
    ('guest_tags', NULL, 'login IN (SELECT rolname FROM pg_roles WHERE pg_has_role(oid, ''USAGE''))'),
    ('orgs', 'id, name, tags, data_center, edition, licences, created_at, paused_at, removed_at',
             'tags && ARRAY(SELECT tag FROM guest_tags)'),
    ('org_snapshots', NULL, '{OF_ITS_ORGS}'),
    ('latest_snapshots', NULL, '{OF_ITS_ORGS}'),
    ('daily_counts', NULL, '{OF_ITS_ORGS}'),
    ('dirty_days', NULL, '{OF_ITS_ORGS}'),
    ('org_schedules', NULL, '{OF_ITS_ORGS}'),
    ('rollup_state', NULL, NULL),
    ('user_counts', NULL, NULL),
    ('latest_user_counts', NULL, NULL),
    ('daily_user_counts', NULL, NULL),
    ('poll_gaps', NULL, NULL)
"""  # noqa: S608 - it stands above

# Returns the roles that do not exist and that this role may not create. The policy `everybody` is necessary because a
# table with row-level security and no policy is empty for all but its owner; the policy `guests` restricts guests.
ADMIT: Final = """
CREATE FUNCTION admit_readers() RETURNS SETOF name LANGUAGE plpgsql AS $$
DECLARE
    reader name;
    shared shared_relations;
BEGIN
    FOREACH reader IN ARRAY ARRAY['poller_reader', 'poller_guest'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', reader);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RETURN NEXT reader;
                    CONTINUE;
            END;
        END IF;
        FOR shared IN SELECT * FROM shared_relations LOOP
            EXECUTE format('GRANT SELECT %s ON %I TO %I', '(' || shared.columns || ')', shared.name, reader);
        END LOOP;
    END LOOP;
    FOR shared IN
        SELECT * FROM shared_relations s
        WHERE guests_see IS NOT NULL AND EXISTS (SELECT FROM pg_roles WHERE rolname = 'poller_guest')
          AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = s.name::text::regclass AND polname = 'guests')
    LOOP
        EXECUTE format('CREATE POLICY everybody ON %I USING (true)', shared.name);
        EXECUTE format('CREATE POLICY guests ON %I AS RESTRICTIVE TO poller_guest USING (%s)',
                       shared.name, shared.guests_see);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', shared.name);
    END LOOP;
END $$
"""

NOW: Final = "SELECT admit_readers()"


def upgrade() -> None:
    for statement in (GUEST_TAGS, ORGS_BY_TAG, SHARED, ALL_SO_FAR, ADMIT, NOW):
        op.execute(statement)
