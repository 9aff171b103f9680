"""Readers: who may see which relations, and guests, who see only the orgs that carry a tag of theirs.

What is shared stands in one table, and one function grants it: where this role may not make roles, an administrator
makes them and `poller migrate` grants the rest. A later revision that adds a relation adds a row and calls it again.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0007"
down_revision = "0006"

# A login's name, or that of a role it is a member of.
GUEST_TAGS: Final = """
CREATE TABLE guest_tags (
    login name NOT NULL,
    tag   text NOT NULL CHECK (tag <> ''),
    PRIMARY KEY (login, tag)
)
"""

# For the policy of `orgs`, which every query of a guest goes through.
ORGS_BY_TAG: Final = "CREATE INDEX orgs_tags_idx ON orgs USING gin (tags)"

# `columns` NULL: all of them. `guests_see`: the rows a guest sees of a table; NULL where no row is about an org, and
# for views, which are their reader's own queries on the tables (security_invoker).
SHARED: Final = """
CREATE TABLE shared_relations (
    name       name PRIMARY KEY,
    columns    text,
    guests_see text
)
"""

# Arrays, not joins: worked out once a query, and then an index finds the rows.
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

# Returns the roles that are not there and that this role may not make. The one policy is for everybody else, since
# without any a table with row-level security is empty to all but its owner; the other takes from guests.
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
