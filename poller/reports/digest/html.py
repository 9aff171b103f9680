"""Writes a digest as HTML for mail: tables and inline styles, because programs for mail know little else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from poller.templating import templates_of

if TYPE_CHECKING:
    from jinja2 import Template

    from poller.reports.digest.words import DigestPage

_TEMPLATES: Final = Path(__file__).parents[1] / "templates"


def digest_html(page: DigestPage, web_origin: str | None) -> str:
    """The HTML; links begin with `web_origin`, None: there are none."""
    return _template().render(page=page, origin=web_origin)


@cache
def _template() -> Template:
    return templates_of(_TEMPLATES).get_template("digest.html")
