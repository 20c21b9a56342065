"""A private PostgreSQL on a loopback port, all of it below one directory."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.supervisor.machine.child import Child
from deploy.supervisor.machine.ports import port_again
from deploy.supervisor.machine.programs import succeeds
from deploy.supervisor.machine.remembered import recall, remember, write_privately
from deploy.supervisor.machine.unprivileged import Account, unprivileged_account
from deploy.supervisor.trouble import Trouble

PACKAGES = ("postgresql",)
OWNER = "tripthread"  # the superuser
DATABASE = "tripthread"
_DEBIAN_BINARIES = Path("/usr/lib/postgresql")
_ATTEMPTS = 10

_ALWAYS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # A socket's path is limited to 107 bytes; TCP has no such limit.
    "dynamic_shared_memory_type": "mmap",  # In the data directory: what lies in /dev/shm outlives a kill -9.
    "max_connections": "300",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_THROW_AWAY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


def is_installed() -> bool:
    """Whether there is a PostgreSQL server to run."""
    return _binaries() is not None


class Postgres:
    """One PostgreSQL server.

    `start()` makes the cluster if there is none and returns when it answers. Port, password and data stay in
    the directory: `kill()` and `start()` again is the same server at the same URL. It dies with this process.
    """

    name = "postgres"

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = True,
        log: Path | None = None,
        account: Account | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the server; nothing starts yet.

        Args:
            directory: made if missing; belongs to this server alone.
            durable: False gives up fsync: quicker, for tests that never kill it.
            log: defaults to postgres.log in the directory.
            account: who it runs as where we are root; chosen where nobody says.
            settings: of the server, beside ours and before them.
        """
        self.directory = directory.absolute()
        self._settings = _ALWAYS | ({} if durable else _THROW_AWAY) | dict(settings or {})
        self._account = account
        self._log = log or self.directory / "postgres.log"
        self._facts_file = self.directory / "server.json"
        self._data = self.directory / "data"
        self._child: Child | None = None

    @property
    def port(self) -> int:
        """The loopback port; known once the server was launched."""
        return int(recall(self._facts_file)["port"])

    @property
    def password(self) -> str:
        """The superuser's password."""
        return str(recall(self._facts_file)["password"])

    @property
    def url(self) -> str:
        """The superuser's URL of the database."""
        return self.url_for(OWNER, self.password)

    def url_for(self, user: str, password: str) -> str:
        """The URL of the database for another login."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None before the first launch."""
        return None if self._child is None else self._child.pid

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return self._child is not None and self._child.running

    def start(self, timeout_s: float = 30.0) -> None:
        """Launch the server and wait until it answers queries.

        Raises:
            Trouble: it did not come up; the end of its log is in the message.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            child = self.launch()
            try:
                child.wait_ready(self.is_ready, timeout_s=timeout_s)
            except Trouble:
                # The orphans of a killed postmaster hold the cluster for a moment: the next one ends at once.
                if child.running or attempt == _ATTEMPTS:
                    self.kill()
                    raise
                time.sleep(0.5)
            else:
                return

    def launch(self) -> Child:
        """Launch the server and return at once; `is_ready()` tells when it answers."""
        if self._child is None or not self._child.running:
            self._child = self._prepare()
            self._child.launch()
        return self._child

    def is_ready(self) -> bool:
        """Whether the server takes queries (it accepts connections a little earlier)."""
        asking = _required_binaries(self._data) / "pg_isready"
        return self.running and succeeds(asking, "-q", "-h", "127.0.0.1", "-p", str(self.port))

    def stop(self, timeout_s: float = 20.0) -> None:
        """Shut down: open transactions are rolled back, committed ones are on disk."""
        if self._child is not None:
            self._child.stop(timeout_s=timeout_s, number=signal.SIGINT)

    def ask_to_stop(self) -> None:
        """Begin to shut down, and return at once."""
        if self._child is not None:
            self._child.ask_to_stop(signal.SIGINT)  # SIGTERM would wait until every client has gone.

    def kill(self) -> None:
        """End it as a power cut of the process would (SIGKILL)."""
        if self._child is not None:
            self._child.kill()

    def _prepare(self) -> Child:
        """Make what the server needs and describe its process."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = recall(self._facts_file)
        facts = {"password": secrets.token_hex(16), **facts, "port": port_again(facts.get("port"))}
        remember(self._facts_file, facts)
        account = self._account or unprivileged_account()
        account.open_way(self.directory)
        if not self._data.exists():
            _make_cluster(self._data, facts["password"], account)
        account.take_over(self._data)
        _forget_dead_postmaster(self._data)
        postgres = str(_required_binaries(self._data) / "postgres")
        options = [f"--{key}={value}" for key, value in self._settings.items()]
        argv = [*account.prefix, postgres, "-D", str(self._data), f"--port={facts['port']}", *options]
        return Child(self.name, argv, log=self._log, cwd=self.directory, account=account, env=_environment())


def _make_cluster(data: Path, password: str, account: Account) -> None:
    """Make a cluster with its database beside its final place and move it there when it is whole."""
    draft = data.with_name("data.new")
    shutil.rmtree(draft, ignore_errors=True)
    password_file = data.with_name("password")
    write_privately(password_file, password)
    draft.mkdir(mode=0o700)
    for path in (draft, password_file):
        account.own(path)
    binaries = _required_binaries(data)
    try:
        how = ["-U", OWNER, "-A", "scram-sha-256", f"--pwfile={password_file}", "--no-locale", "-E", "UTF8"]
        _run(account, [str(binaries / "initdb"), "-D", str(draft), *how, "--no-sync"])
        single = [str(binaries / "postgres"), "--single", "-D", str(draft), "postgres"]
        _run(account, single, typed=f'CREATE DATABASE "{DATABASE}" OWNER "{OWNER}"\n')
    finally:
        password_file.unlink()
    os.sync()
    draft.replace(data)


def _run(account: Account, argv: list[str], *, typed: str = "") -> None:
    done = subprocess.run(
        [*account.prefix, *argv],
        input=typed,
        capture_output=True,
        text=True,
        user=account.user,
        group=account.group,
        extra_groups=None if account.user is None else [],
        env=_environment(),
        check=False,
    )
    if done.returncode != 0 or "ERROR:" in done.stderr:
        message = f"{argv[0]} failed:\n{done.stdout}{done.stderr}"
        raise Trouble(message)


def _environment() -> dict[str, str]:
    """Ours without the caller's PG* settings, which would steer the server and its tools elsewhere."""
    return {key: value for key, value in os.environ.items() if not re.match(r"PG[A-Z]", key)}


def _forget_dead_postmaster(data: Path) -> None:
    """Remove the lock of a killed postmaster: a new process may have its number by now, and look alive."""
    lock = data / "postmaster.pid"
    try:
        pid = lock.read_text().split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        command = b""
    if str(data).encode() not in command:
        lock.unlink(missing_ok=True)


def _required_binaries(data: Path) -> Path:
    found = _binaries(data)
    if found is None:
        message = "there is no PostgreSQL server here: ./run up installs it, or: apt-get install postgresql"
        raise Trouble(message)
    return found


def _binaries(data: Path | None = None) -> Path | None:
    """Where initdb and postgres are: those that made the data, else the newest."""
    version = data / "PG_VERSION" if data is not None else None
    if version is not None and version.exists():
        same = _DEBIAN_BINARIES / version.read_text().strip() / "bin"
        if (same / "postgres").exists():
            return same
    debian = [path.parent for path in _DEBIAN_BINARIES.glob("*/bin/postgres")]
    if debian:
        return max(debian, key=lambda path: float(path.parent.name))
    on_path = shutil.which("postgres")
    return None if on_path is None else Path(on_path).resolve().parent
