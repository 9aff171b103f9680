"""Jinja as pages and reports use it: everything is escaped, and a name that is missing is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import BytecodeCache


def templates_of(folder: Path, compiled: BytecodeCache | None = None) -> Environment:
    """The templates of a folder, each compiled when it is first used; `compiled` keeps what was compiled."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=compiled,
    )
