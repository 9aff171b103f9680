"""Rows of replies as rows of CSV: nested fields become columns of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, get_args

from pydantic import BaseModel


def columns(reply: Any, field: str) -> list[str]:
    """The columns of the rows in this field of a reply, in the order of their model."""
    (model,) = _models(reply.model_fields[field].annotation)
    return list(_names(model, ""))


def flat_row(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The columns of one row: fields of nested objects as `outer_inner`, counts as the user type."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and name not in names:
            found |= {f"{_prefix(name)}{inner}": _text(one) for inner, one in value.items()}
        else:
            found[name] = _text(value)
    return {name: found.get(name) for name in names}


def _names(model: type[BaseModel], prefix: str) -> list[str]:
    found: list[str] = []
    for name, field in model.model_fields.items():
        nested = _models(field.annotation)
        found += _names(nested[0], _prefix(name)) if nested else [f"{prefix}{name}"]
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _prefix(name: str) -> str:
    return "" if name == "counts" else f"{name}_"


def _text(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return value.isoformat() if isinstance(value, date) else value
