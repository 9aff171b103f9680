"""Operations on one org: poll it now, pause it, resume it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.admin import operations
from poller.web.api.endpoint import Answer
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from poller.admin.operations import Operated
    from poller.admin.writer import Writer
    from poller.web.api.endpoint import Call


async def poll(call: Call) -> Answer:
    """Asks the workers to poll an org now."""
    return await _operate(call, operations.poll)


async def pause(call: Call) -> Answer:
    """Stops polling an org."""
    return await _operate(call, operations.pause)


async def resume(call: Call) -> Answer:
    """Polls a paused or parked org again."""
    return await _operate(call, operations.resume)


async def _operate(call: Call, operation: Callable[..., Awaitable[Operated]]) -> Answer:
    done = await operation(writable(call.writer).database, call.caller, call.path.id)
    return Answer(done.fields())


def writable(writer: Writer | None) -> Writer:
    """The writer; a `Problem` where this process may change nothing."""
    if writer is None:
        raise Problem(503, "this process changes nothing", "send the request to `poller run` or `poller web`")
    return writer
