"""The columns of an org that are not secret, and how an import or `poller orgs set` changes them.

Edition and licences have three sources: the operator's file, `poller orgs set`, and Zoho's reply. Zoho's reply replaces
the value of the file. The value of the file is also kept (`stated_…`), so that importing the same file again changes
nothing. A value of `poller orgs set` stays until it is unset.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from poller.core.org_entry import OrgEntry

IMPORT: Final = "import"
SET: Final = "set"
ZOHO: Final = "zoho"
_LIMITS: Final = ("edition", "licences")


@dataclass(frozen=True, slots=True)
class Profile:
    """The columns of one org that are not secret, with the names of the table `orgs`."""

    data_center: str
    zgid: str | None = None
    edition: str | None = None
    licences: int | None = None
    poll_interval_seconds: int | None = None
    api_version: str | None = None
    tags: tuple[str, ...] = ()
    stated_edition: str | None = None
    stated_licences: int | None = None
    edition_source: str | None = None
    licences_source: str | None = None


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """The options of `poller orgs set`. `clear` names columns; edition and licences are then read from Zoho again."""

    tag: tuple[str, ...] = ()
    untag: tuple[str, ...] = ()
    edition: str | None = None
    licences: int | None = None
    poll_interval_seconds: int | None = None
    api_version: str | None = None
    zgid: str | None = None
    clear: frozenset[str] = frozenset()


def imported(profile: Profile, entry: OrgEntry) -> Profile:
    """The profile after an import: a value replaces the old one, an empty value clears it, no column keeps it."""
    new: dict[str, Any] = {"data_center": entry.data_center}
    for column in ("zgid", "poll_interval_seconds", "api_version"):
        if getattr(entry, column) is not None or column in entry.cleared:
            new[column] = getattr(entry, column)
    if entry.tags or "tags" in entry.cleared:
        new["tags"] = entry.tags
    for limit in _LIMITS:
        said, stated = getattr(entry, limit), getattr(profile, f"stated_{limit}")
        if said is not None and said != stated:
            new |= _limit(limit, said, said, IMPORT)
        elif limit in entry.cleared and stated is not None:
            new[f"stated_{limit}"] = None
            new |= _unset(profile, limit)
    return replace(profile, **new)


def changed(profile: Profile, change: ProfileChange) -> Profile:
    """The profile after `poller orgs set`."""
    untagged = [tag for tag in profile.tags if tag not in change.untag]
    new: dict[str, Any] = {"tags": tuple(dict.fromkeys([*untagged, *change.tag]))}
    for column in ("zgid", "poll_interval_seconds", "api_version"):
        if getattr(change, column) is not None or column in change.clear:
            new[column] = getattr(change, column)
    for limit in _LIMITS:
        if (value := getattr(change, limit)) is not None:
            new |= _limit(limit, value, getattr(profile, f"stated_{limit}"), SET)
        elif limit in change.clear:
            new |= _unset(profile, limit)
    return replace(profile, **new)


def differences(before: Profile, after: Profile) -> tuple[str, ...]:
    """The operator's fields that differ, with the names that import files use, in their order."""
    different = (name for name in _SHOWN if getattr(before, name) != getattr(after, name))
    return tuple("poll_interval" if name == "poll_interval_seconds" else name for name in different)


def limits_differ(before: Profile, after: Profile) -> bool:
    """True if edition and licences must be read from Zoho again."""
    columns: Collection[str] = (*_LIMITS, *(f"{limit}_source" for limit in _LIMITS))
    return any(getattr(before, name) != getattr(after, name) for name in columns)


def _limit(limit: str, value: object, stated: object, source: str) -> dict[str, Any]:
    return {limit: value, f"stated_{limit}": stated, f"{limit}_source": source}


def _unset(profile: Profile, limit: str) -> dict[str, Any]:
    """Clears a value of the operator; a value from Zoho stays."""
    return {} if getattr(profile, f"{limit}_source") == ZOHO else {limit: None, f"{limit}_source": None}


_SHOWN: Final = tuple(
    field.name
    for field in fields(Profile)
    if not field.name.startswith("stated_") and not field.name.endswith("_source")
)
