"""Normalises names that people type and compare, such as those of orgs and tags.

`normal_name` turns all spellings that look the same into one, so that names can be compared as strings.
`refused_character` finds characters that no name may contain. Neither raises.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BLANKS: Final = re.compile(r"[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
"""Every space of Unicode (category Zs), because they all look alike. Tabs and line breaks are control characters."""
_IDLE_JOINERS: Final = re.compile(r"(?:(?<=[\x00-\x7f])|^)[\u200c\u200d]+|(?<=[\u200c\u200d])[\u200c\u200d]+")
"""Joiners without effect: they only join emoji and letters outside ASCII, as in Persian, Malayalam and 👩‍🚀."""
_FLAG: Final = re.compile(r"\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
"""The flag of a region, such as Scotland's, which is written with otherwise invisible letters."""
_INVISIBLE_BUT_MEANT: Final = "\u200c\u200d"


def normal_name(text: str) -> str:
    """`text` in NFC, without blanks at its ends, with one space for each run of blanks, and without idle joiners."""
    if text.isascii():
        return re.sub(" {2,}", " ", text.strip())
    joined = _IDLE_JOINERS.sub("", _BLANKS.sub(" ", unicodedata.normalize("NFC", text.strip())))
    # NFC again: a letter and its accent may be adjacent now.
    return re.sub(" {2,}", " ", unicodedata.normalize("NFC", joined)).strip()


def refused_character(text: str) -> str | None:
    """The first character that is invisible or controls a terminal, with code point and place; None if there is none.

    Joiners and the parts of emoji are allowed, because they change how the characters beside them look.
    """
    if text.isprintable():
        return None
    # The replacement has the same length, so that places stay right.
    for place, character in enumerate(_FLAG.sub(lambda flag: "x" * len(flag[0]), text), start=1):
        if not is_shown(character):
            name = unicodedata.name(character, "").lower()
            return f"U+{ord(character):04X}{f' ({name})' if name else ''} at character {place}"
    return None


def is_shown(character: str) -> bool:
    """True if a person sees this character or its effect, and it does not control a terminal."""
    if character.isprintable() or character in _INVISIBLE_BUT_MEANT or _BLANKS.fullmatch(character):
        return True
    # An emoji that is newer than Python's tables.
    return "\U0001f000" <= character <= "\U0001faff" and unicodedata.category(character) == "Cn"
