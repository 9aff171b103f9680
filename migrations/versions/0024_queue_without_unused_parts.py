"""Drops the parts of PgQueuer that the poller never uses.

- The trigger sent a notification for every statement that changed the queue. No worker listens.
- The tables of schedules and statistics belong to PgQueuer's own scheduler and dashboard. The poller uses neither.
- The indexes serve queries of these tools, or limits on concurrent jobs. No statement of the poller reads them, and
  every job that is queued, claimed or finished had to update them.

Workers of the previous release go on running: none of their statements names what is dropped. The columns of `pgqueuer`
stay, because PgQueuer's claim returns whole rows: a row of another shape would make a running worker's claim fail.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0024"
down_revision = "0023"

LOCKED: Final = {"ACCESS EXCLUSIVE": ("pgqueuer", "pgqueuer_log", "pgqueuer_schedules", "pgqueuer_statistics")}
NOTIFICATIONS: Final = (
    "DROP TRIGGER tg_pgqueuer_changed ON pgqueuer",
    "DROP FUNCTION fn_pgqueuer_changed()",
)
TABLES: Final = (
    "DROP TABLE pgqueuer_schedules",
    "DROP TABLE pgqueuer_statistics",
)
# The claim of polls uses pgqueuer_data_center_idx, PgQueuer's claim pgqueuer_ep_prio_id_idx.
INDEXES: Final = (
    "DROP INDEX pgqueuer_ep_ea_idx",
    "DROP INDEX pgqueuer_picked_slot_idx",
    "DROP INDEX pgqueuer_priority_id_id1_idx",
    "DROP INDEX pgqueuer_updated_id_id1_idx",
    "DROP INDEX pgqueuer_log_job_id_status",
    "DROP INDEX pgqueuer_log_status",
)
# Marks the rows of the log that are counted in the table of statistics. Its index goes with it.
AGGREGATED: Final = ("ALTER TABLE pgqueuer_log DROP COLUMN aggregated",)


def upgrade() -> None:
    for statement in (*NOTIFICATIONS, *TABLES, *INDEXES, *AGGREGATED):
        op.execute(statement)
