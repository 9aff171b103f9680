"""Readers for each field of an org: how its text is read, and why it may be invalid.

Every reader is called as `reader(field, value)` and raises a `ValueError` with the reason. No reason quotes more than a
few characters of a value: if columns are shifted, any value may be part of a secret.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from poller.core.contract import parse_currency, parse_day, parse_price, parse_seats
from poller.core.editions import EDITIONS, is_known_edition
from poller.core.model import API_VERSION
from poller.core.names import normal_name, refused_character
from poller.core.secret import Secret
from poller.core.slots import parse_interval

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SECRETS: Final = frozenset({"client_secret", "refresh_token", "grant_code"})
LONGEST_QUOTED: Final = 5
"""The largest number of characters of a value that a reason quotes."""

TAG_SEPARATOR: Final = re.compile(r"[,;|]")
"""Between tags in one text; no tag contains it."""
_LONGEST: Final = {"name": 200, "edition": 50, "tags": 1_000}
_LONGEST_CREDENTIAL: Final = 1_000
_LONGEST_COMPARED: Final = 30
_MOST_NAMED: Final = 20
_VISIBLE_ASCII: Final = re.compile(r"[!-~]+")
_CREDENTIAL: Final = re.compile(r"1000\.[0-9A-Za-z]{20,}|[0-9a-f]{30,}")
"""The format of Zoho's client ids, tokens, grant codes and client secrets."""
_MOST_LICENCES: Final = 10_000_000

Reader = Callable[[str, object], Any]


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
    if field == "name" and not name:
        raise ValueError("name has no visible character")
    # NFC may make a text longer.
    if len(name) > _LONGEST[field]:
        raise ValueError(f"{field} is longer than {_LONGEST[field]} characters")
    if _CREDENTIAL.search(name):
        raise ValueError(f"{field} looks like a credential: are the columns in the order of the header?")
    return name


def _credential(field: str, value: object) -> str:
    text = _text(field, value)
    if not _VISIBLE_ASCII.fullmatch(text):
        raise ValueError(f"{field} has a space or a character outside ASCII")
    return text


def _secret(field: str, value: object) -> Secret:
    return Secret(_credential(field, value))


def _like(pattern: str, example: str) -> Reader:
    compiled = re.compile(pattern)

    def read(field: str, value: object) -> str:
        text = _text(field, value)
        if not compiled.fullmatch(text):
            raise ValueError(f"{field} {_shown(text)} is not like {example}")
        return text

    return read


def _edition(field: str, value: object) -> str:
    """A `paid_type` of Zoho. A misspelled one would silently get the limits of the free edition, so it is an error."""
    text = _name(field, value).lower()
    if is_known_edition(text):
        return text
    close = difflib.get_close_matches(text[:_LONGEST_COMPARED], EDITIONS, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise ValueError(
        f"edition {_shown(text)} is unknown, {meant}known are {', '.join(EDITIONS)} (empty: learned from Zoho)"
    )


def _licences(field: str, value: object) -> int:
    text = _text(field, value)
    if not re.fullmatch(r"[0-9]{1,8}", text) or int(text) > _MOST_LICENCES:
        raise ValueError(f"licences {_shown(text)} is not a number of licences")
    return int(text)


def _by(parse: Callable[[str], Any]) -> Reader:
    def read(field: str, value: object) -> Any:
        # A fraction may be a JSON number; its shortest representation is what the file contains.
        text = _text(field, repr(value) if isinstance(value, float) else value)
        try:
            return parse(text)
        except ValueError as wrong:
            raise ValueError(f"{field} {_shown(text)} {wrong}") from None

    return read


def _interval(field: str, value: object) -> int:
    text = _text(field, value)
    try:
        return parse_interval(text)
    except ValueError as wrong:
        raise ValueError(f"{field} {_shown(text)} is not seconds or 90s, 15m, 1h, from 1s to 1d") from wrong


def _tags(field: str, value: object) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        value = ",".join(value)
    return tuple(dict.fromkeys(tag for part in TAG_SEPARATOR.split(_name(field, value)) if (tag := normal_name(part))))


def known_data_center(text: str, data_centers: Collection[str]) -> str:
    for name in (text, text.lower()):
        if name in data_centers:
            return name
    some = _some_of(tuple(data_centers))
    raise ValueError(f"data centre {_shown(text)} is unknown, known are {some} (POLLER_DATA_CENTERS adds others)")


@functools.lru_cache(maxsize=4)
def _some_of(names: tuple[str, ...]) -> str:
    return ", ".join(sorted(names)[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")


def _shown(text: str) -> str:
    """A value for a reason, unless it is too long: then it may be part of a secret in the wrong column."""
    return repr(text) if len(text) <= LONGEST_QUOTED else f"(of {len(text)} characters)"


READERS: Final[Mapping[str, Reader]] = {
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
    "seats": _by(parse_seats),
    "price": _by(parse_price),
    "currency": _by(parse_currency),
    "renews_on": _by(parse_day),
}
