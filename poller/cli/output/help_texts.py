"""The text of every `--help`, wrapped to the terminal.

It replaces the tables of Typer, which cut names in a narrow terminal and show types as `<bool>`.
"""

from __future__ import annotations

import re
import shutil
import textwrap
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MARKUP: Final = re.compile(r"\[/?(?:bold|dim|italic)\]")
_TYPES: Final = {"int": "N", "float": "X", "Path": "PATH"}
_WIDEST_NAME: Final = 28
"""The widest column of names, in cells; a longer name gets its own line."""
_LEAST_TEXT: Final = 20


def install(command: Any) -> None:
    """Makes `command` and its subcommands use `help_text` for `--help`."""
    command.get_help = partial(help_text, command)
    for inner in getattr(command, "commands", {}).values():
        install(inner)


def help_text(command: Any, context: Any) -> str:
    """The help of a command, as wide as the terminal."""
    cells = shutil.get_terminal_size().columns
    parameters = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    arguments = [one for one in parameters if one.param_type_name == "argument"]
    options = [one for one in parameters if one.param_type_name == "option"]
    blocks = [
        _usage(command, context, arguments, cells),
        *(_flowing(paragraph, cells) for paragraph in _paragraphs(command.help)),
        _section("Arguments:", ((_shown(one), _about(one, context)) for one in arguments), cells),
        _section("Options:", ((_names(one), _about(one, context)) for one in options), cells),
        _section("Commands:", _commands(command), cells),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _usage(command: Any, context: Any, arguments: Iterable[Any], cells: int) -> list[str]:
    words = [context.command_path, "[OPTIONS]", *map(_shown, arguments)]
    if getattr(command, "commands", None):
        words.append("COMMAND")
    return textwrap.wrap(
        f"Usage: {' '.join(words)}", cells, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in (text or "").split("\n\n"):
        if plain := " ".join(_MARKUP.sub("", paragraph).split()):
            yield plain


def _flowing(paragraph: str, cells: int) -> list[str]:
    return textwrap.wrap(paragraph, cells, break_long_words=False, break_on_hyphens=False)


def _section(heading: str, rows: Iterable[tuple[str, str]], cells: int) -> list[str]:
    """Names on the left and descriptions on the right, or below the name in a narrow terminal."""
    listed = list(rows)
    if not listed:
        return []
    widest = min(max(len(name) for name, _ in listed), _WIDEST_NAME)
    hang = 2 + widest + 2
    if cells - hang < _LEAST_TEXT:
        widest, hang = 0, 6
    lines = [heading]
    for name, text in listed:
        about = textwrap.wrap(text, max(cells - hang, _LEAST_TEXT), break_long_words=False, break_on_hyphens=False)
        if len(name) <= widest and about:
            lines.append(f"  {name:<{widest}}  {about.pop(0)}")
        else:
            lines.extend(textwrap.wrap(name, cells - 2, initial_indent="  ", subsequent_indent="    "))
        lines.extend(" " * hang + line for line in about)
    return lines


def _shown(argument: Any) -> str:
    """An argument as a person types it: `ORG`, `[ORG]`, `ORG...` or `[ORG]...`."""
    name = (argument.metavar or argument.name.upper()).removesuffix("...").strip("[]").removesuffix("...")
    name = name if argument.required else f"[{name}]"
    return f"{name}..." if argument.nargs == -1 else name


def _names(option: Any) -> str:
    names = ", ".join(sorted([*option.opts, *option.secondary_opts], key=lambda name: name.startswith("--")))
    if option.is_flag or option.count:
        return names
    return f"{names} {option.metavar or _values_of(option)}"


def _values_of(option: Any) -> str:
    """The choices of an option, or a word for the type of its value."""
    wanted = _type_of(option)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return "|".join(str(one.value) for one in wanted)
    return _TYPES.get(getattr(wanted, "__name__", ""), "TEXT")


def _type_of(parameter: Any) -> Any:
    """The annotated type, where this version of Typer has it."""
    return getattr(getattr(parameter, "type_descriptor", None), "annotation", None)


def _about(parameter: Any, context: Any) -> str:
    """The description of a parameter, with bounds and default."""
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    notes = []
    if least is not None and most is not None:
        notes.append(f"{least:,} to {most:,}")
    if parameter.param_type_name == "option":
        default = parameter.get_default(context, call=False)
        default = default.value if isinstance(default, Enum) else default
        if isinstance(default, (str, int, float)) and not isinstance(default, bool) and default != "":
            notes.append(f"default: {default}")
        if parameter.required:
            notes.append("required")
    text = _MARKUP.sub("", getattr(parameter, "help", None) or "")
    return " ".join([*text.split(), *(f"[{note}]" for note in notes)])


def _commands(command: Any) -> Iterator[tuple[str, str]]:
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            first = next(_paragraphs(inner.help), "")
            yield name, re.split(r"(?<=\.)\s", first, maxsplit=1)[0]
