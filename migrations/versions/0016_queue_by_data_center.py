"""The queue by data centre: polls of one that does not answer are passed over without reading them one by one."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0016"
down_revision = "0015"

# Jobs of the previous release name no data centre: they are found under the empty name.
BY_DATA_CENTER: Final = """
CREATE INDEX pgqueuer_data_center_idx ON pgqueuer (entrypoint, coalesce(headers ->> 'data_center', ''), execute_after)
WHERE status = 'queued'
"""


def upgrade() -> None:
    op.execute(BY_DATA_CENTER)
