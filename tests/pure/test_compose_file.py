"""What deploy/compose.yaml promises: no secret without its owner, no port beyond this host, no privilege to gain."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # stubs for one test are not worth a dependency

from deploy.supervisor.machine.env_file import read_env
from deploy.supervisor.private.rabbitmq import IDLE_SLEEPS
from shared.settings import NEEDED, Settings
from shared.topology import LOGINS
from tests.servers import POSTGRES_IMAGE, RABBITMQ_IMAGE

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
DEVELOPMENT: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.development.yaml").read_text(encoding="utf-8"))
OURS = {"migrate", "gateway", "logger", "tagger", "workflow", "operator", "sandbox"}
SECRETS = {name.upper() for fields in NEEDED.values() for name in fields}
SECRETS |= {f"{login.upper()}_AMQP_URL" for login in LOGINS}


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY|TOKEN))", TEXT))))
def test_a_secret_must_be_set(variable: str) -> None:
    uses = re.findall(rf"\$\{{{variable}\b([^}}]*)\}}", TEXT)
    # With a MODELS_FILE the service of the environment may be none; with AVINODE_CLIENT_ID there is no lasting token.
    may_be_empty = variable in ("OPENAI_API_KEY", "AVINODE_AUTH_TOKEN")
    assert set(uses) == {"?set it" if may_be_empty else ":?set it"}


def test_the_way_to_production_sets_every_secret_that_one_can_make_up(tmp_path: Path) -> None:
    lines = re.findall(r"^#   ((?:umask |for |    [A-Z]|do |echo ).*)$", TEXT, flags=re.MULTILINE)
    made_up = "openssl() { echo 00; }\n" + "\n".join(lines)
    subprocess.run(["sh", "-euc", made_up], cwd=tmp_path, check=True)
    file = tmp_path / "production.env"
    asked_of_others = {"OPENAI_API_KEY", "AVINODE_API_TOKEN", "AVINODE_AUTH_TOKEN"}
    chosen = {"JWT_AUDIENCE"}  # production wants it
    assert set(read_env(file)) == (set(re.findall(r"\$\{(\w+):?\?", TEXT)) - asked_of_others) | chosen
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("part", sorted(NEEDED))
def test_a_service_gets_what_it_needs_and_nobody_elses_secrets(part: str) -> None:
    given = set(SERVICES[part]["environment"]) & SECRETS
    needed = {name.upper() if name != "amqp_url" else f"{part.upper()}_AMQP_URL" for name in NEEDED[part]}
    if part == "migrate":  # it makes the roles and logins, so it knows their passwords
        needed |= {name for name in SECRETS if name.endswith(("_DATABASE_URL", "AMQP_URL"))}
    assert given == needed


def test_every_setting_can_be_set() -> None:
    own = {
        "HTTP_HOST",
        "HTTP_PORT",
        "INTERNAL_HOST",
        "INTERNAL_PORT",
        "INTERNAL_URL",
        "INSTANCE",
    }  # each container's business
    taken = {name for service in SERVICES.values() for name in service.get("environment", ())}
    assert {name.upper() for name in Settings.model_fields} - own <= taken


def test_production_unless_said_otherwise() -> None:
    assert {SERVICES[name]["environment"]["ENVIRONMENT"] for name in OURS} == {"${ENVIRONMENT:-production}"}
    assert SERVICES["sandbox"]["profiles"] == ["sandbox"]


def test_ports_are_on_this_host_only_and_production_opens_one() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    development = {name: service["ports"] for name, service in DEVELOPMENT["services"].items()}
    assert set(published) == {"gateway", "sandbox"}
    assert all(
        port.startswith("127.0.0.1:") for ports in [*published.values(), *development.values()] for port in ports
    )


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_process_of_ours_has_nothing_to_gain(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_has_limits_and_bounded_logs(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["cpus"] <= 1.0  # more than a host has is refused, and one is what every host has
    assert service["logging"]["options"]["max-size"]


def test_the_servers_are_those_that_the_tests_know() -> None:
    images = {service["image"] for service in SERVICES.values()}
    assert images == {
        f"${{POSTGRES_IMAGE:-{POSTGRES_IMAGE}}}",
        "${RABBITMQ_IMAGE:-rabbitmq:4.2-management}",
        "${TRIPTHREAD_IMAGE:-tripthread:local}",
    }
    assert f"RABBITMQ_IMAGE={RABBITMQ_IMAGE}" in TEXT  # said to be tried


def test_the_broker_spins_nowhere() -> None:
    assert SERVICES["rabbitmq"]["environment"]["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] == IDLE_SLEEPS


def test_connections_fit_into_the_memory_given() -> None:
    command = SERVICES["postgres"]["command"]
    settings = dict(entry.split("=") for entry in command if "=" in entry)
    assert SERVICES["postgres"]["mem_limit"] == "1g"
    most, buffers_mb = int(settings["max_connections"]), int(settings["shared_buffers"].removesuffix("MB"))
    assert buffers_mb + most * 5.3 < 1024 - 100  # what one has of its own, as measured
    assert most >= 2 * (23 + 3 * 10)
