"""Sends messages by Apprise: mail, Slack, Teams and its other services.

Apprise is imported at the first use, because that takes a second. It reports only whether a message was sent, so this
module watches the replies of HTTP servers and the errors that Apprise logs, and keeps nothing but statuses: these logs
contain addresses, and are not passed on.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import logging
import re
import threading
import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from poller.core.errors import SettingsError
from poller.notify.errors import DeliveryError, http_error
from poller.notify.retry_after import retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.core.secret import Secret
    from poller.notify.message import Message

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 15.0
_HTTP_ERROR: Final = re.compile(r"\berror=(\d{3})\b")
_SMTP_ERROR: Final = re.compile(r"Socket Exception: \(?(?:\{[^}]{0,200}: \()?([45]\d\d), |was refused: ([45]\d\d) ")
_LOGGERS: Final = ("urllib3", "requests", "charset_normalizer")
_TYPES: Final = {"critical": "FAILURE", "warning": "WARNING", "info": "INFO"}
_CAUSES: Final = (
    (re.compile("timed? ?out", re.IGNORECASE), "it did not answer in time"),
    (re.compile("refused", re.IGNORECASE), "the connection was refused"),
    (re.compile("name or service|getaddrinfo|resolve", re.IGNORECASE), "its name cannot be resolved"),
    (re.compile("certificate|ssl", re.IGNORECASE), "TLS failed"),
    (re.compile("closed|reset|aborted|eof", re.IGNORECASE), "it closed the connection"),
    (re.compile("unreachable|no route", re.IGNORECASE), "it cannot be reached"),
)


@dataclass(slots=True)
class _Observed:
    """What was seen of one attempt, without any text of a reply or of an address."""

    status: int | None = None
    retry_after: float | None = None
    smtp: int | None = None
    cause: str = ""


class _Attempt(threading.local):
    """The attempt of this thread."""

    observed: _Observed | None = None


_attempt: Final = _Attempt()
_loading: Final = threading.Lock()


class _Watcher(logging.Filter):
    """Reads statuses from what Apprise logs, and drops every record: no handler of any logger sees one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Notes the status, and drops the record."""
        observed = _attempt.observed
        if observed is not None:
            self._note(observed, record.getMessage())
        return False

    @staticmethod
    def _note(observed: _Observed, text: str) -> None:
        if observed.status is None and (found := _HTTP_ERROR.search(text)):
            observed.status = int(found[1])
        if found := _SMTP_ERROR.search(text):
            observed.smtp = int(found[1] or found[2])
        if "xception" in text and not observed.cause:
            observed.cause = next((cause for pattern, cause in _CAUSES if pattern.search(text)), "")


def check(url: Secret) -> None:
    """Raises `SettingsError` if Apprise does not know the scheme, or a part of the address is wrong."""
    scheme = url.reveal().partition("://")[0].lower()
    if scheme not in _library().schemas():
        what = f"{scheme}:// is not a scheme of Apprise" if re.fullmatch("[a-z0-9+.-]{1,32}", scheme) else "no scheme"
        raise SettingsError(what, "write such as mailtos://user:password@mail.example or webhook+https://host/path")
    service = _library().service(url)
    if service is None or not 1 <= (service.port or 1) <= 65_535:
        remedy = f"compare it with Apprise's documentation of {scheme}://, and percent-encode passwords"
        raise SettingsError(f"the {scheme}:// address is incomplete, or a part of it such as the port is wrong", remedy)


def send(url: Secret, message: Message) -> None:
    """Sends the message and returns when the service has taken it. Blocks; call it in a thread."""
    library = _library()
    service = library.service(url)
    if service is None:
        raise DeliveryError("the address cannot be used", "correct it and set it again", permanent=True)
    observed = _attempt.observed = _Observed()
    try:
        delivered = library.notify(service, message)
    except Exception:  # noqa: BLE001 - a plug-in may raise anything, and its text may contain the address
        delivered = False
    finally:
        _attempt.observed = None
    if not delivered:
        raise _error(observed)


def _error(observed: _Observed) -> DeliveryError:
    if observed.status is not None and observed.status >= 400:
        return http_error(observed.status, observed.retry_after)
    if observed.smtp is not None:
        return DeliveryError(
            f"the mail server refused with {observed.smtp}",
            "correct user, password, sender and recipients of the address"
            if observed.smtp >= 500
            else "it may accept the message later",
            permanent=observed.smtp >= 500,
        )
    return DeliveryError(
        f"the receiver did not take it: {observed.cause}" if observed.cause else "the receiver did not take it",
        "see whether it is up and reachable from here, and whether the address is right",
    )


class _Library:
    """Apprise, set up to log nothing and to keep nothing on disk."""

    def __init__(self) -> None:
        # Some of its plug-ins use deprecated modules of the standard library.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import apprise
            import requests
            import urllib3

            apprise.NotificationManager().load_modules()  # type: ignore[no-untyped-call]
        self._apprise = apprise
        self._asset = apprise.AppriseAsset(app_id="poller", app_desc="poller", async_mode=False, service_timeout=0)
        logger = logging.getLogger("apprise")
        logger.addFilter(_Watcher())
        logger.setLevel(logging.DEBUG)
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        urllib3.disable_warnings()
        requests.Session.send = _watched(requests.Session.send)  # type: ignore[method-assign]

    def schemas(self) -> frozenset[str]:
        """Every scheme that Apprise knows."""
        return frozenset(self._apprise.NotificationManager().schemas())  # type: ignore[no-untyped-call]

    def service(self, url: Secret) -> Any:
        """Apprise's object for an address; None if it cannot be used."""
        service = self._apprise.Apprise.instantiate(url.reveal(), asset=self._asset, suppress_exceptions=True)
        if service is not None:
            service.socket_connect_timeout = min(service.socket_connect_timeout or CONNECT_SECONDS, CONNECT_SECONDS)
            service.socket_read_timeout = READ_SECONDS
            if service.overflow_mode == self._apprise.OverflowMode.UPSTREAM:
                service.overflow_mode = self._apprise.OverflowMode.TRUNCATE
        return service

    def notify(self, service: Any, message: Message) -> bool:
        """Sends the message; HTML where the service shows it."""
        formats = self._apprise.NotifyFormat
        html = formats.HTML in {service.notify_format, next(iter(service.notify_format), None)}
        html = html and service.resolve_format(formats.HTML) == formats.HTML
        headers = getattr(service, "headers", None)
        if isinstance(headers, dict):
            headers.setdefault("X-Poller-Message-Id", message.id)
        kind = "SUCCESS" if message.about == "resolved" else _TYPES.get(message.severity, "INFO")
        sender = self._apprise.Apprise(asset=self._asset)
        sender.add(service)
        return bool(
            sender.notify(
                title=message.title,
                body=message.html if html else message.text,
                body_format=formats.HTML if html else formats.TEXT,
                notify_type=self._apprise.NotifyType[kind],
            )
        )


@cache
def _loaded() -> _Library:
    return _Library()


def _library() -> _Library:
    """Apprise, imported by the first thread that needs it while others wait."""
    with _loading:
        return _loaded()


def _watched(send_request: Callable[..., Any]) -> Callable[..., Any]:
    """`requests.Session.send`, which also notes status and Retry-After of a reply to an attempt of this thread."""

    def watched(*arguments: Any, **options: Any) -> Any:
        response = send_request(*arguments, **options)
        observed = _attempt.observed
        if observed is not None:
            observed.status = response.status_code
            observed.retry_after = retry_after_seconds(response.headers.get("Retry-After"))
        return response

    return watched
