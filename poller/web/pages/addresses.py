"""Addresses of pages: an address holds the whole state of its page, and links differ from it in some parameters.

Pages have a hundred links, so each parameter is made a part of an address once.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote_plus

from poller.web.api.models.base import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLACE: Final = frozenset({"after", "before", "start", "done", "format"})
"""Parameters that no link keeps: where the page begins, the notice it shows once, and the format."""


def parameter(name: str, values: Any) -> str:
    """`name=value`, once for each value of a list; empty where there is no value."""
    if values is None or values == "":
        return ""
    listed = values if isinstance(values, list | tuple) else (values,)
    return "&".join([f"{name}={quote_plus(str(one))}" for one in listed])


def joined(path: str, parts: Iterable[str]) -> str:
    """The address of a page with these parameters; those that are empty are left out."""
    text = "&".join(filter(None, parts))
    return f"{path}?{text}" if text else path


class PageAddress(Model):
    """The parameters of a page at `path`; one that has its default is not in an address."""

    path: ClassVar[str]
    defaults: ClassVar[Mapping[str, Any]]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Keeps the defaults of a page, because to look at a field of a model takes long."""
        super().__pydantic_init_subclass__(**kwargs)
        cls.defaults = {name: field.default for name, field in cls.model_fields.items()}

    def address(self, **changes: Any) -> str:
        """The address with these parameters changed; the first page, unless `after` or `before` is given."""
        changed = {name: self._part(name, value) for name, value in changes.items()}
        return joined(self.path, {**self._kept, **changed}.values())

    def toggled(self, name: str, value: str) -> str:
        """The address with this value added to a repeatable parameter, or taken away."""
        chosen: tuple[str, ...] = getattr(self, name)
        others = tuple(one for one in chosen if one != value)
        return self.address(**{name: others if value in chosen else (*chosen, value)})

    @cached_property
    def _kept(self) -> dict[str, str]:
        return {name: self._part(name, getattr(self, name)) for name in self.defaults if name not in PLACE}

    def _part(self, name: str, value: Any) -> str:
        return "" if value == self.defaults[name] else parameter(name, value)
