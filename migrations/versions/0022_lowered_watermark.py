"""Discards cached plans when the watermark of the rollups is lowered.

`open_since()` is declared IMMUTABLE for the planner (revision 0003), so a cached plan keeps an old watermark. While the
watermark rises, such a plan only reads too much. After the watermark was lowered, by a repair or by hand, it would read
too little. All these plans read `dirty_days`; changing a setting of that table makes every session plan again.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0022"
down_revision = "0021"

# SECURITY DEFINER: only the owner of a table may alter it, and a worker may not be the owner. The lock it takes does
# not conflict with reading or writing rows.
FORGET_PLANS: Final = """
CREATE FUNCTION forget_plans() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    ALTER TABLE dirty_days SET (fillfactor = 100);
    RETURN NULL;
END $$
"""
# Otherwise a guest could call it, with a trigger on a table of its own.
NOT_FOR_ALL: Final = "REVOKE ALL ON FUNCTION forget_plans() FROM PUBLIC"
WHEN_LOWERED: Final = """
CREATE TRIGGER forget_plans AFTER UPDATE ON rollup_state
FOR EACH ROW WHEN (new.rolled_until < old.rolled_until) EXECUTE FUNCTION forget_plans()
"""


def upgrade() -> None:
    for statement in (FORGET_PLANS, NOT_FOR_ALL, WHEN_LOWERED):
        op.execute(statement)
