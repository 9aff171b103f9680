"""Adds an index to the audit log, for the question who did what to one org last."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0028"
down_revision = "0027"

BY_ORG: Final = "CREATE INDEX audit_org_idx ON audit (org_id, at DESC) WHERE org_id IS NOT NULL"


def upgrade() -> None:
    op.execute(BY_ORG)
