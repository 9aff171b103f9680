"""The interval of each maintenance task in seconds; `poller.worker.maintenance` defines the tasks.

`alerts` is not in the queue: `poller.worker.alert_evaluations` does it beside the other tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_MINUTE: Final = 60
_HOUR: Final = 3_600

TASK_SECONDS: Final[Mapping[str, int]] = {
    "alerts": 30,
    "alert history": 6 * _HOUR,
    "messages": 6 * _HOUR,
    "partitions": 6 * _HOUR,
    "packing": 6 * _HOUR,
    "rollups": 10 * _MINUTE,
    "forecasts": 6 * _HOUR,
    "anomalies": _HOUR,
    "credits": _HOUR,
    "token budgets": _HOUR,
    "queue log": 5 * _MINUTE,
    "workers": _HOUR,
    "audit log": 6 * _HOUR,
    "retention": 6 * _HOUR,
    "digest": 5 * _MINUTE,
}
