from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poller.core.datacenters import ZOHO_DATA_CENTERS
from poller.core.errors import SettingsError
from poller.core.retention import Retention
from poller.settings import NAMES, REMEDIES, VARIABLES, LogFormat, LogLevel, Settings, load

if TYPE_CHECKING:
    from pathlib import Path

KEY = "k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q="


GOOD = {
    "POLLER_DATABASE_URL": "postgresql://poller:hunter2@db/poller",
    "POLLER_DATA_DIR": "/var/lib/poller",
    "POLLER_SECRET_KEYS": KEY,
    "POLLER_API_VERSION": "v8",
    "POLLER_POLL_INTERVAL": "1h",
    "POLLER_CREDIT_SHARE": "0.25",
    "POLLER_IN_FLIGHT_SHARE": "1",
    "POLLER_CONCURRENCY": "8",
    "POLLER_REQUEST_TIMEOUT": "90s",
    "POLLER_DATA_CENTERS": '{"lab": {"accounts_server": "http://127.0.0.1:1", "api_domains": ["http://[::1]:2/"]}}',
    "POLLER_PROXY": "http://proxy:hunter2@127.0.0.1:3128",
    "POLLER_SNAPSHOT_RETENTION": "400d",
    "POLLER_DAILY_RETENTION": "10y",
    "POLLER_WEB_HOST": "::1",
    "POLLER_WEB_PORT": "0",
    "POLLER_WEB_ORIGIN": "https://poller.example/",
    "POLLER_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8",
    "POLLER_API_KEY": "k" * 32,
    "POLLER_METRICS_ORGS": "500",
    "POLLER_NOTIFY_URLS": "mailto://a:b@c.example?to=d,e, json://h.example/x",
    "POLLER_DIGEST": "Monday 8:30 Europe/Berlin",
    "POLLER_LOG_FORMAT": "JSON",
    "POLLER_LOG_LEVEL": "Debug",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Removes the variables of this machine."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def lines_of(error: SettingsError) -> list[str]:
    return [str(error), *getattr(error, "__notes__", [])]


def test_defaults_are_those_of_the_documentation() -> None:
    settings = load()
    assert settings.embedded
    assert settings.data_dir.is_absolute()
    assert settings.data_dir.name == "poller"
    assert (settings.api_version, settings.poll_interval_seconds) == ("v7", 900)
    assert (settings.credit_share, settings.in_flight_share) == (0.10, 0.5)
    assert (settings.concurrency, settings.request_timeout_seconds) == (64, 15)
    assert settings.data_centers == ZOHO_DATA_CENTERS
    assert (settings.snapshot_retention, settings.daily_retention) == (Retention(months=13), None)
    assert (settings.web_host, settings.web_port, settings.metrics_orgs) == ("127.0.0.1", 8080, 0)
    assert (settings.log_format, settings.log_level) == (None, LogLevel.INFO)


def test_every_variable_is_read_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {**GOOD, "POLLER_DATA_DIR": str(tmp_path)}
    assert set(values) == set(NAMES)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == values["POLLER_DATABASE_URL"]
    assert not settings.embedded
    assert settings.secret_keys is not None
    assert settings.secret_keys.get_secret_value() == KEY
    assert (settings.data_dir, settings.api_version, settings.poll_interval_seconds) == (tmp_path, "v8", 3600)
    assert (settings.credit_share, settings.in_flight_share, settings.concurrency) == (0.25, 1.0, 8)
    assert settings.request_timeout_seconds == 90
    assert settings.data_centers["lab"].api_domain == "http://[::1]:2"
    assert settings.data_centers["eu"] == ZOHO_DATA_CENTERS["eu"]
    assert (settings.snapshot_retention, settings.daily_retention) == (Retention(days=400), Retention(years=10))
    assert (settings.web_host, settings.web_port, settings.metrics_orgs) == ("::1", 0, 500)
    assert (settings.log_format, settings.log_level) == (LogFormat.JSON, LogLevel.DEBUG)
    assert settings.proxy is not None
    assert settings.proxy.get_secret_value() == values["POLLER_PROXY"]
    assert settings.web_origin == "https://poller.example"
    assert [str(one) for one in settings.trusted_proxies] == ["127.0.0.1/32", "10.0.0.0/8"]
    assert [one.get_secret_value() for one in settings.notify_urls] == [
        "mailto://a:b@c.example?to=d,e",
        "json://h.example/x",
    ]


def test_settings_that_were_set_are_distinguished_from_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLER_LOG_LEVEL", "info")
    monkeypatch.setenv("POLLER_POLL_INTERVAL", "15m")
    assert load().model_fields_set == {"log_level", "poll_interval_seconds"}


def test_the_environment_overrides_the_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "poller.env"
    file.write_text("POLLER_WEB_PORT=1\nPOLLER_CONCURRENCY=2\nOTHER=x\n")
    monkeypatch.setenv("POLLER_WEB_PORT", "3")
    settings = load(file)
    assert (settings.web_port, settings.concurrency) == (3, 2)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLER_DATABASE_URL", "")
    monkeypatch.setenv("POLLER_POLL_INTERVAL", "")
    assert load().embedded
    assert load().poll_interval_seconds == 900


def test_a_settings_object_built_in_code_does_not_read_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POLLER_WEB_PORT", "1")
    assert Settings(data_dir=tmp_path).web_port == 8080


def test_a_variable_named_like_an_internal_field_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLER_POLL_INTERVAL_SECONDS", "7")
    assert load().poll_interval_seconds == 900


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POLLER_DATABASE_URL", "mysql://u:hunter2@h/x"),
        ("POLLER_DATABASE_URL", "postgresql://[hunter2"),
        ("POLLER_API_VERSION", "7"),
        ("POLLER_API_VERSION", "v7/../.."),
        ("POLLER_POLL_INTERVAL", "5x"),
        ("POLLER_POLL_INTERVAL", "0"),
        ("POLLER_POLL_INTERVAL", "2d"),
        ("POLLER_CREDIT_SHARE", "0"),
        ("POLLER_CREDIT_SHARE", "1.1"),
        ("POLLER_CREDIT_SHARE", "nan"),
        ("POLLER_IN_FLIGHT_SHARE", "-1"),
        ("POLLER_CONCURRENCY", "0"),
        ("POLLER_CONCURRENCY", "1.5"),
        ("POLLER_REQUEST_TIMEOUT", "soon"),
        ("POLLER_DATA_CENTERS", "{"),
        ("POLLER_DATA_CENTERS", "[" * 100_000),
        ("POLLER_DATA_CENTERS", "[]"),
        ("POLLER_DATA_CENTERS", '{"lab": 1}'),
        ("POLLER_DATA_CENTERS", '{"lab": {"accounts_server": "https://a.example", "api_domains": 5}}'),
        ("POLLER_DATA_CENTERS", '{"lab": {"accounts_server": "https://a.example", "api_domains": [5]}}'),
        ("POLLER_DATA_CENTERS", '{"lab": {"accounts_server": "http://a.example", "api_domains": ["https://b.c"]}}'),
        (
            "POLLER_DATA_CENTERS",
            '{"l": {"accounts_server": "https://a.example:99999", "api_domains": ["https://b.c"]}}',
        ),
        ("POLLER_DATA_CENTERS", '{"l": {"accounts_server": "https://a.example:0", "api_domains": ["https://b.c"]}}'),
        ("POLLER_DATA_CENTERS", '{"us": {"accounts_server": "https://a.example", "api_domains": ["https://b.c"]}}'),
        ("POLLER_DATABASE_URL", "postgresql://u:hunter2@h:99999/x"),
        ("POLLER_DATABASE_URL", "postgresql://u:hunter2@h:eighty/x"),
        ("POLLER_PROXY", "socks5://u:hunter2@h:1080"),
        ("POLLER_PROXY", "http://u:hunter2@h"),
        ("POLLER_PROXY", "http://u:hunter2@h:99999"),
        ("POLLER_PROXY", "http://u:hunter2@h:1/path"),
        ("POLLER_PROXY", "http://u:hunter/2@h:1"),
        ("POLLER_WEB_ORIGIN", "http://poller.example"),
        ("POLLER_WEB_ORIGIN", "https://poller.example/path"),
        ("POLLER_WEB_ORIGIN", "https://poller.example:99999"),
        ("POLLER_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("POLLER_TRUSTED_PROXIES", "proxy.example"),
        ("POLLER_NOTIFY_URLS", "hunter2"),
        ("POLLER_DIGEST", "08:00"),
        ("POLLER_DIGEST", "daily 08:00 Berlin"),
        ("POLLER_WEB_PORT", "65536"),
        ("POLLER_WEB_PORT", "eighty"),
        ("POLLER_API_KEY", "hunter2"),
        ("POLLER_LOG_FORMAT", "xml"),
        ("POLLER_SNAPSHOT_RETENTION", "13"),
        ("POLLER_SNAPSHOT_RETENTION", "0mo"),
        ("POLLER_DAILY_RETENTION", "1y"),
        ("POLLER_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_name_and_a_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load()
    (line,) = lines_of(raised.value)
    assert line.startswith(f"{name}: ")
    assert line.endswith(REMEDIES[name])
    assert line.count("write ") <= 1
    assert "nput should" not in line
    assert "hunter2" not in line
    assert raised.value.exit_code == 2


def test_every_wrong_setting_is_reported_on_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLER_CONCURRENCY", "x")
    monkeypatch.setenv("POLLER_WEB_PORT", "y")
    with pytest.raises(SettingsError) as raised:
        load()
    assert [line.split(":")[0] for line in lines_of(raised.value)] == ["POLLER_CONCURRENCY", "POLLER_WEB_PORT"]


def test_an_external_database_without_keys_is_refused_with_the_command_that_makes_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLLER_DATABASE_URL", "postgresql://db/poller")
    with pytest.raises(SettingsError, match=r"POLLER_SECRET_KEYS: .*openssl rand -base64 32"):
        load()


@pytest.mark.parametrize(("snapshots", "days"), [("forever", "10y"), ("2y", "13mo"), ("400d", "399d")])
def test_daily_counts_cannot_have_a_shorter_retention_than_snapshots(
    monkeypatch: pytest.MonkeyPatch, snapshots: str, days: str
) -> None:
    monkeypatch.setenv("POLLER_SNAPSHOT_RETENTION", snapshots)
    monkeypatch.setenv("POLLER_DAILY_RETENTION", days)
    with pytest.raises(SettingsError, match=r"POLLER_DAILY_RETENTION: .* less long than the snapshots.*; write "):
        load()


def test_the_retention_forever_keeps_snapshots_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLER_SNAPSHOT_RETENTION", "Forever")
    assert load().snapshot_retention is None


def test_a_settings_file_that_is_not_utf_8_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "poller.env"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"poller\.env cannot be read: it is not UTF-8"):
        load(file)


def test_printed_settings_contain_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLER_DATABASE_URL", "postgresql://poller:hunter2@db/poller")
    monkeypatch.setenv("POLLER_SECRET_KEYS", KEY)
    monkeypatch.setenv("POLLER_PROXY", "http://u:hunter2@proxy:3128")
    monkeypatch.setenv("POLLER_NOTIFY_URLS", "json://u:hunter2@h.example")
    printed = repr(load()) + str(load())
    assert "hunter2" not in printed
    assert KEY[3:] not in printed


@pytest.mark.parametrize("character", "@/#?[]")
def test_a_password_that_needs_percent_encoding_is_reported_as_such(
    monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    monkeypatch.setenv("POLLER_SECRET_KEYS", KEY)
    monkeypatch.setenv("POLLER_DATABASE_URL", f"postgresql://clerk:pa55{character}w@localhost:5432/books")
    with pytest.raises(SettingsError, match=r"POLLER_DATABASE_URL: .*percent-encode special characters") as caught:
        load()
    assert "pa55" not in str(caught.value)
    assert "port is not" not in str(caught.value)


def test_a_digest_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLER_DIGEST", GOOD["POLLER_DIGEST"])
    with pytest.raises(SettingsError, match="POLLER_DIGEST: a digest is sent to POLLER_NOTIFY_URLS, which is not set"):
        load()
    monkeypatch.setenv("POLLER_NOTIFY_URLS", GOOD["POLLER_NOTIFY_URLS"])
    assert str(load().digest) == "monday 08:30 Europe/Berlin"


@pytest.mark.parametrize("name", NAMES)
def test_whitespace_around_a_value_is_ignored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("POLLER_SECRET_KEYS", KEY)
    monkeypatch.setenv("POLLER_NOTIFY_URLS", GOOD["POLLER_NOTIFY_URLS"])
    monkeypatch.setenv(name, GOOD[name])
    plain = load()
    monkeypatch.setenv(name, f" \t{GOOD[name]}\r\n")
    assert load() == plain


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_value_of_whitespace_alone_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    monkeypatch.setenv("POLLER_API_KEY", blank)
    monkeypatch.setenv("POLLER_WEB_PORT", blank)
    assert (load().api_key, load().web_port) == (None, 8080)
