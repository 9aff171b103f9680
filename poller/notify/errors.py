"""The error of a message that was not delivered, and which HTTP statuses are refusals."""

from __future__ import annotations

from poller.core.errors import OperationError


class DeliveryError(OperationError):
    """A message was not delivered. No text of this error contains the address, or a part of it but the scheme.

    `retry_after`: seconds that the receiver asks to wait. `permanent`: the receiver refuses, so more attempts are of
    little use.
    """

    def __init__(self, what: str, remedy: str, retry_after: float | None = None, *, permanent: bool = False) -> None:
        super().__init__(what, remedy)
        self.retry_after = retry_after
        self.permanent = permanent


def http_error(status: int, retry_after: float | None) -> DeliveryError:
    """The error of an HTTP status: all of 4xx but 408 and 429 are refusals."""
    if status == 429:
        return DeliveryError("the receiver answered 429: too many messages", "wait: it is tried again", retry_after)
    if 400 <= status < 500 and status != 408:
        remedy = "correct the address: the receiver refuses it"
        return DeliveryError(f"the receiver answered {status}", remedy, retry_after, permanent=True)
    return DeliveryError(f"the receiver answered {status}", "see whether the receiver works", retry_after)
