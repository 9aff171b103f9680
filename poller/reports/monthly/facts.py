"""One fact of a page: what it is, its value with the unit, and a detail such as its date."""

from __future__ import annotations

from typing import NamedTuple


class Fact(NamedTuple):
    """`mark` names what needs attention: `bad`, `soon`, or nothing."""

    name: str
    value: str
    detail: str = ""
    mark: str = ""
