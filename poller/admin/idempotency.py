"""Answers a repeated write request with the reply to the first one: an Idempotency-Key is remembered for a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.errors import ConflictError, UsageError
from poller.store.access import idempotency

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from poller.core.callers import Caller
    from poller.store.database import Database

StatusAndBody = tuple[int, bytes]


async def answer_once(
    database: Database, caller: Caller, key: str, route: str, answer: Callable[[], Awaitable[StatusAndBody]]
) -> tuple[StatusAndBody, bool]:
    """The reply of `answer`, or the kept one; and whether it was kept. A refusal is not kept.

    A `UsageError` where the caller used the key for another `route`; a `ConflictError` while the first request runs.
    """
    owner = f"{caller.key_id or ''}:{caller.name}"
    kept = await idempotency.begin(database, owner, key, route)
    if kept is not None:
        if kept.route != route:
            raise UsageError("this Idempotency-Key was used for another request", "use a new key for each operation")
        if kept.status is None or kept.body is None:
            raise ConflictError("the request with this Idempotency-Key is being answered", "try again in a moment")
        return (kept.status, kept.body), True
    try:
        status, body = await answer()
    except BaseException:
        await idempotency.forget(database, owner, key)
        raise
    await idempotency.keep(database, owner, key, status, body)
    return (status, body), False
