"""Values that a capacity plan starts from: orgs as they are polled, and what polls, credits and rows took."""

from __future__ import annotations

from typing import NamedTuple


class OrgToPlan(NamedTuple):
    """One org. `interval_seconds` is None if it has no interval of its own; unknown edition and licences are None."""

    name: str
    edition: str | None
    licences: int | None
    interval_seconds: int | None


class PollsTaken(NamedTuple):
    """Polls of the orgs of one edition, their requests, and the milliseconds they took together."""

    edition: str | None
    polls: int
    requests: int
    milliseconds: int


class CreditsTaken(NamedTuple):
    """Orgs, the credits they spent, and the requests of their polls; the rest was for edition, licences and seats."""

    orgs: int
    credits: int
    requests: int


class StoredRows(NamedTuple):
    """Rows of a table by PostgreSQL's statistics, and its bytes with indexes."""

    rows: float
    bytes: int
