from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from poller.core.errors import SettingsError
from poller.settings import check, read_sources, unknown

if TYPE_CHECKING:
    from pathlib import Path

KEY = "k" * 32


def test_no_settings_file_in_the_current_folder_is_read_without_being_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("POLLER_WEB_PORT=1\n")
    monkeypatch.chdir(tmp_path)
    assert check(read_sources(environ={})).web_port == 8080


def test_the_settings_file_is_named_by_an_argument_or_by_a_variable(tmp_path: Path) -> None:
    one, other = tmp_path / "one.env", tmp_path / "other.env"
    one.write_text("POLLER_WEB_PORT=1\n")
    other.write_text("POLLER_WEB_PORT=2\n")
    assert check(read_sources(environ={"POLLER_ENV_FILE": f" {one}\n"})).web_port == 1
    assert check(read_sources(other, environ={"POLLER_ENV_FILE": str(one)})).web_port == 2


def test_a_missing_settings_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing\.env cannot be read: No such file or directory; correct"):
        read_sources(tmp_path / "nothing.env", environ={})


def test_a_line_that_sets_nothing_is_an_error_that_does_not_repeat_it(tmp_path: Path) -> None:
    file = tmp_path / "poller.env"
    file.write_text("# keys\nexport POLLER_WEB_PORT='1'\nPOLLER API KEY hunter2\n")
    with pytest.raises(SettingsError, match=r"line 3 of .* is not a setting; write NAME=value") as raised:
        read_sources(file, environ={})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_settings_file_that_other_users_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "poller.env"
    file.write_text("POLLER_WEB_PORT=1\n")
    file.chmod(mode)
    with pytest.raises(
        SettingsError, match=r"can be written by others; read it; if everything in it is yours, chmod go-w '"
    ):
        read_sources(file, environ={})
    with pytest.raises(
        SettingsError,
        match=r"POLLER_API_KEY_FILE: .* can be written by others; read it; if everything in it is yours, chmod go-w '",
    ):
        read_sources(environ={"POLLER_API_KEY_FILE": str(file)})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_settings_file_of_another_user_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "poller.env"
    file.write_text("POLLER_WEB_PORT=1\n")
    os.chown(file, 65534, -1)
    with pytest.raises(
        SettingsError, match=r"belongs to another user \(id 65534\); read it; if it is yours, chown 0 '"
    ):
        read_sources(file, environ={})
    with pytest.raises(
        SettingsError, match=r"belongs to another user \(id 65534\); read it; if it is yours, chown 0 '"
    ):
        read_sources(environ={"POLLER_API_KEY_FILE": str(file)})


def test_every_secret_can_be_read_from_its_own_file(tmp_path: Path) -> None:
    secrets = {
        "POLLER_DATABASE_URL": "postgresql://u:hunter2@h/x",
        "POLLER_SECRET_KEYS": "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q=",
        "POLLER_API_KEY": KEY,
        "POLLER_PROXY": "http://u:hunter2@h:3128",
        "POLLER_NOTIFY_URLS": "json://u:hunter2@h",
    }
    environ = {}
    for name, value in secrets.items():
        file = tmp_path / name
        file.write_text(f"{value}\n")
        environ[f"{name}_FILE"] = str(file)
    sources = read_sources(environ=environ)
    assert {name: value.text for name, value in sources.values.items()} == secrets
    assert sources.values["POLLER_API_KEY"].origin == (
        f"{tmp_path / 'POLLER_API_KEY'} (POLLER_API_KEY_FILE in the environment)"
    )
    assert unknown(sources) == []
    assert check(sources).database_url is not None


def test_a_secret_set_both_directly_and_by_file_in_one_place_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    environ = {"POLLER_API_KEY": KEY, "POLLER_API_KEY_FILE": str(file)}
    with pytest.raises(SettingsError, match="POLLER_API_KEY and POLLER_API_KEY_FILE are both set in the environment; "):
        read_sources(environ=environ)


def test_a_secret_in_the_environment_overrides_one_in_the_settings_file(tmp_path: Path) -> None:
    key, env_file = tmp_path / "key", tmp_path / "poller.env"
    key.write_text("x" * 32)
    env_file.write_text(f"POLLER_API_KEY_FILE={key}\n")
    assert read_sources(env_file, environ={"POLLER_API_KEY": KEY}).values["POLLER_API_KEY"].text == KEY
    assert read_sources(env_file, environ={}).values["POLLER_API_KEY"].text == "x" * 32


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_secret_file_is_an_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(SettingsError, match=r"POLLER_API_KEY_FILE: the file .* is empty; "):
        read_sources(environ={"POLLER_API_KEY_FILE": str(file)})


def test_a_missing_secret_file_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"POLLER_API_KEY_FILE: the file /nothing cannot be read: No such file"):
        read_sources(environ={"POLLER_API_KEY_FILE": "/nothing"})


def test_variables_that_kubernetes_sets_for_a_service_called_poller_are_not_settings() -> None:
    environ = {
        "POLLER_SERVICE_HOST": "10.96.0.12",
        "POLLER_SERVICE_PORT": "8080",
        "POLLER_SERVICE_PORT_HTTP": "8080",
        "POLLER_PORT": "tcp://10.96.0.12:8080",
        "POLLER_PORT_8080_TCP": "tcp://10.96.0.12:8080",
        "POLLER_PORT_8080_TCP_PROTO": "tcp",
        "POLLER_PORT_8080_TCP_PORT": "8080",
        "POLLER_PORT_8080_TCP_ADDR": "10.96.0.12",
        "POLLER_WEB_PORT": "tcp://10.96.0.12:8080",
        "POLLER_WEB_SERVICE_HOST": "10.96.0.12",
        "POLLER_WEB_PORT_8080_TCP_ADDR": "10.96.0.12",
        "POLLER_DATABASE_SERVICE_HOST": "10.96.0.13",
        "POLLER_DATABASE_PORT": "tcp://[fd00::1]:5432",
        "POLLER_DB_PORT_5432_TCP": "tcp://10.96.0.13:5432",
    }
    sources = read_sources(environ=environ)
    assert (dict(sources.values), dict(sources.others)) == ({}, {})
    assert check(sources).web_port == 8080


def test_a_web_port_in_the_settings_file_is_used_beside_a_kubernetes_service_address(tmp_path: Path) -> None:
    file = tmp_path / "poller.env"
    file.write_text("POLLER_WEB_PORT=9090\n")
    environ = {"POLLER_WEB_PORT": "tcp://10.96.0.12:8080"}
    assert check(read_sources(file, environ=environ)).web_port == 9090


def test_an_unknown_setting_is_reported_with_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "poller.env"
    file.write_text("POLLER_POL_INTERVAL=5m\nOTHER=1\n")
    environ = {
        "POLLER_CONCURENCY": "1",
        "POLLER_TEST_POSTGRES_BIN": "x",
        "POLLER_WEB_PORT": "1",
        "POLLER_ZZZ": "x",
        "POLLER_EMPTY": "",
    }
    assert unknown(read_sources(file, environ=environ)) == [
        "POLLER_CONCURENCY is not a setting; did you mean POLLER_CONCURRENCY?",
        "POLLER_POL_INTERVAL is not a setting; did you mean POLLER_POLL_INTERVAL?",
        "POLLER_ZZZ is not a setting; remove it",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATABASE_URL", "POLLER_DATABASE_URL"),
        ("DATABASE_URL_FILE", "POLLER_DATABASE_URL_FILE"),
        ("POLLER_DB_URL", "POLLER_DATABASE_URL"),
        ("POLLER_DB_URL_FILE", "POLLER_DATABASE_URL_FILE"),
        ("POLLER_DATABASE", "POLLER_DATABASE_URL"),
        ("POLLER_DATABASE_HOST", "POLLER_DATABASE_URL"),
        ("POLLER_DATABSE_URL", "POLLER_DATABASE_URL"),
        ("POLLER_DATABASE_URLFILE", "POLLER_DATABASE_URL"),
        ("POLLER_DATABSE_URL_FILE", "POLLER_DATABASE_URL_FILE"),
        ("POLLER_POSTGRES_URL", "POLLER_DATABASE_URL"),
        ("POLLER_PGHOST", "POLLER_DATABASE_URL"),
        ("POLLER_DSN", "POLLER_DATABASE_URL"),
        ("POLLER_URL", "POLLER_DATABASE_URL"),
        ("POLER_DATABASE_URL", "POLLER_DATABASE_URL"),
        ("POLLER_DATADIR", "POLLER_DATA_DIR"),
        ("POLLER_DATA_DIRECTORY", "POLLER_DATA_DIR"),
    ],
)
def test_a_misspelled_database_setting_is_an_error_and_never_selects_another_database(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} \(environment\) is not a setting, .*; rename it to {meant}, or"):
        unknown(read_sources(environ={name: "postgresql://u:hunter2@h/x"}))


def test_a_misspelled_database_setting_is_harmless_if_the_right_one_is_set() -> None:
    environ = {"POLLER_DATABASE_URL": "postgresql://h/x", "DATABASE_URL": "postgresql://h/y", "POLLER_DB_URL": "z"}
    assert unknown(read_sources(environ=environ)) == [
        "POLLER_DB_URL is not a setting; did you mean POLLER_DATABASE_URL?"
    ]
    environ = {"POLLER_DATA_DIR": "/x", "POLLER_DATADIR": "/y"}
    assert unknown(read_sources(environ=environ)) == ["POLLER_DATADIR is not a setting; did you mean POLLER_DATA_DIR?"]


@pytest.mark.parametrize("name", ["TEST_DATABASE_URL", "POLLER_TEST_DATABASE_URL", "PGHOST", "DATA_DIR", "DB_URL"])
def test_database_variables_of_other_programs_are_ignored(name: str) -> None:
    assert unknown(read_sources(environ={name: "x"})) == []
