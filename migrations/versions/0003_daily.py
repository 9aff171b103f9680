"""Daily counts: years of days beside the months of slots, and never behind them for whoever reads.

`daily_counts` holds the days before `rollup_state.rolled_until`, but for those in `dirty_days`, which have changed
since and whose rows are gone. The view adds what is missing from the snapshots themselves. So a row written late,
corrected or back-filled shows at once; rolling up only makes reading faster.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0003"
down_revision = "0002"

# In the order fleet questions read it: one type, a stretch of days, every org.
COUNTS: Final = """
CREATE TABLE daily_counts (
    user_type text COLLATE "C" NOT NULL,
    day       date NOT NULL,
    org_id    integer NOT NULL,
    first     integer,
    last      integer,
    min       integer,
    max       integer,
    sum       bigint,
    samples   integer NOT NULL,
    missing   integer NOT NULL,
    PRIMARY KEY (user_type, day, org_id)
)
"""

DIRTY: Final = """
CREATE TABLE dirty_days (
    org_id integer NOT NULL,
    day    date NOT NULL,
    PRIMARY KEY (org_id, day)
)
"""

# One row. Snapshots of days before `raw_since` may have been dropped: their daily counts are all there is.
STATE: Final = """
CREATE TABLE rollup_state (
    alone        boolean PRIMARY KEY DEFAULT true CHECK (alone),
    rolled_until date NOT NULL,
    raw_since    date NOT NULL DEFAULT '-infinity'
)
"""

NOW_ON: Final = "INSERT INTO rollup_state (rolled_until) VALUES ((now() AT TIME ZONE 'UTC')::date)"

# What was written before there were daily counts; nobody of an earlier version may write meanwhile.
STAND_STILL: Final = "LOCK TABLE org_snapshots IN SHARE MODE"
ALL_SO_FAR: Final = """
INSERT INTO dirty_days
SELECT DISTINCT org_id, (slot AT TIME ZONE 'UTC')::date FROM org_snapshots
WHERE slot < (SELECT rolled_until::timestamp AT TIME ZONE 'UTC' FROM rollup_state)
"""

TYPES: Final = """(VALUES
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
    ) AS t (user_type, count)"""

MEASURES: Final = """(array_agg(t.count ORDER BY s.slot) FILTER (WHERE t.count IS NOT NULL))[1] AS first,
           (array_agg(t.count ORDER BY s.slot DESC) FILTER (WHERE t.count IS NOT NULL))[1] AS last,
           min(t.count) AS min, max(t.count) AS max, sum(t.count) AS sum,
           count(t.count)::integer AS samples, (count(*) - count(t.count))::integer AS missing"""

# The days not rolled up yet are a series, so that a question about earlier days looks at none of their snapshots; what
# lies beyond tomorrow (a clock that is wrong, a test) has a branch of its own.
VIEW: Final = f"""
CREATE VIEW daily_user_counts WITH (security_invoker = true) AS
SELECT d.org_id, o.name AS org, d.user_type, d.day, d.first, d.last, d.min, d.max,
       d.sum::double precision / nullif(d.samples, 0) AS avg, d.samples, d.missing
FROM (
    SELECT org_id, user_type, day, first, last, min, max, sum, samples, missing
    FROM daily_counts
  UNION ALL
    SELECT x.org_id, t.user_type, x.day, {MEASURES}
    FROM dirty_days x
    JOIN org_snapshots s ON s.org_id = x.org_id
        AND s.slot >= x.day::timestamp AT TIME ZONE 'UTC' AND s.slot < (x.day + 1)::timestamp AT TIME ZONE 'UTC'
    CROSS JOIN LATERAL {TYPES}
    GROUP BY x.org_id, t.user_type, x.day
  UNION ALL
    SELECT s.org_id, t.user_type, x.day, {MEASURES}
    FROM rollup_state r
    CROSS JOIN LATERAL (
        SELECT r.rolled_until + n AS day
        FROM generate_series(0, (now() AT TIME ZONE 'UTC')::date + 1 - r.rolled_until) AS n
    ) AS x
    JOIN org_snapshots s
        ON s.slot >= x.day::timestamp AT TIME ZONE 'UTC' AND s.slot < (x.day + 1)::timestamp AT TIME ZONE 'UTC'
    CROSS JOIN LATERAL {TYPES}
    GROUP BY s.org_id, t.user_type, x.day
  UNION ALL
    SELECT s.org_id, t.user_type, (s.slot AT TIME ZONE 'UTC')::date AS day, {MEASURES}
    FROM org_snapshots s
    CROSS JOIN LATERAL {TYPES}
    WHERE s.slot >= (
        SELECT greatest(rolled_until, (now() AT TIME ZONE 'UTC')::date + 2)::timestamp AT TIME ZONE 'UTC'
        FROM rollup_state
    )
    GROUP BY s.org_id, t.user_type, 3
) AS d
LEFT JOIN orgs o ON o.id = d.org_id
"""  # noqa: S608 - put together from this file

READER_GRANTS: Final = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'poller_reader') THEN
        GRANT SELECT ON daily_user_counts, daily_counts, dirty_days, rollup_state TO poller_reader;
    END IF;
END $$
"""


def upgrade() -> None:
    for statement in (COUNTS, DIRTY, STATE, NOW_ON, STAND_STILL, ALL_SO_FAR, VIEW, READER_GRANTS):
        op.execute(statement)
