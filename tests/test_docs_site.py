"""The documents as a site: it builds without a warning, and its pages load nothing from another host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from poller.core.remedies import REMEDIES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
MKDOCS = shutil.which("mkdocs", path=str(ROOT / ".venv" / "docs-tools" / "bin"))
needs_mkdocs = pytest.mark.skipif(MKDOCS is None, reason="mkdocs is not installed: make docs-tools")


def built(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert MKDOCS is not None
    command = [MKDOCS, "build", "--site-dir", str(site), *options]
    environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def loaded(page: str) -> Iterator[str]:
    """What a browser loads for a page: scripts, style sheets, images and frames."""
    yield from re.findall(r'<(?:script|img|iframe)[^>]+src="([^"]+)"', page)
    for link in re.findall(r"<link[^>]+>", page):
        if not re.search(r'rel="(?:canonical|prev|next)"', link):
            yield from re.findall(r'href="([^"]+)"', link)


@needs_mkdocs
def test_the_site_builds_without_a_warning_and_loads_nothing_from_another_host(tmp_path: Path) -> None:
    done = built(tmp_path / "site")
    assert done.returncode == 0, done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        addresses = list(loaded(page.read_text(encoding="utf-8")))
        assert addresses
        assert [one for one in addresses if "//" in one] == [], page.name


@needs_mkdocs
def test_a_link_without_a_target_would_fail_the_build(tmp_path: Path) -> None:
    documents = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", documents, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (documents / "index.md").write_text("[away](sql.md#there-is-no-such-heading)\n", encoding="utf-8")
    settings = tmp_path / "mkdocs.yml"
    text = (
        (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("[tools/site.py]", f"[{ROOT / 'tools' / 'site.py'}]")
    )
    settings.write_text(text, encoding="utf-8")
    assert built(tmp_path / "site", "--config-file", str(settings)).returncode != 0


def test_every_error_code_with_a_remedy_is_explained_in_troubleshooting_with_this_remedy() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", page, re.MULTILINE))
    assert {code: shown.get(code) for code in REMEDIES} == {
        code: text.replace("|", "/") for code, text in REMEDIES.items()
    }
