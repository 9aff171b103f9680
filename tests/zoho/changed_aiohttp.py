"""A copy of the installed aiohttp with changed names or behaviour, as in a future release."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping

_ASK = """
import asyncio, json, sys
from poller import log
from poller.core.model import UserType
from poller.core.reply import NoReply
from poller.core.secret import Secret
from poller.zoho.client import open_client

def shown(answer):
    return answer.failure.value if isinstance(answer, NoReply) else [answer.status, answer.body.decode()]

async def main(base, token):
    log.configure(log_format="json", level="info")
    async with open_client(connections=4, request_timeout_seconds=60) as client:
        answers = [shown(await client.count(base, "v7", UserType.ALL, Secret(token))) for _ in range(3)]
        answers.append(shown(await client.post_token(base, {"refresh_token": Secret(token)})))
        print(json.dumps({"mode": client.mode, "answers": answers}))

asyncio.run(main(*sys.argv[1:]))
"""


class Asked(NamedTuple):
    """The result of a process with this aiohttp: final mode, replies to three counts and a token request, and log."""

    mode: str
    answers: list[Any]
    log: list[dict[str, Any]]
    errors: str


def change(folder: Path, pattern: str, replacement: str, files: str = "*.py") -> None:
    """Copies aiohttp into `folder` if missing, and replaces each match of `pattern` in its `files`.

    A file whose whole name matches is renamed.
    """
    package = folder / "aiohttp"
    if not package.exists():
        package.mkdir()
        for entry in Path(aiohttp.__file__).parent.iterdir():
            if entry.name != "__pycache__":
                (package / entry.name).symlink_to(entry)
    changed = 0
    for entry in sorted(package.glob(files)):
        text, count = re.subn(pattern, replacement, entry.read_text())
        if count:
            entry.unlink()
            entry.write_text(text)
            changed += count
        if re.fullmatch(pattern, entry.stem):
            entry.rename(entry.with_stem(re.sub(pattern, replacement, entry.stem)))
    assert changed, f"aiohttp {aiohttp.__version__} has no {pattern}"


async def ask_with(folder: Path, base: str, token: str) -> Asked:
    """Sends three counts and a token request from a process that imports aiohttp from `folder`."""
    environ: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(folder)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _ASK, base, token),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    found = json.loads(out)
    return Asked(found["mode"], found["answers"], [json.loads(line) for line in errors.splitlines()], errors.decode())
