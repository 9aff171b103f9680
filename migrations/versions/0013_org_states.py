"""Creates the state of each org, with one definition for command line, web and SQL; and what restoring orgs needs.

`latest_polls` has the outcome of each org's newest poll. A trigger writes it, so that workers of the previous release
do too. `org_states` derives the state. `service_settings` has the settings of the running service, so that the poll
interval does not depend on the environment of the person who runs a command.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0013"
down_revision = "0010"
LOCKED: Final = {
    "ACCESS EXCLUSIVE": ("orgs", "org_limits", "credit_spend"),
    "SHARE ROW EXCLUSIVE": ("org_snapshots", "org_credentials"),
}

# `stated_…`: the value in the last imported file. `…_source`: where the value in force comes from: `import`, `zoho`, or
# `set` (by `poller orgs set`; Zoho's answer does not replace it). `resumed_at`: an org is late only by its polls since.
# `paused_reason`: `no_credentials` for a restored org. `removed_…`: the kind and fingerprint of the deleted
# credentials.
ORG_COLUMNS: Final = """
ALTER TABLE orgs
    ADD COLUMN stated_edition text,
    ADD COLUMN stated_licences integer,
    ADD COLUMN edition_source text,
    ADD COLUMN licences_source text,
    ADD COLUMN paused_reason text,
    ADD COLUMN resumed_at timestamptz,
    ADD COLUMN removed_grant text,
    ADD COLUMN removed_fingerprint bytea
"""
SOURCES: Final = """
UPDATE orgs SET
    stated_edition = edition, stated_licences = licences,
    edition_source = CASE WHEN edition IS NOT NULL THEN CASE WHEN facts_at IS NULL THEN 'import' ELSE 'zoho' END END,
    licences_source = CASE WHEN licences IS NOT NULL THEN CASE WHEN facts_at IS NULL THEN 'import' ELSE 'zoho' END END
WHERE num_nonnulls(edition, licences) > 0
"""

# Names that look the same become the same name. If another org has that name, nothing changes; `poller doctor` shows
# both.
COMPOSED_NAMES: Final = """
DO $$
BEGIN
    IF current_setting('server_encoding') = 'UTF8' THEN
        UPDATE orgs o SET name = normalize(name, NFC)
        WHERE name IS NOT NFC NORMALIZED AND NOT EXISTS (
            SELECT FROM orgs other WHERE other.id <> o.id AND normalize(other.name, NFC) = normalize(o.name, NFC)
        );
    END IF;
END $$
"""

# To find another org with the same grant or zgid, and a removed org by its name.
BY_GRANT: Final = "CREATE INDEX org_credentials_grant_idx ON org_credentials (grant_fingerprint)"
BY_ZGID: Final = "CREATE INDEX orgs_zgid_idx ON orgs (zgid) WHERE removed_at IS NULL AND zgid IS NOT NULL"
REMOVED_BY_NAME: Final = "CREATE INDEX orgs_removed_name_idx ON orgs (name) WHERE removed_at IS NOT NULL"

SERVICE_SETTINGS: Final = """
CREATE TABLE service_settings (
    alone                 boolean PRIMARY KEY DEFAULT true CHECK (alone),
    poll_interval_seconds integer NOT NULL,
    credit_share          double precision NOT NULL,
    in_flight_share       double precision NOT NULL,
    api_version           text NOT NULL,
    updated_at            timestamptz NOT NULL
)
"""

# `polled_at`: of the newest slot that was really polled. `since`: the first slot of the current run of `ok` polls, or
# of other polls. Each row changes with every poll, so the fillfactor leaves room for updates in place.
LATEST_POLLS: Final = """
CREATE TABLE latest_polls (
    org_id       integer PRIMARY KEY,
    first_slot   timestamptz NOT NULL,
    slot         timestamptz NOT NULL,
    since        timestamptz NOT NULL,
    polled_at    timestamptz,
    late_seconds smallint NOT NULL,
    outcome      text NOT NULL,
    error        text
) WITH (fillfactor = 50)
"""

# SECURITY DEFINER: it runs with the owner's rights, because a role may be allowed to write only snapshots.
# One pass over the rows of a statement; a second search only for an org that has both `ok` and other polls among them.
NOTE_LATEST_POLLS: Final = """
CREATE FUNCTION note_latest_polls() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO latest_polls AS held (org_id, first_slot, slot, since, polled_at, late_seconds, outcome, error)
    SELECT n.org_id, n.first_slot, n.slot,
           CASE WHEN n.ok_slot IS NULL OR n.other_slot IS NULL THEN n.first_slot
                ELSE (SELECT min(c.slot) FROM changed c
                      WHERE c.org_id = n.org_id AND c.slot > least(n.ok_slot, n.other_slot)) END,
           n.polled_at, n.late_seconds, n.outcome, n.error
    FROM (
        SELECT DISTINCT ON (org_id) org_id, slot, outcome, error, late_seconds,
               min(slot) OVER by_org AS first_slot, max(polled_at) OVER by_org AS polled_at,
               max(slot) FILTER (WHERE outcome = 'ok') OVER by_org AS ok_slot,
               max(slot) FILTER (WHERE outcome <> 'ok') OVER by_org AS other_slot
        FROM changed WINDOW by_org AS (PARTITION BY org_id)
        ORDER BY org_id, slot DESC
    ) AS n
    ON CONFLICT (org_id) DO UPDATE SET
        first_slot = least(held.first_slot, excluded.first_slot),
        slot = greatest(held.slot, excluded.slot),
        since = CASE WHEN excluded.slot < held.slot THEN held.since
                     WHEN excluded.since > excluded.first_slot THEN excluded.since
                     WHEN (held.outcome = 'ok') = (excluded.outcome = 'ok') THEN held.since
                     ELSE excluded.since END,
        polled_at = greatest(held.polled_at, excluded.polled_at),
        late_seconds = CASE WHEN excluded.slot < held.slot THEN held.late_seconds ELSE excluded.late_seconds END,
        outcome = CASE WHEN excluded.slot < held.slot THEN held.outcome ELSE excluded.outcome END,
        error = CASE WHEN excluded.slot < held.slot THEN held.error ELSE excluded.error END
    WHERE excluded.slot >= held.slot OR excluded.first_slot < held.first_slot;
    RETURN NULL;
END $$
"""
# Otherwise a guest could make it write, with a trigger on a table of its own.
NOT_FOR_ALL: Final = "REVOKE ALL ON FUNCTION note_latest_polls() FROM PUBLIC"
WHEN_INSERTED: Final = """
CREATE TRIGGER note_new_polls AFTER INSERT ON org_snapshots
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_latest_polls()
"""
WHEN_UPDATED: Final = """
CREATE TRIGGER note_changed_polls AFTER UPDATE ON org_snapshots
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_latest_polls()
"""

# Searches only the last month for the start of the current run.
ALL_SO_FAR: Final = """
INSERT INTO latest_polls (org_id, first_slot, slot, since, polled_at, late_seconds, outcome, error)
SELECT o.id, oldest.slot, newest.slot, coalesce(run.slot, newest.slot), polled.polled_at, newest.late_seconds,
       newest.outcome, newest.error
FROM orgs o
CROSS JOIN LATERAL (SELECT * FROM org_snapshots s WHERE s.org_id = o.id ORDER BY s.slot DESC LIMIT 1) AS newest
CROSS JOIN LATERAL (SELECT s.slot FROM org_snapshots s WHERE s.org_id = o.id ORDER BY s.slot LIMIT 1) AS oldest
LEFT JOIN LATERAL (
    SELECT s.polled_at FROM org_snapshots s WHERE s.org_id = o.id AND s.polled_at IS NOT NULL
    ORDER BY s.slot DESC LIMIT 1
) AS polled ON true
LEFT JOIN LATERAL (
    SELECT max(s.slot) AS slot FROM org_snapshots s
    WHERE s.org_id = o.id AND s.slot > newest.slot - interval '31 days' AND s.slot <= newest.slot
      AND (s.outcome = 'ok') <> (newest.outcome = 'ok')
) AS other ON true
LEFT JOIN LATERAL (
    SELECT min(s.slot) AS slot FROM org_snapshots s
    WHERE s.org_id = o.id AND s.slot > coalesce(other.slot, newest.slot - interval '31 days')
) AS run ON true
ON CONFLICT DO NOTHING
"""

# The same computation as in `poller.core.credits`; a test compares the two for all editions.
DAILY_CREDITS: Final = """
CREATE FUNCTION org_daily_credits(edition text, licences integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE translate(lower(edition), ' !"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~', '')
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

# `polls`: polls a day that the credits pay for. If `asked` needs more, the next longer interval that divides a day.
ROUND_INTERVALS: Final = [n for n in range(1, 86_401) if 86_400 % n == 0 and (n < 60 or n % 60 == 0)]
AFFORDABLE_INTERVAL: Final = f"""
CREATE FUNCTION affordable_interval(asked integer, polls bigint) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN polls * asked >= 86400 THEN asked
        WHEN polls < 1 THEN 86400
        ELSE (ARRAY{ROUND_INTERVALS})[1 + width_bucket(
            greatest(asked, ((86400 + polls - 1) / polls)::integer) - 1, ARRAY{ROUND_INTERVALS})]
    END
$$
"""

# An org is late when its newest poll is older than two intervals and a minute. `failing` comes before `late`, because
# the error says more than the age; `held` after a throttled poll comes after `late`.
ORG_STATES: Final = """
CREATE VIEW org_states WITH (security_invoker = true) AS
SELECT o.id AS org_id, o.name AS org, o.tags, o.data_center, o.edition, o.licences, s.state,
       CASE s.state
           WHEN 'paused' THEN o.paused_reason
           WHEN 'parked' THEN o.parked_code
           WHEN 'held' THEN CASE WHEN h.hold_until > now() THEN 'held' ELSE coalesce(p.error, p.outcome) END
           WHEN 'failing' THEN coalesce(p.error, p.outcome)
           WHEN 'late' THEN CASE p.outcome WHEN 'missed' THEN p.error END
       END AS state_reason,
       CASE s.state
           WHEN 'removed' THEN o.removed_at
           WHEN 'paused' THEN o.paused_at
           WHEN 'parked' THEN o.parked_at
           WHEN 'never_polled' THEN greatest(o.created_at, o.resumed_at)
           WHEN 'late' THEN greatest(p.polled_at, o.resumed_at) + make_interval(secs => i.effective)
           ELSE p.since
       END AS since,
       p.polled_at AS last_polled_at, p.outcome AS last_outcome, p.error AS last_error, l.polled_at AS counts_at,
       i.asked AS interval_seconds, i.effective AS effective_interval_seconds,
       (SELECT coalesce(sum(c.credits), 0)::integer FROM credit_spend c
        WHERE c.org_id = o.id AND c.bucket > now() - interval '24 hours 15 minutes') AS credits_spent,
       i.credits AS credits_share
FROM orgs o
LEFT JOIN service_settings w ON true
LEFT JOIN latest_polls p ON p.org_id = o.id
LEFT JOIN latest_snapshots l ON l.org_id = o.id
LEFT JOIN org_limits h ON h.org_id = o.id
CROSS JOIN LATERAL (
    SELECT a.asked, a.credits, affordable_interval(a.asked, a.credits / 10) AS effective
    FROM (SELECT coalesce(o.poll_interval_seconds, w.poll_interval_seconds, 900) AS asked,
                 floor(org_daily_credits(o.edition, o.licences) * coalesce(w.credit_share, 0.10) + 5e-7)::bigint
                     AS credits
          OFFSET 0) AS a
    OFFSET 0
) AS i
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN o.removed_at IS NOT NULL THEN 'removed'
        WHEN o.paused_at IS NOT NULL THEN 'paused'
        WHEN o.parked_at IS NOT NULL THEN 'parked'
        WHEN p.polled_at IS NULL THEN 'never_polled'
        WHEN h.hold_until > now() THEN 'held'
        WHEN p.outcome NOT IN ('ok', 'throttled', 'missed') OR (p.outcome = 'missed' AND p.error = 'crashed')
            THEN 'failing'
        WHEN p.outcome = 'missed'
            OR greatest(p.polled_at, o.resumed_at) < now() - make_interval(secs => 2 * i.effective + 60) THEN 'late'
        WHEN p.outcome = 'throttled' THEN 'held'
        ELSE 'ok'
    END AS state
    OFFSET 0
) AS s
"""

COMMENTS: Final = {
    "VIEW org_states": "One row per org, removed ones included: its state, and what the state follows from",
    "COLUMN org_states.org_id": "The org, as in every other relation",
    "COLUMN org_states.org": "The name of the org",
    "COLUMN org_states.tags": "The tags of the org",
    "COLUMN org_states.data_center": "The Zoho data centre of the org",
    "COLUMN org_states.edition": "The edition in force: Zoho's answer, or what the operator said; NULL if unknown",
    "COLUMN org_states.licences": "The licences in force, from the same sources; NULL if unknown",
    "COLUMN org_states.state": "ok, late, failing, held, parked, paused, never_polled or removed",
    "COLUMN org_states.state_reason": "The code that explains the state; NULL where there is nothing to explain",
    "COLUMN org_states.since": "When the state began; of polls, the start of the first slot",
    "COLUMN org_states.last_polled_at": "When the org was polled last, successfully or not; NULL if never",
    "COLUMN org_states.last_outcome": "The outcome of the newest slot",
    "COLUMN org_states.last_error": "The error code of the newest slot; NULL if there was none",
    "COLUMN org_states.counts_at": "When the newest known counts were polled; NULL if none are known",
    "COLUMN org_states.interval_seconds": "The poll interval asked for: the own one of the org or that of the service",
    "COLUMN org_states.effective_interval_seconds": "The poll interval that the share of the credits pays for",
    "COLUMN org_states.credits_spent": "Credits the poller spent on the org in the last 24 hours",
    "COLUMN org_states.credits_share": "Credits of 24 hours the poller may spend on the org",
    "TABLE latest_polls": "What the newest poll of each org came to; org_states shows it",
    "TABLE service_settings": "The settings of the running service that decide how often orgs are polled",
}

SHARED: Final = """
INSERT INTO shared_relations (name, columns, guests_see) VALUES
    ('latest_polls', NULL, 'org_id = ANY (ARRAY(SELECT id FROM orgs))'),
    ('org_limits', 'org_id, hold_until', 'org_id = ANY (ARRAY(SELECT id FROM orgs))'),
    ('credit_spend', NULL, 'org_id = ANY (ARRAY(SELECT id FROM orgs))'),
    ('service_settings', NULL, NULL),
    ('org_states', NULL, NULL)
"""
MORE_OF_ORGS: Final = """
UPDATE shared_relations
SET columns = columns || ', poll_interval_seconds, parked_at, parked_code, paused_reason, resumed_at'
WHERE name = 'orgs'
"""
ADMIT: Final = "SELECT admit_readers()"


def upgrade() -> None:
    for statement in (
        ORG_COLUMNS,
        SOURCES,
        COMPOSED_NAMES,
        BY_GRANT,
        BY_ZGID,
        REMOVED_BY_NAME,
        SERVICE_SETTINGS,
        LATEST_POLLS,
        NOTE_LATEST_POLLS,
        NOT_FOR_ALL,
        WHEN_INSERTED,
        WHEN_UPDATED,
        ALL_SO_FAR,
        DAILY_CREDITS,
        AFFORDABLE_INTERVAL,
        ORG_STATES,
        *(f"COMMENT ON {what} IS '{text.replace(chr(39), chr(39) * 2)}'" for what, text in COMMENTS.items()),
        SHARED,
        MORE_OF_ORGS,
        ADMIT,
    ):
        op.execute(statement)
