"""Creates daily sums over all orgs, with a view that is always up to date; and the latest counts, ten in a row.

`fleet_days` holds the sums of days whose daily counts have not changed since. A trigger adds a changed day to
`unsummed_days`; a trigger, because workers of the previous version know nothing of sums. The view sums the other days
itself. For guests it sums every day, because `fleet_days` includes orgs that they may not see.
"""

# ruff: noqa: S608 - every name put into a statement stands in this file

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0009"
down_revision = "0008"

TYPES: Final = {
    "AllUsers": "all_users",
    "ActiveUsers": "active_users",
    "DeactiveUsers": "deactive_users",
    "ConfirmedUsers": "confirmed_users",
    "NotConfirmedUsers": "not_confirmed_users",
    "DeletedUsers": "deleted_users",
    "ActiveConfirmedUsers": "active_confirmed_users",
    "AdminUsers": "admin_users",
    "ActiveConfirmedAdmins": "active_confirmed_admins",
    "CurrentUser": "current_users",
}


def of_each(template: str, joint: str = ",\n    ") -> str:
    """Returns the template once per user type: `#` becomes its number, `!` its name, `@` its column."""
    return joint.join(
        template.replace("#", str(number)).replace("!", name).replace("@", column)
        for number, (name, column) in enumerate(TYPES.items(), 1)
    )


FLEET_DAYS: Final = """
CREATE TABLE fleet_days (
    type    smallint NOT NULL,
    day     date NOT NULL,
    total   bigint,
    orgs    integer NOT NULL,
    unknown integer NOT NULL,
    PRIMARY KEY (type, day)
)
"""
UNSUMMED_DAYS: Final = "CREATE TABLE unsummed_days (day date PRIMARY KEY)"

UNSUM: Final = """
CREATE FUNCTION unsum_days() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unsummed_days SELECT DISTINCT day FROM changed ORDER BY day ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""
# Daily counts are inserted only when a day is taken off the list of dirty days.
WHEN_CLEAN: Final = """
CREATE TRIGGER unsum_days AFTER DELETE ON dirty_days
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION unsum_days()
"""
WHEN_DELETED: Final = """
CREATE TRIGGER unsum_days AFTER DELETE ON daily_counts
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION unsum_days()
"""

# Jumps from day to day with the index, instead of reading the row of every org.
ALL_SO_FAR: Final = """
INSERT INTO unsummed_days
WITH RECURSIVE counted (day) AS (
    SELECT min(day) FROM daily_counts WHERE type = 1
  UNION ALL
    SELECT (SELECT min(day) FROM daily_counts WHERE type = 1 AND day > counted.day)
    FROM counted WHERE day IS NOT NULL
)
SELECT day FROM counted WHERE day IS NOT NULL
"""

# Functions for the planner, as in revision 0003. A role that may not see any row of `fleet_days` gets every day summed.
DAYS_TO_SUM: Final = """
CREATE FUNCTION days_to_sum() RETURNS SETOF date
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 3 COST 100 AS $$
BEGIN
    RETURN QUERY
    SELECT open.day FROM open_days() AS open (day)
    UNION SELECT day FROM dirty_days
    UNION SELECT day FROM unsummed_days
    UNION SELECT day FROM daily_counts WHERE type = 1 AND NOT EXISTS (SELECT FROM fleet_days);
END $$
"""

# One user type of a row of `latest_snapshots`; PostgreSQL inlines it. No row if the count was never known.
LATEST_OF_TYPE: Final = f"""
CREATE FUNCTION latest_of_type(latest latest_snapshots, of_type integer) RETURNS TABLE (count integer, slot timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT k.count, coalesce(k.slot, latest.slot)
    FROM (SELECT
        CASE of_type {of_each("WHEN # THEN latest.@", " ")} END AS count,
        CASE of_type {of_each("WHEN # THEN latest.@_slot", " ")} END AS slot
    ) AS k
    WHERE k.count IS NOT NULL
$$
"""

# The last counts of today are the latest counts, unless one is later than today. An org without a known count of a type
# today has only failed snapshots today.
FLEET_OF_DAY: Final = f"""
CREATE FUNCTION fleet_of_day(of_day date, of_type integer)
RETURNS TABLE (total bigint, orgs integer, unknown integer)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1 COST 1000 AS $$
#variable_conflict use_column
DECLARE
    since timestamptz := of_day::timestamp AT TIME ZONE 'UTC';
    until timestamptz := (of_day + 1)::timestamp AT TIME ZONE 'UTC';
    known_later boolean := true;
BEGIN
    IF of_day >= (SELECT rolled_until FROM rollup_state) THEN
        SELECT sum(k.count) FILTER (WHERE k.slot >= since), count(*) FILTER (WHERE k.slot >= since),
               coalesce(bool_or(k.slot >= until), false)
        INTO total, orgs, known_later
        FROM latest_snapshots l CROSS JOIN LATERAL latest_of_type(l, of_type) AS k;
    END IF;
    IF known_later THEN
        RETURN QUERY
        SELECT sum(last), count(last)::integer, (count(*) - count(last))::integer
        FROM daily_user_counts
        WHERE day = of_day AND user_type = (ARRAY[{of_each("'!'", ", ")}])[of_type]
        HAVING count(*) > 0;
        RETURN;
    END IF;
    SELECT count(DISTINCT s.org_id) INTO unknown
    FROM org_snapshots s
    WHERE s.outcome <> 'ok' AND s.slot >= since AND s.slot < until AND NOT EXISTS (
        SELECT FROM latest_snapshots l CROSS JOIN LATERAL latest_of_type(l, of_type) AS k
        WHERE l.org_id = s.org_id AND k.slot >= since
    );
    IF orgs + unknown > 0 THEN
        RETURN NEXT;
    END IF;
END $$
"""

# An array, computed once: a plan made while no day was dirty would search the whole list for every day.
VIEW: Final = f"""
CREATE VIEW fleet_daily_user_counts WITH (security_invoker = true) AS
SELECT k.user_type, d.day, d.total, d.orgs, d.unknown
FROM (VALUES
    {of_each("(#, '!')")}
) AS k (type, user_type)
CROSS JOIN LATERAL (
    SELECT f.day, f.total, f.orgs, f.unknown
    FROM fleet_days f
    WHERE f.type = k.type
      AND f.day <> ALL (ARRAY(SELECT day FROM unsummed_days UNION SELECT day FROM dirty_days))
  UNION ALL
    SELECT s.day, c.total, c.orgs, c.unknown
    FROM days_to_sum() AS s (day) CROSS JOIN LATERAL fleet_of_day(s.day, k.type) AS c
) AS d
"""

# `earlier`: the user types whose last known count is older than `slot`; `latest_user_counts` has its slot.
LATEST: Final = f"""
CREATE VIEW latest_org_snapshots WITH (security_invoker = true) AS
SELECT l.org_id, o.name AS org, l.slot, l.polled_at, {of_each("l.@", ", ")},
       CASE WHEN num_nonnulls({of_each("l.@_slot", ", ")}) > 0 THEN (
           SELECT array_agg(t.user_type) FROM (VALUES
    {of_each("('!', l.@_slot)")}
           ) AS t (user_type, slot)
           WHERE t.slot < l.slot
       ) END AS earlier
FROM latest_snapshots l
LEFT JOIN orgs o ON o.id = l.org_id
WHERE o.removed_at IS NULL
"""

SHARED: Final = """
INSERT INTO shared_relations (name, columns, guests_see) VALUES
    ('fleet_days', NULL, 'false'),
    ('unsummed_days', NULL, NULL),
    ('fleet_daily_user_counts', NULL, NULL),
    ('latest_org_snapshots', NULL, NULL)
"""
ADMIT: Final = "SELECT admit_readers()"


def upgrade() -> None:
    for statement in (
        FLEET_DAYS,
        UNSUMMED_DAYS,
        UNSUM,
        WHEN_CLEAN,
        WHEN_DELETED,
        ALL_SO_FAR,
        DAYS_TO_SUM,
        LATEST_OF_TYPE,
        FLEET_OF_DAY,
        VIEW,
        LATEST,
        SHARED,
        ADMIT,
    ):
        op.execute(statement)
