"""Creates late days: final days for which a snapshot arrived after retention had dropped the snapshots of the day.

If an org has no daily counts of such a day (as before a back-fill), they are computed from the late snapshots, and
again when more arrive. If it has daily counts, they stay the same, because their snapshots are gone: the late snapshots
are in `org_snapshots` until the month is dropped again, and this table records that the daily counts do not include
them.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0008"
down_revision = "0007"

# `counted`: the daily counts are computed from the late snapshots.
LATE_DAYS: Final = """
CREATE TABLE late_days (
    org_id  integer NOT NULL,
    day     date NOT NULL,
    counted boolean NOT NULL,
    PRIMARY KEY (org_id, day)
)
"""


def upgrade() -> None:
    op.execute(LATE_DAYS)
