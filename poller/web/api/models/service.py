"""Replies about the service: its health and the audit log."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import Field

from poller.core.checks import CheckStatus
from poller.web.api.models.base import Model


class HealthLine(Model):
    """One sentence of the verdict."""

    check: str
    status: CheckStatus
    what: str
    remedy: str | None


class UnknownSlotsReply(Model):
    """Slots whose counts are not known, for one reason in one data centre."""

    outcome: str
    reason: str | None
    data_center: str
    slots: int


class MissedSlotsReply(Model):
    """Slots that were not polled, for one reason."""

    reason: str
    slots: int


class SlotsReply(Model):
    """The slots since `since`."""

    since: datetime
    read_at: datetime
    due: int
    known: int
    unknown: int
    not_recorded: Annotated[int, Field(description="Slots without a row: no worker was running.")]
    unknown_by: list[UnknownSlotsReply]
    missed_by: list[MissedSlotsReply]


class LatenessReply(Model):
    """How many seconds after they were due polls began, in whole seconds rounded down."""

    polls: int
    p50: int | None
    p99: int | None
    max: int | None


class HourReply(Model):
    """The slots of one hour by outcome."""

    at: datetime
    slots: int
    known: int
    outcomes: dict[str, int]


class DataCenterReply(Model):
    """Active orgs of a data centre; `waiting`: those that wait until it can be reached."""

    data_center: str
    orgs: int
    waiting: int
    unreachable_since: datetime | None
    error: str | None


class NearShareReply(Model):
    """An org that has spent most of its share of credits."""

    org_id: int
    org: str
    spent: int
    share: int


class StretchedReply(Model):
    """An org whose interval is longer than configured, because of its credits."""

    org_id: int
    org: str
    interval_seconds: int
    effective_interval_seconds: int


class CreditsReply(Model):
    """Orgs near their share, and orgs with a longer interval: numbers and the first of them."""

    near_share: int
    nearest: list[NearShareReply]
    stretched: int
    longest: list[StretchedReply]


class WorkerReply(Model):
    """One worker process."""

    name: str
    version: str
    started_at: datetime
    seen_at: datetime
    under_way: int | None
    polls: int | None
    clock_wrong_seconds: float | None


class QueueReply(Model):
    """The jobs in the queue."""

    waiting: int
    overdue: int
    under_way: int
    overdue_seconds: float


class MaintenanceReply(Model):
    """The last run of a maintenance task."""

    name: str
    status: CheckStatus
    done_at: datetime | None
    detail: str | None
    failed_at: datetime | None
    error: str | None


class MonthReply(Model):
    """The size of one month of snapshots."""

    month: date
    bytes: int


class DatabaseReply(Model):
    """The size of the database and its growth."""

    bytes: int
    bytes_a_month: int
    months: list[MonthReply]


class ServiceReply(Model):
    """Workers, queue, maintenance and database of the whole installation."""

    workers: list[WorkerReply]
    queue: QueueReply
    maintenance: list[MaintenanceReply]
    database: DatabaseReply


class AuditItem(Model):
    """What a caller changed or saw. `org_id` null: no single org."""

    id: int
    at: datetime
    key_id: int | None
    caller: str
    source: Annotated[str, Field(description="The address the request came from, or `command line`.")]
    action: str
    org_id: int | None
    org: str | None
    detail: dict[str, Any] | None


class AuditList(Model):
    """The audit log, the newest first."""

    items: list[AuditItem]
    next_cursor: str | None


class HealthReply(Model):
    """How the polls of the last 24 hours went. `service` is null for a key that sees only some orgs."""

    at: datetime
    status: CheckStatus
    verdict: list[HealthLine]
    slots: SlotsReply
    late_seconds: LatenessReply
    hours: list[HourReply]
    data_centers: list[DataCenterReply]
    credits: CreditsReply
    service: ServiceReply | None
