from __future__ import annotations

import pytest

from poller.core.datacenters import ZOHO_DATA_CENTERS, DataCenter, is_believable_api_domain, with_operators

US = ZOHO_DATA_CENTERS["us"]


@pytest.mark.parametrize("data_center", ZOHO_DATA_CENTERS.values(), ids=str)
def test_the_own_domain_of_every_data_centre_is_accepted(data_center: DataCenter) -> None:
    assert is_believable_api_domain(data_center.api_domain, data_center)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.zoho.eu",
        "https://sandbox.zohoapis.com",
        "https://www.zohoapis.com/",
        "https://zohoapis.in",
    ],
)
def test_other_host_names_under_a_zoho_domain_are_accepted(url: str) -> None:
    assert is_believable_api_domain(url, US)


@pytest.mark.parametrize(
    "url",
    [
        "http://www.zohoapis.com",
        "https://zohoapis.com.evil.example",
        "https://evil-zohoapis.com",
        "https://www.zohoapis.com@evil.example",
        "https://www.zohoapis.com:8443",
        "https://www.zohoapis.com/path",
        "https://www.zohoapis.com?x=1",
        "https://www.zohoapis.com#x",
        "https://www.zohoapis.com\\.evil.example",
        "https://www.zohoapis.com\n.evil.example",
        "https://xn--zhoapis-r4c.com",
        "https://www.zоhoapis.com",  # noqa: RUF001 - a Cyrillic o is the point
        "https://127.0.0.1",
        "https://",
        "",
        "http://127.0.0.1:9001",
    ],
)
def test_a_look_alike_domain_is_not_accepted(url: str) -> None:
    assert not is_believable_api_domain(url, US)


def test_an_api_domain_listed_by_the_operator_is_accepted_only_for_its_data_centre() -> None:
    table = with_operators(
        {"lab": {"accounts_server": "http://127.0.0.1:9000", "api_domains": ["http://127.0.0.1:9001"]}}
    )
    assert is_believable_api_domain("http://127.0.0.1:9001", table["lab"])
    assert not is_believable_api_domain("http://127.0.0.1:9001", table["us"])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://lab.example", "loopback only"),
        ("ftp://127.0.0.1", "https"),
        ("https://a:b@lab.example", "user-info"),
        ("https://lab.example/path", "end after the host"),
        ("https://lab.example:99999", "port"),
        ("https://lab.example:0", "port"),
        ("https://lab.example:x", "port"),
        ("https://[lab", "not an address"),
    ],
)
def test_a_data_centre_address_that_could_leak_credentials_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        with_operators({"lab": {"accounts_server": url, "api_domains": ["https://lab.example"]}})


@pytest.mark.parametrize("data_center", ZOHO_DATA_CENTERS.values(), ids=str)
def test_the_addresses_of_zohos_data_centres_cannot_be_overridden(data_center: DataCenter) -> None:
    own = {"accounts_server": data_center.accounts_server, "api_domains": list(data_center.api_domains)}
    assert with_operators({data_center.name: own}) == ZOHO_DATA_CENTERS
    for changed in ({"accounts_server": "http://127.0.0.1:9"}, {"api_domains": ["http://127.0.0.1:9"]}):
        with pytest.raises(ValueError, match="is one of Zoho's own data centres"):
            with_operators({data_center.name: {**own, **changed}})
