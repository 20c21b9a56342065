"""The process behind `./run up`: servers, migration, services, and the supervision of them all."""

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from deploy.supervisor.layout import Layout
from deploy.supervisor.machine.child import Child
from deploy.supervisor.machine.env_file import read_env, write_env
from deploy.supervisor.machine.lock import held
from deploy.supervisor.machine.ports import free_port, listens
from deploy.supervisor.machine.programs import output_of
from deploy.supervisor.machine.spool import turn_over_output
from deploy.supervisor.planned.credentials import load_credentials
from deploy.supervisor.planned.plan import SERVER_ORDER, Plan, Servers, Service
from deploy.supervisor.private.servers import Postgres, RabbitMQ
from deploy.supervisor.supervising.supervisor import Supervisor
from deploy.supervisor.supervising.unit import Unit
from deploy.terminal import say

_SERVER_START_S = 90.0
_MIGRATION_S = 120.0


class Stopped(BaseException):
    """We were told to end. Not an `Exception`: nothing but the end of the stack may catch it."""


def run_stack(layout: Layout, counts: Mapping[str, int]) -> None:
    """Bring the stack up and look after it until a signal ends it; nothing of it is left then.

    Raises:
        LockedError: one runs already.
        Trouble: it did not come up.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop_once)
    os.umask(0o077)  # Logs and data are nobody else's business.
    with held(layout.lock_file), suppress(Stopped):
        stack = Stack(layout)
        try:
            stack.bring_up(counts)
            stack.look_after()
        finally:
            stack.take_down()


class Stack:
    """The native stack: everything on this machine, below `.run/`."""

    _plan: Plan  # Made when the servers have their addresses.

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._postgres = Postgres(layout.run / "postgres", log=layout.log("postgres"))
        self._broker = RabbitMQ(layout.run / "rabbitmq", log=layout.log("rabbitmq"))
        self._supervisor = Supervisor(layout.run, self._write_directions)
        self._admin_token = ""

    def bring_up(self, counts: Mapping[str, int]) -> None:
        """Start the servers, migrate, launch the services. They may need a moment more to be ready."""
        self._start_servers()
        servers = Servers(self._postgres.url, self._postgres.url_for, self._broker.url, self._broker.url_for)
        caller = {**read_env(self._layout.root / ".env"), **os.environ}
        credentials = load_credentials(self._layout.secrets_file)
        self._plan = Plan(servers, credentials, caller, lambda port, taken: free_port(port, taken=taken))
        self._migrate()
        self._broker.import_definitions(self._command("logins", "--definitions"))
        self._launch(self._plan.services(counts))
        self._admin_token = self._command("token", "--user", "admin", "--role", "admin", "--expires", "30d")

    def look_after(self) -> NoReturn:
        """Keep it running, until a signal."""
        self._supervisor.run({"extend": self._extend})
        raise AssertionError

    def take_down(self) -> None:
        """Stop the services, then the servers."""
        _say("stopping")
        self._supervisor.shut_down()
        self._broker.stop()
        self._postgres.stop()
        self._layout.env_file.unlink(missing_ok=True)

    def _start_servers(self) -> None:
        for server in (self._postgres, self._broker):
            unit = Unit(server, order=SERVER_ORDER, say=self._say, drain_s=20.0, is_ready=server.is_ready)
            self._supervisor.add(unit)
            unit.ports = (server.port,)
        self._postgres.start(_SERVER_START_S)
        self._broker.start(_SERVER_START_S)

    def _migrate(self) -> None:
        migration = self._child("migrate", ("-m", "deploy.cli", "migrate"), self._plan.environment("migrate"))
        migration.launch()
        migration.wait_end(_MIGRATION_S)

    def _launch(self, services: list[Service]) -> None:
        for service in services:
            known = self._supervisor.units.get(service.name)
            if known is not None:
                known.start()
                continue
            child = self._child(service.name, service.arguments, service.env)
            listening = partial(_listens, child, service.ports)
            self._supervisor.add(
                Unit(child, service.order, self._say, service.drain_s, service.ready_urls, listening, service.ports)
            )

    def _extend(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._launch(self._plan.services(request["counts"]))
        self._supervisor.announce()
        return {}

    def _command(self, *arguments: str) -> str:
        """Run `tripthread`, and give what it prints."""
        command, env = f"tripthread {arguments[0]}", self._plan.environment(arguments[0])
        return output_of(command, self._layout.python, "-m", "deploy.cli", *arguments, env=env, cwd=self._layout.root)

    def _write_directions(self, pids: Mapping[str, int]) -> None:
        numbers = {f"PID_{name}": str(pid) for name, pid in pids.items()}
        directions = self._plan.directions() | {"ADMIN_TOKEN": self._admin_token}
        write_env(self._layout.env_file, directions | numbers)

    def _say(self, what: str) -> None:
        _say(what)
        turn_over_output(self._layout.log("supervisor"))

    def _child(self, name: str, arguments: tuple[str, ...], env: Mapping[str, str]) -> Child:
        argv = [str(self._layout.python), *arguments]
        return Child(name, argv, log=self._layout.log(name), env=env, cwd=self._layout.root)


def _listens(child: Child, ports: tuple[int, ...]) -> bool:
    return listens(child.pid, ports)


def _stop_once(number: int, _frame: object) -> None:
    """Turn the first signal into the end; while we are ending, more of them change nothing."""
    for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    _say(f"told to stop ({signal.Signals(number).name})")
    raise Stopped


def _say(what: str) -> None:
    say(f"{time.strftime('%H:%M:%S')} {what}")
