"""The one spelling of a name: of an org, a tag, or whatever else people type and compare.

`normal_name` gives every spelling that looks the same one form, so that names can be compared as strings.
`refused_character` finds what no name may hold. Neither raises.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BLANKS: Final = re.compile(r"[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
"""Every space of Unicode (category Zs): a no-break space looks like any other. Tabs and line breaks are controls."""
_IDLE_JOINERS: Final = re.compile(r"(?:(?<=[\x00-\x7f])|^)[\u200c\u200d]+|(?<=[\u200c\u200d])[\u200c\u200d]+")
"""Joiners without effect: only letters outside ASCII and emoji join. They are needed in Persian, Malayalam, 👩‍🚀."""
_FLAG: Final = re.compile(r"\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
"""A flag of a region, such as Scotland's, is spelled in letters that are invisible anywhere else."""
_INVISIBLE_BUT_MEANT: Final = "\u200c\u200d"


def normal_name(text: str) -> str:
    """`text` composed (NFC), without blanks around it, each run of blanks one space, and no joiner without effect."""
    if text.isascii():
        return re.sub(" {2,}", " ", text.strip())
    joined = _IDLE_JOINERS.sub("", _BLANKS.sub(" ", unicodedata.normalize("NFC", text.strip())))
    # Once more: a letter and its accent may have met.
    return re.sub(" {2,}", " ", unicodedata.normalize("NFC", joined)).strip()


def refused_character(text: str) -> str | None:
    """The first character that is invisible or obeyed by a terminal, with its code point and place; None if all pass.

    Joiners and the parts of emoji pass: they are seen in the letters beside them.
    """
    if text.isprintable():
        return None
    # Of the same length, so that places stay right.
    for place, character in enumerate(_FLAG.sub(lambda flag: "x" * len(flag[0]), text), start=1):
        if not is_shown(character):
            name = unicodedata.name(character, "").lower()
            return f"U+{ord(character):04X}{f' ({name})' if name else ''} at character {place}"
    return None


def is_shown(character: str) -> bool:
    """Whether a person sees this character or its effect, and no terminal obeys it."""
    if character.isprintable() or character in _INVISIBLE_BUT_MEANT or _BLANKS.fullmatch(character):
        return True
    # An emoji newer than Python's tables.
    return "\U0001f000" <= character <= "\U0001faff" and unicodedata.category(character) == "Cn"
