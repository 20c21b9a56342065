"""The settings and their list are one, and production runs on nothing that everybody knows."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import ValidationError

from deploy.supervisor.machine.env_file import read_env
from shared.settings import DEVELOPMENT_SECRET, NEEDED, Settings, read_networks

EXAMPLE = Path(__file__).parents[3] / ".env.example"
STRONG = "a-secret-that-only-this-test-knows-0123456789"


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]  # fields by name


def read_by_a_shell(path: Path) -> dict[str, str]:
    sourced = ["env", "-i", "sh", "-c", 'set -a; . "$0"; env -0', str(path)]
    printed = subprocess.run(sourced, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in printed.split("\0") if line)


def read_by_dotenv(path: Path) -> Mapping[str, str | None]:
    return dotenv_values(path)


def read_to_the_end_of_the_line(path: Path) -> dict[str, str]:
    """As `docker run --env-file` and systemd do it: they know comments, but none behind a value."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {key: value.strip('"') for key, value in (line.split("=", 1) for line in lines)}


def test_the_example_lists_every_variable_once() -> None:
    listed = re.findall(r"^([A-Z_0-9]+)=", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize("read", [read_by_dotenv, read_env, read_by_a_shell, read_to_the_end_of_the_line])
def test_the_example_says_the_defaults_to_everybody_who_reads_it(
    read: Callable[[Path], Mapping[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = read(EXAMPLE)
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), str(values[name.upper()]))
    assert settings() == Settings.model_construct()


def test_the_example_is_a_whole_env_file() -> None:
    assert Settings(_env_file=EXAMPLE) == Settings.model_construct()


def test_two_processes_have_two_names() -> None:
    program = "from shared.settings import Settings; print(Settings(_env_file=None).instance)"
    names = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=EXAMPLE.parent).stdout
        for _ in range(2)
    ]
    assert names[0] != names[1]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        settings().log_level = "DEBUG"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("part", NEEDED)
def test_a_part_names_everything_that_it_lacks(part: str) -> None:
    urls = {name: "" for name in NEEDED[part] if name.endswith("url")}
    with pytest.raises(ValueError, match="set ") as lacking:
        settings(**urls).checked_for(part)
    assert all(name.upper() in str(lacking.value) for name in urls)


URLS = {name: "postgresql://x" for name in NEEDED["gateway"] if name.endswith("database_url")}
SECRETS = {name: f"{STRONG}-{name}" for name in NEEDED["gateway"] if name.endswith(("secret", "key", "password"))}
BROKER = "amqp://tripthread:a8Zk2@broker:5672/"
SAFE: dict[str, object] = {**URLS, **SECRETS, "amqp_url": BROKER, "jwt_audience": "tripthread"}


def test_production_refuses_the_development_secrets() -> None:
    with pytest.raises(ValueError, match="JWT_SECRET") as refused:
        settings(environment="production", **URLS).checked_for("gateway")
    assert "COOKIE_SECRET" in str(refused.value)
    assert "OPENAI_API_KEY" in str(refused.value)
    assert settings(environment="production", **SAFE).checked_for("gateway")


@pytest.mark.parametrize(
    ("unsafe", "told"),
    [
        ({"cookie_secret": SECRETS["jwt_secret"]}, "JWT_SECRET and COOKIE_SECRET are equal"),
        ({"jwt_secret": "short", "cookie_secret": "s" * 31}, "JWT_SECRET and COOKIE_SECRET must have 32 bytes"),
        ({"avinode_webhook_password": "fifteen-letters"}, "AVINODE_WEBHOOK_PASSWORD has fewer than 16 bytes"),
        ({"avinode_webhook_previous_password": "fifteen-letters"}, "AVINODE_WEBHOOK_PREVIOUS_PASSWORD has fewer"),
        ({"avinode_webhook_previous_password": DEVELOPMENT_SECRET}, "AVINODE_WEBHOOK_PREVIOUS_PASSWORD has fewer"),
        ({"jwt_previous_secret": "short"}, "JWT_PREVIOUS_SECRET must have 32 bytes"),
        ({"cookie_previous_secret": DEVELOPMENT_SECRET}, "COOKIE_PREVIOUS_SECRET is public"),
        ({"cookie_previous_secret": SECRETS["jwt_secret"]}, "a secret of tokens is one of cookies too"),
        ({"jwt_previous_secret": SECRETS["cookie_secret"]}, "a secret of tokens is one of cookies too"),
        ({"admin_database_url": "postgresql://x:x@db/x"}, "ADMIN_DATABASE_URL has a password that everybody tries"),
        ({"gateway_amqp_url": "amqp://x:password@broker/"}, "GATEWAY_AMQP_URL has a password that everybody tries"),
        ({"amqp_url": "amqp://guest:guest@broker:5672/"}, "AMQP_URL logs in as guest"),
        ({"amqp_url": "amqp://broker:5672/"}, "AMQP_URL logs in as guest"),  # what clients take where none is named
        ({"jwt_audience": ""}, "JWT_AUDIENCE is empty"),
        ({"jwt_jwks_url": "http://login.example/jwks.json"}, "JWT_JWKS_URL is not https"),
        (
            {"jwt_jwks_url": "https://login.example/jwks.json", "jwt_audience": "", "jwt_any_audience": True},
            "JWT_AUDIENCE and JWT_ISSUER are empty",
        ),
    ],
)
def test_production_refuses_what_lets_strangers_in(unsafe: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        settings(environment="production", **(SAFE | unsafe)).checked_for("gateway")
    assert not any(value in str(refused.value) for value in SECRETS.values())


def test_production_takes_any_audience_where_that_is_said() -> None:
    said = SAFE | {"jwt_audience": "", "jwt_any_audience": True}
    assert settings(environment="production", **said).checked_for("gateway")


@pytest.mark.parametrize("part", ["logger", "tagger", "workflow"])
def test_no_service_reaches_a_productions_broker_as_a_guest(part: str) -> None:
    values = dict.fromkeys(NEEDED[part], STRONG) | {f"{part}_database_url": "postgresql://x", "amqp_url": BROKER}
    assert settings(environment="production", **values).checked_for(part)
    guest = settings().amqp_url
    with pytest.raises(ValueError, match=": AMQP_URL logs in as guest"):
        settings(environment="production", **values | {"amqp_url": guest}).checked_for(part)
    own = f"{part}_amqp_url"
    assert settings(environment="production", **values | {"amqp_url": guest, own: BROKER}).checked_for(part)
    with pytest.raises(ValueError, match=f"{own.upper()} logs in as guest"):
        settings(environment="production", **values | {own: f"{guest}vhost"}).checked_for(part)


def test_production_needs_no_secret_for_tokens_where_a_provider_signs_them() -> None:
    provided = {name: value for name, value in SAFE.items() if name != "jwt_secret"}
    with pytest.raises(ValueError, match="set JWT_SECRET"):
        settings(environment="production", **provided).checked_for("gateway")
    said = settings(environment="production", **provided, jwt_jwks_url="https://login.example/jwks.json")
    assert said.checked_for("gateway").hs256_secret is None
    with pytest.raises(ValueError, match="set JWT_SECRET"):  # which everybody knows
        settings(environment="production", **provided, jwt_secret=DEVELOPMENT_SECRET).checked_for("gateway")


def test_production_has_no_secret_of_the_sandbox() -> None:
    values = dict.fromkeys(NEEDED["workflow"], STRONG) | {"workflow_database_url": "postgresql://x", "amqp_url": BROKER}
    with pytest.raises(ValueError, match="AVINODE_CLIENT_SECRET is the sandbox's"):
        settings(environment="production", **values, avinode_client_secret="sandbox").checked_for("workflow")


def test_production_migrates_by_no_password_that_everybody_tries() -> None:
    with pytest.raises(ValueError, match="DATABASE_URL has a password that everybody tries first"):
        settings(environment="production", database_url="postgresql://a:postgres@db/x").checked_for("migrate")


def test_the_address_of_keys_must_be_one() -> None:
    with pytest.raises(ValueError, match="JWT_JWKS_URL is not a URL such as"):
        settings(jwt_jwks_url="login.example/jwks.json", **URLS).checked_for("gateway")


def test_development_runs_on_what_production_refuses() -> None:
    assert settings(**URLS).checked_for("gateway")


def test_a_short_secret_is_refused_everywhere() -> None:
    with pytest.raises(ValueError, match="JWT_SECRET must have 32 bytes"):
        settings(jwt_secret="short", **URLS).checked_for("gateway")


def test_a_secret_is_not_shown() -> None:
    assert STRONG not in repr(settings(jwt_secret=STRONG))


def test_visitors_are_for_development_without_real_keys_unless_said_otherwise() -> None:
    assert settings().visitors_allowed
    assert not settings(environment="production").visitors_allowed
    for key in ("openai_api_key", "avinode_api_token", "avinode_auth_token"):
        assert not settings(**{key: "real"}).visitors_allowed
        assert settings(**{key: "real"}, allow_visitors=True).visitors_allowed
    assert settings(environment="production", allow_visitors=True).visitors_allowed
    assert not settings(allow_visitors=False).visitors_allowed


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "loopback", "10.0.0.1 10.0.0.2"])
def test_what_is_no_network_is_no_trusted_proxy(text: str) -> None:
    with pytest.raises(ValidationError):
        settings(trusted_proxies=text)


def test_trusted_proxies_are_networks_and_addresses_of_both_kinds() -> None:
    text = settings(trusted_proxies="10.0.0.0/8, 192.0.2.1,fd00::/8,").trusted_proxies
    assert [str(network) for network in read_networks(text)] == ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]
