from __future__ import annotations

from datetime import UTC, datetime, timedelta

from poller.core.circuit_breaker import (
    CLOSED,
    LONGEST_PROBE,
    LONGEST_WAIT,
    SHORTEST_WAIT,
    CircuitBreaker,
    allows,
    on_failure,
    on_probe,
    on_probe_abandoned,
    on_success,
    wait_until,
)
from poller.core.schedule import Due

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def opened() -> CircuitBreaker:
    circuit = CLOSED
    for org_id in (1, 2, 3):
        circuit = on_failure(circuit, org_id, "timeout", NOW)
    return circuit


def test_failures_of_one_org_do_not_open_the_circuit() -> None:
    circuit = CLOSED
    for _ in range(100):
        circuit = on_failure(circuit, 1, "timeout", NOW)
    assert allows(circuit, NOW)
    assert circuit.opened_at is None


def test_failures_of_several_orgs_in_a_row_open_the_circuit_with_reason_and_time() -> None:
    circuit = opened()
    assert not allows(circuit, NOW)
    assert (circuit.opened_at, circuit.error) == (NOW, "timeout")


def test_a_success_between_failures_keeps_the_circuit_closed() -> None:
    circuit = on_failure(on_failure(CLOSED, 1, "reset", NOW), 2, "reset", NOW)
    circuit = on_failure(on_success(circuit), 3, "reset", NOW)
    assert allows(circuit, NOW)


def test_an_open_circuit_allows_one_probe_at_a_time() -> None:
    circuit = opened()
    later = NOW + SECOND
    assert allows(circuit, later)
    circuit = on_probe(circuit, later)
    assert not allows(circuit, later + 20 * SECOND)
    circuit = on_failure(circuit, 4, "timeout", later + 20 * SECOND)
    assert circuit.opened_at == NOW
    assert allows(circuit, later + 21 * SECOND)
    assert allows(on_success(circuit), later)


def test_a_probe_without_a_result_is_abandoned_after_a_while() -> None:
    assert allows(on_probe(opened(), NOW), NOW + LONGEST_PROBE)


def test_a_probe_that_sent_no_request_allows_another_probe() -> None:
    assert allows(on_probe_abandoned(on_probe(opened(), NOW), NOW), NOW)
    assert on_probe_abandoned(CLOSED, NOW) == CLOSED


def test_a_closed_circuit_is_not_limited_by_running_polls() -> None:
    assert allows(on_probe(CLOSED, NOW), NOW)


def test_the_circuit_remembers_only_as_many_orgs_as_it_needs() -> None:
    circuit = CLOSED
    for org_id in range(10_000):
        circuit = on_failure(circuit, org_id, "timeout", NOW)
    assert len(circuit.failed) == 3


def test_a_slot_that_has_waited_longer_is_retried_later() -> None:
    due = Due(1, NOW, 900)
    waits = [wait_until(due, due.at + minutes * 6 * SECOND) - (due.at + minutes * 6 * SECOND) for minutes in range(20)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (SHORTEST_WAIT, LONGEST_WAIT)
