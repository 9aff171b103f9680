"""Brings the database's schema up to date, and lets the reading roles and the pages read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.store import schema
from poller.store.access.roles import grant_readers, set_up_readers
from poller.store.access.scoped import admit_web
from poller.store.database import connect

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The revision that was found (None: an empty database), the one this poller needs, and whether it was behind."""

    found: str | None
    needed: str
    behind: bool


@dataclass(frozen=True, slots=True)
class ForAdministrator:
    """SQL statements that the poller's role may not run: to create roles, to let them read, to limit them.

    `to_scope`: so that PostgreSQL itself hides other orgs from callers with tags.
    """

    create: Sequence[str]
    to_read: Sequence[str]
    to_limit: Sequence[str]
    to_scope: Sequence[str]


async def check_schema(dsn: str) -> SchemaStatus:
    """Compares the schema with the one this poller needs; changes nothing."""
    state = await schema.check(dsn)
    return SchemaStatus(state.current, state.head, state.behind)


async def migrate(dsn: str) -> SchemaStatus:
    """Brings the schema up to date; the status before."""
    state = await schema.upgrade(dsn)
    return SchemaStatus(state.current, state.head, state.behind)


async def set_up_reading(dsn: str) -> ForAdministrator:
    """Gives readers and guests their rights and limits; what an administrator has to do in addition."""
    async with await connect(dsn, max_size=1, application_name="poller migrate") as database:
        absent = await grant_readers(database)
        missing = await set_up_readers(database)
        to_scope = await admit_web(database)
    create = [f"CREATE ROLE {role};" for role in absent]
    # Limits need the roles, so they come after these were created.
    return ForAdministrator(create, missing.to_read, () if absent else missing.to_limit, to_scope)
