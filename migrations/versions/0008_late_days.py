"""Late days: of which a snapshot came after the snapshots of that day had been dropped by retention.

Where nothing was kept of such a day of an org (a back-fill of long ago), its counts are made of what came, and again
when more comes. Where its counts were kept, they stay as they are, since what they were made of is gone: what came is
in `org_snapshots` until its month is dropped again, and here it stands that no day counts it.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0008"
down_revision = "0007"

# `counted`: the day's counts are made of what came.
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
