"""The containers: one image, built, brought up by compose beside the official servers, and used through the port.

Runs where a Docker engine answers and has the base images already, for nothing is pulled in a test. TRIPTHREAD_IMAGE
names an image that is there already; then none is built.
"""

import json
import os
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.supervisor.machine.ports import free_port
from shared.ids import new_id
from shared.topology import LOGINS
from tests.servers import POSTGRES_IMAGE, RABBITMQ_IMAGE

ROOT = Path(__file__).parents[2]
PYTHON_IMAGE = "python:3.12-slim-bookworm"
BUILT_ELSEWHERE = os.environ.get("TRIPTHREAD_IMAGE")
UP_S = 300.0

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def succeeds(*argv: str) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def why_not() -> str:
    """Say what is missing here; nothing where compose can be tried."""
    if not succeeds("docker", "compose", "version"):
        return "docker compose is not installed"
    if not succeeds("docker", "info", "--format", "{{.ServerVersion}}"):
        return "no Docker engine answers"
    wanted = (POSTGRES_IMAGE, RABBITMQ_IMAGE, BUILT_ELSEWHERE or PYTHON_IMAGE)
    missing = [image for image in wanted if not succeeds("docker", "image", "inspect", image)]
    return f"the Docker engine has not these images (docker pull them): {', '.join(missing)}" if missing else ""


class Compose:
    """One project of its own, on free ports, with the sandbox."""

    def __init__(self, directory: Path) -> None:
        self.project = f"tripthread-test-{new_id().hex[-8:]}"
        self.image = BUILT_ELSEWHERE or f"tripthread:{self.project}"
        self.port = free_port()
        self._env_file = directory / "compose.env"
        self._env_file.write_text("".join(f"{name}={value}\n" for name, value in self._variables().items()))

    def run(self, *arguments: str, timeout_s: float = 60.0) -> "subprocess.CompletedProcess[str]":
        files = ("--env-file", str(self._env_file), "--file", str(ROOT / "deploy" / "compose.yaml"))
        command = ["docker", "compose", "--project-name", self.project, *files, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False, env=_without_ours(os.environ)
        )

    def does(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """Run it, and return what it prints; it must succeed."""
        done = self.run(*arguments, timeout_s=timeout_s)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def up(self, *arguments: str) -> None:
        self.does("up", "--detach", "--wait", *arguments, timeout_s=UP_S)

    def down(self) -> None:
        """Leave nothing but the build cache."""
        self.run("down", "--volumes", "--remove-orphans", timeout_s=120)
        if not BUILT_ELSEWHERE:
            succeeds("docker", "image", "rm", self.image)

    def states(self) -> dict[str, str]:
        """Return the state and health of each container by its service's name."""
        listed = [json.loads(line) for line in self.does("ps", "--all", "--format", "json").splitlines()]
        return {row["Service"]: row["Health"] or f"{row['State']} {row['ExitCode']}" for row in listed}

    def sql(self, query: str) -> str:
        shown = 'PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U postgres -d tripthread -At -c "$0"'
        return self.does("exec", "-T", "postgres", "sh", "-c", shown, query)

    def token(self, user: str, role: str = "user") -> str:
        return self.does("run", "--rm", "--no-deps", "operator", "token", "--user", user, "--role", role)

    def call(self, method: str, path: str, token: str, body: Any = None) -> Any:
        """Call the gateway from this host, through the port that compose publishes."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with direct.open(request, timeout=30) as response:
            return json.loads(response.read() or "null")

    def _variables(self) -> dict[str, str]:
        passwords = ("POSTGRES", "RABBITMQ", "AVINODE_WEBHOOK")
        roles = ("GATEWAY", "READER", "ADMIN", "LOGGER", "TAGGER", "WORKFLOW")
        names = [*(f"{name}_PASSWORD" for name in passwords), *(f"{role}_DATABASE_PASSWORD" for role in roles)]
        names += [f"{login.upper()}_AMQP_PASSWORD" for login in LOGINS]
        return {
            **{name: secrets.token_hex(24) for name in (*names, "JWT_SECRET", "COOKIE_SECRET")},
            "TRIPTHREAD_IMAGE": self.image,
            "RABBITMQ_IMAGE": RABBITMQ_IMAGE,
            "ENVIRONMENT": "development",
            "COMPOSE_PROFILES": "sandbox",
            "OPENAI_BASE_URL": "http://sandbox:8090/v1",
            "AVINODE_BASE_URL": "http://sandbox:8099/api",
            **dict.fromkeys(("OPENAI_API_KEY", "AVINODE_API_TOKEN", "AVINODE_AUTH_TOKEN"), "sandbox"),
            "HTTP_PORT": str(self.port),
            "LLM_PORT": str(free_port()),
            "AVINODE_PORT": str(free_port()),
        }


def _without_ours(environment: "os._Environ[str]") -> dict[str, str]:
    """The caller's environment as far as it is Docker's; the rest would win over the file."""
    return {name: value for name, value in environment.items() if name.startswith(("DOCKER_", "PATH", "HOME"))}


def until(look: Any, wanted: Any, *, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, f"expected {wanted!r}, saw {seen!r}"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if reason := why_not():
        pytest.skip(reason)
    compose = Compose(tmp_path_factory.mktemp("compose"))
    try:
        if not BUILT_ELSEWHERE:
            compose.does("build", timeout_s=900)
        compose.up()
        yield compose
    finally:
        compose.down()


def test_everything_becomes_healthy_and_the_migration_ends(stack: Compose) -> None:
    services = ("postgres", "rabbitmq", "gateway", "logger", "tagger", "workflow", "sandbox")
    assert stack.states() == {"migrate": "exited 0", **dict.fromkeys(services, "healthy")}


def test_a_chat_is_stored_and_tagged(stack: Compose) -> None:
    stack.call(
        "POST",
        "/api/models",
        stack.token("ops", "admin"),
        {"name": "sandbox-small", "provider": "openai", "tracked": True},
    )
    session = new_id().hex
    said = {"session_id": session, "message": "[echo ahoy]", "stream": False, "model": "sandbox-small"}

    answer = stack.call("POST", "/api/chat", stack.token("ann"), said)

    assert answer["session_id"] == session
    stored = "SELECT string_agg(role, ' ' ORDER BY created_at) FROM chat.messages WHERE session_id = '{}'"
    until(lambda: stack.sql(stored.format(session)), "user assistant")
    tag = "SELECT session_tag LIKE 'chat\\_model\\_%\\_001' FROM tagging.session_tags WHERE session_id = '{}'"
    until(lambda: stack.sql(tag.format(session)), "t")


def test_what_is_stored_outlives_the_containers(stack: Compose) -> None:
    session, ann = new_id().hex, stack.token("ann")
    stack.call("POST", "/api/chat", ann, {"session_id": session, "message": "[echo ahoy]", "stream": False})

    stack.does("exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "add_vhost", "kept")  # services would make queues anew

    stack.does("down", timeout_s=120)
    stack.up()

    kept = stack.call("GET", f"/api/chat/sessions/{session}/messages", ann)
    assert [message["role"] for message in kept["messages"]] == ["user", "assistant"]
    assert "kept" in stack.does("exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "list_vhosts").split()


def test_a_second_logger_joins_the_first(stack: Compose) -> None:
    stack.up("--scale", "logger=2", "logger")
    consumers = "rabbitmqctl -q list_queues name consumers | grep -F logger.chat | cut -f2"
    until(lambda: stack.does("exec", "-T", "rabbitmq", "sh", "-c", consumers), "2")


def test_the_doctor_finds_nothing_wrong(stack: Compose) -> None:
    report = stack.does("run", "--rm", "--no-deps", "operator", "doctor")
    assert "gateway http://gateway:8080: answers 200" in report


@pytest.mark.parametrize("service", ["gateway", "logger", "tagger", "workflow", "sandbox"])
def test_a_process_has_no_root_no_capability_and_no_disk(stack: Compose, service: str) -> None:
    shown = stack.does(
        "exec", "-T", service, "sh", "-c", "id -u; grep CapBnd /proc/self/status; touch /here 2>&1 || true"
    )
    assert shown.split()[:3] == ["10001", "CapBnd:", "0000000000000000"]
    assert "Read-only file system" in shown


def test_an_image_has_no_compiler_and_no_index_address(stack: Compose) -> None:
    look = "command -v gcc cc; find / -xdev -name 'pip.conf' 2>/dev/null; true"
    assert stack.does("exec", "-T", "gateway", "sh", "-c", look) == ""


def test_production_refuses_the_sandbox(stack: Compose) -> None:
    refused = stack.run("run", "--rm", "--no-deps", "-e", "ENVIRONMENT=production", "sandbox")
    assert refused.returncode != 0
    assert "refuses to run with ENVIRONMENT=production" in refused.stdout + refused.stderr


def test_production_refuses_known_secrets(stack: Compose) -> None:
    refused = stack.run("run", "--rm", "--no-deps", "-e", "ENVIRONMENT=production", "gateway")
    assert refused.returncode == 2
    assert "OPENAI_API_KEY" in refused.stdout + refused.stderr


def test_compose_names_the_password_that_is_not_set(tmp_path: Path) -> None:
    if not succeeds("docker", "compose", "version"):
        pytest.skip("docker compose is not installed")
    empty = tmp_path / "empty.env"
    empty.touch()
    command = ["docker", "compose", "--env-file", str(empty), "--file", str(ROOT / "deploy" / "compose.yaml"), "config"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, env=_without_ours(os.environ))
    assert refused.returncode != 0
    assert "_PASSWORD is missing a value: set it" in refused.stderr
