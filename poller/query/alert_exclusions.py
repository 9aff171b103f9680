"""The exclusions that a caller sees, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.query.alert_rules import exclusion_fields
from poller.query.lists import ListPage
from poller.store.capacity.alert_rules import list_exclusions
from poller.store.orgs.visible import visible_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.callers import Caller
    from poller.query.reader import Reader


async def list_visible_exclusions(
    reader: Reader,
    caller: Caller,
    *,
    orgs: Sequence[str] = (),
    rules: Sequence[str] = (),
    limit: int,
    after: Sequence[Any] | None = None,
) -> ListPage:
    """A page of the exclusions, the oldest first; `orgs` and `rules`: only of these names.

    A caller with tags sees the exclusions of its orgs alone.
    """
    tags, database = caller.visible_tags, reader.seen_by(caller)
    org_ids = None if tags is None else await visible_ids(database, tags)
    found = await list_exclusions(
        database,
        org_ids=org_ids,
        orgs=orgs,
        rules=rules,
        after=0 if after is None else after[0],
        limit=limit + 1,
    )
    shown = found[:limit]
    return ListPage([exclusion_fields(one) for one in shown], (shown[-1].id,) if len(found) > limit else None)
