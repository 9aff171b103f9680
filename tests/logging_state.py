"""Restores the logging of the process after a test."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def logging_restored() -> Iterator[None]:
    """Restores the root logger and structlog after the block, so that a test may configure both."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], logging.raiseExceptions = handlers, raises
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
