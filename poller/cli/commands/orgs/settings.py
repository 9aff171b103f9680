"""Reads the options of `poller orgs set` into a change of org profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.core.errors import UsageError
from poller.core.org_entry import value_from
from poller.core.profile import ProfileChange

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNSET: Final = {
    "poll_interval": "default",
    "api_version": "default",
    "edition": "learn",
    "licences": "learn",
    "zgid": "learn",
}
"""The word that unsets each option."""


def profile_change(
    tag: Sequence[str] | None,
    untag: Sequence[str] | None,
    **given: str | None,
) -> ProfileChange:
    """The change in these options; a `UsageError` for a wrong value, and where no option is given."""
    values: dict[str, Any] = {"tag": _tags("tag", tag), "untag": _tags("untag", untag)}
    clear: set[str] = set()
    for field, text in given.items():
        column = "poll_interval_seconds" if field == "poll_interval" else field
        if text is None:
            continue
        if text.strip().lower() == _UNSET[field]:
            clear.add(column)
        else:
            values[column] = _value(field, text)
    if not clear and not any(values.values()):
        raise UsageError("nothing to change: no option is given", "see `poller orgs set --help`")
    if both := set(values["tag"]) & set(values["untag"]):
        raise UsageError(f"--tag and --untag name {min(both)!r}", "give only one")
    return ProfileChange(**values, clear=frozenset(clear))


def _tags(option: str, given: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag for one in given or () for tag in _value("tags", one, option)))


def _value(field: str, text: str, option: str | None = None) -> Any:
    name = f"--{(option or field).replace('_', '-')}"
    try:
        return value_from(field, text)
    except ValueError as wrong:
        word = _UNSET.get(field)
        remedy = f"write such a value, or `{name} {word}`" if word else "write another value"
        raise UsageError(f"{name}: {wrong}", remedy) from wrong
