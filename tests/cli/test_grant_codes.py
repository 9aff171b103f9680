from __future__ import annotations

from poller.cli.grant_codes import _queue, crowd
from poller.onboarding.grant_exchange import CodeProgress


def test_the_queue_is_told_with_how_long_it_waits() -> None:
    assert _queue(CodeProgress(waiting=3, exchanged=2)) == "exchanging grant codes"
    waiting = CodeProgress(waiting=1_015, exchanged=10, pause_seconds=659.6)
    assert _queue(waiting) == "1,015 grant codes wait for 11:00 minutes, for Zoho takes ten of a client in ten"
    assert _queue(CodeProgress(waiting=1, pause_seconds=9.0)).startswith("1 grant code waits for 0:09 minutes")


def test_a_crowd_is_warned_of_before_it_does_harm_and_told_after_what_it_did() -> None:
    assert "ends the oldest for each one more" in crowd("1000.A", 20)
    assert "the oldest have ended" in crowd("1000.A", 21)
