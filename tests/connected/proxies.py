"""nginx, HAProxy and Caddy with the files of deploy/proxies, but for their addresses; installed where missing."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.supervisor.machine.packages import require
from deploy.supervisor.machine.ports import free_port
from deploy.supervisor.trouble import Trouble
from tests.processes import ROOT
from tests.waiting import until_true

CONFIGURATIONS = ROOT / "deploy" / "proxies"
FILES = {
    "nginx": CONFIGURATIONS / "nginx.conf",
    "haproxy": CONFIGURATIONS / "haproxy.cfg",
    "caddy": CONFIGURATIONS / "Caddyfile",
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What /etc/nginx/nginx.conf is to the files of its conf.d.
NGINX = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    include {file};
}}
"""


@asynccontextmanager
async def before(gateway_port: int, proxy: str, directory: Path, changes: Mapping[str, str]) -> AsyncIterator[int]:
    """Run a proxy before the gateway, and return its port.

    Args:
        gateway_port: Of the gateway, on loopback.
        proxy: Which one.
        directory: For its files.
        changes: What stands otherwise in its configuration than in ours.
    """
    _install(proxy, directory)
    port = free_port()
    text = FILES[proxy].read_text()
    for ours, other in {"127.0.0.1:8080": f"127.0.0.1:{gateway_port}", ":8000": f":{port}", **changes}.items():
        assert ours in text
        text = text.replace(ours, other)
    file = directory / FILES[proxy].name
    file.write_text(text)
    process = _start(_command(proxy, file), directory)
    try:
        await until_true(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, (directory / "output").read_text()
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(command: list[str], directory: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PATH": PATH, "HOME": str(directory), "XDG_DATA_HOME": str(directory / "data")}
    with (directory / "output").open("wb") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


def _install(proxy: str, directory: Path) -> None:
    try:
        require(proxy, (proxy,), lambda: _is_there(proxy), log=directory / "apt.log")
    except Trouble as trouble:
        pytest.skip(str(trouble))


def _is_there(proxy: str) -> bool:
    return any((Path(folder) / proxy).exists() for folder in PATH.split(":"))


def _command(proxy: str, file: Path) -> list[str]:
    if proxy == "caddy":
        return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
    if proxy == "haproxy":
        return ["haproxy", "-db", "-f", str(file)]
    whole = file.with_name("whole.conf")
    whole.write_text(NGINX.format(directory=file.parent, file=file))
    return ["nginx", "-c", str(whole), "-p", str(file.parent)]


def _listens(port: int) -> bool:
    with socket.socket() as looking:
        return looking.connect_ex(("127.0.0.1", port)) == 0
