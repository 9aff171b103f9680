"""Counts archaic or riddling words per 1,000 words: `python tools/plain_words.py [PATH …] [--most 2.0] [--list]`.

Reads docstrings, comments, messages (string literals that read like prose) and names of tests in Python files, and the
text of Markdown files. Code in Markdown and SQL are left out. Prints one line per path; exits with 1 if any of them
has more than `--most` such words per 1,000. A low count does not prove that a text is clear; a high one proves that it
is not.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
AREAS: Final = ("poller", "migrations", "benchmarks", "tests", "docs", "README.md", "CONTRIBUTING.md", "deploy")

PATTERNS: Final = re.compile(
    r"\b(?:so (?:many|long|often|much|far)|who(?:so)?ever|whatever|whichever|anew|mend(?:s|ed|ing)?|at hand|seldom"
    r"|meanwhile|(?:no|some|any)body|all the same|of (?:it|them)|told|tell(?:s|ing)?|(?:by|for|of) (?:it|them)self"
    r"|begun|broken off|gone on|let go|let in|taken for|made up for|gone by|trouble[sd]?"
    r"|(?:is|are|was|were) to (?:be|go|have))\b",
    re.IGNORECASE,
)
_SQL: Final = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|WHERE|JOIN|GRANT|COMMENT ON)\b")
_FENCE: Final = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
_LEAST_WORDS: Final = 4
"""A string of fewer words that is not a docstring is a key or a format, not a message."""


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """The prose of one file, each piece with the number of its first line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _python_texts(text)
    else:
        blanked = _FENCE.sub(lambda match: "\n" * match.group(0).count("\n"), text)
        for number, line in enumerate(blanked.splitlines(), start=1):
            if not line.startswith("    "):
                yield number, re.sub(r"`[^`]*`", "", line)


def _python_texts(text: str) -> Iterator[tuple[int, str]]:
    nodes = list(ast.walk(ast.parse(text)))
    alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}  # docstrings
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            long = len(node.value.split()) >= _LEAST_WORDS and not _SQL.search(node.value)
            if long or id(node) in alone:
                yield node.lineno, node.value
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.replace("_", " ")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(("# noqa", "# type", "# ruff")):
            yield token.start[0], token.string


def files_of(area: Path) -> list[Path]:
    """The Python and Markdown files of a folder, or the file itself; what a tool made is left out."""
    if area.is_file():
        return [area]
    found = sorted(path for suffix in ("*.py", "*.md") for path in area.rglob(suffix))
    return [
        path for path in found if not any(part.startswith((".", "__")) for part in path.relative_to(area).parent.parts)
    ]


def count(area: Path) -> tuple[int, list[tuple[Path, int, str]]]:
    """The number of words in an area, and every hit with its file and line."""
    words, hits = 0, []
    for path in files_of(area):
        for line, text in texts_of(path):
            words += len(re.findall(r"\w+", text))
            hits += [(path, line + text[: one.start()].count("\n"), one.group(0)) for one in PATTERNS.finditer(text)]
    return words, hits


def main() -> int:
    """Prints the rates; 1 if any is above the bound."""
    parser = argparse.ArgumentParser(description="Count riddling words per 1,000.")
    parser.add_argument(
        "paths", nargs="*", type=Path, default=[ROOT / name for name in AREAS if (ROOT / name).exists()]
    )
    parser.add_argument("--most", type=float, default=2.0, help="words per 1,000")
    parser.add_argument("--list", action="store_true", help="print every hit")
    arguments = parser.parse_args()
    failed = False
    for area in arguments.paths:
        words, hits = count(area)
        rate = 1_000 * len(hits) / max(words, 1)
        failed = failed or rate > arguments.most
        if arguments.list or rate > arguments.most:
            for path, line, word in hits:
                print(f"{path}:{line}: {word}")
        print(f"{area.name}: {rate:.1f} per 1,000 words ({len(hits)} of {words}), at most {arguments.most}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
