"""The error of a message that was not delivered."""

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
