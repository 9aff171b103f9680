"""Creates seats, contracts, forecasts and anomalies.

Polls do not read these tables. Maintenance tasks compute forecasts and anomalies; if they are deleted, the next run
computes them again.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0020"
down_revision = "0016"

# One row per daily reading. `used` NULL: not known. `source`: `features` (user_licenses), `org`, or `contract`.
SEAT_READINGS: Final = """
CREATE TABLE seat_readings (
    org_id    integer NOT NULL REFERENCES orgs ON DELETE CASCADE,
    taken_at  timestamptz NOT NULL,
    purchased integer,
    used      integer,
    edition   text,
    renews_on date,
    source    text NOT NULL CHECK (source IN ('features', 'org', 'contract')),
    PRIMARY KEY (org_id, taken_at)
)
"""

# What the operator's contract says; it takes precedence over Zoho's answer.
SEAT_CONTRACTS: Final = """
CREATE TABLE seat_contracts (
    org_id     integer PRIMARY KEY REFERENCES orgs ON DELETE CASCADE,
    purchased  integer CHECK (purchased >= 0),
    price      numeric(14, 4) CHECK (price >= 0),
    currency   text,
    renews_on  date,
    updated_at timestamptz NOT NULL
)
"""

# Why seats could not be read last time; no row if they could.
SEAT_REFUSALS: Final = """
CREATE TABLE seat_refusals (
    org_id integer PRIMARY KEY REFERENCES orgs ON DELETE CASCADE,
    code   text NOT NULL,
    remedy text NOT NULL,
    since  timestamptz NOT NULL
)
"""

FORECASTS: Final = """
CREATE TABLE forecast_results (
    org_id              integer NOT NULL REFERENCES orgs ON DELETE CASCADE,
    user_type           text NOT NULL,
    made_at             timestamptz NOT NULL,
    last_day            date NOT NULL,
    level               double precision NOT NULL,
    per_day             double precision NOT NULL,
    method              text NOT NULL,
    seats               integer,
    exhausted_on        date,
    exhausted_low       date,
    exhausted_high      date,
    backtest_error      double precision,
    backtest_coverage80 double precision,
    backtest_windows    integer NOT NULL,
    PRIMARY KEY (org_id, user_type)
)
"""

# One row: quantiles of the fleet's forecast errors, a list per horizon; forecasts on demand use the same ones.
QUANTILES: Final = """
CREATE TABLE forecast_quantiles (
    alone    boolean PRIMARY KEY DEFAULT true CHECK (alone),
    made_at  timestamptz NOT NULL,
    series   integer NOT NULL,
    errors80 double precision[] NOT NULL,
    errors95 double precision[] NOT NULL
)
"""

FOUND: Final = """
CREATE TABLE found_anomalies (
    org_id        integer NOT NULL REFERENCES orgs ON DELETE CASCADE,
    user_type     text NOT NULL,
    day           date NOT NULL,
    kind          text NOT NULL,
    before        double precision,
    after         double precision,
    expected_low  double precision,
    expected_high double precision,
    severity      text NOT NULL,
    why           text NOT NULL,
    found_at      timestamptz NOT NULL,
    PRIMARY KEY (org_id, day, kind, user_type)
)
"""
FOUND_BY_DAY: Final = "CREATE INDEX found_anomalies_day_idx ON found_anomalies (day)"

SEAT_USAGE: Final = """
CREATE VIEW seat_usage WITH (security_invoker = true) AS
SELECT r.org_id, o.name AS org, r.taken_at, r.purchased, r.used, r.purchased - r.used AS available, r.edition,
       r.renews_on, r.source
FROM seat_readings r JOIN orgs o ON o.id = r.org_id
"""
SEAT_FORECASTS: Final = """
CREATE VIEW seat_forecasts WITH (security_invoker = true) AS
SELECT f.org_id, o.name AS org, f.user_type, f.made_at, f.seats, f.level AS used, f.per_day, f.exhausted_on,
       f.exhausted_low, f.exhausted_high, f.backtest_error, f.backtest_windows, f.method
FROM forecast_results f JOIN orgs o ON o.id = f.org_id
WHERE o.removed_at IS NULL
"""
ANOMALIES: Final = """
CREATE VIEW anomalies WITH (security_invoker = true) AS
SELECT a.org_id, o.name AS org, a.user_type, a.day, a.kind, a.before, a.after, a.expected_low, a.expected_high,
       a.severity, a.why, a.found_at
FROM found_anomalies a JOIN orgs o ON o.id = a.org_id
"""

ORG_ID: Final = "Number of the org: orgs.id"
ORG: Final = "Name of the org"
READ: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "seat_usage": (
        "Seats of each org over time, a row per reading",
        {
            "org_id": ORG_ID,
            "org": ORG,
            "taken_at": "When the seats were read",
            "purchased": "Seats bought; NULL: not known",
            "used": "Seats in use, as Zoho says; NULL: not known",
            "available": "Seats bought and not in use",
            "edition": "Edition, as Zoho says; NULL: not known",
            "renews_on": "Day the subscription renews; NULL: not known",
            "source": "features or org (two of Zoho's answers), or contract (what the operator said)",
        },
    ),
    "seat_forecasts": (
        "When the seats of each org run out, by the latest forecast",
        {
            "org_id": ORG_ID,
            "org": ORG,
            "user_type": "User type that was forecast: ActiveUsers take seats",
            "made_at": "When the forecast was made",
            "seats": "Seats it was compared with; NULL: not known",
            "used": "Users at the end of the history, spikes removed",
            "per_day": "Users a day; 0: no significant trend",
            "exhausted_on": "Day the middle line reaches the seats; NULL: not within a year, or no trend",
            "exhausted_low": "Earliest likely day (80 %); NULL: not within a year",
            "exhausted_high": "Latest likely day (80 %); NULL: not within a year",
            "backtest_error": "Mean error 30 days ahead on the org's own past, in its mean 30-day moves",
            "backtest_windows": "Windows of the past that error is the mean of",
            "method": "flat or trend, with +week where weekdays differ",
        },
    ),
    "anomalies": (
        "Days on which counts did what they do not usually do",
        {
            "org_id": ORG_ID,
            "org": ORG,
            "user_type": "User type concerned",
            "day": "Day of UTC",
            "kind": "step, freeze, zero, admins_up, deactivated_surge, sums_disagree, current_user or quiet",
            "before": "Count before; NULL: none",
            "after": "Count on the day; NULL: none",
            "expected_low": "Smallest usual count; NULL: none",
            "expected_high": "Largest usual count; NULL: none",
            "severity": "warning or critical",
            "why": "Why it was raised, in words",
            "found_at": "When it was found first",
        },
    ),
}
TABLES: Final = {
    "seat_readings": "Seats as they were read; seat_usage shows them with names",
    "seat_contracts": "what the operator's contracts say of seats",
    "seat_refusals": "why the seats of an org could not be read last time",
    "forecast_results": "The latest forecasts; seat_forecasts shows them",
    "forecast_quantiles": "quantiles of the fleet's own forecast errors",
    "found_anomalies": "Anomalies; the view anomalies shows them",
}

# Readers may read the tables under the views, so the columns of both have the same comments.
UNDER: Final = {"seat_readings": "seat_usage", "forecast_results": "seat_forecasts", "found_anomalies": "anomalies"}
MORE: Final = {
    "forecast_results": {
        "last_day": "Last day with a known count",
        "level": "Users at the end of the history, spikes removed",
        "backtest_coverage80": "Share of those windows whose truth lay inside the 80 % interval",
    }
}

# Guests see the rows of their own orgs; the quantiles are not shared.
OF_ITS_ORGS: Final = "org_id = ANY (ARRAY(SELECT id FROM orgs))"
SHARED: Final = f"""
INSERT INTO shared_relations (name, columns, guests_see) VALUES
    ('seat_readings', NULL, '{OF_ITS_ORGS}'),
    ('forecast_results', NULL, '{OF_ITS_ORGS}'),
    ('found_anomalies', NULL, '{OF_ITS_ORGS}'),
    ('seat_usage', NULL, NULL),
    ('seat_forecasts', NULL, NULL),
    ('anomalies', NULL, NULL)
"""  # noqa: S608 - it stands above
ADMIT: Final = "SELECT admit_readers()"


def upgrade() -> None:
    for statement in (
        SEAT_READINGS,
        SEAT_CONTRACTS,
        SEAT_REFUSALS,
        FORECASTS,
        QUANTILES,
        FOUND,
        FOUND_BY_DAY,
        SEAT_USAGE,
        SEAT_FORECASTS,
        ANOMALIES,
    ):
        op.execute(statement)
    for view, (comment, columns) in READ.items():
        op.execute(f"COMMENT ON VIEW {view} IS {quoted(comment)}")
        for column, text in columns.items():
            op.execute(f"COMMENT ON COLUMN {view}.{column} IS {quoted(text)}")
    for table, text in TABLES.items():
        what = text if table in UNDER else f"Internal, not for queries: {text}"
        op.execute(f"COMMENT ON TABLE {table} IS {quoted(what)}")
    for table, view in UNDER.items():
        columns = {name: text for name, text in READ[view][1].items() if name not in {"org", "available", "used"}}
        used = {"used": READ[view][1]["used"]} if table == "seat_readings" else {}
        for column, text in (columns | used | MORE.get(table, {})).items():
            op.execute(f"COMMENT ON COLUMN {table}.{column} IS {quoted(text)}")
    op.execute(SHARED)
    op.execute(ADMIT)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
