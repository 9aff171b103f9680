"""The word check finds riddling words in all prose, and none in code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "plain_words.py"


def check(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, path, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ('"""Asks whoever listens."""\n', 1, "whoever"),
        ("x = 1\n# read anew\n", 2, "anew"),
        ('def f():\n    """Reads.\n\n    Twice, all the same.\n    """\n', 4, "all the same"),
        ('print("the file is to be read twice")\n', 1, "is to be"),
        ('print(f"{1} of them cannot be read now")\n', 1, "of them"),
        ("def test_nobody_is_told():\n    pass\n", 1, "nobody"),
    ],
)
def test_a_riddling_word_in_python_fails_the_check_with_its_file_and_line(
    tmp_path: Path, text: str, line: int, word: str
) -> None:
    (tmp_path / "module.py").write_text(text)
    done = check(tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path / 'module.py'}:{line}: {word}" in done.stdout


def test_a_riddling_word_in_markdown_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# Page\n\nIt is told at once.\n")
    done = check(tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path / 'page.md'}:3: told" in done.stdout


def test_code_identifiers_and_sql_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text('told = "whoever"\nQUERY = "SELECT of it FROM told WHERE anew = 1"\n')
    (tmp_path / "page.md").write_text("Run `poller told`:\n\n```\ntold anew\n```\n\n    told\n")
    done = check(tmp_path)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stdout


def test_a_rate_at_the_bound_passes_and_one_above_it_fails(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("told " + "word " * 499)
    assert check(tmp_path).returncode == 0
    assert check(tmp_path, "--most", "1.9").returncode == 1
