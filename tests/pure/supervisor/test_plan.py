"""What a stack is made of."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.supervisor.planned.credentials import LOGINS, ROLES
from deploy.supervisor.planned.plan import Plan, Servers, Service
from deploy.supervisor.trouble import Trouble

CREDENTIALS = {
    "jwt_secret": "j" * 48,
    "cookie_secret": "c" * 48,
    "webhook_password": "w" * 48,
    **{f"{role}_database_password": f"{role}-password" for role in ROLES},
    **{f"{login}_amqp_password": f"{login}-broker-password" for login in LOGINS},
}
SERVERS = Servers(
    database_url="postgresql://tripthread:p@127.0.0.1:20001/tripthread",
    role_url=lambda user, password: f"postgresql://{user}:{password}@127.0.0.1:20001/tripthread",
    amqp_url="amqp://tripthread:p@127.0.0.1:20002/",
    login_url=lambda user, password: f"amqp://{user}:{password}@127.0.0.1:20002/",
)
SANDBOXES = {"LLM_SANDBOX_URL", "AVINODE_SANDBOX_URL"}
EVERY_KEY_OF_THE_CONTRACT = {
    "TRIPTHREAD_URL",
    "TRIPTHREAD_INTERNAL_URL",
    "JWT_SECRET",
    "DATABASE_URL",
    "AMQP_URL",
    "LLM_SANDBOX_URL",
    "AVINODE_SANDBOX_URL",
    "AVINODE_WEBHOOK_USER",
    "AVINODE_WEBHOOK_PASSWORD",
}


def next_free_port(preferred: int, taken: frozenset[int]) -> int:
    return next(port for port in range(preferred, 65_000) if port not in taken)


def plan(caller: Mapping[str, str] | None = None) -> Plan:
    return Plan(SERVERS, CREDENTIALS, caller or {}, next_free_port)


def by_name(services: list[Service]) -> dict[str, Service]:
    return {service.name: service for service in services}


def test_one_of_each_service_and_the_sandbox_by_default() -> None:
    assert set(by_name(plan().services({}))) == {"sandbox", "gateway", "logger", "tagger", "workflow"}


def test_further_processes_are_numbered_from_two() -> None:
    names = set(by_name(plan().services({"gateway": 2, "logger": 3})))

    assert {"gateway", "gateway_2", "logger", "logger_2", "logger_3"} <= names


def test_no_two_processes_share_a_port() -> None:
    services = plan().services({"gateway": 3, "logger": 3, "tagger": 3, "workflow": 3})
    keys = ("HTTP_PORT", "INTERNAL_PORT", "LLM_PORT", "AVINODE_PORT")
    ports = [service.env[key] for service in services for key in keys if key in service.env]

    assert len(set(ports)) == len(ports) == 3 + 12 + 2


def test_extending_a_plan_moves_nobody() -> None:
    growing = plan()
    before = by_name(growing.services({}))
    after = by_name(growing.services({"gateway": 2, "logger": 2}))

    assert {name: after[name] for name in before} == before


def test_directions_hold_every_key_of_the_contract() -> None:
    growing = plan()
    growing.services({"gateway": 2})

    assert growing.directions().keys() >= EVERY_KEY_OF_THE_CONTRACT | {"TRIPTHREAD_URL_2"}


def test_public_gateway_prefers_port_8080() -> None:
    ours = plan()
    ours.services({})

    assert ours.directions()["TRIPTHREAD_URL"] == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("name", "logins"),
    [
        ("gateway_2", {"GATEWAY_DATABASE_URL", "READER_DATABASE_URL", "ADMIN_DATABASE_URL"}),
        ("logger", {"LOGGER_DATABASE_URL"}),
        ("tagger", {"TAGGER_DATABASE_URL"}),
        ("workflow", {"WORKFLOW_DATABASE_URL"}),
        ("sandbox", set()),
    ],
)
def test_service_gets_only_its_own_database_logins(name: str, logins: set[str]) -> None:
    caller = {"DATABASE_URL": "postgresql://somebody-elses/database"}
    service = by_name(plan(caller).services({"gateway": 2}))[name]

    assert {key for key in service.env if key.endswith("DATABASE_URL")} == logins


@pytest.mark.parametrize("name", ["gateway_2", "logger", "tagger", "workflow", "sandbox"])
def test_service_gets_only_its_own_login_at_the_broker(name: str) -> None:
    service = by_name(plan({"AMQP_URL": "amqp://somebody-elses/"}).services({"gateway": 2}))[name]
    own = f"{name.partition('_')[0].upper()}_AMQP_URL"

    assert {key for key in service.env if key.endswith("AMQP_URL")} == ({own} if name != "sandbox" else set())


def test_command_gets_every_login_at_the_broker() -> None:
    environment = plan().environment("dead")

    assert environment["AMQP_URL"] == SERVERS.amqp_url
    assert {key for key in environment if key.endswith("_AMQP_URL")} == {f"{name.upper()}_AMQP_URL" for name in LOGINS}


def test_command_gets_every_database_login() -> None:
    logins = {key for key in plan().environment("migrate") if key.endswith("DATABASE_URL")}

    assert logins == {"DATABASE_URL", *(f"{role.upper()}_DATABASE_URL" for role in ROLES)}


def test_model_and_avinode_are_the_sandbox_where_the_caller_has_no_keys() -> None:
    ours = plan()
    env = by_name(ours.services({}))["gateway"].env
    directions = ours.directions()

    assert env["OPENAI_BASE_URL"] == f"{directions['LLM_SANDBOX_URL']}/v1"
    assert env["AVINODE_BASE_URL"] == f"{directions['AVINODE_SANDBOX_URL']}/api"


def test_caller_with_a_model_key_gets_the_real_model() -> None:
    env = by_name(plan({"OPENAI_API_KEY": "sk-real"}).services({}))["gateway"].env

    assert env["OPENAI_API_KEY"] == "sk-real"
    assert "OPENAI_BASE_URL" not in env


def test_model_that_titles_sessions_is_whoevers_calls_the_command() -> None:
    assert by_name(plan({"TITLE_MODEL": "sandbox-large"}).services({}))["gateway"].env["TITLE_MODEL"] == "sandbox-large"
    assert "TITLE_MODEL" not in by_name(plan({}).services({}))["gateway"].env


def test_a_models_file_is_found_from_wherever_a_command_runs() -> None:
    ours = plan({"MODELS_FILE": "models.toml", "DEFAULT_MODEL": "m"})
    file = str(Path("models.toml").absolute())

    assert by_name(ours.services({}))["gateway"].env["MODELS_FILE"] == file
    assert (ours.directions()["MODELS_FILE"], ours.directions()["DEFAULT_MODEL"]) == (file, "m")


@pytest.mark.parametrize("setting", ["HELPERS_FILE", "PRIVACY_FILE"])
def test_a_file_that_is_named_is_found_from_wherever_a_command_runs(setting: str) -> None:
    ours = plan({setting: "own"})
    assert by_name(ours.services({}))["gateway"].env[setting] == str(Path("own").absolute())


def test_caller_with_avinode_tokens_gets_the_real_avinode() -> None:
    caller = {
        "AVINODE_API_TOKEN": "real",
        "AVINODE_AUTH_TOKEN": "real-too",
        "AVINODE_BASE_URL": "https://avinode/api",
    }
    env = by_name(plan(caller).services({}))["workflow"].env

    assert (env["AVINODE_API_TOKEN"], env["AVINODE_BASE_URL"]) == ("real", "https://avinode/api")
    assert "AVINODE_CALLS_PER_S" not in env


def test_keys_as_the_example_has_them_are_none() -> None:
    caller = {"OPENAI_API_KEY": "sandbox", "OPENAI_BASE_URL": "https://api.openai.com/v1", "AVINODE_API_TOKEN": ""}
    ours = plan(caller)
    env, directions = by_name(ours.services({}))["gateway"].env, ours.directions()

    assert env["OPENAI_BASE_URL"] == f"{directions['LLM_SANDBOX_URL']}/v1"
    assert env["AVINODE_BASE_URL"] == f"{directions['AVINODE_SANDBOX_URL']}/api"


def test_empty_variable_does_not_replace_a_generated_secret() -> None:
    caller = {"AVINODE_API_TOKEN": "real", "AVINODE_AUTH_TOKEN": "real-too", "AVINODE_WEBHOOK_PASSWORD": ""}

    assert plan(caller).directions()["AVINODE_WEBHOOK_PASSWORD"] == CREDENTIALS["webhook_password"]


@pytest.mark.parametrize("token", ["AVINODE_API_TOKEN", "AVINODE_AUTH_TOKEN"])
def test_one_token_of_avinode_s_two_is_trouble(token: str) -> None:
    with pytest.raises(Trouble, match="needs both"):
        plan({token: "real"})


def test_sandbox_is_told_of_as_far_as_it_is_used() -> None:
    avinode = {"AVINODE_API_TOKEN": "real", "AVINODE_AUTH_TOKEN": "real-too"}

    assert plan({"OPENAI_API_KEY": "sk-real"}).directions().keys() & SANDBOXES == {"AVINODE_SANDBOX_URL"}
    assert plan(avinode).directions().keys() & SANDBOXES == {"LLM_SANDBOX_URL"}


def test_sandbox_does_not_run_where_both_outside_systems_are_real() -> None:
    ours = plan({"OPENAI_API_KEY": "sk-real", "AVINODE_API_TOKEN": "real", "AVINODE_AUTH_TOKEN": "real-too"})

    assert "sandbox" not in by_name(ours.services({}))
    assert ours.directions().keys() & SANDBOXES == set()


def test_service_knows_its_ports() -> None:
    services = by_name(plan({"HTTP_PORT": "80"}).services({}))

    assert services["gateway"].ports == (8080, 9080)
    assert services["logger"].ports == (9081,)
    assert set(services["sandbox"].ports) == {8090, 8099}


def test_sandbox_delivers_webhooks_to_the_first_gateway_with_its_password() -> None:
    services = by_name(plan().services({"gateway": 2}))
    sandbox, gateway = services["sandbox"].env, services["gateway"].env

    assert sandbox["AVINODE_WEBHOOK_TARGET"] == f"http://127.0.0.1:{gateway['HTTP_PORT']}/api/webhooks/avinode"
    assert sandbox["AVINODE_WEBHOOK_PASSWORD"] == gateway["AVINODE_WEBHOOK_PASSWORD"]


def test_our_own_addresses_bypass_the_callers_proxy() -> None:
    env = plan({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "example.org"}).environment("migrate")

    assert env["NO_PROXY"] == env["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_gateways_stop_before_consumers_and_consumers_before_the_sandbox() -> None:
    services = by_name(plan().services({}))

    assert services["gateway"].order > services["logger"].order > services["sandbox"].order
    assert services["logger"].order == services["tagger"].order == services["workflow"].order


@pytest.mark.parametrize("real", [{"OPENAI_API_KEY": "sk"}, {"AVINODE_API_TOKEN": "a", "AVINODE_AUTH_TOKEN": "b"}])
def test_strangers_do_not_spend_what_real_keys_cost_unless_it_is_said(real: dict[str, str]) -> None:
    assert "ALLOW_VISITORS" not in by_name(plan({}).services({}))["gateway"].env
    assert by_name(plan(real).services({}))["gateway"].env["ALLOW_VISITORS"] == "false"
    assert plan(real).directions()["ALLOW_VISITORS"] == "false"
    wanted = real | {"ALLOW_VISITORS": "true"}
    assert by_name(plan(wanted).services({}))["gateway"].env["ALLOW_VISITORS"] == "true"
