"""A private RabbitMQ node on loopback ports, all of it below one directory."""

import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from deploy.supervisor.machine.child import Child
from deploy.supervisor.machine.ports import answers, port_again
from deploy.supervisor.machine.programs import output_of
from deploy.supervisor.machine.remembered import recall, remember, write_privately
from deploy.supervisor.trouble import Trouble

PACKAGES = ("rabbitmq-server",)
USER = "tripthread"
# Not /usr/sbin/rabbitmq-server: that wrapper changes directory and user, and refuses anybody else.
_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_CTL = _SERVER.with_name("rabbitmqctl")
_PORTS = ("port", "distribution_port", "epmd_port")

# Erlang's schedulers spin for a while where they have nothing to do, which took more of a processor than their work
# (2.3 ms a turn, and 1.0 without): https://www.rabbitmq.com/docs/runtime
IDLE_SLEEPS = "+sbwt none +sbwtdcpu none +sbwtdio none"

_CONFIG = """\
default_user = {user}
default_pass = {password}
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 100MB
raft.wal_max_size_bytes = 64000000
"""


def is_installed() -> bool:
    """Whether there is a RabbitMQ server to run."""
    return _SERVER.exists() and shutil.which("epmd") is not None


class RabbitMQ:
    """One RabbitMQ node with an epmd of its own.

    `start()` returns when it takes connections. Ports, password and data stay in the directory: `kill()` and
    `start()` again is the same broker at the same URL. It dies with this process.
    """

    name = "rabbitmq"

    def __init__(self, directory: Path, *, durable: bool = True, log: Path | None = None) -> None:
        """Describe the node; nothing starts yet.

        Args:
            directory: made if missing; belongs to this node alone.
            durable: False makes `stop()` a kill, which takes no time: for tests.
            log: defaults to rabbitmq.log in the directory.
        """
        self.directory = directory.absolute()
        self.durable = durable
        self._log = log or self.directory / "rabbitmq.log"
        self._facts_file = self.directory / "server.json"
        self._node: Child | None = None
        self._epmd: Child | None = None

    @property
    def port(self) -> int:
        """The AMQP port; known once the node was launched."""
        return int(recall(self._facts_file)["port"])

    @property
    def url(self) -> str:
        """The AMQP URL of the default virtual host, for an administrator of the node."""
        return self.url_for(USER, recall(self._facts_file)["password"])

    def url_for(self, login: str, password: str) -> str:
        """The same for another login."""
        return f"amqp://{login}:{password}@127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int | None:
        """The node's process id; None before the first launch."""
        return None if self._node is None else self._node.pid

    @property
    def running(self) -> bool:
        """Whether the node's process lives."""
        return self._node is not None and self._node.running

    def start(self, timeout_s: float = 60.0) -> None:
        """Launch the node and wait until it takes connections.

        Raises:
            Trouble: it did not come up; the end of its log is in the message.
        """
        try:
            self.launch().wait_ready(self.is_ready, timeout_s=timeout_s)
        except Trouble:
            self.kill()
            raise

    def launch(self) -> Child:
        """Launch the node and return at once; `is_ready()` tells when it takes connections."""
        if self._node is None or not self._node.running:
            facts = self._prepare()
            self._launch_epmd(facts)
            argv = [str(_required_server())]
            self._node = Child(self.name, argv, log=self._log, env=self._environment(facts), cwd=self.directory)
            self._node.launch()
        return self._node

    def is_ready(self) -> bool:
        """Whether the node takes AMQP connections: its listeners open last."""
        return self.running and answers(self.port)

    def stop(self, timeout_s: float = 20.0) -> None:
        """Shut the node down; one that is not durable is killed."""
        if self._node is not None and self.durable:
            self._node.stop(timeout_s=timeout_s)
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()

    def ask_to_stop(self) -> None:
        """Begin to shut down, and return at once."""
        if self._node is not None:
            self._node.ask_to_stop()

    def kill(self) -> None:
        """End the node as a power cut of the process would (SIGKILL)."""
        if self._node is not None:
            self._node.kill()

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl against this node, for tests, and return what it said. Takes half a second: never poll."""
        environment = self._environment(recall(self._facts_file))
        return output_of(f"rabbitmqctl {' '.join(arguments)}", _CTL, *arguments, env=environment)

    def import_definitions(self, definitions: str) -> None:
        """Make logins, or what else definitions describe, or change it: one call, since each takes half a second."""
        file = self.directory / "definitions.json"
        write_privately(file, definitions)
        try:
            self.ctl("import_definitions", str(file))
        finally:
            file.unlink()

    def _prepare(self) -> dict[str, Any]:
        """Write what the node reads at its start, choosing ports where the last ones are gone."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = {
            "password": secrets.token_hex(16),
            "cookie": secrets.token_hex(16),
            **recall(self._facts_file),
        }
        keep_epmd = self._epmd is not None and self._epmd.running
        for name in _PORTS:
            if name == "epmd_port" and keep_epmd:
                continue
            promised = frozenset(value for value in facts.values() if isinstance(value, int))
            facts[name] = port_again(facts.get(name), taken=promised)
        remember(self._facts_file, facts)
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        write_privately(home / ".erlang.cookie", facts["cookie"])
        write_privately(self.directory / "rabbitmq.conf", _CONFIG.format(user=USER, **facts))
        (self.directory / "advanced.config").write_text("[].\n")
        (self.directory / "enabled_plugins").write_text("[].\n")  # Management makes a clean stop of 3.10 take 6 s.
        return facts

    def _launch_epmd(self, facts: dict[str, Any]) -> None:
        """Launch Erlang's name server as our own child: one that a node starts for itself outlives us."""
        if self._epmd is not None and self._epmd.running:
            return
        epmd = shutil.which("epmd") or "epmd"
        argv = [epmd, "-port", str(facts["epmd_port"]), "-address", "127.0.0.1"]
        self._epmd = Child("epmd", argv, log=self._log, env=self._environment(facts), cwd=self.directory)
        self._epmd.launch()
        self._epmd.wait_ready(lambda: answers(facts["epmd_port"]), timeout_s=10.0)

    def _environment(self, facts: dict[str, Any]) -> dict[str, str]:
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        return ours | {
            "HOME": str(self.directory / "home"),
            "RUNNING_UNDER_SYSTEMD": "1",  # The script then becomes the node, so that its pid is the node's.
            "ERL_EPMD_PORT": str(facts["epmd_port"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_NODENAME": "tripthread@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(facts["port"]),
            "RABBITMQ_DIST_PORT": str(facts["distribution_port"]),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.directory),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(self.directory / "rabbitmq.pid"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            # Distribution would listen on every address.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {{127,0,0,1}} {IDLE_SLEEPS}",
        }


def _required_server() -> Path:
    if not _SERVER.exists():
        message = "there is no RabbitMQ server here: ./run up installs it, or: apt-get install rabbitmq-server"
        raise Trouble(message)
    return _SERVER
