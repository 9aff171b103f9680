"""Requests counts with Zoho's own SDK, in the SDK's own environment, and measures the time.

Reads `{"base", "requests", "threads"}` as JSON, obtains a token, and prints `{"seconds", "cpu_seconds"}`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api import Initializer, ParameterMap  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api.dc import DataCenter  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api.sdk_config import SDKConfig  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api.users import UsersOperations  # type: ignore[import-not-found]
from zohocrmsdk.src.com.zoho.crm.api.users.users_operations import UsersCountParam  # type: ignore[import-not-found]

TYPES = ("AllUsers", "ActiveUsers", "DeactiveUsers", "ConfirmedUsers", "AdminUsers")


def main(base: str, requests: int, threads: int, folder: Path) -> dict[str, float]:
    Initializer.initialize(
        environment=DataCenter.Environment(base, f"{base}/oauth/v2/token", base),
        token=OAuthToken(client_id="1000.BENCH", client_secret="bench", refresh_token="1000.bench", find_user=False),
        store=FileStore(str(folder / "tokens.csv")),
        sdk_config=SDKConfig(read_timeout=10, connect_timeout=5, update_api_domain=False),
        resource_path=str(folder),
    )
    _count(0)
    troubles: list[BaseException] = []

    def work(share: int) -> None:
        try:
            for number in range(share):
                _count(number)
        except BaseException as trouble:  # noqa: BLE001 - a thread's would be printed, and its share not be asked
            troubles.append(trouble)

    started, cpu_started = time.perf_counter(), time.process_time()
    workers = [threading.Thread(target=work, args=(requests // threads,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if troubles:
        raise troubles[0]
    return {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu_started}


def _count(number: int) -> None:
    parameters = ParameterMap()
    parameters.add(UsersCountParam.type, TYPES[number % len(TYPES)])
    reply = UsersOperations().users_count(parameters)
    assert reply.get_status_code() == 200
    assert reply.get_object().get_count() > 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        json.dump(main(**json.load(sys.stdin), folder=Path(name)), sys.stdout)
