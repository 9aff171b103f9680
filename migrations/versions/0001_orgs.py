"""Creates orgs, and what is needed to poll them: credentials, shared tokens, credits and rate limits.

Secrets are stored as ciphertexts (see `poller/store/orgs/encryption.py`) with the id of their key. Rate limits are
stored in the database, so that a restart or a second worker continues with them.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0001"
down_revision = None

ORGS: Final = """
CREATE TABLE orgs (
    id                    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                  text NOT NULL CHECK (name <> ''),
    data_center           text NOT NULL,
    zgid                  text,
    edition               text,
    licences              integer CHECK (licences >= 0),
    poll_interval_seconds integer CHECK (poll_interval_seconds BETWEEN 1 AND 86400),
    api_version           text CHECK (api_version ~ '^v[0-9]+(\\.[0-9]+)?$'),
    tags                  text[] NOT NULL DEFAULT '{}',
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    paused_at             timestamptz,
    removed_at            timestamptz,
    parked_at             timestamptz,
    parked_code           text,
    parked_remedy         text,
    probe_at              timestamptz,
    probes                smallint NOT NULL DEFAULT 0
)
"""

# A removed org keeps its row, for its history; another org may take its name.
ORG_NAMES: Final = "CREATE UNIQUE INDEX orgs_name_key ON orgs (name) WHERE removed_at IS NULL"

# The fingerprint is a hash that identifies a grant. An import uses it to see whether a grant has changed. Zoho's limit
# on issued tokens applies per grant, not per org.
CREDENTIALS: Final = """
CREATE TABLE org_credentials (
    org_id            integer PRIMARY KEY REFERENCES orgs ON DELETE CASCADE,
    client_id         text NOT NULL,
    client_secret     bytea NOT NULL,
    refresh_token     bytea,
    grant_code        bytea,
    soid              text,
    key_id            text NOT NULL,
    grant_fingerprint bytea NOT NULL CHECK (octet_length(grant_fingerprint) = 32),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(refresh_token, grant_code, soid) > 0)
)
"""

# One row per org: its access token, which all workers share; the lease of the worker that renews it; the time before
# which no token may be requested. Each row changes every hour, so the fillfactor leaves room for updates in place.
TOKENS: Final = """
CREATE TABLE access_tokens (
    org_id       integer PRIMARY KEY REFERENCES orgs ON DELETE CASCADE,
    token        bytea,
    key_id       text,
    api_domain   text,
    issued_at    timestamptz,
    expires_at   timestamptz,
    generation   bigint NOT NULL DEFAULT 0,
    lease_holder uuid,
    lease_until  timestamptz,
    cool_until   timestamptz,
    cool_downs   smallint NOT NULL DEFAULT 0,
    CHECK (num_nulls(token, key_id, api_domain, issued_at, expires_at) IN (0, 5))
) WITH (fillfactor = 70)
"""

# When the last ten tokens of each grant were issued, also by workers that crashed. Zoho allows ten in ten minutes.
BUDGETS: Final = """
CREATE TABLE token_budgets (
    grant_fingerprint bytea PRIMARY KEY CHECK (octet_length(grant_fingerprint) = 32),
    issued_at         timestamptz[] NOT NULL CHECK (cardinality(issued_at) <= 10)
) WITH (fillfactor = 70)
"""

# Credits spent per org and quarter of an hour. The sum of the last 24 hours must stay within the poller's share.
CREDITS: Final = """
CREATE TABLE credit_spend (
    org_id  integer NOT NULL REFERENCES orgs ON DELETE CASCADE,
    bucket  timestamptz NOT NULL,
    credits integer NOT NULL CHECK (credits >= 0),
    PRIMARY KEY (org_id, bucket)
) WITH (fillfactor = 80)
"""

# After a 429: no request before `hold_until`, and the reduced request rate. Also the org's remaining credits, for all
# of its API clients, as Zoho said last.
LIMITS: Final = """
CREATE TABLE org_limits (
    org_id               integer PRIMARY KEY REFERENCES orgs ON DELETE CASCADE,
    hold_until           timestamptz,
    holds                smallint NOT NULL DEFAULT 0,
    rate_factor          real NOT NULL DEFAULT 1 CHECK (rate_factor > 0 AND rate_factor <= 1),
    credits_remaining    integer,
    credits_remaining_at timestamptz
) WITH (fillfactor = 80)
"""


def upgrade() -> None:
    for statement in (ORGS, ORG_NAMES, CREDENTIALS, TOKENS, BUDGETS, CREDITS, LIMITS):
        op.execute(statement)
