"""Adds indexes to find the orgs that need a person without reading every org.

An org needs a person if it is parked, if its last poll failed, or if it is late. Whether it may be late depends on the
shortest interval of all orgs. Few orgs have an interval of their own, and few are parked.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0030"
down_revision = "0029"

BY_INTERVAL: Final = """
CREATE INDEX orgs_interval_idx ON orgs (poll_interval_seconds) WHERE poll_interval_seconds IS NOT NULL
"""
PARKED: Final = "CREATE INDEX orgs_parked_idx ON orgs (id) WHERE parked_at IS NOT NULL"


def upgrade() -> None:
    op.execute(BY_INTERVAL)
    op.execute(PARKED)
