"""Which orgs a list of a page or of the API is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class OrgFilter:
    """Orgs that are not removed and match every field; an empty field matches every org.

    `visible_tags`: the caller sees only orgs with one of these tags; None: every org. An org matches `tags` if it has
    all of these tags, and `data_centers` and `names` if it has one of them.
    """

    visible_tags: Sequence[str] | None = None
    tags: Sequence[str] = ()
    data_centers: Sequence[str] = ()
    names: Sequence[str] = ()
