"""The decisions of `poller doctor`: facts in, one `CheckResult` with a status and a remedy out.

The functions look nothing up and name no value of a setting, which may be a secret. Nothing is called wrong that the
poller repairs without help.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.checks import CheckResult, CheckStatus
from poller.core.quantities import age_of, count, size_of
from poller.core.reply import Failure
from poller.core.retention import Retention, format_retention

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class TaskRun:
    """When a maintenance task was last done (None: never), and the error of its last run, if that failed."""

    done_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One server of a data centre: its HTTP status, or why there was none; how far its clock is ahead of ours."""

    url: str
    status: int | None
    failure: Failure | None
    ahead_seconds: float | None = None
    doubt_seconds: float = 0.0


CLOCK_WARNING_SECONDS: Final = 2.0
CLOCK_WRONG_SECONDS: Final = 30.0
"""A worker whose clock is this far ahead treats another worker's token lease as expired."""
_PATIENCE: Final = 3
"""Intervals that a maintenance task may be late: a worker was restarted, or a long task ran before it."""
_SHORTEST_PATIENCE: Final = timedelta(hours=1)
_LEAST_FREE: Final = 500 * 2**20
_LITTLE_FREE: Final = 0.05
_START: Final = "start `poller run`"


def check_clock(check: str, whose: str, ahead_seconds: float, doubt_seconds: float) -> CheckResult:
    """Compares another clock with this machine's: `ahead_seconds`, measured to within `doubt_seconds`."""
    off = abs(ahead_seconds)
    if off - doubt_seconds <= CLOCK_WARNING_SECONDS:
        return CheckResult(
            check, CheckStatus.OK, f"{whose} agrees with this machine's within {max(off, doubt_seconds, 0.1):.1f} s"
        )
    status = CheckStatus.WRONG if off - doubt_seconds > CLOCK_WRONG_SECONDS else CheckStatus.WARNING
    where = "ahead of" if ahead_seconds > 0 else "behind"
    return CheckResult(
        check,
        status,
        f"{whose} is {off:.0f} s {where} this machine's",
        "set both by NTP (`timedatectl` shows whether it is on)",
    )


def check_tasks(
    runs: Mapping[str, TaskRun], intervals: Mapping[str, int], now: datetime, *, workers: int
) -> CheckResult:
    """Whether each maintenance task of `intervals` (seconds) was done when it was due."""
    failed = [f"{name}: {runs[name].error}" for name in intervals if name in runs and runs[name].error]
    if failed:
        remedy = "do what `maintenance.failed` in the log of `poller run` says"
        return CheckResult("maintenance", CheckStatus.WRONG, f"failed: {', '.join(failed)}", remedy)
    done = {name: runs[name].done_at if name in runs else None for name in intervals}
    if not any(done.values()):
        return CheckResult("maintenance", CheckStatus.WARNING, "no task ever ran", f"{_START}: it runs them")
    never = [name for name, at in done.items() if at is None]
    late = {
        name: now - at
        for name, at in done.items()
        if at is not None and now - at > max(timedelta(seconds=_PATIENCE * intervals[name]), _SHORTEST_PATIENCE)
    }
    if late:
        listed = ", ".join(f"{name} for {age_of(age)}" for name, age in sorted(late.items(), key=lambda one: -one[1]))
        remedy = "check its log for the reason" if workers else f"{_START}: none is at work"
        return CheckResult("maintenance", CheckStatus.WRONG, f"not done: {listed}", remedy)
    if never:
        return CheckResult(
            "maintenance", CheckStatus.WARNING, f"never done: {', '.join(never)}", f"wait some minutes, or {_START}"
        )
    oldest = max((now - at for at in done.values() if at is not None), default=timedelta())
    return CheckResult(
        "maintenance", CheckStatus.OK, f"all {len(done)} tasks ran, the oldest run is {age_of(oldest)} old"
    )


def check_months(wanted: Sequence[datetime], present: Sequence[datetime], *, served: bool) -> CheckResult:
    """Compares the months (their first instants) that are needed with those that exist.

    `served`: the maintenance task that creates months has run at least once.
    """
    missing = [month for month in wanted if month not in present]
    if not missing:
        # At the start of a month, the last one is created within hours.
        ahead = max(present)
        return CheckResult("partitions", CheckStatus.OK, f"{count(len(present), 'month')}, the last {ahead:%Y-%m}")
    return CheckResult(
        "partitions",
        CheckStatus.WRONG if served else CheckStatus.WARNING,
        f"not made ahead: {', '.join(f'{month:%Y-%m}' for month in missing)}",
        f"{_START}: its task `partitions` makes them; until then the first row of a month makes its partition",
    )


def check_retention(
    snapshots: Retention | None, days: Retention | None, *, overdue: int, late: int, half_dropped: int
) -> CheckResult:
    """Whether old months were dropped, and daily counts include every snapshot.

    `overdue`: months past their retention; `late`: days of orgs whose rows came after the day was closed.
    """
    kept = f"snapshots {format_retention(snapshots)}, daily counts {format_retention(days)}"
    if overdue or half_dropped:
        what = f"{count(overdue + half_dropped, 'month')} overdue for deletion ({kept})"
        return CheckResult(
            "retention", CheckStatus.WARNING, what, f"{_START}, and see its tasks `rollups` and `retention`"
        )
    if late:
        what = (
            f"{count(late, 'day')} of orgs with snapshots that came after it was closed: daily_user_counts lacks them"
        )
        remedy = "raise POLLER_SNAPSHOT_RETENTION if rows are to come so late; they go with their month"
        return CheckResult("retention", CheckStatus.WARNING, what, remedy)
    return CheckResult("retention", CheckStatus.OK, f"kept: {kept}")


def check_keys(ids: Sequence[str], usage: Mapping[str, int], orgs: Sequence[str], *, file: bool) -> CheckResult:
    """Whether this process has every key in use: its key ids, rows per key, and the orgs under keys that it lacks."""
    missing = [key for key in usage if key not in ids]
    if missing:
        rows = sum(usage[key] for key in missing)
        names = ", ".join(orgs[:3]) + (f" and {len(orgs) - 3} more" if len(orgs) > 3 else "")
        return CheckResult(
            "keys",
            CheckStatus.WRONG,
            f"missing: the key {', '.join(missing)} of {count(rows, 'row')}: {names or 'tokens only'}",
            f"{_put_back(file=file)}, from where keys are kept; if it is lost, import these orgs again",
        )
    used = ", ".join(f"{count(rows, 'row')} under {key}" for key, rows in usage.items())
    return CheckResult("keys", CheckStatus.OK, f"{ids[0]} encrypts; {used or 'nothing is encrypted yet'}")


def check_peppers(ids: Sequence[str], usage: Mapping[str, int], *, file: bool) -> CheckResult:
    """Whether this process has each encryption key that access keys are checked with; `usage`: how many, by key."""
    missing = [key for key in usage if key not in ids]
    if not missing:
        return CheckResult("access keys", CheckStatus.OK, f"{count(sum(usage.values()), 'key')} in use")
    refused = sum(usage[key] for key in missing)
    return CheckResult(
        "access keys",
        CheckStatus.WRONG,
        f"{count(refused, 'key')} cannot be used: they are checked with the encryption key {', '.join(missing)}, which"
        " is not here",
        f"{_put_back(file=file)}, or make new keys: `poller access list` names those that are unusable",
    )


def _put_back(*, file: bool) -> str:
    return "put its key file back" if file else "put it back behind the others in POLLER_SECRET_KEYS"


def check_disk(folder: str, free: int, total: int, used: int) -> CheckResult:
    """Whether there is room: bytes free and in total on the disk of the database, and bytes that the database uses."""
    what = f"{size_of(free)} free in {folder}, the database takes {size_of(used)}"
    if free < _LEAST_FREE:
        return CheckResult(
            "disk", CheckStatus.WRONG, what, "make room, or move POLLER_DATA_DIR: a full disk stops every poll"
        )
    if free < _LITTLE_FREE * total:
        return CheckResult("disk", CheckStatus.WARNING, what, "make room, or shorten POLLER_SNAPSHOT_RETENTION")
    return CheckResult("disk", CheckStatus.OK, what)


def check_data_center(name: str, answers: Sequence[ProbeResult], orgs: int | None) -> CheckResult:
    """Whether the servers of one data centre are reachable. `orgs`: how many orgs it has; None: unknown."""
    check = f"data centre {name}"
    for one in answers:
        if one.failure is not None:
            status = CheckStatus.WRONG if orgs else CheckStatus.WARNING
            return CheckResult(
                check, status, f"{one.url} cannot be reached: {one.failure.value}", _NETWORK[one.failure]
            )
    for one in answers:
        if one.status is not None and one.status >= 500:
            what = f"{one.url} answers {one.status}"
            return CheckResult(
                check, CheckStatus.WARNING, what, "see Zoho's status page: the poller tries again automatically"
            )
    whose = "" if orgs is None else f", {count(orgs, 'org')}"
    return CheckResult(check, CheckStatus.OK, f"{', '.join(one.url for one in answers)} can be reached{whose}")


def check_network(answers: Sequence[ProbeResult]) -> CheckResult | None:
    """The result where no server at all is reachable, which is this machine's problem; None where one is."""
    failures = [one.failure for one in answers if one.failure is not None]
    if not failures or len(failures) < len(answers):
        return None
    kinds = ", ".join(dict.fromkeys(failures))
    what = f"no server can be reached, of {len(answers)}: {kinds}"
    return CheckResult("data centres", CheckStatus.WRONG, what, _NETWORK[failures[0]])


def check_zoho_clock(answers: Sequence[ProbeResult]) -> CheckResult:
    """Compares the median clock of the data centres with this machine's."""
    clocks = sorted((one.ahead_seconds, one.doubt_seconds) for one in answers if one.ahead_seconds is not None)
    if not clocks:
        return CheckResult("Zoho's clock", CheckStatus.UNKNOWN, "no data centre sent the time")
    return check_clock("Zoho's clock", "the data centres' clock", *clocks[len(clocks) // 2])


_NETWORK: Final[Mapping[Failure, str]] = {
    Failure.DNS: "fix name resolution on this machine, or set POLLER_PROXY if this machine needs a proxy",
    Failure.REFUSED: "allow connections from this machine to it, also in the firewall, or set POLLER_PROXY",
    Failure.RESET: "look for a firewall or a proxy that resets connections",
    Failure.TIMEOUT: "look for a firewall that drops packets, or set POLLER_PROXY",
    Failure.TLS: "check the clock and the CA certificates of this machine, and whether a proxy intercepts TLS",
    Failure.TOO_LARGE: "the reply is not from Zoho: look for a proxy or a sign-in page",
    Failure.LOCAL_RESOURCES: "raise the limit of open files (ulimit -n), or stop what uses up ports or memory",
    Failure.NO_ROUTE: "give this machine a network route to it",
    Failure.PROTOCOL: "the reply is not from Zoho: look for a proxy or a sign-in page",
    Failure.PROXY_DNS: "correct the host in POLLER_PROXY: it has no address",
    Failure.PROXY_UNREACHABLE: "correct host and port in POLLER_PROXY, or start the proxy: nothing listens there",
    Failure.PROXY_LOGIN: "correct user and password in POLLER_PROXY: the proxy refuses them",
    Failure.PROXY_DENIED: "have the proxy of POLLER_PROXY allow CONNECT to it on its port",
}
