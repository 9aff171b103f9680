"""Parameters as parts of an address. Pages have a hundred links, so each part is made once."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus


def parameter(name: str, values: Any) -> str:
    """`name=value`, once for each value of a list; empty where there is no value."""
    if values is None or values == "":
        return ""
    listed = values if isinstance(values, list | tuple) else (values,)
    return "&".join([f"{name}={quote_plus(str(one))}" for one in listed])
