"""The glossary names every public class of the core, polling and worker packages beside its term."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("core", "polling", "worker")
GLOSSARY: Final = ROOT / "docs" / "glossary.md"


def public_classes(package: Path) -> set[str]:
    """The names of the classes at the top level of a package's modules, except those that begin with `_`."""
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")]
    nodes = [node for module in modules for node in module.body if isinstance(node, ast.ClassDef)]
    return {node.name for node in nodes if not node.name.startswith("_")}


def listed_classes(glossary: str) -> set[str]:
    """The names in backticks in the third column of the glossary's tables, in rows that have a term and a meaning."""
    rows = re.findall(r"^\| \*\*[^|]+\| [^|]+\|([^|]*)\|$", glossary, re.MULTILINE)
    return {name for classes in rows for name in re.findall(r"`(\w+)`", classes)}


def in_code() -> set[str]:
    return {name for package in PACKAGES for name in public_classes(ROOT / "poller" / package)}


def test_every_public_class_has_a_term_in_the_glossary() -> None:
    missing = in_code() - listed_classes(GLOSSARY.read_text(encoding="utf-8"))
    assert missing == set(), "add each class in backticks beside its term, in the third column of docs/glossary.md"


def test_every_class_in_the_glossary_exists() -> None:
    gone = listed_classes(GLOSSARY.read_text(encoding="utf-8")) - in_code()
    assert gone == set(), "renamed or deleted: correct the third column of docs/glossary.md"


def test_a_new_class_without_a_term_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "module.py").write_text("class TurboWidget:\n    pass\n\n\nclass _Hidden:\n    pass\n")
    assert public_classes(tmp_path) == {"TurboWidget"}
    assert "TurboWidget" not in listed_classes(GLOSSARY.read_text(encoding="utf-8"))


def test_only_the_third_column_beside_a_term_counts() -> None:
    assert listed_classes("| **widget** | it turns | `TurboWidget`, `Other` |") == {"TurboWidget", "Other"}
    assert listed_classes("| **widget** | see `TurboWidget` | |") == set()
    assert listed_classes("| | | `TurboWidget` |") == set()
    assert listed_classes("`TurboWidget` in a sentence") == set()
