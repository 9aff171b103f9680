from __future__ import annotations

from poller.cli.commands.orgs.grant_codes import describe
from poller.onboarding.grant_codes import refresh_token_warning
from poller.onboarding.grant_exchange import CodeProgress


def test_the_queue_of_grant_codes_is_shown_with_its_waiting_time() -> None:
    assert describe(CodeProgress(waiting=3, exchanged=2)) == "exchanging grant codes"
    waiting = CodeProgress(waiting=1_015, exchanged=10, pause_seconds=659.6)
    assert describe(waiting) == "1,015 grant codes wait for 11:00 minutes, for Zoho takes ten of a client in ten"
    assert describe(CodeProgress(waiting=1, pause_seconds=9.0)).startswith("1 grant code waits for 0:09 minutes")


def test_a_client_with_many_refresh_tokens_causes_a_warning_before_and_after_the_oldest_ended() -> None:
    assert "ends the oldest for each one more" in refresh_token_warning("1000.A", 20)
    assert "the oldest have ended" in refresh_token_warning("1000.A", 21)
