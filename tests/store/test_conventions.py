"""Every SQL statement of the store has a name, and every connection has a type.

A comment directly above a statement names it: `# module.statement`, or `# module.statement: what a reader should know`.
The name is unique, so that a search for it finds one place.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import poller.store

if TYPE_CHECKING:
    from collections.abc import Iterator

STORE: Final = Path(poller.store.__file__).parent
STATEMENT: Final = re.compile(r"\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|LOCK TABLE)\s")
NAME: Final = re.compile(r"# ([a-z0-9_]+\.[a-z0-9_]+)(?::|,|$)")
CALLS: Final = {"fetch", "fetchrow", "fetchval", "execute", "cursor"}


def _text(node: ast.expr) -> str:
    """The beginning of a string or of an f-string."""
    if isinstance(node, ast.JoinedStr):
        node = node.values[0]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        node = node.func.value
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _statements(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """The first line of each statement, and the first line of the Python statement that contains it."""
    for top in ast.walk(tree):
        if not isinstance(top, ast.stmt):
            continue
        for node in ast.walk(top):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
                values = node.args[:1]
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and node in tree.body:
                of = node.value
                values = [*of.elts] if isinstance(of, ast.Tuple) else [*of.values] if isinstance(of, ast.Dict) else [of]
            for value in values:
                if STATEMENT.match(_text(value)):
                    yield value.lineno, top.lineno


def _comment_above(lines: list[str], line: int) -> list[str]:
    above = line - 1
    while above > 0 and lines[above - 1].strip().startswith("#"):
        above -= 1
    return [text.strip() for text in lines[above : line - 1]]


def _names(path: Path) -> Iterator[tuple[int, str | None]]:
    """The statements of a module: line and name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    tree = ast.parse("\n".join(lines))
    above: dict[int, set[int]] = {}
    for line, top in _statements(tree):
        above.setdefault(line, {line}).add(top)
    for line, places in above.items():
        comments = [text for place in places for text in _comment_above(lines, place)]
        yield line, next((found[1] for text in comments if (found := NAME.match(text))), None)


def test_every_sql_statement_of_the_store_has_a_name_above_it() -> None:
    unnamed = [
        f"{path.relative_to(STORE)}:{line}"
        for path in sorted(STORE.rglob("*.py"))
        for line, name in _names(path)
        if name is None
    ]
    assert unnamed == []


def test_no_two_modules_of_the_store_give_their_statements_the_same_name() -> None:
    names = Counter(name for path in STORE.rglob("*.py") for name in {name for _, name in _names(path)} if name)
    assert [name for name, times in names.items() if times > 1] == []


def test_every_connection_of_the_store_has_a_type() -> None:
    untyped = [
        f"{path.relative_to(STORE)}:{node.lineno}"
        for path in sorted(STORE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.arg)
        and "connection" in node.arg
        and (node.annotation is None or ast.unparse(node.annotation) == "Any")
    ]
    assert untyped == []
