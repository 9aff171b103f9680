"""Adds an index of the queue by data centre, to skip the jobs of a data centre that does not answer."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0016"
down_revision = "0015"

# Jobs of the previous release have no data centre; the index has them under the empty name.
BY_DATA_CENTER: Final = """
CREATE INDEX pgqueuer_data_center_idx ON pgqueuer (entrypoint, coalesce(headers ->> 'data_center', ''), execute_after)
WHERE status = 'queued'
"""


def upgrade() -> None:
    op.execute(BY_DATA_CENTER)
