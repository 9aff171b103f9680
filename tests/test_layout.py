"""Tests stand where the code stands: `poller/zoho/limiter.py` is tested by `tests/zoho/test_limiter.py`.

A test file may also be named after what it tests, such as `tests/store/test_restore.py`. But a file that has the name
of a module and imports this module is the test of the module, and stands in the folder of the same name.

No file and no function of the package is longer than a reader can keep in mind.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS: Final = Path(__file__).parent
PACKAGE: Final = TESTS.parent / "poller"
WITHOUT_A_PACKAGE: Final = {"acceptance", "breakage", "browser", "chaos", "deploy", "soak", "tools"}
"""Folders of tests of the whole poller, and of the tools of this repository."""
MOST_LINES_OF_A_FILE: Final = 250
MOST_LINES_OF_A_FUNCTION: Final = 40


def imported_modules(file: Path) -> Iterator[str]:
    """The dotted names that a file imports, and those of what it imports from a package."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def misplaced(tests: Path, package: Path) -> list[str]:
    """The test files with the name of a module that they import, but not beside a module of this name."""
    found = []
    for file in sorted(tests.rglob("test_*.py")):
        place, name = file.parent.relative_to(tests), file.stem.removeprefix("test_")
        if set(place.parts) & WITHOUT_A_PACKAGE:
            continue
        homes = {
            Path(*module.split(".")[1:-1])
            for module in imported_modules(file)
            if module.split(".")[0] == package.name
            and module.split(".")[-1] == name
            and package.parent.joinpath(*module.split(".")).with_suffix(".py").is_file()
        }
        if homes - {place} and not (package / place / f"{name}.py").is_file():
            found.append(f"{place / file.name} belongs into {' or '.join(sorted(map(str, homes)))}")
    return found


def test_a_test_file_of_a_module_stands_in_the_folder_of_the_same_name() -> None:
    assert misplaced(TESTS, PACKAGE) == []


def test_each_folder_of_tests_has_the_name_of_a_package() -> None:
    folders = {file.parent.relative_to(TESTS) for file in TESTS.rglob("test_*.py")}
    assert {folder for folder in folders if not (PACKAGE / folder).is_dir()} == set(map(Path, WITHOUT_A_PACKAGE))


def test_a_misplaced_test_file_is_found(tmp_path: Path) -> None:
    for folder in ("poller/zoho", "poller/store", "tests/store", "tests/zoho"):
        (tmp_path / folder).mkdir(parents=True)
    for module in ("poller/zoho/limiter.py", "poller/store/locks.py"):
        (tmp_path / module).touch()
    (tmp_path / "tests/zoho/test_limiter.py").write_text("from poller.zoho.limiter import Limiter\n")
    (tmp_path / "tests/store/test_locks.py").write_text("from poller.zoho import limiter\n")
    (tmp_path / "tests/zoho/test_locks.py").write_text("from poller.store import locks\n")
    (tmp_path / "tests/test_limiter.py").write_text("import poller.zoho.limiter\n")
    assert misplaced(tmp_path / "tests", tmp_path / "poller") == [
        "test_limiter.py belongs into zoho",
        "zoho/test_locks.py belongs into store",
    ]


def too_long(package: Path) -> list[str]:
    """The files and functions of a package that have more lines than are allowed."""
    found = []
    for file in sorted(package.rglob("*.py")):
        text, name = file.read_text(encoding="utf-8"), file.relative_to(package)
        if (lines := len(text.splitlines())) > MOST_LINES_OF_A_FILE:
            found.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    found.append(f"{name}: {node.name} has {lines} lines")
    return found


def test_no_function_has_more_than_40_lines_and_no_file_more_than_250() -> None:
    assert too_long(PACKAGE) == []


def test_a_long_function_and_a_long_file_are_found(tmp_path: Path) -> None:
    lines = "\n".join(["    pass"] * 40)
    (tmp_path / "one.py").write_text(f"async def longest():\n{lines[9:]}\n\ndef too_long():\n{lines}\n")
    (tmp_path / "two.py").write_text("\n" * 251)
    assert too_long(tmp_path) == ["one.py: too_long has 41 lines", "two.py: 251 lines"]
