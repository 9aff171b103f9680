"""The address of an Org page holds its whole state: the range, the user types, and which lines the chart shows."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from multidict import MultiDict

from poller.core.errors import UsageError
from poller.core.model import USER_TYPES, UserType
from poller.query.parameters import type_of
from poller.query.series import SeriesQuestion
from poller.web.api.parameters import parameters
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multidict import MultiMapping

RANGES: Final = {"24 h": "24h", "7 d": "7d", "30 d": "30d", "90 d": "90d", "1 y": "1y"}
"""What the page names each range, and its `since`."""
DEFAULT_RANGE: Final = "90d"
DEFAULT_TYPE: Final = UserType.ACTIVE
LAYERS: Final = ("band", "seats", "forecast")
"""What the chart shows beside the lines; each can be hidden with `=0`."""
_NAMES: Final = ("since", "until", "from", "to", "every", "done", "format", *LAYERS)
_LONGEST_ID: Final = 10
_LARGEST_ID: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class OrgAddress:
    """One address of the page of `org_id`. Empty texts: the default."""

    org_id: int
    since: str = DEFAULT_RANGE
    until: str = ""
    every: str = ""
    user_types: Sequence[UserType] = (DEFAULT_TYPE,)
    hidden: frozenset[str] = frozenset()
    done: str = ""

    @classmethod
    def parse(cls, org_id: int, query: MultiMapping[str]) -> OrgAddress:
        """Reads the query of an address; a `UsageError` for one that is wrong.

        `from` and `to` are days of UTC, both included, as the form sends them; `since` and `until` are those of the
        API.
        """
        single = MultiDict((name, value) for name, value in query.items() if name != "type")
        words = parameters(single, dict.fromkeys(_NAMES, ""))
        names = query.getall("type", [])
        if len(names) > len(USER_TYPES):
            raise UsageError("there are ten user types", "name each once")
        types = tuple(dict.fromkeys(type_of(name[:50]) for name in names)) or (DEFAULT_TYPE,)
        since, until = words["since"] or DEFAULT_RANGE, words["until"]
        if words["from"]:
            since = words["from"]
        if words["to"]:
            until = _day_after(words["to"])
        hidden = frozenset(layer for layer in LAYERS if words[layer] == "0")
        return cls(org_id, since, until, words["every"], types, hidden, words["done"])

    def question(self, now: datetime) -> SeriesQuestion:
        """The question for the chart."""
        names = [one.value for one in self.user_types]
        return SeriesQuestion.parse(now, types=names, since=self.since, until=self.until, every=self.every)

    @property
    def is_live(self) -> bool:
        """Whether the range ends now."""
        return self.until in {"", "now"}

    def link(self, **changes: Any) -> str:
        """The address with these changes; what is as by default is left out."""
        one = replace(self, **{"done": "", **changes})
        query = [("since", one.since)] if one.since != DEFAULT_RANGE else []
        query += [(name, value) for name, value in (("until", one.until), ("every", one.every)) if value]
        if tuple(one.user_types) != (DEFAULT_TYPE,):
            query += [("type", user_type.value) for user_type in one.user_types]
        query += [(layer, "0") for layer in LAYERS if layer in one.hidden]
        query += [("done", one.done)] if one.done else []
        return f"/orgs/{one.org_id}" + (f"?{urlencode(query)}" if query else "")

    def toggled(self, user_type: UserType) -> str:
        """The address with this type shown if it is hidden, or hidden if it is shown; one type always stays."""
        shown = set(self.user_types) ^ {user_type}
        return self.link(user_types=tuple(one for one in USER_TYPES if one in shown) or (DEFAULT_TYPE,))

    def with_layer(self, layer: str) -> str:
        """The address with this layer of the chart shown if it is hidden, or hidden if it is shown."""
        return self.link(hidden=self.hidden ^ {layer})


def org_id_of(text: str) -> int | None:
    """The number in the path; None if no org can have it."""
    if not re.fullmatch(r"[0-9]+", text, re.ASCII) or len(text) > _LONGEST_ID:
        return None
    number = int(text)
    return number if number <= _LARGEST_ID else None


def no_such_org() -> Problem:
    """The same for an org of other tags as for one that does not exist."""
    return Problem(404, "there is no such org", "look for it by its name on the Fleet page")


def _day_after(text: str) -> str:
    try:
        return (date.fromisoformat(text) + timedelta(days=1)).isoformat() + "T00:00Z"
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is not a date", "write it as 2026-01-31") from None


def day_of(text: str, at: datetime) -> str:
    """What the field `from` of the form shows for a range that begins at `at`; empty for a range such as 90 days."""
    return "" if text in RANGES.values() else f"{at.astimezone(UTC):%Y-%m-%d}"
