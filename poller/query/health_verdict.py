"""The verdict of the Health page: one line for each thing that can be wrong, those that are wrong first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.checks import CheckResult, CheckStatus
from poller.core.maintenance import TASK_SECONDS
from poller.core.quantities import age_of, count
from poller.core.remedies import remedy_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.query.health import HealthReport
    from poller.query.service_facts import ServiceFacts

KNOWN_WARNING: Final = 0.95
"""Below this share of known slots the verdict is `wrong`; below all of them, a warning."""
LATE_SECONDS: Final = 60
"""A 99th percentile of lateness from here on is a warning."""
OVERDUE_SECONDS: Final = 60.0
_ORDER: Final = (CheckStatus.WRONG, CheckStatus.WARNING, CheckStatus.UNKNOWN, CheckStatus.OK)
_NAMED: Final = 3
"""Reasons named in one line."""


def verdict(report: HealthReport) -> list[CheckResult]:
    """Every line, what is wrong first; lines of one status in a fixed order."""
    lines = list(_lines(report))
    return sorted(lines, key=lambda line: _ORDER.index(line.status))


def _lines(report: HealthReport) -> Iterator[CheckResult]:
    yield _slots(report)
    if report.unrecorded.slots:
        yield _unrecorded(report)
    if report.recorded:
        yield _missed(report)
    if report.lateness().polls:
        yield _lateness(report)
    if report.service is not None:
        yield from _service(report, report.service)
    if report.credits.near:
        what = f"{count(report.credits.near, 'org')} spent 80 % or more of their share of credits"
        yield CheckResult(
            "credits", CheckStatus.WARNING, what, "lengthen their poll_interval, or raise POLLER_CREDIT_SHARE"
        )


def _slots(report: HealthReport) -> CheckResult:
    if not report.due:
        return CheckResult(
            "slots", CheckStatus.UNKNOWN, "no slot was due in 24 hours", "import orgs, or resume those that are paused"
        )
    share, unknown = report.known / report.due, report.due - report.known
    if not unknown:
        return CheckResult("slots", CheckStatus.OK, f"all {report.due:,} slots of the last 24 hours are known")
    what = f"{share_text(report.known, report.due)} of {count(report.due, 'slot')} of the last 24 hours are known"
    rows = report.unknown()
    remedy = remedy_for(rows[0].reason) if rows and rows[0].reason else "see the reasons below"
    return CheckResult(
        "slots",
        CheckStatus.WARNING if share >= KNOWN_WARNING else CheckStatus.WRONG,
        f"{what}; {_reasons(report)}",
        remedy,
    )


def _reasons(report: HealthReport) -> str:
    """The most frequent outcomes, with their data centre where it is a single one."""
    sums: dict[str, dict[str, int]] = {}
    for one in report.unknown():
        of_outcome = sums.setdefault(one.outcome, {})
        of_outcome[one.data_center] = of_outcome.get(one.data_center, 0) + one.slots
    parts = [
        f"{sum(where.values()):,} {outcome}" + (f" ({next(iter(where))})" if len(where) == 1 else "")
        for outcome, where in sorted(sums.items(), key=lambda one: -sum(one[1].values()))
    ]
    if report.unrecorded.slots:
        parts.append(f"{report.unrecorded.slots:,} not recorded")
    more = f" and {len(parts) - _NAMED} more reasons" if len(parts) > _NAMED else ""
    return f"{report.due - report.known:,} are not: {', '.join(parts[:_NAMED])}{more}"


def _unrecorded(report: HealthReport) -> CheckResult:
    slots, orgs = report.unrecorded
    are = "is" if slots == 1 else "are"
    what = f"{count(slots, 'slot')} of {count(orgs, 'org')} {are} due and not recorded yet"
    return CheckResult("schedule", CheckStatus.WRONG, what, "see whether `poller run` is running: `poller doctor`")


def _missed(report: HealthReport) -> CheckResult:
    missed = report.missed()
    if not missed:
        return CheckResult("missed", CheckStatus.OK, "no slot was missed")
    reasons = ", ".join(f"{slots:,} {reason}" for reason, slots in list(missed.items())[:_NAMED])
    what = f"{count(sum(missed.values()), 'slot')} missed: {reasons}"
    return CheckResult("missed", CheckStatus.WARNING, what, remedy_for(next(iter(missed))))


def _lateness(report: HealthReport) -> CheckResult:
    late = report.lateness()
    p99 = late.p99 or 0
    within = f"within {p99 + 1} s" if p99 < LATE_SECONDS else f"up to {p99:,} s late"
    if p99 < LATE_SECONDS:
        return CheckResult("lateness", CheckStatus.OK, f"99 of 100 polls began {within}")
    return CheckResult(
        "lateness",
        CheckStatus.WARNING,
        f"99 of 100 polls began {within}",
        "start more workers, or raise POLLER_CONCURRENCY",
    )


def _service(report: HealthReport, service: ServiceFacts) -> Iterator[CheckResult]:
    yield from _circuits(report, service)
    if not service.workers:
        what = "no worker was seen in the last minute"
        yield CheckResult("workers", CheckStatus.WRONG, what, "start `poller run`, unless a timer of yours polls")
    for worker in service.workers:
        if off := worker.facts.get("clock_wrong_seconds"):
            what = f"the clock of {worker.name} is {abs(off):,.0f} s {'ahead of' if off > 0 else 'behind'} PostgreSQL's"
            yield CheckResult(
                "clocks", CheckStatus.WRONG, f"{what}: it takes no part", "set the clock of its machine by NTP"
            )
    if service.queue.overdue_seconds > OVERDUE_SECONDS:
        overdue = f"{count(service.queue.overdue, 'job')} overdue, the oldest for {service.queue.overdue_seconds:.0f} s"
        yield CheckResult("queue", CheckStatus.WARNING, overdue, "start more workers, or raise POLLER_CONCURRENCY")
    yield from _tasks(report, service)
    yield service.messages


def _circuits(report: HealthReport, service: ServiceFacts) -> Iterator[CheckResult]:
    orgs = {center.data_center: center for center in report.data_centers}
    for circuit in service.open_circuits():
        waiting = orgs[circuit.data_center].orgs if circuit.data_center in orgs else 0
        what = f"data centre {circuit.data_center} cannot be reached for {age_of(report.at - circuit.since, ' ')}"
        yield CheckResult(
            "data centres",
            CheckStatus.WRONG,
            f"{what}: {circuit.error}; {count(waiting, 'org')} wait",
            remedy_for(circuit.error),
        )


def _tasks(report: HealthReport, service: ServiceFacts) -> Iterator[CheckResult]:
    wrong = [(task, check) for task, check in service.tasks if check.status is not CheckStatus.OK]
    for task, check in wrong:
        done = "never done" if task.done_at is None else f"last done {age_of(report.at - task.done_at, ' ')} ago"
        why = f": {task.error}" if task.error else ""
        yield CheckResult("maintenance", check.status, f"task {task.name} {done}{why}", check.remedy)
    if len(service.tasks) < len(TASK_SECONDS) and service.workers:
        never = sorted(set(TASK_SECONDS) - {task.name for task, _ in service.tasks})
        yield CheckResult(
            "maintenance", CheckStatus.WARNING, f"tasks that never ran: {', '.join(never)}", "wait some minutes"
        )
    elif not wrong and service.tasks:
        what = f"all {len(service.tasks)} maintenance tasks ran when they were due"
        yield CheckResult("maintenance", CheckStatus.OK, what)


def share_text(part: int, whole: int) -> str:
    """A share in percent with as many decimals as it takes not to show 100 % of less than all."""
    if part == whole:
        return "100 %"
    share = 100 * part / whole
    for decimals in (1, 2, 3):
        text = f"{share:.{decimals}f}"
        if not text.startswith("100."):
            return f"{text} %"
    return "99.999 %"
