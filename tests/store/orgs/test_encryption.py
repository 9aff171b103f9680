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
def test_what_was_encrypted_for_a_place_is_read_back_there(org_id: int, text: str) -> None:
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
def test_a_ciphertext_with_any_bit_turned_or_cut_short_does_not_decrypt(data: st.DataObject) -> None:
    ring = Keyring({"k1": OLD})
    whole = bytearray(ring.encrypt(7, COLUMN, Secret("s3cret-value")))
    place = data.draw(st.integers(0, len(whole) * 8 - 1))
    turned = bytearray(whole)
    turned[place // 8] ^= 1 << place % 8
    for damaged in (bytes(turned), bytes(whole[: place // 8])):
        with pytest.raises(CredentialError):
            ring.decrypt(7, COLUMN, "k1", damaged)


def test_the_same_secret_never_looks_the_same_twice() -> None:
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


def test_a_key_that_is_not_at_hand_is_named() -> None:
    sealed = Keyring({"old": OLD}).encrypt(7, COLUMN, Secret("kept"))
    with pytest.raises(CredentialError, match="the key 'old', which this process lacks"):
        Keyring({"new": NEW}).decrypt(7, COLUMN, "old", sealed)


def test_a_key_of_the_url_safe_alphabet_is_the_same_key() -> None:
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
def test_a_wrong_key_is_told_by_its_place_and_never_shown(setting: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        Keyring.from_setting(setting)
    said = "".join(traceback.format_exception(caught.value))
    assert encoded(OLD)[:10] not in said
    assert "openssl rand" in said or "id of its own" in said


def test_the_representation_shows_ids_only() -> None:
    assert repr(Keyring({"new": NEW, "old": OLD})) == "Keyring(new, old)"


def test_a_key_file_is_made_on_first_use_for_its_owner_only_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret.key"
    first = Keyring.from_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    sealed = first.encrypt(7, COLUMN, Secret("kept"))
    again = Keyring.from_key_file(path)
    assert again.decrypt(7, COLUMN, first.current_id, sealed).reveal() == "kept"
    assert list(path.parent.iterdir()) == [path]


def test_first_uses_at_the_same_time_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    with ThreadPoolExecutor(16) as threads:
        rings = list(threads.map(lambda _: Keyring.from_key_file(path), range(64)))
    assert len({ring.current_id for ring in rings}) == 1
    sealed = rings[0].encrypt(7, COLUMN, Secret("kept"))
    assert {ring.decrypt(7, COLUMN, rings[0].current_id, sealed).reveal() for ring in rings} == {"kept"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_file_open_to_others_is_refused(tmp_path: Path) -> None:
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
def test_a_key_file_of_another_user_is_refused_but_in_that_users_own_folder(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    Keyring.from_key_file(path)
    os.chown(path, 65534, -1)
    with pytest.raises(SettingsError, match=r"belongs to another user \(id 65534\); compare .* yours, chown 0 "):
        Keyring.from_key_file(path)
    os.chown(tmp_path, 65534, -1)
    assert Keyring.from_key_file(path).ids
