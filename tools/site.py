"""A hook of MkDocs: what a document links to outside `docs/` is named instead, since the site does not contain it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
_LINK: Final = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)#:\s]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The text of a page as MkDocs reads it."""
    folder = (ROOT / "docs" / page.file.src_path).parent
    return _LINK.sub(lambda link: _shown(link, folder), markdown)


def _shown(link: re.Match[str], folder: Path) -> str:
    target = (folder / link["target"]).resolve()
    if target.is_relative_to(ROOT / "docs") and target.is_file():
        return link[0]
    name = str(target.relative_to(ROOT)) if target.is_relative_to(ROOT) else link["target"]
    return link["text"] if name in link["text"] else f"{link['text']} (`{name}`)"
