"""One endpoint of the API: its address, its models, the right it needs, and the function that answers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from poller.core.callers import Right
from poller.web.api.models.base import NoParameters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from pydantic import BaseModel

    from poller.admin.writer import Writer
    from poller.core.callers import Caller
    from poller.query.reader import Reader

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose parameters are checked. `after`: the key of the last row before this page; None: first page.

    `path`, `query` and `body` are values of the endpoint's models. `writer` None: this process changes nothing.
    """

    reader: Reader
    writer: Writer | None
    caller: Caller
    now: datetime
    path: Any
    query: Any
    limit: int = 0
    after: tuple[Any, ...] | None = None
    body: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The fields of a reply. `after`: the key of the last row, if more rows follow."""

    fields: Mapping[str, Any]
    after: Sequence[Any] | None = None


def page(items: Sequence[Mapping[str, Any]], after: Sequence[Any] | None) -> Answer:
    """The answer of an endpoint that lists rows."""
    return Answer({"items": items}, after)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`rows`: the field of the reply that holds rows, which CSV has too. `refusals`: statuses beside the usual ones.

    `answer` is None for an endpoint that writes its own reply. `related`: what follows the address of the org or alert
    in the `Location` of a write.
    """

    method: str
    path: str
    summary: str
    answer: Callable[[Call], Awaitable[Answer]] | None
    reply: type[BaseModel] | Any
    path_model: type[BaseModel] = NoParameters
    query_model: type[BaseModel] = NoParameters
    body_model: type[BaseModel] = NoParameters
    right: Right = Right.READ
    refusals: Sequence[int] = ()
    rows: str | None = None
    status: int = 200
    description: str = ""
    group: str = field(default="orgs", kw_only=True)
    related: str = field(default="", kw_only=True)

    @property
    def address(self) -> str:
        """The path that clients send."""
        return f"{PREFIX}{self.path}"

    @property
    def is_list(self) -> bool:
        """Whether the rows come in pages."""
        return "cursor" in self.query_model.model_fields

    @property
    def name(self) -> str:
        """A name for the endpoint, from its method and address."""
        words = [word.strip("{}") for word in self.path.split("/") if word]
        return "_".join((self.method.lower(), *(word.replace("-", "_") for word in words)))
