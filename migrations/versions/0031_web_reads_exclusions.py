"""Lets the role of the pages read the alert exclusions of its orgs, and the rules that these belong to.

Pages and API asked as the owner before, with the numbers of the caller's orgs. Now PostgreSQL hides other rows, too.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0031"
down_revision = "0030"

LOCKED: Final = {"ACCESS EXCLUSIVE": ["alert_rules", "alert_exclusions"]}

OF_ITS_ORGS: Final = "org_id IN (SELECT id FROM orgs)"
OF_ITS_ALERTS_AND_EXCLUSIONS: Final = (
    "id IN (SELECT rule_id FROM alert_states) OR id IN (SELECT rule_id FROM alert_exclusions)"
)
EXCLUSIONS: Final = f"INSERT INTO web_relations (name, visible) VALUES ('alert_exclusions', '{OF_ITS_ORGS}')"  # noqa: S608
RULES: Final = f"UPDATE web_relations SET visible = '{OF_ITS_ALERTS_AND_EXCLUSIONS}' WHERE name = 'alert_rules'"  # noqa: S608
# Without the role, `poller migrate` creates the policies once there is one.
POLICY: Final = f"""
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_policy WHERE polrelid = 'alert_rules'::regclass AND polname = 'web') THEN
        ALTER POLICY web ON alert_rules USING ({OF_ITS_ALERTS_AND_EXCLUSIONS});
    END IF;
END $$
"""


def upgrade() -> None:
    for statement in (EXCLUSIONS, RULES, "SELECT admit_web()", POLICY):
        op.execute(statement)
