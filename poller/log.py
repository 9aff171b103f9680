"""The log on standard error: events with dotted names (`poll.finished`), with the org and slot they belong to.

Events of structlog and of the standard library's loggers (aiohttp, asyncpg, alembic) are redacted in the same way.
There is no list of known secrets: a secret is recognised by its key and by its format. Writing an event never raises:
an event that cannot be written is lost.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence, Set as AbstractSet
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog

from poller.core.visible import CONTROLS, visible

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN: Final = "[hidden]"
_LONGEST_TEXT: Final = 16_000
_SHORTEST_CUT: Final = 14_000
_DEEPEST: Final = 6
_LARGEST_NUMBER: Final = 2**63

bound = structlog.contextvars.bound_contextvars
"""`with bound(org=…, slot=…):` binds facts to every event inside, across awaits."""


def configure(*, log_format: str | None, level: str, stream: TextIO | None = None) -> None:
    """Write events at or above `level` to `stream` (standard error), as `console` or `json`; None: by the terminal."""
    console = (stream or sys.stderr).isatty() if log_format is None else log_format == "console"
    lines = _LineWriter(stream)
    facts: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    ends: list[Processor] = [redact_event, _console() if console else _json_line]
    structlog.configure(
        processors=[*facts, *ends],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *facts],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ends],
    )
    handler = _LineHandler(lines)
    handler.setFormatter(formatter)
    number = logging.getLevelNamesMapping()[level.upper()]
    # Events of libraries at `info` are not about the poller; with `debug`, they are wanted too.
    logging.basicConfig(
        handlers=[handler], level=number if number == logging.DEBUG else max(number, logging.WARNING), force=True
    )
    # Otherwise logging prints a badly formatted event of a library with its arguments, without redaction.
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: hides every secret, turns every value into plain JSON, and puts the usual keys first."""
    try:
        plain = {
            str(key): _redact_trace(value) if key in _TRACES else _redact_under(str(key), value, _DEEPEST)
            for key, value in event.items()
        }
    except Exception as broken:  # noqa: BLE001  # a value's own methods may raise anything
        plain = {"event": "log.unwritable", "level": "error", "error": type(broken).__name__}
    return {key: plain[key] for key in _FIRST if key in plain} | plain


def redact(value: Any, depth: int = _DEEPEST) -> Any:  # noqa: PLR0911  # one case per type
    """`value` as plain JSON values, with every secret hidden and every string on one line."""
    match value:
        case None | bool():
            return value
        case int() | float():
            # JSON has no infinity, and Python refuses to print integers with thousands of digits.
            return value if abs(value) < _LARGEST_NUMBER else "no number JSON has"
        case str():
            return _one_line(redact_text(value))
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case _ if depth == 0:
            return "…"
        case bytes() | bytearray() | memoryview():
            return _one_line(redact_text(bytes(value).decode("utf-8", "backslashreplace")))
        case Mapping():
            return {
                _one_line(redact_text(str(key))): _redact_under(str(key), item, depth - 1)
                for key, item in value.items()
            }
        case Sequence() | AbstractSet():
            return [redact(item, depth - 1) for item in value]
        case _:
            return _one_line(redact_text(_text_of(value)))


def redact_text(text: str) -> str:
    """`text` with everything hidden that looks like a secret; a very long text is cut."""
    if len(text) > _LONGEST_TEXT:
        kept = _cut(text)
        text = f"{kept}… ({len(text) - len(kept)} more)"
    if _SUSPICIOUS.search(text):
        for shape, instead in _SHAPES:
            text = shape.sub(instead, text)
    return text


def _cut(text: str) -> str:
    """The beginning of a long text, cut between words: half a secret would not be recognised."""
    end = next((end for end in range(_LONGEST_TEXT, _SHORTEST_CUT, -1) if text[end - 1].isspace()), _SHORTEST_CUT)
    return text[:end]


_FIRST: Final = ("timestamp", "level", "event")
_TRACES: Final = frozenset({"exception", "stack"})
_SECRET_KEY: Final = re.compile(
    r"token|secret|passw|pwd|authori[sz]ation|refresh|credential|cookie|grant|private|api.?key", re.IGNORECASE
)
# Every repetition has a limit, so that a hostile reply cannot make these expressions slow.
_NAME: Final = r"[\w.-]{0,40}(?:token|secret|passw|pwd|grant_code|api_?key)[\w.-]{0,40}"
_SHAPES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), instead)
    for pattern, instead in (
        # Zoho's access, refresh and grant tokens.
        (r"1000\.[0-9a-z]{6,}\.[0-9a-z]{6,}", f"1000.{HIDDEN}"),
        (r"\b(zoho-oauthtoken|bearer|basic)\s{1,9}[^\s\"',}]+", rf"\1 {HIDDEN}"),
        (
            r"\b(authorization[\"']?\s{0,9}[:=]\s{0,9}+)(?![\"']?(?:zoho-oauthtoken|bearer|basic) )[^\r\n,}]+",
            rf"\1{HIDDEN}",
        ),
        # The password in postgresql://user:password@host.
        (r"(://[^\s/:@?#]{0,64}):[^\s]{0,512}@", rf"\1:{HIDDEN}@"),
        # A form, a query string or a DSN, and JSON or the repr of a dict.
        (rf"\b({_NAME})=(?:\"[^\"]*\"?|'[^']*'?|[^\s&;,\"')]+)", rf"\1={HIDDEN}"),
        (rf"([\"']{_NAME}[\"']\s{{0,9}}:\s{{0,9}})(?:\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?)", rf'\1"{HIDDEN}"'),
        # Client secrets (42 hexadecimal digits) and 32-byte keys in base64.
        (r"(?<![0-9a-z])[0-9a-f]{40,}(?![0-9a-z])", HIDDEN),
        (r"(?<![0-9a-z+/_-])[0-9a-z+/_-]{43}=", HIDDEN),
    )
)
# A quick test that spares most texts the eight searches: every format above contains one of these.
_SUSPICIOUS: Final = re.compile(
    r"1000\.|oauthtoken|bearer|basic|authorization|://|token|secret|passw|pwd|grant_code|api_?key"
    r"|[0-9a-f]{40}|[0-9a-z+/_-]{43}=",
    re.IGNORECASE,
)
# The code of an error is shown. An OAuth `code` is a secret, and contains digits and dots.
_ERROR_CODE: Final = re.compile(r"[A-Za-z_]{1,64}|[0-9]{3}")


def _redact_under(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float, datetime, date, timedelta)) or value == "":
        return redact(value, depth)
    if _SECRET_KEY.search(key) or (key == "code" and not _ERROR_CODE.fullmatch(_text_of(value))):
        return HIDDEN
    return redact(value, depth)


def _redact_trace(value: Any) -> str:
    return visible(redact_text(_text_of(value)))


def _one_line(text: str) -> str:
    # One event is one line: a text must not forge another line or send control characters to a terminal.
    return text if text.isprintable() else text.translate(CONTROLS)


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception as unprintable:  # noqa: BLE001  # a library's __str__ may raise anything
        return f"<{type(value).__name__}, unprintable: {type(unprintable).__name__}>"


def _json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return json.dumps(event)


def _console() -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=_shows_colours(sys.stderr),
        exception_formatter=structlog.dev.plain_traceback,
        timestamp_key="timestamp",
        pad_event_to=24,
    )


def _shows_colours(stream: TextIO) -> bool:
    """False for a file or a pipe, if `NO_COLOR` is set (https://no-color.org), or if the terminal is `dumb`."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _LineWriter:
    """Writes lines to a stream. Looks up `sys.stderr` for each line, because a progress bar may replace it."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        stream = self._stream or sys.stderr
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except (OSError, ValueError):
            return

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


class _LineHandler(logging.Handler):
    """Writes the events of the standard library's loggers to the same stream."""

    def __init__(self, lines: _LineWriter) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  # a library's invalid event may raise anything
            return
        self._lines.msg(line)
