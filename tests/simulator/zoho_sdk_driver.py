"""Runs in the environment of Zoho's SDK: reads orgs as JSON, prints what the SDK read.

An org is `{"base", "client_id", "client_secret", "refresh_token" | "grant_code"}`. The output has `counts` by type,
`org` and `licences` as the SDK read them. This module knows only the SDK and the ten user types.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api import Initializer, ParameterMap  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api.dc import DataCenter  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api.features import FeaturesOperations  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api.users import UsersOperations  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api.users.users_operations import UsersCountParam  # type: ignore[import-not-found]

TYPES = (
    "AllUsers",
    "ActiveUsers",
    "DeactiveUsers",
    "ConfirmedUsers",
    "NotConfirmedUsers",
    "DeletedUsers",
    "ActiveConfirmedUsers",
    "AdminUsers",
    "ActiveConfirmedAdmins",
    "CurrentUser",
)


def read_org(org: dict[str, str], folder: Path) -> dict[str, Any]:
    """Everything the SDK can read from one org, with a separate token store."""
    base = org["base"]
    Initializer.initialize(
        environment=DataCenter.Environment(base, f"{base}/oauth/v2/token", base),
        token=OAuthToken(
            client_id=org["client_id"],
            client_secret=org["client_secret"],
            refresh_token=org.get("refresh_token"),
            grant_token=org.get("grant_code"),
            find_user=False,
        ),
        store=FileStore(str(folder / f"{org['client_id']}.csv")),
        sdk_config=SDKConfig(read_timeout=10, connect_timeout=5, update_api_domain=False),
        resource_path=str(folder),
    )
    return {"counts": {user_type: _count(user_type) for user_type in TYPES}, "org": _org(), "licences": _licences()}


def _count(user_type: str) -> Any:
    parameters = ParameterMap()
    parameters.add(UsersCountParam.type, user_type)
    reply = UsersOperations().users_count(parameters)
    if reply.get_status_code() != 200:
        return reply.get_object().get_code().get_value()
    return reply.get_object().get_count()


def _org() -> dict[str, Any]:
    (org,) = OrgOperations().get_organization().get_object().get_org()
    licences = org.get_license_details()
    return {
        "company_name": org.get_company_name(),
        "zgid": org.get_zgid(),
        "time_zone": org.get_time_zone(),
        "paid_type": licences.get_paid_type(),
        "users_license_purchased": licences.get_users_license_purchased(),
    }


def _licences() -> dict[str, int] | None:
    reply = FeaturesOperations().get_user_licences_count()
    if reply.get_status_code() == 204:
        return None
    details = reply.get_object().get_features()[0].get_details()
    return {
        "limits": details.get_limits().get_total(),
        "used_count": details.get_used_count().get_total(),
        "available_count": details.get_available_count().get_total(),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        json.dump([read_org(org, Path(name)) for org in json.load(sys.stdin)], sys.stdout)
