"""What the address of the Fleet page says: filters, order, user type, columns, place; and links that change it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import orjson
from pydantic import BeforeValidator, Field, StringConstraints, TypeAdapter

from poller.core.model import UserType
from poller.core.states import State  # noqa: TC001  # pydantic reads it
from poller.query.fleet_page import TEXT_SORTS, FleetQuestion, Position, StateFilter, order_of
from poller.web.api.models.base import WHOLE, Id, Model, Search, Texts
from poller.web.pages.addresses import PLACE, joined, parameter
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Column = Literal[
    "state",
    "data_center",
    "edition",
    "tags",
    "count",
    "seats",
    "idle",
    "change_7d",
    "change_30d",
    "history",
    "polls",
    "exhausted_on",
    "counts_at",
]
COLUMNS: Final[Mapping[str, str]] = {
    "state": "State",
    "data_center": "DC",
    "edition": "Edition",
    "tags": "Tags",
    "count": "Users",
    "seats": "Seats",
    "idle": "Idle",
    "change_7d": "7 d",
    "change_30d": "30 d",
    "history": "30 days",
    "polls": "Last polls",
    "exhausted_on": "Runs out",
    "counts_at": "Counts",
}
"""Every column beside the name, in the order of the table, with its heading."""
DEFAULT_COLUMNS: Final = tuple(name for name in COLUMNS if name not in {"edition", "idle", "polls"})
UNSORTED: Final = frozenset({"history", "polls"})
HIGHEST_FIRST: Final = frozenset({"count", "seats", "idle", "change_7d", "change_30d"})
"""Columns whose first click sorts from the highest value down."""
ROWS: Final = (50, 100, 250)
_LARGEST_START: Final = 10_000_000


_WITHOUT_NUL = Annotated[str, StringConstraints(max_length=2_000, pattern="^[^\0]*$")]
_PLACE: Final = TypeAdapter(tuple[_WITHOUT_NUL | float | None, _WITHOUT_NUL, Id])


def _or_none(value: Any) -> Any:
    """An empty field of a form is a parameter that is not there."""
    return None if value == "" else value


class FleetQuery(Model):
    """The parameters of the Fleet page."""

    q: Search = ""
    tag: Texts = ()
    state: Annotated[tuple[State, ...], Field(max_length=10)] = ()
    data_center: Texts = ()
    edition: Texts = ()
    type: UserType = UserType.ACTIVE
    sort: Annotated[str, StringConstraints(max_length=30)] = "need"
    after: Annotated[str | None, StringConstraints(max_length=4_000), BeforeValidator(_or_none)] = None
    before: Annotated[str | None, StringConstraints(max_length=4_000), BeforeValidator(_or_none)] = None
    start: Annotated[int, Field(ge=1, le=_LARGEST_START), WHOLE] = 1
    rows: Annotated[Literal[50, 100, 250], BeforeValidator(lambda value: int(value) if value in _ROWS else value)] = 100
    column: Annotated[tuple[Column, ...], Field(max_length=20)] = ()
    done: Annotated[str, StringConstraints(max_length=40)] = ""
    format: Literal["html", "csv", "json"] | None = None

    def filter(self, visible_tags: Sequence[str] | None) -> StateFilter:
        """The orgs that match, among those that the caller may see."""
        return StateFilter(
            search=self.q.strip() or None,
            tags=self.tag,
            states=self.state,
            data_centers=self.data_center,
            editions=self.edition,
            visible_tags=visible_tags,
        )

    def question(self, visible_tags: Sequence[str] | None) -> FleetQuestion:
        """What to read for this address."""
        if self.after is not None and self.before is not None:
            raise Problem(400, "after and before are both given", "give one of them")
        order = order_of(self.sort)
        return FleetQuestion(
            self.filter(visible_tags),
            order,
            self.type,
            self.rows,
            None if self.after is None else opened(self.after, order.sort),
            None if self.before is None else opened(self.before, order.sort),
        )

    @property
    def columns(self) -> list[str]:
        """The columns to show, in the order of the table."""
        chosen = set(self.column or DEFAULT_COLUMNS)
        return [name for name in COLUMNS if name in chosen]

    @property
    def is_filtered(self) -> bool:
        """Whether any filter is chosen."""
        return bool(self.q.strip() or self.tag or self.state or self.data_center or self.edition)


_ROWS: Final = {str(number) for number in ROWS}
_KEPT: Final = {name: field.default for name, field in FleetQuery.model_fields.items() if name not in PLACE}
"""The parameters that links keep, with their defaults."""


class Links:
    """Addresses that differ from the page's own in some parameters."""

    def __init__(self, query: FleetQuery) -> None:
        self.query = query
        self._given = {name: parameter(name, value) for name, value in self.parameters().items()}

    def to(self, path: str = "/", /, **changes: Any) -> str:
        """The address with these parameters; None removes one. A change leads to the first page."""
        given = {**self._given, **{name: parameter(name, value) for name, value in changes.items()}}
        return joined(path, given.values())

    def parameters(self) -> dict[str, Any]:
        """The parameters that are not at their defaults, without the place."""
        return {name: value for name, default in _KEPT.items() if (value := getattr(self.query, name)) != default}

    def toggled(self, name: str, value: str) -> str:
        """The address with a value added to a repeatable parameter, or without it where it is chosen."""
        chosen = [str(one) for one in getattr(self.query, name)]
        changed = [one for one in chosen if one != value] if value in chosen else [*chosen, value]
        return self.to(**{name: changed})

    def sorted_by(self, column: str) -> str:
        """The address sorted by a column; in the other direction where it is sorted by that column already."""
        first = f"-{column}" if column in HIGHEST_FIRST else column
        other = column if column in HIGHEST_FIRST else f"-{column}"
        return self.to(sort=other if self.query.sort == first else first)


def sealed(position: Position) -> str:
    """A position as text for an address."""
    return base64.urlsafe_b64encode(orjson.dumps(list(position))).rstrip(b"=").decode()


def opened(text: str, sort: str) -> Position:
    """The position in an address; a 422 `Problem` for a text that is none of a list sorted like that."""
    try:
        place = _PLACE.validate_json(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        place = None
    if place is None or (place[0] is not None and isinstance(place[0], str) != (sort in TEXT_SORTS)):
        raise Problem(422, "this place in the list is none", "start at the first page")
    return Position(*place)
