"""An org remembers the outcome of the poll that parked it.

While an org is parked, every slot gets a row with that outcome and the code it is parked for. The outcome was derived
from the spelling of the code; codes that Zoho may introduce later do not have to follow that spelling.

Workers of the previous release go on running: they park orgs without an outcome (NULL) and leave the outcome behind
when they unpark. Reading a parked org without an outcome derives it from the code, as before; the next probe stores it.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0023"
down_revision = "0022"

COLUMN: Final = "ALTER TABLE orgs ADD COLUMN parked_outcome text"
# Orgs are parked for what the API answers to requests (codes in capitals and http_403) and for what the token endpoint
# answers. Of the former, three codes mean that the token is invalid.
BACKFILL: Final = """
UPDATE orgs SET parked_outcome = CASE
    WHEN parked_code IN ('INVALID_TOKEN', 'INVALID_OAUTHTOKEN', 'AUTHENTICATION_FAILURE') THEN 'unauthorized'
    WHEN parked_code = 'http_403' OR (parked_code = upper(parked_code) AND parked_code <> lower(parked_code))
        THEN 'forbidden'
    ELSE 'unauthorized' END
WHERE parked_at IS NOT NULL
"""


def upgrade() -> None:
    for statement in (COLUMN, BACKFILL):
        op.execute(statement)
