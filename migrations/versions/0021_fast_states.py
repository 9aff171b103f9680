"""Makes the view `org_states` faster: an edition without punctuation skips the removal of punctuation.

`translate` compares every letter with every character it removes, which took a third of the time of `org_states`. The
function returns the same values as before.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0021"
down_revision = "0020"

DAILY_CREDITS: Final = """
CREATE OR REPLACE FUNCTION org_daily_credits(edition text, licences integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        CASE WHEN lower(edition) IN ('free', 'standard', 'starter', 'professional', 'enterprise', 'zohooneenterprise',
                                     'ultimate', 'crmplus') THEN lower(edition)
             ELSE translate(lower(edition), ' !"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~', '') END
        WHEN 'standard' THEN least(50000 + 250 * greatest(coalesce(licences, 0), 0)::bigint, 100000)
        WHEN 'starter' THEN least(50000 + 250 * greatest(coalesce(licences, 0), 0)::bigint, 100000)
        WHEN 'professional' THEN least(50000 + 500 * greatest(coalesce(licences, 0), 0)::bigint, 3000000)
        WHEN 'enterprise' THEN least(50000 + 1000 * greatest(coalesce(licences, 0), 0)::bigint, 5000000)
        WHEN 'zohooneenterprise' THEN least(50000 + 1000 * greatest(coalesce(licences, 0), 0)::bigint, 5000000)
        WHEN 'ultimate' THEN 50000 + 2000 * greatest(coalesce(licences, 0), 0)::bigint
        WHEN 'crmplus' THEN 50000 + 2000 * greatest(coalesce(licences, 0), 0)::bigint
        ELSE 5000::bigint END
$$
"""


def upgrade() -> None:
    op.execute(DAILY_CREDITS)
