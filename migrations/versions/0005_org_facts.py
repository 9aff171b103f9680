"""Adds when Zoho last said the edition and licences of an org; the poller asks again daily: limits need them."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0005"
down_revision = "0004"

FACTS_AT: Final = "ALTER TABLE orgs ADD COLUMN facts_at timestamptz"


def upgrade() -> None:
    op.execute(FACTS_AT)
