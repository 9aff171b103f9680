from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from poller.core.checks import CheckStatus
from poller.core.diagnosis import (
    ProbeResult,
    TaskRun,
    check_clock,
    check_data_center,
    check_disk,
    check_months,
    check_network,
    check_tasks,
    check_zoho_clock,
)
from poller.core.reply import Failure

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
HOURLY = {"rollups": 600, "retention": 21_600}


def runs(**minutes_ago: int) -> dict[str, TaskRun]:
    return {name: TaskRun(NOW - timedelta(minutes=ago), None) for name, ago in minutes_ago.items()}


@given(st.floats(-1e6, 1e6), st.floats(0, 1e3))
def test_a_clock_that_may_be_right_is_not_reported_as_wrong(ahead: float, doubt: float) -> None:
    finding = check_clock("clock", "it", ahead, doubt)
    assert finding.status is not CheckStatus.WRONG or abs(ahead) - doubt > 30
    assert finding.status is not CheckStatus.OK or abs(ahead) - doubt <= 2
    assert (finding.remedy == "") == (finding.status is CheckStatus.OK)


def test_one_wrong_clock_of_a_data_centre_does_not_outweigh_the_others() -> None:
    answers = [ProbeResult(f"https://{n}", 200, None, ahead, 0.5) for n, ahead in enumerate((0.1, 0.2, 900.0))]
    assert check_zoho_clock(answers).status is CheckStatus.OK
    assert check_zoho_clock([ProbeResult("https://a", None, Failure.DNS)]).status is CheckStatus.UNKNOWN


@pytest.mark.parametrize(
    ("done", "verdict"),
    [
        (runs(rollups=5, retention=300), CheckStatus.OK),
        # A short task is given an hour, a long one three of its intervals.
        (runs(rollups=59, retention=1_079), CheckStatus.OK),
        (runs(rollups=61, retention=300), CheckStatus.WRONG),
        (runs(rollups=5, retention=1_081), CheckStatus.WRONG),
        (runs(rollups=5), CheckStatus.WARNING),
        ({}, CheckStatus.WARNING),
        ({"rollups": TaskRun(NOW, "no right"), **runs(retention=5)}, CheckStatus.WRONG),
    ],
)
def test_maintenance_tasks_are_late_only_if_a_restart_cannot_explain_the_delay(
    done: dict[str, TaskRun], verdict: CheckStatus
) -> None:
    assert check_tasks(done, HOURLY, NOW, workers=1).status is verdict


def test_a_maintenance_task_of_another_release_is_ignored() -> None:
    done = {**runs(rollups=5, retention=5), "of another release": TaskRun(None, "it failed")}
    assert check_tasks(done, HOURLY, NOW, workers=1).status is CheckStatus.OK


def test_a_missing_month_is_a_fault_only_if_a_worker_should_have_created_it() -> None:
    november, december = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    assert check_months([november], [november, december], served=True).status is CheckStatus.OK
    assert check_months([november, december], [november], served=True).status is CheckStatus.WRONG
    assert check_months([november, december], [], served=False).status is CheckStatus.WARNING


def test_a_disk_is_too_full_by_its_used_share_or_by_its_free_space() -> None:
    assert check_disk("/d", 50 * 10**9, 100 * 10**9, 10**6).status is CheckStatus.OK
    assert check_disk("/d", 4 * 10**9, 100 * 10**9, 10**6).status is CheckStatus.WARNING
    assert check_disk("/d", 10**8, 10**9, 10**6).status is CheckStatus.WRONG


@pytest.mark.parametrize("failure", list(Failure))
def test_every_kind_of_connection_failure_has_a_remedy(failure: Failure) -> None:
    away, there = ProbeResult("https://a", None, failure), ProbeResult("https://b", 302, None)
    finding = check_data_center("eu", [there, away], 3)
    assert finding.status is CheckStatus.WRONG
    assert finding.remedy
    assert check_data_center("eu", [away], None).status is CheckStatus.WARNING
    assert check_network([there, away]) is None
    cut_off = check_network([away, away])
    assert cut_off is not None
    assert cut_off.status is CheckStatus.WRONG
