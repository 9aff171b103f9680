"""Shows gaps of slots without a row too: slots that passed while no worker was running.

While workers run, every slot gets a row, missed slots too. While none runs, no rows are written; the view `poll_gaps`
then finds the slots from the cursors. Paused and removed orgs have no gaps after that time.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0006"
down_revision = "0005"

# A function, because the planner expects a thousand rows of generate_series. A slot ends when the next one is due.
PASSED_SLOTS: Final = """
CREATE FUNCTION passed_slots(cursor_slot timestamptz, due_at timestamptz, interval_seconds integer, until timestamptz)
RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1 COST 1 AS $$
BEGIN
    IF due_at + make_interval(secs => interval_seconds) <= until THEN
        RETURN QUERY SELECT generate_series(
            cursor_slot,
            until - (due_at - cursor_slot) - make_interval(secs => interval_seconds),
            make_interval(secs => interval_seconds)
        );
    END IF;
END $$
"""

POLL_GAPS: Final = """
CREATE OR REPLACE VIEW poll_gaps WITH (security_invoker = true) AS
SELECT g.org_id, o.name AS org, g.slot, g.reason
FROM (
    SELECT s.org_id, s.slot, concat_ws(': ', s.outcome, coalesce(unknown.types, s.error)) AS reason
    FROM org_snapshots s
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
  UNION ALL
    SELECT c.org_id, passed.slot, 'never polled'
    FROM org_schedules c
    JOIN orgs n ON n.id = c.org_id
    CROSS JOIN LATERAL passed_slots(
        c.slot, c.due_at, c.interval_seconds, least(now(), n.paused_at, n.removed_at)
    ) AS passed (slot)
    WHERE NOT EXISTS (SELECT FROM org_snapshots s WHERE s.org_id = c.org_id AND s.slot = passed.slot)
) AS g
LEFT JOIN orgs o ON o.id = g.org_id
"""

READER_GRANTS: Final = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'poller_reader') THEN
        GRANT SELECT ON org_schedules TO poller_reader;
        GRANT SELECT (paused_at) ON orgs TO poller_reader;
    END IF;
END $$
"""


def upgrade() -> None:
    for statement in (PASSED_SLOTS, POLL_GAPS, READER_GRANTS):
        op.execute(statement)
