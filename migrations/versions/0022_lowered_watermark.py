"""Plans are forgotten when the watermark of the rollups is lowered, whoever lowers it.

`open_since()` is declared IMMUTABLE for the planner's sake (revision 3), so a plan that was made before keeps the old
watermark. That is harmless while the watermark rises: such a plan reads too much. After it was lowered, to repair what
a wrong clock left or by hand, such a plan would read too little. All these plans read `dirty_days`; a change to that
table's own settings makes every session plan again.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0022"
down_revision = "0021"

# With its owner's rights: only the owner of a table may alter it, and a worker need not be the owner. The lock it takes
# conflicts with no read or write of rows.
FORGET_PLANS: Final = """
CREATE FUNCTION forget_plans() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    ALTER TABLE dirty_days SET (fillfactor = 100);
    RETURN NULL;
END $$
"""
# Else a guest could have it called by a trigger of its own.
NOT_FOR_ALL: Final = "REVOKE ALL ON FUNCTION forget_plans() FROM PUBLIC"
WHEN_LOWERED: Final = """
CREATE TRIGGER forget_plans AFTER UPDATE ON rollup_state
FOR EACH ROW WHEN (new.rolled_until < old.rolled_until) EXECUTE FUNCTION forget_plans()
"""


def upgrade() -> None:
    for statement in (FORGET_PLANS, NOT_FOR_ALL, WHEN_LOWERED):
        op.execute(statement)
