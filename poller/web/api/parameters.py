"""Parameters of a request, checked before anything else sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiMapping

LONGEST_VALUE: Final = 500


def parameters(query: MultiMapping[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Each parameter's value, or its default where it is absent.

    A `UsageError` for an unknown or repeated one, and for text that PostgreSQL cannot hold.
    """
    if unknown := sorted(set(query) - set(defaults)):
        raise UsageError(f"there is no parameter {unknown[0][:50]!a}", f"ask with {', '.join(defaults)}")
    if repeated := sorted(name for name in defaults if len(query.getall(name, [])) > 1):
        raise UsageError(f"{repeated[0]} is given twice", "give it once")
    for name, value in query.items():
        if len(value) > LONGEST_VALUE:
            raise UsageError(f"{name} is longer than {LONGEST_VALUE} characters", "shorten it")
        if any(not character.isprintable() and _is_no_text(character) for character in value):
            raise UsageError(f"{name} has a character that is not text", "send UTF-8 without control characters")
    return {**defaults, **query}


def _is_no_text(character: str) -> bool:
    """Controls, and the halves of surrogate pairs, which UTF-8 has no form for."""
    return character < " " or "\x7f" <= character < "\xa0" or "\ud800" <= character <= "\udfff"
