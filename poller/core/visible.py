"""Makes control characters visible, so that a terminal prints a text instead of executing its escape sequences."""

from __future__ import annotations

from typing import Final

CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
"""Every control character, and the text that replaces it."""
_CONTROLS_BUT_LAYOUT: Final = {code: text for code, text in CONTROLS.items() if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    """`text` with each control character written as its hexadecimal code; line ends and tabs stay."""
    return text if text.isprintable() else text.translate(_CONTROLS_BUT_LAYOUT)
