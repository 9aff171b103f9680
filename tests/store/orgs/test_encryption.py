from __future__ import annotations

import base64
import os
import stat
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from poller.core.errors import CredentialError, SettingsError
from poller.core.secret import Secret
from poller.store.orgs.encryption import Column, Keyring

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
COLUMN = Column.CLIENT


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@given(org_id=st.integers(1, 2**31 - 1), text=st.text())
def test_a_secret_is_decrypted_for_the_org_and_column_it_was_encrypted_for(org_id: int, text: str) -> None:
    ring = Keyring({"k1": OLD})
    assert ring.decrypt(org_id, COLUMN, "k1", ring.encrypt(org_id, COLUMN, Secret(text))).reveal() == text


@pytest.mark.parametrize(
    ("org_id", "column"),
    [(8, COLUMN), (7, Column.REFRESH), (71, COLUMN)],
)
def test_a_ciphertext_moved_to_another_org_or_column_does_not_decrypt(org_id: int, column: Column) -> None:
    ring = Keyring({"k1": OLD})
    moved = ring.encrypt(7, COLUMN, Secret("s3cret-value"))
    with pytest.raises(CredentialError, match=f"{column} of org {org_id} does not decrypt") as caught:
        ring.decrypt(org_id, column, "k1", moved)
    assert "s3cret-value" not in "".join(traceback.format_exception(caught.value))


@given(st.data())
def test_a_changed_or_truncated_ciphertext_does_not_decrypt(data: st.DataObject) -> None:
    ring = Keyring({"k1": OLD})
    whole = bytearray(ring.encrypt(7, COLUMN, Secret("s3cret-value")))
    place = data.draw(st.integers(0, len(whole) * 8 - 1))
    turned = bytearray(whole)
    turned[place // 8] ^= 1 << place % 8
    for damaged in (bytes(turned), bytes(whole[: place // 8])):
        with pytest.raises(CredentialError):
            ring.decrypt(7, COLUMN, "k1", damaged)


def test_encrypting_a_secret_twice_gives_different_ciphertexts() -> None:
    ring = Keyring({"k1": OLD})
    assert len({ring.encrypt(7, COLUMN, Secret("same")) for _ in range(100)}) == 100


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    before = Keyring({"old": OLD}).encrypt(7, COLUMN, Secret("kept"))
    ring = Keyring.from_setting(f"new:{encoded(NEW)}, old:{encoded(OLD)}")
    assert ring.current_id == "new"
    assert ring.ids == ("new", "old")
    assert ring.decrypt(7, COLUMN, "old", before).reveal() == "kept"
    after = ring.encrypt(7, COLUMN, Secret("kept"))
    assert Keyring({"new": NEW}).decrypt(7, COLUMN, "new", after).reveal() == "kept"


def test_a_missing_key_is_named() -> None:
    sealed = Keyring({"old": OLD}).encrypt(7, COLUMN, Secret("kept"))
    with pytest.raises(CredentialError, match="the key 'old', which this process lacks"):
        Keyring({"new": NEW}).decrypt(7, COLUMN, "old", sealed)


def test_a_key_in_url_safe_base64_is_the_same_key() -> None:
    key = b"\xfb\xff" * 16
    sealed = Keyring.from_setting(f"k1:{encoded(key)}").encrypt(7, COLUMN, Secret("kept"))
    again = Keyring.from_setting(f"k1:{base64.urlsafe_b64encode(key).decode()}")
    assert again.decrypt(7, COLUMN, "k1", sealed).reveal() == "kept"


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("", "key 1 is not of the form"),
        (encoded(OLD), "key 1 is not of the form"),
        (f"k1:{encoded(OLD)},", "key 2 is not of the form"),
        (f"k 1:{encoded(OLD)}", "key 1 is not of the form"),
        (f"k1:{encoded(OLD[:16])}", "key 1 is not base64 of 32 bytes"),
        (f"k1:{encoded(OLD)}!", "key 1 is not base64 of 32 bytes"),
        ("k1:ключ", "key 1 is not base64 of 32 bytes"),
        (f"k1:{encoded(OLD)},k1:{encoded(NEW)}", "key 2 has the id of an earlier one"),
    ],
)
def test_an_invalid_key_is_named_by_its_position_and_never_shown(setting: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        Keyring.from_setting(setting)
    said = "".join(traceback.format_exception(caught.value))
    assert encoded(OLD)[:10] not in said
    assert "openssl rand" in said or "id of its own" in said


def test_the_repr_of_a_keyring_shows_only_key_ids() -> None:
    assert repr(Keyring({"new": NEW, "old": OLD})) == "Keyring(new, old)"


def test_a_key_file_is_created_on_first_use_readable_only_by_its_owner_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret.key"
    first = Keyring.from_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    sealed = first.encrypt(7, COLUMN, Secret("kept"))
    again = Keyring.from_key_file(path)
    assert again.decrypt(7, COLUMN, first.current_id, sealed).reveal() == "kept"
    assert list(path.parent.iterdir()) == [path]


def test_concurrent_first_uses_create_one_key(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    with ThreadPoolExecutor(16) as threads:
        rings = list(threads.map(lambda _: Keyring.from_key_file(path), range(64)))
    assert len({ring.current_id for ring in rings}) == 1
    sealed = rings[0].encrypt(7, COLUMN, Secret("kept"))
    assert {ring.decrypt(7, COLUMN, rings[0].current_id, sealed).reveal() for ring in rings} == {"kept"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_file_accessible_to_other_users_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    Keyring.from_key_file(path)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="is open to others; chmod 600"):
        Keyring.from_key_file(path)


def test_a_damaged_key_file_is_never_replaced_by_a_new_key(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.touch(0o600)
    with pytest.raises(SettingsError, match="key 1 is not of the form"):
        Keyring.from_key_file(path)
    assert path.read_bytes() == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_key_file_of_another_user_is_refused_except_in_the_folder_of_this_user(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    Keyring.from_key_file(path)
    os.chown(path, 65534, -1)
    with pytest.raises(SettingsError, match=r"belongs to another user \(id 65534\); compare .* yours, chown 0 "):
        Keyring.from_key_file(path)
    os.chown(tmp_path, 65534, -1)
    assert Keyring.from_key_file(path).ids
