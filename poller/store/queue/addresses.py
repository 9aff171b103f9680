"""The addresses that messages are sent to. Each is a secret: encrypted, and shown by its scheme only.

An address is recognised by an HMAC, so that setting it again keeps its row, its waiting messages and its history.
Messages that wait for an address which is no longer set go to those that are: no alert is lost because an address is
corrected, or because workers with the old and the new setting run beside each other for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.store.locks import Lock, lock
from poller.store.orgs.address_rotation import PURPOSE
from poller.store.orgs.encryption import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.secret import Secret
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Connection, Queries


@dataclass(frozen=True, slots=True)
class NotifyAddress:
    """One address: of a rule, or (`rule_id` None) of POLLER_NOTIFY_URLS."""

    id: int
    rule_id: int | None
    scheme: str

    @property
    def masked(self) -> str:
        """What people may see of the address."""
        return f"{self.scheme}://…"


def scheme_of(url: Secret) -> str:
    """The part of an address that may be shown, before `://`."""
    return url.reveal().partition("://")[0].lower()


async def set_addresses(connection: Connection, rule_id: int, urls: Sequence[Secret], keyring: Keyring) -> None:
    """Replaces the addresses of a rule; none: its messages go to POLLER_NOTIFY_URLS.

    Messages that wait for removed addresses go to the new ones. The caller checks the addresses first
    (`notify.checks`).
    """
    await _replace(connection, rule_id, urls, keyring)


async def list_addresses(queries: Queries, rule_ids: Sequence[int] | None = None) -> list[NotifyAddress]:
    """The addresses of rules (None: all rules), the oldest first; not those of POLLER_NOTIFY_URLS."""
    # addresses.list
    rows = await queries.fetch(
        "SELECT id, rule_id, scheme FROM notify_addresses"
        " WHERE rule_id IS NOT NULL AND ($1::int[] IS NULL OR rule_id = ANY($1)) ORDER BY rule_id, id",
        None if rule_ids is None else list(rule_ids),
    )
    return [NotifyAddress(row["id"], row["rule_id"], row["scheme"]) for row in rows]


async def list_schemes(queries: Queries) -> dict[int, str]:
    """The scheme of every address by its id, those of POLLER_NOTIFY_URLS included."""
    # addresses.schemes
    return {row["id"]: row["scheme"] for row in await queries.fetch("SELECT id, scheme FROM notify_addresses")}


async def default_addresses(connection: Connection, urls: Sequence[Secret], keyring: Keyring) -> list[NotifyAddress]:
    """The rows of the addresses of POLLER_NOTIFY_URLS; those that are new are stored first."""
    ids = await _ensure(connection, None, urls, keyring)
    return [
        NotifyAddress(address_id, None, scheme_of(url)) for address_id, url in zip(ids, _distinct(urls), strict=True)
    ]


async def delete_other_defaults(connection: Connection, urls: Sequence[Secret], keyring: Keyring) -> int:
    """Deletes addresses that are no longer in POLLER_NOTIFY_URLS; returns how many. `urls`: what is set.

    Messages that wait for deleted addresses go to those of the setting.
    """
    return await _replace(connection, None, urls, keyring)


async def _replace(connection: Connection, rule_id: int | None, urls: Sequence[Secret], keyring: Keyring) -> int:
    """Stores the addresses of a rule (None: of the setting) in place of all others; returns how many it deleted.

    One at a time, and not during an evaluation: otherwise two that replace each other's would move messages to an
    address that is being deleted.
    """
    await lock(connection, Lock.ALERTS)
    kept = await _ensure(connection, rule_id, urls, keyring)
    # addresses.others: locked, because a digest may be written to them at this moment.
    rows = await connection.fetch(
        "SELECT id FROM notify_addresses WHERE rule_id IS NOT DISTINCT FROM $1 AND NOT id = ANY($2::int[])"
        " ORDER BY id FOR UPDATE",
        rule_id,
        kept,
    )
    others = [row["id"] for row in rows]
    if others:
        await connection.execute(_MOVE_WAITING, others, kept)
        # addresses.delete
        await connection.execute("DELETE FROM notify_addresses WHERE id = ANY($1::int[])", others)
    return len(others)


async def _ensure(connection: Connection, rule_id: int | None, urls: Sequence[Secret], keyring: Keyring) -> list[int]:
    """The ids of the addresses, in their order and each once; those that are new are stored first."""
    wanted = {url: keyring.macs(PURPOSE, url) for url in _distinct(urls)}
    ids = await _find(connection, rule_id, wanted)
    for url in (url for url in wanted if url not in ids):
        # addresses.next_id: the ciphertext is bound to it.
        address_id = await connection.fetchval("SELECT nextval(pg_get_serial_sequence('notify_addresses', 'id'))::int")
        # addresses.insert: another session may have stored the same address in the meantime.
        stored = await connection.fetchval(
            """
            INSERT INTO notify_addresses (id, rule_id, url, key_id, fingerprint, scheme)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (rule_id, fingerprint) DO NOTHING RETURNING id
            """,
            address_id,
            rule_id,
            keyring.encrypt(address_id, Column.ADDRESS, url),
            keyring.current_id,
            keyring.mac(keyring.current_id, PURPOSE, url),
            scheme_of(url),
        )
        ids |= {url: stored} if stored is not None else await _find(connection, rule_id, {url: wanted[url]})
    return [ids[url] for url in wanted]


async def _find(connection: Connection, rule_id: int | None, wanted: dict[Secret, list[bytes]]) -> dict[Secret, int]:
    """The ids of addresses that are stored, by any of their fingerprints."""
    by_mac = {mac: url for url, macs in wanted.items() for mac in macs}
    # addresses.find
    rows = await connection.fetch(
        "SELECT id, fingerprint FROM notify_addresses"
        " WHERE rule_id IS NOT DISTINCT FROM $1 AND fingerprint = ANY($2::bytea[])",
        rule_id,
        list(by_mac),
    )
    return {by_mac[row["fingerprint"]]: row["id"] for row in rows}


def _distinct(urls: Sequence[Secret]) -> list[Secret]:
    return list(dict.fromkeys(urls))


# addresses.move_waiting: to the addresses that are kept; if a rule has none, to those of the setting. An address that
# got a message about the same alerts from the same evaluation gets no second one. A message for people names its alerts
# in words only, so it is completed for programs.
_MOVE_WAITING: Final = """
INSERT INTO notify_messages (message_id, address_id, alert_id, alert_ids, about, occasion, content, created_at,
                             not_before)
SELECT m.message_id, k.id, m.alert_id, m.alert_ids, m.about, m.occasion,
       CASE WHEN m.content -> 'alerts' = '[]' THEN m.content || jsonb_build_object('alerts', (
           SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.id), '[]') FROM alerts a WHERE a.id = ANY (m.alert_ids)
       )) ELSE m.content END,
       m.created_at, greatest(m.not_before, now())
FROM notify_messages m
JOIN notify_addresses k ON k.id = ANY ($2::int[]) OR ($2 = '{}' AND k.rule_id IS NULL)
WHERE m.address_id = ANY ($1::int[]) AND m.delivered_at IS NULL AND m.given_up_at IS NULL
  AND NOT EXISTS (
      SELECT FROM notify_messages known
      WHERE known.address_id = k.id AND known.about = m.about AND known.created_at = m.created_at
        AND known.alert_ids && m.alert_ids
  )
ORDER BY m.id
ON CONFLICT (address_id, alert_id, about, occasion) DO NOTHING
"""
