"""What all models share: no undeclared field, and the types of parameters."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, create_model

from poller.core.model import USER_TYPES

LARGEST_ID: Final = 2_147_483_647
MOST_ROWS: Final = 500
DEFAULT_ROWS: Final = 100
LONGEST_TEXT: Final = 200
LONGEST_CURSOR: Final = 2_000
MOST_VALUES: Final = 20
"""Of one repeatable parameter."""
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"


class Model(BaseModel):
    """A request or a reply; a field that is not declared is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _whole(value: Any) -> Any:
    """Refuses numbers as Python writes them: `1_000`, ` 1`, `1.0`."""
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,12}", value):
        raise ValueError("write a whole number of at most 12 digits")
    return value


WHOLE: Final = BeforeValidator(_whole)
"""The last of a number's annotations: it runs first, and the bounds before it stay in the document."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT, pattern=_PRINTABLE)]
Search = Annotated[str, StringConstraints(max_length=LONGEST_TEXT, pattern=_PRINTABLE)]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID), WHOLE]
Texts = Annotated[tuple[Text, ...], Field(max_length=MOST_VALUES)]
FormatName = Literal["json", "csv"]


class NoParameters(Model):
    """An endpoint without parameters."""


class OrgPath(Model):
    """The address of an org."""

    id: Annotated[Id, Field(description="The number of the org: `id` in GET /orgs.")]


class FormatQuery(Model):
    """Parameters of every endpoint that answers rows."""

    format: Annotated[
        FormatName | None, Field(description="`csv` answers CSV, as `Accept: text/csv` does. Default: `json`.")
    ] = None


class PageQuery(FormatQuery):
    """Parameters of every list."""

    limit: Annotated[
        Annotated[int, Field(ge=1, le=MOST_ROWS), WHOLE] | None,
        Field(description=f"Rows of a page, 1 to {MOST_ROWS}. Default: {DEFAULT_ROWS}; CSV: every row."),
    ] = None
    cursor: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_CURSOR, pattern=r"^[A-Za-z0-9_-]*$")] | None,
        Field(description="`next_cursor` of the page before. It belongs to the same address and filters."),
    ] = None


class WrongParameter(Model):
    """One parameter that is wrong, and why."""

    parameter: str
    place: Annotated[Literal["path", "query", "header", "body"], Field(alias="in")]
    detail: str


class ProblemReply(Model):
    """A refusal, as in RFC 9457: what is wrong and what to do about it. `errors` names each wrong parameter."""

    title: Annotated[str, Field(description="The words of the status.")]
    status: int
    detail: Annotated[str, Field(description="What is wrong.")]
    remedy: Annotated[str, Field(description="What to do about it.")]
    errors: tuple[WrongParameter, ...] = ()


_COUNTS: Final[dict[str, Any]] = {user_type.value: (int | None, ...) for user_type in USER_TYPES}
CountsReply: Any = create_model("CountsReply", __base__=Model, __doc__="The ten counts; null: unknown.", **_COUNTS)
