"""The states of an org, as the SQL view `org_states` names them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """How an org is; the order is that in which `poller status` lists them, what needs a person first."""

    FAILING = "failing"
    """Its newest poll failed, or knew only a part."""
    PARKED = "parked"
    """A person must repair it: credentials, consent or rights."""
    LATE = "late"
    """It was not polled for two intervals."""
    HELD = "held"
    """Zoho's limits, or the poller's share of them, put its polls off."""
    NEVER_POLLED = "never_polled"
    PAUSED = "paused"
    OK = "ok"
    REMOVED = "removed"


NEED_A_PERSON: Final = (State.FAILING, State.PARKED, State.LATE)
