"""Caddy and nginx with the files of `deploy/proxies`, before a service on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES: Final = Path(__file__).parents[2] / "deploy" / "proxies"
HOST: Final = "poller.example.org"
_UPSTREAM: Final = "127.0.0.1:8080"
_SECONDS: Final = 60.0


def nginx_program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


PROXIES: Final = {"caddy": shutil.which("caddy"), "nginx": nginx_program()}
each_proxy = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(program is None, reason=f"{name} is not installed"))
        for name, program in PROXIES.items()
    ],
)


@contextmanager
def proxying(name: str, port: int, upstream: int) -> Iterator[ssl.SSLContext]:
    """Runs a proxy at https://poller.example.org:PORT on loopback; yields what a client needs to trust it."""
    with tempfile.TemporaryDirectory(prefix=f"poller-{name}-") as made:
        folder, authority = Path(made), trustme.CA()
        authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(folder / "certificate.pem"))
        write, command = {"caddy": _write_caddy, "nginx": _write_nginx}[name](folder, port, upstream)
        (folder / "settings").write_text(write)
        home = {"HOME": made, "XDG_DATA_HOME": made, "XDG_CONFIG_HOME": made}
        environ = {
            **home,
            "PATH": os.environ["PATH"],
            "POLLER_SITE": f"https://{HOST}:{port}",
            "POLLER_UPSTREAM": f"127.0.0.1:{upstream}",
        }
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            _wait_for(port, process, folder / "output")
            context = ssl.create_default_context()
            authority.configure_trust(context)
            yield context
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_SECONDS)


def _write_caddy(folder: Path, _port: int, _upstream: int) -> tuple[str, list[str]]:
    """Options of a Caddy without rights, then the example; the certificate is ours instead of a public one."""
    loaded = f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\nimport {folder / 'example'}\n"
    example = (EXAMPLES / "Caddyfile").read_text(encoding="utf-8")
    first, rest = example.split("{$POLLER_SITE:https://poller.example.org} {\n")
    certificate = folder / "certificate.pem"
    (folder / "example").write_text(
        f"{first}{{$POLLER_SITE:https://poller.example.org}} {{\n\ttls {certificate} {certificate}\n{rest}"
    )
    return loaded, [PROXIES["caddy"] or "", "run", "--adapter", "caddyfile", "--config", str(folder / "settings")]


def _write_nginx(folder: Path, port: int, upstream: int) -> tuple[str, list[str]]:
    """The example with its three values changed, within the settings of an nginx without rights."""
    example = (EXAMPLES / "nginx.conf").read_text(encoding="utf-8")
    for old, new in {
        _UPSTREAM: f"127.0.0.1:{upstream}",
        "    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n": f"    listen 127.0.0.1:{port} ssl http2;\n",
        "/etc/ssl/poller.pem": str(folder / "certificate.pem"),
        "/etc/ssl/poller.key": str(folder / "certificate.pem"),
    }.items():
        assert old in example, old
        example = example.replace(old, new)
    (folder / "site").write_text(example)
    kept = "".join(
        f"    {kind}_temp_path {folder / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    settings = (
        f"{user}daemon off;\nworker_processes 1;\npid {folder / 'pid'};\nerror_log stderr;\nevents {{}}\n"
        f"http {{\n    access_log off;\n{kept}    include {folder / 'site'};\n}}\n"
    )
    return settings, [PROXIES["nginx"] or "", "-p", str(folder), "-c", str(folder / "settings")]


def _wait_for(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, output.read_text(errors="replace")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"no proxy on port {port}: {output.read_text(errors='replace')}")
