"""When a message that was not delivered is sent again, and when it is given up."""

from __future__ import annotations

from typing import Final

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 3_600.0
JITTER: Final = 0.25
"""Each pause is up to this share longer, so that the messages of many workers do not all come at the same moment."""
LONGEST_RETRY_AFTER_SECONDS: Final = 86_400.0
PERMANENT_ATTEMPTS: Final = 4
"""Attempts of a message that the receiver refuses. Some receivers refuse for a moment what they accept later."""
GIVE_UP_SECONDS: Final = 3 * 86_400
"""A message is given up this long after it could first be sent."""


def pause_seconds(failures: int, jitter: float, retry_after: float | None = None) -> float:
    """Seconds until the next attempt after that many failures in a row; `jitter` from 0 to 1.

    `retry_after`: what the receiver asks for; it is never tried earlier.
    """
    doublings = min(max(failures, 1) - 1, 32)
    pause = min(FIRST_PAUSE_SECONDS * 2.0**doublings, LONGEST_PAUSE_SECONDS)
    if retry_after is not None:
        pause = min(max(retry_after, 0.0), LONGEST_RETRY_AFTER_SECONDS)
    return pause * (1 + JITTER * jitter)


def is_given_up(attempts: int, age_seconds: float, *, permanent: bool) -> bool:
    """Whether a message is not tried again: `attempts` were made, the first could be made `age_seconds` ago."""
    return age_seconds >= GIVE_UP_SECONDS or (permanent and attempts >= PERMANENT_ATTEMPTS)
