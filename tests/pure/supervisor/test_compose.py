"""What docker compose is told, against what compose.yaml asks."""

import re
from pathlib import Path

from deploy.supervisor.planned.compose_env import PORTS, choose_ports, compose_directions, compose_variables
from deploy.supervisor.planned.credentials import load_credentials

DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE = "".join((DEPLOY / name).read_text() for name in ("compose.yaml", "compose.development.yaml"))


def variables(tmp_path: Path, **caller: str) -> dict[str, str]:
    ports = choose_ports(lambda preferred, taken: max(preferred, *taken, 0) + 1)
    return compose_variables(load_credentials(tmp_path / "secrets.json"), ports, caller)


def test_every_variable_that_compose_insists_on_is_given(tmp_path: Path) -> None:
    insisted_on = set(re.findall(r"\$\{(\w+):\?", COMPOSE))

    assert insisted_on
    assert insisted_on - variables(tmp_path).keys() == set()


def test_every_published_port_is_chosen() -> None:
    assert set(re.findall(r"127\.0\.0\.1:\$\{(\w+):-", COMPOSE)) == set(PORTS)


def test_no_port_is_chosen_twice() -> None:
    ports = choose_ports(lambda preferred, taken: next(p for p in range(8000, 9999) if p not in taken))

    assert len(set(ports.values())) == len(PORTS)


def test_callers_model_key_replaces_the_simulated_model(tmp_path: Path) -> None:
    told = variables(tmp_path, OPENAI_API_KEY="sk-real")

    assert told["OPENAI_API_KEY"] == "sk-real"
    assert "OPENAI_BASE_URL" not in told


def test_callers_webhook_password_goes_with_the_real_avinode(tmp_path: Path) -> None:
    real = {"AVINODE_API_TOKEN": "real", "AVINODE_AUTH_TOKEN": "real-too", "AVINODE_WEBHOOK_PASSWORD": "agreed"}

    assert variables(tmp_path, **real)["AVINODE_WEBHOOK_PASSWORD"] == "agreed"
    assert variables(tmp_path, AVINODE_WEBHOOK_PASSWORD="stale")["AVINODE_WEBHOOK_PASSWORD"] != "stale"


def test_directions_lead_a_command_of_this_host_to_the_outside_systems(tmp_path: Path) -> None:
    told = variables(tmp_path, OPENAI_API_KEY="sk-real", OPENAI_BASE_URL="https://model/v1")
    directions = compose_directions(told)

    assert directions["OPENAI_BASE_URL"] == "https://model/v1"
    assert directions["AVINODE_BASE_URL"] == f"http://127.0.0.1:{told['AVINODE_PORT']}/api"
    assert "LLM_SANDBOX_URL" not in directions


def test_directions_lead_to_the_published_ports(tmp_path: Path) -> None:
    told = variables(tmp_path)
    directions = compose_directions(told)

    assert directions["TRIPTHREAD_URL"] == f"http://127.0.0.1:{told['HTTP_PORT']}"
    assert directions["DATABASE_URL"].endswith(f"@127.0.0.1:{told['POSTGRES_PORT']}/tripthread")
    assert told["POSTGRES_PASSWORD"] in directions["DATABASE_URL"]
    assert told["LOGGER_DATABASE_PASSWORD"] in directions["LOGGER_DATABASE_URL"]
