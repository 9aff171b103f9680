"""An org as an operator enters it: a row of an import file, or the answers of `poller orgs add`.

`entry_from` checks every field and returns all errors at once. Knows neither files nor the database, and never quotes a
value that could be a secret in the wrong column.
"""

from __future__ import annotations

import difflib
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.core.org_entry_fields import LONGEST_QUOTED, READERS, known_data_center

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date
    from decimal import Decimal

    from poller.core.secret import Secret

REQUIRED: Final = ("name", "data_center", "client_id", "client_secret")
GRANTS: Final = ("refresh_token", "grant_code", "soid")
"""An org has exactly one of these."""
CONTRACT: Final = ("seats", "price", "currency", "renews_on")
"""The fields of a contract; `seats` is the number of seats bought."""
CLEARABLE: Final = ("edition", "licences", "poll_interval", "api_version", "tags", *CONTRACT)
"""An empty value clears these fields; any other empty field counts as absent."""
OPTIONAL: Final = ("zgid", *CLEARABLE)
FIELDS: Final = (*REQUIRED, *GRANTS, *OPTIONAL)

_LONGEST_FIELD_NAME: Final = 30
_NEARLY: Final = 0.85
_ATTRIBUTES: Final = {"poll_interval": "poll_interval_seconds"}


@dataclass(frozen=True, slots=True)
class OrgEntry:
    """One org to add or change, by name. Exactly one of `refresh_token`, `grant_code` and `soid` is set.

    None in an optional field: not given, so the stored value stays. `cleared` names the fields to clear.
    """

    # pylint: disable=duplicate-code  # an operator's file names the columns of a profile and of credentials

    name: str
    data_center: str
    client_id: str
    client_secret: Secret
    refresh_token: Secret | None = None
    grant_code: Secret | None = None
    soid: str | None = None
    zgid: str | None = None
    edition: str | None = None
    licences: int | None = None
    poll_interval_seconds: int | None = None
    api_version: str | None = None
    tags: tuple[str, ...] = ()
    seats: int | None = None
    price: Decimal | None = None
    currency: str | None = None
    renews_on: date | None = None
    cleared: frozenset[str] = frozenset()


def entry_from(written: Mapping[str, object], data_centers: Collection[str]) -> OrgEntry | list[str]:
    """The org that `written` describes, or all errors, as messages for a person.

    Values are text as in a CSV file, or JSON values (numbers, a list for `tags`). None, empty text and an empty list
    clear a field of `CLEARABLE`; any other empty field counts as absent. The caller reports unknown fields.
    """
    values: dict[str, Any] = {}
    reasons: list[str] = []
    given = {field: value for field in FIELDS if _is_given(value := written.get(field))}
    for field in FIELDS:
        if field not in given:
            if field in REQUIRED:
                reasons.append(f"{field} is missing")
            continue
        try:
            values[_ATTRIBUTES.get(field, field)] = READERS[field](field, given[field])
        except ValueError as wrong:
            reasons.append(str(wrong))
    grants = [field for field in GRANTS if field in given]
    if not grants:
        reasons.append("one of refresh_token, grant_code and soid is needed")
    elif len(grants) > 1:
        reasons.append(f"{' and '.join(grants)} are given: one is enough")
    if "data_center" in values:
        try:
            values["data_center"] = known_data_center(values["data_center"], data_centers)
        except ValueError as wrong:
            reasons.append(str(wrong))
    return reasons or OrgEntry(**values, cleared=_cleared(written, values))


def _cleared(written: Mapping[str, object], values: Mapping[str, Any]) -> frozenset[str]:
    """The attributes of the fields that are present and empty."""
    attributes = {field: _ATTRIBUTES.get(field, field) for field in CLEARABLE if field in written}
    return frozenset(attribute for attribute in attributes.values() if values.get(attribute) in (None, ()))


def value_from(field: str, text: str) -> Any:
    """The value of one field from its text; raises `ValueError` with the reason if it is invalid."""
    if not text.strip():
        raise ValueError(f"{field} is empty")
    return READERS[field](field, text)


def name_from(text: str) -> str:
    """A name in its normal spelling; raises `ValueError` with the reason if no org may have it."""
    name: str = value_from("name", text)
    return name


def unknown_field(name: str, place: int | None = None) -> str:
    """The error for an unknown field, the `place`th of its row, with the known field that it may mean.

    If a file has no header, the name may be a value, and that may be a secret. So a name is quoted only if it is short
    or similar to a known one.
    """
    normal = normal_field(name)
    close = _meant_by(normal)
    if len(normal) <= LONGEST_QUOTED or (close and _is_nearly(normal, close)):
        return f"there is no column {name!r}" + (f", did you mean {close}?" if close else "")
    where = "a column" if place is None else f"column {place}"
    return f"{where} has no name the poller knows" + (f", did you mean {close}?" if close else "")


@functools.lru_cache(maxsize=256)
def _meant_by(name: str) -> str | None:
    """The field whose name is most similar to `name`."""
    if len(name) > _LONGEST_FIELD_NAME:
        return None
    return next(iter(difflib.get_close_matches(name, FIELDS, n=1)), None)


def _is_nearly(name: str, field: str) -> bool:
    return name in field or difflib.SequenceMatcher(None, name, field).ratio() >= _NEARLY


def normal_field(name: str) -> str:
    """A field's name in the spelling of `FIELDS`: `Data Center` becomes `data_center`."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _is_given(value: object) -> bool:
    if isinstance(value, str):
        return bool(value) and not value.isspace()
    return value is not None and value != []
