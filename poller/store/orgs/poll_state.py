"""Orgs on their way to a poll: everything a poll needs of the database, in one row per org, streamed.

Page by page over the key, so that any number of orgs takes the memory of one page and no transaction outlives one.
Secrets stay sealed until they are asked for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from poller.core.health import Parked, outcome_of_parked_code
from poller.core.model import Org, Outcome
from poller.core.rate_limit import RateLimitState
from poller.store.orgs.credentials import decrypt_credentials
from poller.store.orgs.credits import counted_after
from poller.store.orgs.orgs import find_orgs
from poller.store.orgs.tokens import decrypt_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from poller.core.token import Credentials, StoredToken
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


@dataclass(frozen=True, slots=True)
class PollableOrg:
    """One org with what a poll of it starts from.

    `quota` is what 429s have taught, `credits_spent` the poller's own of the last 24 hours, `credits_remaining` Zoho's
    last word on what is left to everybody, as of `credits_remaining_at`. `info_at`: as of when edition and licences
    are known, from Zoho or from the operator; None where they are not. `is_unproven`: its credentials are new, and may
    be those of another Zoho org until it has said its zgid.
    """

    org: Org
    parked: Parked | None
    quota: RateLimitState
    credits_spent: int
    credits_remaining: int | None
    credits_remaining_at: datetime | None
    info_at: datetime | None
    is_unproven: bool
    _row: Any = field(repr=False)

    @property
    def client_id(self) -> str | None:
        """Of the client its tokens are asked for with; None where there are no credentials."""
        client_id: str | None = self._row["client_id"]
        return client_id

    @property
    def key_id(self) -> str | None:
        """Of the key its credentials are encrypted with; None where there are none."""
        key_id: str | None = self._row["key_id"]
        return key_id

    def credentials(self, keyring: Keyring) -> Credentials | None:
        """Unsealed; None where there are none, `CredentialError` where the keys at hand do not open them."""
        return None if self._row["client_id"] is None else decrypt_credentials(keyring, self._row)

    def token(self, keyring: Keyring) -> StoredToken | None:
        """The access token as it was when the row was read, None where there was none; see `decrypt_token`."""
        if self._row["token"] is None:
            return None
        return decrypt_token(keyring, {**self._row, "key_id": self._row["token_key_id"]})


async def pages_of_active(
    database: Database,
    names: Sequence[str] | None,
    *,
    now: datetime,
    api_version: str,
    interval_seconds: int,
    data_center: str | None = None,
    page: int = 200,
) -> AsyncIterator[list[PollableOrg]]:
    """Every org that is neither paused nor removed; or those named, paused or not. Parked ones are among them.

    `api_version` and `interval_seconds` are for orgs that have none of their own; `data_center`: only its orgs. An
    unknown name is a `UsageError`.
    """
    ids = None if names is None else [org.id for org in await find_orgs(database, names)]
    after = 0
    while True:
        rows = await database.fetch(_PAGE, after, page, ids, counted_after(now), data_center)
        yield [pollable_of(row, api_version, interval_seconds) for row in rows]
        if len(rows) < page:
            return
        after = rows[-1]["org_id"]


async def count_by_data_center(database: Database, names: Sequence[str] | None) -> dict[str, int]:
    """How many of these orgs there are in each data centre; which orgs, and what an unknown name does, is as above."""
    if names is not None:
        return dict(Counter(org.data_center for org in await find_orgs(database, names)))
    return {row["data_center"]: row["orgs"] for row in await database.fetch(_DATA_CENTERS)}


async def read_pollable(
    database: Database, org_ids: Sequence[int], *, now: datetime, api_version: str, interval_seconds: int
) -> list[PollableOrg]:
    """These orgs, paused or not; those removed meanwhile are left out."""
    rows = await database.fetch(_PAGE, 0, len(org_ids), org_ids, counted_after(now), None)
    return [pollable_of(row, api_version, interval_seconds) for row in rows]


# pollable.data_centers
_DATA_CENTERS = """
SELECT data_center, count(*)::int AS orgs FROM orgs WHERE removed_at IS NULL AND paused_at IS NULL
GROUP BY data_center ORDER BY data_center
"""

# What a poll starts from; $4 credits since.
POLL_COLUMNS = """o.id AS org_id, o.name, o.data_center, o.api_version, o.poll_interval_seconds, o.edition, o.licences,
       o.zgid, o.facts_at = 'epoch' AND o.zgid IS NOT NULL AS is_unproven,
       o.parked_at, o.parked_code, o.parked_remedy, o.parked_outcome, o.probe_at,
       coalesce(o.facts_at, CASE WHEN num_nulls(o.edition, o.licences, o.zgid) = 0 THEN o.created_at END) AS facts_at,
       c.client_id, c.client_secret, c.refresh_token, c.grant_code, c.soid, c.key_id,
       t.token, t.key_id AS token_key_id, t.api_domain, t.issued_at, t.expires_at, t.generation,
       l.hold_until, l.holds, l.rate_factor, l.credits_remaining, l.credits_remaining_at,
       (SELECT coalesce(sum(spend.credits), 0)::int FROM credit_spend spend
        WHERE spend.org_id = o.id AND spend.bucket > $4) AS credits_spent"""
POLL_JOINS = """
     LEFT JOIN org_credentials c ON c.org_id = o.id
     LEFT JOIN access_tokens t ON t.org_id = o.id
     LEFT JOIN org_limits l ON l.org_id = o.id"""

# pollable.page: orgs by id, each with its credentials, token, limits and the credits of its last 24 hours.
# $1 after this id, $2 rows, $3 these ids or NULL for all, $4 credits since, $5 this data centre or NULL for all
_PAGE = f"""
SELECT {POLL_COLUMNS}
FROM orgs o {POLL_JOINS}
WHERE o.id > $1 AND o.removed_at IS NULL AND ($5::text IS NULL OR o.data_center = $5)
  AND CASE WHEN $3::int[] IS NULL THEN o.paused_at IS NULL ELSE o.id = ANY($3) END
ORDER BY o.id LIMIT $2
"""  # noqa: S608 - the columns and joins stand above


def pollable_of(row: Any, api_version: str, interval_seconds: int) -> PollableOrg:
    """The org of a row with `POLL_COLUMNS`; the other two are for orgs that have none of their own."""
    return PollableOrg(
        org=Org(
            id=row["org_id"],
            name=row["name"],
            data_center=row["data_center"],
            api_version=row["api_version"] or api_version,
            interval_seconds=row["poll_interval_seconds"] or interval_seconds,
            edition=row["edition"],
            licences=row["licences"],
            zgid=row["zgid"],
        ),
        parked=_parked(row),
        quota=(
            RateLimitState(
                hold_until=row["hold_until"].timestamp() if row["hold_until"] else 0.0,
                holds=row["holds"],
                rate_factor=row["rate_factor"],
            )
            if row["holds"] is not None
            else RateLimitState()
        ),
        credits_spent=row["credits_spent"],
        credits_remaining=row["credits_remaining"],
        credits_remaining_at=row["credits_remaining_at"],
        info_at=row["facts_at"],
        is_unproven=bool(row["is_unproven"]),
        _row=row,
    )


def _parked(row: Any) -> Parked | None:
    if row["parked_at"] is None:
        return None
    code, outcome = row["parked_code"], row["parked_outcome"]
    return Parked(
        at=row["parked_at"],
        code=code,
        remedy=row["parked_remedy"],
        probe_at=row["probe_at"],
        # Workers of the release before revision 0023 store no outcome.
        outcome=outcome_of_parked_code(code) if outcome is None else Outcome(outcome),
    )
