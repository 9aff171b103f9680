"""Encrypts secrets for the database with AES-256-GCM. Each row names the key of its ciphertexts.

Row and column are authenticated with the ciphertext: one that is copied to another row (of an org, or of an address for
messages) or to another column does not decrypt. Stored form: 12 bytes of nonce, then ciphertext and tag. Nonces are
random, which is safe for 2^32 encryptions with one key (NIST SP 800-38D, 8.3): ten years of hourly tokens for 50,000
orgs.

No error, repr or log contains a key or a part of one.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import re
import secrets
import stat
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from poller.core.errors import CredentialError, MissingKeyError, SettingsError
from poller.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_FORM: Final = 'write id:base64-of-32-bytes[,id:…]; make a key with: echo "k1:$(openssl rand -base64 32)"'


class Column(StrEnum):
    """The columns that hold ciphertexts. The value is authenticated with them: after a rename they do not decrypt."""

    CLIENT = "org_credentials.client_secret"
    REFRESH = "org_credentials.refresh_token"
    CODE = "org_credentials.grant_code"
    ACCESS = "access_tokens.token"
    ADDRESS = "notify_addresses.url"
    """Bound to the id of the address. All others are bound to the id of the org."""


class Keyring:
    """The encryption keys by id: the first encrypts, all decrypt."""

    __slots__ = ("_keys", "_peppers", "current_id")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self.current_id = next(iter(keys))
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._peppers = {key_id: _pepper(key) for key_id, key in keys.items()}

    @classmethod
    def from_setting(cls, text: str) -> Self:
        """Reads `id:base64[,id:base64]`; a `SettingsError` names the wrong key by its number, never by its text."""
        return cls(_parse(text, "POLLER_SECRET_KEYS"))

    @classmethod
    def from_key_file(cls, path: Path) -> Self:
        """Reads the keys in `path`; if the file does not exist, creates it with one new key.

        Two processes may do this at the same time: both then use the same key, and it is on disk before its first use.
        """
        if not path.exists():
            _make_key_file(path)
        try:
            status, folder = path.stat(), path.parent.stat()
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as wrong:
            raise SettingsError(f"the key file {path} cannot be read", "restore it from a backup") from wrong
        if status.st_uid not in {os.geteuid(), 0} and (os.geteuid() != 0 or status.st_uid != folder.st_uid):
            remedy = f"compare it with its backup; if it is yours, chown {os.geteuid()} '{path}', and rotate the key"
            raise SettingsError(f"the key file {path} belongs to another user (id {status.st_uid})", remedy)
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(f"the key file {path} is open to others", f"chmod 600 '{path}', and rotate the key")
        return cls(_parse(text, f"the key file {path}"))

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the one that encrypts first."""
        return tuple(self._keys)

    def encrypt(self, row_id: int, column: Column, secret: Secret) -> bytes:
        """Returns the ciphertext of `secret` for `column` of a row, encrypted with the key `current_id`."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._keys[self.current_id].encrypt(nonce, secret.reveal().encode(), _bound_to(row_id, column))

    def decrypt(self, row_id: int, column: Column, key_id: str, ciphertext: bytes) -> Secret:
        """Returns the plain secret; raises `CredentialError` if key, row or column differ from those of `encrypt`."""
        key = self._keys.get(key_id)
        owner, again = ("address", "set the address") if column is Column.ADDRESS else ("org", "import the org")
        if key is None:
            raise MissingKeyError(
                f"{column.value} of {owner} {row_id} is encrypted with the key {key_id!r}, which this process lacks",
                f"add {key_id} to POLLER_SECRET_KEYS (or to the key file), or {again} again",
                key_id=key_id,
            )
        try:
            plain = key.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], _bound_to(row_id, column))
        except (InvalidTag, ValueError) as wrong:
            raise CredentialError(
                f"{column.value} of {owner} {row_id} does not decrypt with the key {key_id!r}",
                f"it was damaged, moved from elsewhere or made with another key of that id: {again} again",
            ) from wrong
        return Secret(plain.decode())

    def mac(self, key_id: str, purpose: str, secret: Secret) -> bytes:
        """HMAC-SHA256 of a random secret, under a pepper derived from a key, to recognise the secret later."""
        pepper = self._peppers.get(key_id)
        if pepper is None:
            raise MissingKeyError(
                f"the {purpose} cannot be checked without the encryption key {key_id!r}, which this process lacks",
                f"add {key_id} to POLLER_SECRET_KEYS (or to the key file), or make a new one",
                key_id=key_id,
            )
        return hmac.digest(pepper, f"{purpose}\0{secret.reveal()}".encode("utf-8", "surrogateescape"), "sha256")

    def macs(self, purpose: str, secret: Secret) -> list[bytes]:
        """The same under each key."""
        return [self.mac(key_id, purpose, secret) for key_id in self._peppers]

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self.ids)})"


def _pepper(key: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"poller access").derive(key)


def _bound_to(row_id: int, column: Column) -> bytes:
    return f"{row_id}:{column.value}".encode()


def _parse(text: str, where: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(text.split(","), start=1):
        key_id, _, encoded = entry.strip().partition(":")
        if not _KEY_ID.fullmatch(key_id) or not encoded:
            raise SettingsError(f"{where}: key {number} is not of the form id:base64", _FORM)
        try:
            key = base64.b64decode(
                encoded.strip(), altchars=b"-_" if {"-", "_"} & set(encoded) else None, validate=True
            )
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            # Without a cause: the decoder's error may quote the key.
            raise SettingsError(f"{where}: key {number} is not base64 of {KEY_BYTES} bytes", _FORM) from None
        if key_id in keys:
            raise SettingsError(f"{where}: key {number} has the id of an earlier one", "give each key an id of its own")
        keys[key_id] = key
    return keys


def _make_key_file(path: Path) -> None:
    """Writes a complete file under another name, then links it to `path` unless another process has created that."""
    # A new id, so that a lost key file and a damaged ciphertext give different errors.
    line = f"k{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n"
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        _fsync_folder(path.parent)
    except OSError as wrong:
        raise SettingsError(
            f"the key file {path} cannot be made: {wrong.strerror}", "make its folder writable, or set POLLER_DATA_DIR"
        ) from wrong


def _fsync_folder(folder: Path) -> None:
    """Writes the folder to disk: without that a crash may lose the new file's name."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
