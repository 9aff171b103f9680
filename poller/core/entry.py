"""An org as an operator writes it down: a row of an import file, or the answers of `poller orgs add`.

`entry_from` judges what was written, field by field, and says everything that is wrong at once. It refuses to know
files and how orgs are stored, and never repeats in a reason what could be a secret in the wrong column.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.core.model import API_VERSION
from poller.core.names import normal_name, refused_character
from poller.core.quota import EDITIONS, is_known_edition
from poller.core.secret import Secret
from poller.core.slots import parse_interval

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

REQUIRED: Final = ("name", "data_center", "client_id", "client_secret")
GRANTS: Final = ("refresh_token", "grant_code", "soid")
"""An org has exactly one of these."""
OPTIONAL: Final = ("zgid", "edition", "licences", "poll_interval", "api_version", "tags")
CLEARABLE: Final = ("edition", "licences", "poll_interval", "api_version", "tags")
"""An empty value clears these; in any other field it counts as a field left out."""
FIELDS: Final = (*REQUIRED, *GRANTS, *OPTIONAL)
SECRETS: Final = frozenset({"client_secret", "refresh_token", "grant_code"})

_LONGEST: Final = {"name": 200, "edition": 50, "tags": 1_000}
_LONGEST_CREDENTIAL: Final = 1_000
_LONGEST_QUOTED: Final = 5
"""Characters of a value that a reason repeats: where columns are shifted any value may be a piece of a secret."""
_LONGEST_FIELD_NAME: Final = 30
_NEARLY: Final = 0.85
_MOST_NAMED: Final = 20
_VISIBLE_ASCII: Final = re.compile(r"[!-~]+")
_CREDENTIAL: Final = re.compile(r"1000\.[0-9A-Za-z]{20,}|[0-9a-f]{30,}")
"""How Zoho's client ids, tokens, grant codes and client secrets look."""
_MOST_LICENCES: Final = 10_000_000

_Reader = Callable[[str, object], Any]
"""`reader(field, value)`: what the field says; a `ValueError` with the reason if it says nothing usable."""


@dataclass(frozen=True, slots=True)
class OrgEntry:
    """One org to add or change, by name. Exactly one of `refresh_token`, `grant_code` and `soid` is there.

    None in an optional field: not said, so what is known stays; `cleared` names those that are to become unknown.
    """

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
    cleared: frozenset[str] = frozenset()


def entry_from(written: Mapping[str, object], data_centers: Collection[str]) -> OrgEntry | list[str]:
    """The org that `written` describes, or all that is wrong with it, in words for a person.

    Values are text as in a CSV file, or what JSON has (a number for `licences`, a list for `tags`). None, empty text
    and an empty list clear a field of `CLEARABLE`; elsewhere they are the same as a field left out. Unknown fields are
    the reader's to report.
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
            values[_ATTRIBUTES.get(field, field)] = _READERS[field](field, given[field])
        except ValueError as wrong:
            reasons.append(str(wrong))
    grants = [field for field in GRANTS if field in given]
    if not grants:
        reasons.append("one of refresh_token, grant_code and soid is needed")
    elif len(grants) > 1:
        reasons.append(f"{' and '.join(grants)} are given: one is enough")
    if "data_center" in values:
        try:
            values["data_center"] = _data_center(values["data_center"], data_centers)
        except ValueError as wrong:
            reasons.append(str(wrong))
    return reasons or OrgEntry(**values, cleared=_cleared(written, values))


def _cleared(written: Mapping[str, object], values: Mapping[str, Any]) -> frozenset[str]:
    """The attributes of the fields that are there and empty."""
    attributes = {field: _ATTRIBUTES.get(field, field) for field in CLEARABLE if field in written}
    return frozenset(attribute for attribute in attributes.values() if values.get(attribute) in (None, ()))


def value_from(field: str, text: str) -> Any:
    """One field's value from its text; a `ValueError` with the reason if it is wrong."""
    if not text.strip():
        raise ValueError(f"{field} is empty")
    return _READERS[field](field, text)


def name_from(text: str) -> str:
    """A name in its normal spelling; a `ValueError` with the reason if no org may have it."""
    name: str = value_from("name", text)
    return name


def unknown_field(name: str, place: int | None = None) -> str:
    """The reason for refusing a field of that name, the `place`th of its row, with the field it may mean.

    The name may be a value where a name should be, and the value a secret: what is quoted is nearly a field's name.
    """
    normal = normal_field(name)
    close = _meant_by(normal)
    if len(normal) <= _LONGEST_QUOTED or (close and _is_nearly(normal, close)):
        return f"there is no column {name!r}" + (f", did you mean {close}?" if close else "")
    where = "a column" if place is None else f"column {place}"
    return f"{where} has no name the poller knows" + (f", did you mean {close}?" if close else "")


@functools.lru_cache(maxsize=256)
def _meant_by(name: str) -> str | None:
    """The field that `name` looks like."""
    if len(name) > _LONGEST_FIELD_NAME:
        return None
    return next(iter(difflib.get_close_matches(name, FIELDS, n=1)), None)


def _is_nearly(name: str, field: str) -> bool:
    return name in field or difflib.SequenceMatcher(None, name, field).ratio() >= _NEARLY


def normal_field(name: str) -> str:
    """A field's name as `FIELDS` spells it: `Data Center` is `data_center`."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _is_given(value: object) -> bool:
    if isinstance(value, str):
        return bool(value) and not value.isspace()
    return value is not None and value != []


def _text(field: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and field not in SECRETS:
        value = str(value) if abs(value) < 10**30 else "?"
    if not isinstance(value, str):
        raise ValueError(f"{field} is not text")  # noqa: TRY004  # every reason travels the same way
    text = value.strip()
    if not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{field} is not UTF-8: save the file as UTF-8 (in Excel: 'CSV UTF-8')")
    if (refused := refused_character(text)) is not None:
        raise ValueError(f"{field} has an invisible character in it: {refused}; delete the character")
    longest = _LONGEST.get(field, _LONGEST_CREDENTIAL)
    if len(text) > longest:
        raise ValueError(f"{field} is longer than {longest} characters")
    return text


def _name(field: str, value: object) -> str:
    name = normal_name(_text(field, value))
    if _CREDENTIAL.search(name):
        raise ValueError(f"{field} looks like a credential: are the columns in the order of the header?")
    return name


def _credential(field: str, value: object) -> str:
    text = _text(field, value)
    if not _VISIBLE_ASCII.fullmatch(text):
        raise ValueError(f"{field} has a blank or a letter outside ASCII in it")
    return text


def _secret(field: str, value: object) -> Secret:
    return Secret(_credential(field, value))


def _like(pattern: str, example: str) -> _Reader:
    compiled = re.compile(pattern)

    def read(field: str, value: object) -> str:
        text = _text(field, value)
        if not compiled.fullmatch(text):
            raise ValueError(f"{field} {_shown(text)} is not like {example}")
        return text

    return read


def _edition(field: str, value: object) -> str:
    """A `paid_type` of Zoho's: one misspelled would have the limits of the free edition without a word."""
    text = _name(field, value).lower()
    if is_known_edition(text):
        return text
    close = difflib.get_close_matches(text[:_LONGEST_FIELD_NAME], EDITIONS, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise ValueError(
        f"edition {_shown(text)} is unknown, {meant}known are {', '.join(EDITIONS)} (empty: learned from Zoho)"
    )


def _licences(field: str, value: object) -> int:
    text = _text(field, value)
    if not re.fullmatch(r"[0-9]{1,8}", text) or int(text) > _MOST_LICENCES:
        raise ValueError(f"licences {_shown(text)} is not a number of licences")
    return int(text)


def _interval(field: str, value: object) -> int:
    text = _text(field, value)
    try:
        return parse_interval(text)
    except ValueError as wrong:
        raise ValueError(f"{field} {_shown(text)} is not seconds or 90s, 15m, 1h, from 1s to 1d") from wrong


def _tags(field: str, value: object) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        value = ",".join(value)
    return tuple(dict.fromkeys(tag for part in re.split(r"[,;|]", _name(field, value)) if (tag := normal_name(part))))


def _data_center(text: str, data_centers: Collection[str]) -> str:
    for name in (text, text.lower()):
        if name in data_centers:
            return name
    some = _some_of(tuple(data_centers))
    raise ValueError(f"data centre {_shown(text)} is unknown, known are {some} (POLLER_DATA_CENTERS adds others)")


@functools.lru_cache(maxsize=4)
def _some_of(names: tuple[str, ...]) -> str:
    return ", ".join(sorted(names)[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")


def _shown(text: str) -> str:
    """A value in a reason, unless it is so long that it may be a piece of a secret in the wrong column."""
    return repr(text) if len(text) <= _LONGEST_QUOTED else f"(of {len(text)} characters)"


_ATTRIBUTES: Final = {"poll_interval": "poll_interval_seconds"}
_READERS: Final[Mapping[str, _Reader]] = {
    "name": _name,
    "data_center": _text,
    "client_id": _credential,
    "client_secret": _secret,
    "refresh_token": _secret,
    "grant_code": _secret,
    "soid": _like(r"[A-Za-z]{1,30}\.[0-9]{1,30}", "ZohoCRM.600012345"),
    "zgid": _like(r"[0-9]{1,30}", "600012345"),
    "edition": _edition,
    "licences": _licences,
    "poll_interval": _interval,
    "api_version": _like(API_VERSION, "v8"),
    "tags": _tags,
}
