"""What a stack is made of: its services, their addresses and their environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy.supervisor.planned.credentials import LOGINS, ROLES
from deploy.supervisor.planned.outside import SANDBOX_TOKEN, outside_systems, sandbox_directions

CONSUMERS = ("logger", "tagger", "workflow")
GATEWAY_ORDER, CONSUMER_ORDER, SANDBOX_ORDER, SERVER_ORDER = 3, 2, 1, 0

_PUBLIC_PORT, _INTERNAL_PORT, _MODEL_PORT, _AVINODE_PORT = 8080, 9080, 8090, 8099


@dataclass(frozen=True)
class Service:
    """One process of ours to run."""

    name: str
    arguments: tuple[str, ...]  # to the venv's Python
    env: Mapping[str, str]
    order: int
    drain_s: float
    ready_urls: tuple[str, ...]
    ports: tuple[int, ...]


@dataclass(frozen=True)
class Servers:
    """Where the private servers are."""

    database_url: str  # as the superuser
    role_url: Callable[[str, str], str]  # the same for another login and its password
    amqp_url: str  # as the administrator
    login_url: Callable[[str, str], str]  # the same for another login and its password


class Plan:
    """Gives every service an address and an environment, and says how to reach the whole.

    The addresses of a service stay what they are for the life of the plan.
    """

    def __init__(
        self,
        servers: Servers,
        credentials: Mapping[str, str],
        caller: Mapping[str, str],
        choose_port: Callable[[int, frozenset[int]], int],
    ) -> None:
        """Give the sandbox and the first gateway their addresses.

        Args:
            caller: the environment `./run` was called with; its OPENAI_* and AVINODE_* win over the sandbox.
            choose_port: picks a free port from a preferred one upwards, none of those promised already.
        """
        self._caller = caller
        self._credentials = credentials
        self._choose_port = choose_port
        self._promised: dict[tuple[str, str], int] = {}
        self._model_url = self._url("sandbox", "model", _MODEL_PORT)
        self._avinode_url = self._url("sandbox", "avinode", _AVINODE_PORT)
        self._shared = self._shared_environment(servers)

    def services(self, counts: Mapping[str, int]) -> list[Service]:
        """Describe so many of each service, and the sandbox where it stands in for anything."""
        names = [name for kind in ("gateway", *CONSUMERS) for name in instances(kind, counts.get(kind, 1))]
        sandbox = [self._sandbox()] if self._simulated() else []
        return [*sandbox, *(self._service(name) for name in names)]

    def directions(self) -> dict[str, str]:
        """How to reach what was planned so far: the content of `.run/env`, process ids aside."""
        gateways = [name for name, use in self._promised if use == "public"]
        urls = {
            f"{prefix}{_suffix(name)}": self._url(name, use)
            for name in gateways
            for prefix, use in (("TRIPTHREAD_URL", "public"), ("TRIPTHREAD_INTERNAL_URL", "internal"))
        }
        internal = {f"INTERNAL_URL_{name}": self._url(name, use) for name, use in self._promised if use == "internal"}
        return urls | internal | self._simulated() | self._shared

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a process of ours, without its own addresses.

        A service gets the logins it uses and no others; a command such as `migrate` gets them all.
        """
        whole = {**self._caller, **_QUIET, **_no_proxy(self._caller), **self._shared, "INSTANCE": name}
        logins = _LOGINS.get(name.partition("_")[0])
        return {key: value for key, value in whole.items() if logins is None or _may_have(logins, key)}

    def _simulated(self) -> dict[str, str]:
        return sandbox_directions(self._shared, model_url=self._model_url, avinode_url=self._avinode_url)

    def _service(self, name: str) -> Service:
        kind = name.partition("_")[0]
        env = self.environment(name)
        if kind == "gateway":
            env |= {"HTTP_HOST": "127.0.0.1", "HTTP_PORT": str(self._port(name, "public", _PUBLIC_PORT))}
        env |= {"INTERNAL_HOST": "127.0.0.1", "INTERNAL_PORT": str(self._port(name, "internal", _INTERNAL_PORT))}
        return Service(
            name,
            ("-m", "deploy.cli", "serve", kind),
            env,
            order=GATEWAY_ORDER if kind == "gateway" else CONSUMER_ORDER,
            drain_s=25.0,
            ready_urls=(f"{self._url(name, 'internal')}/readyz",),
            ports=self._ports(name),
        )

    def _sandbox(self) -> Service:
        target = self._url("gateway", "public", _PUBLIC_PORT)
        env = self.environment("sandbox") | {
            "LLM_PORT": str(self._port("sandbox", "model")),
            "AVINODE_PORT": str(self._port("sandbox", "avinode")),
            "AVINODE_WEBHOOK_TARGET": f"{target}/api/webhooks/avinode",
            "AVINODE_API_TOKEN": SANDBOX_TOKEN,
            "AVINODE_AUTH_TOKEN": SANDBOX_TOKEN,
        }
        ready = (f"{self._model_url}/healthz", f"{self._avinode_url}/healthz")
        arguments, ports = ("-m", "deploy.sandbox"), self._ports("sandbox")
        return Service("sandbox", arguments, env, SANDBOX_ORDER, drain_s=5.0, ready_urls=ready, ports=ports)

    def _shared_environment(self, servers: Servers) -> dict[str, str]:
        roles = {
            f"{role.upper()}_DATABASE_URL": servers.role_url(
                f"tripthread_{role}", self._credentials[f"{role}_database_password"]
            )
            for role in ROLES
        }
        logins = {
            f"{login.upper()}_AMQP_URL": servers.login_url(
                f"tripthread_{login}", self._credentials[f"{login}_amqp_password"]
            )
            for login in LOGINS
        }
        return {
            "ENVIRONMENT": "development",
            "DATABASE_URL": servers.database_url,
            **roles,
            "AMQP_URL": servers.amqp_url,
            **logins,
            "JWT_SECRET": self._credentials["jwt_secret"],
            "COOKIE_SECRET": self._credentials["cookie_secret"],
            "AVINODE_WEBHOOK_USER": "avinode",
            "AVINODE_WEBHOOK_PASSWORD": self._credentials["webhook_password"],
            **outside_systems(self._caller, model_url=self._model_url, avinode_url=self._avinode_url),
        }

    def _port(self, name: str, use: str, preferred: int = 0) -> int:
        if (name, use) not in self._promised:
            self._promised[name, use] = self._choose_port(preferred, frozenset(self._promised.values()))
        return self._promised[name, use]

    def _ports(self, name: str) -> tuple[int, ...]:
        return tuple(port for (owner, _), port in self._promised.items() if owner == name)

    def _url(self, name: str, use: str, preferred: int = 0) -> str:
        return f"http://127.0.0.1:{self._port(name, use, preferred)}"


# The database's roles and the broker's login that each service logs in as.
_LOGINS = {
    "gateway": ("gateway", "reader", "admin"),
    "logger": ("logger",),
    "tagger": ("tagger",),
    "workflow": ("workflow",),
    "sandbox": (),
}
_QUIET = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


def instances(kind: str, count: int) -> list[str]:
    """Name so many processes of a service: logger, logger_2, ..."""
    return [kind, *(f"{kind}_{number}" for number in range(2, count + 1))]


def _may_have(logins: tuple[str, ...], variable: str) -> bool:
    for end in ("database_url", "amqp_url"):
        if variable.lower().endswith(end):
            return variable.lower().removesuffix(end).removesuffix("_") in logins
    return True


def _suffix(name: str) -> str:
    return name.removeprefix("gateway")


def _no_proxy(caller: Mapping[str, str]) -> dict[str, str]:
    """Keep calls to our own addresses away from the caller's HTTP proxy."""
    hosts = ",".join(filter(None, (caller.get("NO_PROXY") or caller.get("no_proxy"), "127.0.0.1,localhost")))
    return {"NO_PROXY": hosts, "no_proxy": hosts}
