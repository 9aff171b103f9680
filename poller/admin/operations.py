"""What a person does to one org from a page or the API: poll it now, pause it, resume it.

An org that the caller may not see is an `UnknownOrgError`, like an org that does not exist. An operation that is
repeated changes nothing and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.admin.audit import record
from poller.core.editions import REQUESTS_PER_POLL
from poller.core.errors import ConflictError, UnknownOrgError, UsageError
from poller.core.states import State
from poller.store.orgs.orgs import pause_ids, resume_ids
from poller.store.orgs.visible import find_visible
from poller.store.queue.asked_polls import ask_poll
from poller.store.queue.workers import list_workers

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.callers import Caller
    from poller.store.database import Database
    from poller.store.queries import Row


@dataclass(frozen=True, slots=True)
class Operated:
    """What was done: `changed` is False if it was so before. `message`: what happens next, in a sentence.

    `workers`: how many run now. `not_before`: the poll waits until then; None: it does not wait.
    """

    org_id: int
    org: str
    action: str
    changed: bool
    message: str
    workers: int
    not_before: datetime | None = None

    def fields(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "org_id": self.org_id,
            "org": self.org,
            "action": self.action,
            "changed": self.changed,
            "message": self.message,
            "workers": self.workers,
            "not_before": self.not_before,
        }


async def poll(database: Database, caller: Caller, org_id: int) -> Operated:
    """Asks the workers to poll an org now. A `ConflictError` where no poll would be made, with the reason."""
    org, now = await _found(database, caller, org_id), database.clock.now()
    _require_pollable(org)
    workers = len(await list_workers(database, now))
    due, added = await ask_poll(database, org_id, now)
    hold = org["hold_until"]
    not_before = hold if hold is not None and hold > now else None
    if not workers:
        message = f"No worker runs: the poll waits in the queue until {due.until:%H:%M:%S} UTC. Start `poller run`."
    elif not_before is not None:
        message = f"Zoho's limits hold the org until {not_before:%H:%M:%S} UTC; it is polled then."
    elif org["state"] == State.PARKED:
        message = "The org is parked. It is polled within a few seconds, and regularly again if that succeeds."
    else:
        message = "A worker polls the org within a few seconds."
    if not added:
        message = f"A poll of the org was asked for already. {message}"
    return await _noted(database, caller, Operated(org_id, org["org"], "poll", added, message, workers, not_before))


async def pause(database: Database, caller: Caller, org_id: int) -> Operated:
    """Stops polling an org until it is resumed."""
    org, now = await _found(database, caller, org_id), database.clock.now()
    changed = bool(await pause_ids(database, [org_id], now))
    message = "The org is not polled until it is resumed." if changed else "The org was paused already."
    workers = len(await list_workers(database, now))
    return await _noted(database, caller, Operated(org_id, org["org"], "pause", changed, message, workers))


async def resume(database: Database, caller: Caller, org_id: int) -> Operated:
    """Polls a paused or parked org again. A `ConflictError` where it has no credentials."""
    org, now = await _found(database, caller, org_id), database.clock.now()
    try:
        changed = bool(await resume_ids(database, [org_id], now))
    except UsageError as refused:
        raise ConflictError(refused.what, refused.remedy) from None
    workers = len(await list_workers(database, now))
    message = "The org is polled in its next slot." if changed else "The org was neither paused nor parked."
    if not workers:
        message = f"{message} No worker runs: start `poller run`."
    return await _noted(database, caller, Operated(org_id, org["org"], "resume", changed, message, workers))


async def _noted(database: Database, caller: Caller, done: Operated) -> Operated:
    """Writes the operation into the audit log."""
    await record(database, caller, done.action, done.org_id, {"changed": done.changed})
    return done


async def _found(database: Database, caller: Caller, org_id: int) -> Row:
    org = await find_visible(database, org_id, caller.visible_tags)
    if org is None:
        raise UnknownOrgError
    if org["state"] == State.REMOVED:
        raise ConflictError(f"the org {org['org']!r} is removed", "restore it: `poller orgs restore`")
    return org


def _require_pollable(org: Row) -> None:
    if org["state"] == State.PAUSED:
        raise ConflictError(f"the org {org['org']!r} is paused", "resume it first")
    left = org["credits_share"] - org["credits_spent"]
    if left < REQUESTS_PER_POLL:
        raise ConflictError(
            f"the poller has spent its share of the credits of {org['org']!r}:"
            f" {org['credits_spent']:,} of {org['credits_share']:,} in 24 hours",
            "wait until older polls are a day old, or raise POLLER_CREDIT_SHARE",
        )
