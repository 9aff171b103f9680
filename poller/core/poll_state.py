"""Everything that is known of one slot of one org before its first request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.editions import REQUESTS_PER_POLL
from poller.core.rate_limit import INITIAL, RateLimitState

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.health import Parked
    from poller.core.model import Org
    from poller.core.schedule import Due
    from poller.core.token import StoredToken

EARLY: Final = timedelta(seconds=1)
"""A slot that is due within this time is polled: the clocks of two machines may differ by that much."""
INFO_LIFETIME: Final = timedelta(days=1)
"""How long the edition and the licences of an org are used before a poll requests them again."""
INFO_REQUESTS: Final = 2
"""The requests for that: one to `/org`, one to `user_licenses`."""


@dataclass(frozen=True, slots=True)
class PollState:
    """A slot and its org at `now`: read by one query, completed by what the worker itself knows.

    The schedule: `due` is None if a command polls. `active`: neither paused nor removed. `known`: all ten
    counts of the slot are known. `polled_at`: when the slot was last polled. `busy`: another slot of the org is being
    polled. `probe`: poll the org even if it is parked.

    Limits: `hold_until` and `cool_until` are the ends of a hold after a 429 and of the cool-down of the token endpoint.
    `credits_left`: what the poller may still spend. `rate_limit`: what earlier replies taught.

    Credentials: `token` is the stored access token. `key_id`: the key that encrypts the credentials, None without
    credentials. `unopened`: the error if this process has no key that decrypts them. `info_at`: when edition, licences
    and zgid were last known. `is_unproven`: the credentials are new and may belong to another Zoho org.

    Known to the worker only: `retry_data_center_at`, when to try again a data centre that is unreachable.
    `was_unreachable`: the data centre was unreachable at some time since the slot was due. `has_place`: one more poll
    of the data centre may start.
    """

    now: datetime
    org: Org
    slot: datetime
    due: Due | None = None
    active: bool = True
    known: bool = False
    polled_at: datetime | None = None
    busy: bool = False
    parked: Parked | None = None
    probe: bool = False
    hold_until: datetime | None = None
    cool_until: datetime | None = None
    credits_left: int = REQUESTS_PER_POLL
    rate_limit: RateLimitState = INITIAL
    token: StoredToken | None = None
    key_id: str | None = None
    unopened: str | None = None
    info_at: datetime | None = None
    is_unproven: bool = False
    retry_data_center_at: datetime | None = None
    was_unreachable: bool = False
    has_place: bool = True

    @property
    def is_over(self) -> bool:
        """Whether the next slot is due already."""
        return self.due is not None and self.now >= self.due.until

    @property
    def is_early(self) -> bool:
        """Whether the slot is not due yet: the clock of the worker that queued the slot was ahead."""
        return self.due is not None and self.now < self.due.at - EARLY

    @property
    def was_polled(self) -> bool:
        """Whether the slot was polled since it was due: by a person, or by a worker that died before it said so."""
        return self.due is not None and self.polled_at is not None and self.polled_at >= self.due.at

    @property
    def is_parked(self) -> bool:
        """Whether the org is parked, and its next probe is not due."""
        return self.parked is not None and not self.probe and self.now < self.parked.probe_at

    @property
    def lacks_credits(self) -> bool:
        """Whether the credits do not pay for the ten counts, and for the proof that new credentials need first."""
        return self.credits_left < REQUESTS_PER_POLL + (INFO_REQUESTS if self.is_unproven else 0)

    @property
    def refreshes_info(self) -> bool:
        """Whether the poll requests edition and licences too: they are old, and the credits pay for them."""
        is_stale = self.info_at is None or self.now - self.info_at >= INFO_LIFETIME
        return is_stale and self.credits_left >= REQUESTS_PER_POLL + INFO_REQUESTS
