"""The health report as one JSON object, for the API and for the Health page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poller.core.checks import CheckStatus
from poller.query.health_verdict import verdict

if TYPE_CHECKING:
    from poller.core.checks import CheckResult
    from poller.query.health import Credits, HealthReport
    from poller.query.service_facts import ServiceFacts
    from poller.query.slot_hours import SlotHour


def health_fields(report: HealthReport) -> dict[str, Any]:
    """The report; unknown values are None, and `service` is None for a caller who sees only some orgs."""
    lines, late = verdict(report), report.lateness()
    return {
        "at": report.at,
        "status": lines[0].status.value if lines else CheckStatus.OK.value,
        "verdict": [_line(line) for line in lines],
        "slots": {
            "since": report.since,
            "read_at": report.read_at,
            "due": report.due,
            "known": report.known,
            "unknown": report.due - report.known,
            "not_recorded": report.unrecorded.slots,
            "unknown_by": [
                {"outcome": one.outcome, "reason": one.reason, "data_center": one.data_center, "slots": one.slots}
                for one in report.unknown()
            ],
            "missed_by": [{"reason": reason, "slots": slots} for reason, slots in report.missed().items()],
        },
        "late_seconds": {"polls": late.polls, "p50": late.p50, "p99": late.p99, "max": late.longest},
        "hours": [_hour(hour) for hour in report.hours],
        "data_centers": _data_centers(report),
        "credits": _credits(report.credits),
        "service": None if report.service is None else _service(report.service),
    }


def _line(line: CheckResult) -> dict[str, Any]:
    return {"check": line.check, "status": line.status.value, "what": line.what, "remedy": line.remedy or None}


def _hour(hour: SlotHour) -> dict[str, Any]:
    return {"at": hour.at, "slots": hour.slots, "known": hour.known, "outcomes": hour.outcomes}


def _data_centers(report: HealthReport) -> list[dict[str, Any]]:
    circuits = {} if report.service is None else {one.data_center: one for one in report.service.open_circuits()}
    found = []
    for center in report.data_centers:
        circuit = circuits.get(center.data_center)
        found.append(
            {
                "data_center": center.data_center,
                "orgs": center.orgs,
                "waiting": center.waiting,
                "unreachable_since": None if circuit is None else circuit.since,
                "error": None if circuit is None else circuit.error,
            }
        )
    return found


def _credits(sums: Credits) -> dict[str, Any]:
    return {
        "near_share": sums.near,
        "nearest": [one._asdict() for one in sums.nearest],
        "stretched": sums.stretched,
        "longest": [one._asdict() for one in sums.longest],
    }


def _service(service: ServiceFacts) -> dict[str, Any]:
    return {
        "workers": [
            {
                "name": worker.name,
                "version": worker.version,
                "started_at": worker.started_at,
                "seen_at": worker.seen_at,
                "under_way": worker.facts.get("under_way"),
                "polls": worker.facts.get("polls"),
                "clock_wrong_seconds": worker.facts.get("clock_wrong_seconds"),
            }
            for worker in service.workers
        ],
        "queue": service.queue._asdict(),
        "maintenance": [
            {
                "name": task.name,
                "status": check.status.value,
                "done_at": task.done_at,
                "detail": task.detail,
                "failed_at": task.failed_at,
                "error": task.error,
            }
            for task, check in service.tasks
        ],
        "database": {
            "bytes": service.database.bytes,
            "bytes_a_month": round(service.database.bytes_a_month),
            "months": [month._asdict() for month in service.database.months],
        },
    }
