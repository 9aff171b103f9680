from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, strategies as st

from poller.core.names import normal_name, refused_character


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("Acme Ltd", "Acme Ltd"),
        ("  Acme   Ltd ", "Acme Ltd"),
        ("Acme\u00a0Ltd", "Acme Ltd"),
        ("Acme\u202f\u00a0 Ltd\u3000", "Acme Ltd"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("Ac\u200dme", "Acme"),
        ("\u200cAcme\u200c \u200d", "Acme"),
        # Persian "I go" and Malayalam "he" (old spelling): the joiner changes how the letters look.
        ("می\u200cروم", "می\u200cروم"),
        ("അവന്\u200d", "അവന്\u200d"),
        ("👩\u200d🚀 Space", "👩\u200d🚀 Space"),
        ("👩\u200d\u200d🚀", "👩\u200d🚀"),
        ("🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f Ltd",) * 2,
    ],
)
def test_different_spellings_of_the_same_name_are_normalised_to_one(typed: str, normal: str) -> None:
    assert normal_name(typed) == normal
    assert refused_character(typed) is None


@pytest.mark.parametrize(
    ("typed", "refused"),
    [
        ("Ac\x00me", "U+0000 at character 3"),
        ("Acme\u200b Ltd", "U+200B (zero width space) at character 5"),
        ("Acme\tLtd", "U+0009 at character 5"),
        ("Acme\nLtd", "U+000A at character 5"),
        ("\u202eemca", "U+202E (right-to-left override) at character 1"),
        ("So\u00adft", "U+00AD (soft hyphen) at character 3"),
        ("Acme\U000e0067", "U+E0067 (tag latin small letter g) at character 5"),
        ("👩\u200d🚀\u2028x", "U+2028 (line separator) at character 4"),
        ("\x1b[31mAcme", "U+001B at character 1"),
    ],
)
def test_an_invisible_character_is_named_with_its_position(typed: str, refused: str) -> None:
    assert refused_character(typed) == refused


def test_an_emoji_unknown_to_python_is_accepted() -> None:
    assert refused_character("\U0001faff Ltd") is None


texts = st.text(st.sampled_from("aé e\u0301\u00a0\u200c\u200d\u3000😀കن \t"), max_size=12) | st.text(max_size=12)


@given(text=texts)
def test_normalising_a_name_twice_changes_nothing_more(text: str) -> None:
    normal = normal_name(text)
    assert normal_name(normal) == normal
    assert normal_name(unicodedata.normalize("NFD", text)) == normal
    assert "  " not in normal
    assert normal == normal.strip()
