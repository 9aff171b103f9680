"""Reads times, durations and time zones from parameters; a refusal names the parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from poller.core.errors import UsageError
from poller.query.parameters import moment_of, seconds_of, zone_of
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, tzinfo

T = TypeVar("T")


def moment(name: str, text: str, now: datetime, zone: tzinfo) -> datetime:
    """The time that a parameter names."""
    return named(name, lambda: moment_of(text, now, zone))


def zone(name: str, text: str) -> tzinfo:
    """The time zone that a parameter names."""
    return named(name, lambda: zone_of(text))


def duration(name: str, text: str) -> int:
    """The seconds that a parameter names."""
    return named(name, lambda: seconds_of(text))


def named(name: str, read: Callable[[], T], place: str = "query") -> T:
    """The value that `read` returns; its `UsageError` is about the parameter `name`."""
    try:
        return read()
    except UsageError as wrong:
        error = {"parameter": name, "in": place, "detail": wrong.what}
        raise Problem(400, wrong.what, wrong.remedy, errors=[error]) from None
