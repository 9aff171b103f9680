"""Posts alerts as JSON: to a webhook, or to the API of a Prometheus Alertmanager.

A message about one alert is posted as the object that `poller alerts --json` prints, with the id of the message. A
message about many alerts has them under `alerts`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import aiohttp
import orjson

from poller import __version__
from poller.core.errors import SettingsError
from poller.notify.errors import DeliveryError, http_error
from poller.notify.retry_after import retry_after_seconds
from poller.notify.schemes import ALERTMANAGER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.core.secret import Secret
    from poller.notify.message import Message

ALERTMANAGER_PATH: Final = "/api/v2/alerts"
OPEN_FOR: Final = timedelta(days=365)
"""How long an alert lasts in Alertmanager unless the poller says that it is over."""
_FORM: Final = "write {scheme}://[user:password@]host[:port][/path]"


def check(url: Secret) -> None:
    """Raises `SettingsError` for an address without a host or with a wrong port."""
    scheme = url.reveal().partition("://")[0].lower()
    remedy = _FORM.format(scheme=scheme)
    try:
        parts = urlsplit(url.reveal())
        port = parts.port
    except ValueError:
        what = f"the {scheme}:// address is malformed, or its port is not a number from 1 to 65535"
        raise SettingsError(what, remedy) from None
    if not parts.hostname or port == 0:
        raise SettingsError(f"the {scheme}:// address names no host, or port 0", remedy)


async def post(url: Secret, message: Message, deadline_seconds: float) -> None:
    """Posts a message; raises `DeliveryError` unless the receiver answers 2xx."""
    target, login, alertmanager = _target(url)
    body = _for_alertmanager(message) if alertmanager else _object(message)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"zoho-user-count-poller/{__version__}",
        "Idempotency-Key": message.id,
        "X-Poller-Message-Id": message.id,
        **login,
    }
    try:
        async with (
            asyncio.timeout(deadline_seconds),
            # The proxy of the environment is used, as Apprise does.
            aiohttp.ClientSession(trust_env=True) as session,
            session.post(target, data=orjson.dumps(body), headers=headers, allow_redirects=False) as response,
        ):
            status, retry_after = response.status, retry_after_seconds(response.headers.get("Retry-After"))
    except TimeoutError:
        what = f"the receiver did not answer within {deadline_seconds:g} s"
        raise DeliveryError(what, "see whether it is up and reachable from here") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The text of these errors contains the address.
        what = f"the receiver did not take it: {_cause(error)}"
        raise DeliveryError(what, "see whether it is up and reachable from here") from None
    if 300 <= status < 400:
        raise DeliveryError(f"the receiver answered {status}", "write the address it redirects to", permanent=True)
    if status >= 400:
        raise http_error(status, retry_after)


def _target(url: Secret) -> tuple[str, Mapping[str, str], bool]:
    """The http:// or https:// address without its login, the login's header, and whether it is an Alertmanager's."""
    scheme, _, rest = url.reveal().partition("://")
    own = scheme.lower()
    parts = urlsplit(f"{own.partition('+')[2]}://{rest}")
    login = {}
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        login = {"Authorization": aiohttp.encode_basic_auth(user, password, "utf-8")}
    alertmanager = own in ALERTMANAGER
    path = parts.path
    if alertmanager and not path.rstrip("/").endswith(ALERTMANAGER_PATH):
        path = f"{path.rstrip('/')}{ALERTMANAGER_PATH}"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], path=path).geturl(), login, alertmanager


def _cause(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "TLS failed"
        case aiohttp.ClientConnectorDNSError():
            return "its name cannot be resolved"
        case aiohttp.ClientConnectorError():
            return "no connection"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return "it closed the connection"
        case aiohttp.InvalidURL() | ValueError():
            return "the address is malformed"
        case _:
            return "its reply is malformed"


def _object(message: Message) -> Mapping[str, Any]:
    """The alert itself; for a test, a digest or many alerts: an object with the words and the alerts."""
    facts = {"message_id": message.id, "about": message.about, "title": message.title}
    if len(message.alerts) == 1:
        return {**message.alerts[0], **facts}
    return {"id": message.id, **facts, "text": message.text, "alerts": list(message.alerts)}


def _for_alertmanager(message: Message) -> Sequence[Mapping[str, Any]]:
    """The alerts as Alertmanager's API takes them. Without `endsAt`, Alertmanager would end them after minutes."""
    return [_labelled(alert, message) for alert in message.alerts] or [
        {
            "labels": {"alertname": f"poller_{message.about}", "severity": "info"},
            "annotations": {"summary": message.title},
        }
    ]


def _labelled(alert: Mapping[str, Any], message: Message) -> Mapping[str, Any]:
    labels = {
        "alertname": alert.get("rule"),
        "severity": alert.get("severity"),
        "org": alert.get("org"),
        "user_type": alert.get("user_type"),
        "subject": alert.get("subject"),
        "alert_id": alert.get("id"),
    }
    open_until = (datetime.now(UTC) + OPEN_FOR).isoformat()
    return {
        "labels": {name: str(value) for name, value in labels.items() if value is not None},
        "annotations": {
            "summary": str(alert.get("message", "")),
            "remedy": str(alert.get("remedy", "")),
            "message_id": message.id,
        },
        "startsAt": alert.get("since"),
        "endsAt": alert.get("resolved_at") if message.about == "resolved" else open_until,
    }
