"""The tripthread command: what it refuses, and the tokens that it signs."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
import structlog
from pydantic import SecretStr
from typer.testing import CliRunner

from deploy.cli import app, import_uncollected
from services.gateway.account.logins.links import read_login
from shared.settings import NEEDED, Settings

SECRET = "a-secret-that-only-this-test-knows-0123456789"


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """Keep the command's quietness from the tests that come after."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"JWT_SECRET": SECRET, **environment})
    return result.exit_code, result.output


def test_a_token_says_who_and_for_how_long() -> None:
    status, output = run("token", "--user", "ann", "--role", "admin", "--expires", "2h")
    claims = jwt.decode(output.strip(), SECRET, algorithms=["HS256"])
    assert status == 0
    assert (claims["sub"], claims["role"], claims["exp"] - claims["iat"]) == ("ann", "admin", 7200)


def test_a_token_is_for_the_audience_that_is_checked() -> None:
    _, output = run("token", "--user", "ann", JWT_AUDIENCE="tripthread")
    assert jwt.decode(output.strip(), SECRET, algorithms=["HS256"], audience="tripthread")


@pytest.mark.parametrize("expires", ["", "h", "1", "1w", "-1h", "1.5h", "0s"])
def test_a_length_of_time_that_is_none_is_refused(expires: str) -> None:
    status, output = run("token", "--user", "ann", "--expires", expires)
    assert status == 2
    assert "--expires" in output


@pytest.mark.parametrize("user", ["", "visitor_1", "a\nb", "x" * 256], ids=["none", "a visitor", "a line end", "long"])
@pytest.mark.parametrize("link", [(), ("--link",)], ids=["token", "link"])
def test_nobody_is_named_whom_the_gateway_would_not_let_in(user: str, link: tuple[str, ...]) -> None:
    status, output = run("token", "--user", user, *link)
    assert status == 2
    assert "--user" in output


def test_a_link_is_for_where_browsers_reach_the_gateway_and_for_a_while() -> None:
    secret = "a-cookies-secret-of-thirty-two-bytes"
    status, output = run(
        "token", "--user", "ann", "--role", "admin", "--link", "--url", "https://x/", COOKIE_SECRET=secret
    )
    assert status == 0
    assert output.startswith("https://x/api/auth/login?token=")
    settings = Settings(_env_file=None, cookie_secret=SecretStr(secret))
    link = read_login(output.strip().partition("token=")[2], settings)
    assert (link.user_id, link.role) == ("ann", "admin")
    assert link.expires_at - link.made_at == pytest.approx(900, abs=1)
    assert run("token", "--user", "ann", "--link", "--expires", "25h")[0] == 2


def test_where_a_provider_signs_there_is_no_token_but_a_link() -> None:
    provided = {"JWT_SECRET": "", "JWT_JWKS_URL": "https://login.example/jwks.json"}
    status, output = run("token", "--user", "ann", **provided)
    assert status == 2
    assert "--link" in output
    assert run("token", "--user", "ann", "--link", **provided)[0] == 0


def test_a_service_says_which_variables_it_lacks() -> None:
    status, output = run("serve", "logger", LOGGER_DATABASE_URL="")
    assert status == 2
    assert "LOGGER_DATABASE_URL" in output


@pytest.mark.parametrize("command", [("serve", "gateway"), ("models", "--list")])
def test_a_models_file_that_cannot_be_used_is_said_by_its_key(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "models.toml").write_text('[[upstreams]]\nname = "a"\n')
    needed = {
        name.upper(): "postgresql://x:x@127.0.0.1:9/x" for name in NEEDED["gateway"] if name.endswith("database_url")
    }
    file = str(tmp_path / "models.toml")
    status, output = run(*command, MODELS_FILE=file, INTERNAL_PORT="0", COOKIE_SECRET=SECRET, **needed)
    assert status == 2
    assert output.endswith(f"MODELS_FILE {file}: upstreams[0].base_url: is missing\n")


def test_a_file_of_helpers_that_cannot_be_used_is_said_by_helper_and_key(tmp_path: Path) -> None:
    file = tmp_path / "assistants"
    file.write_text("[helpers.one]\nname = 1\n")
    needed = {
        name.upper(): "postgresql://x:x@127.0.0.1:9/x" for name in NEEDED["gateway"] if name.endswith("database_url")
    }
    status, output = run("serve", "gateway", HELPERS_FILE=str(file), INTERNAL_PORT="0", COOKIE_SECRET=SECRET, **needed)
    assert status == 2
    assert f"HELPERS_FILE {file}: helpers.one.name: Input should be a valid string" in output


def test_a_text_on_privacy_that_cannot_be_read_is_said_by_its_file(tmp_path: Path) -> None:
    file = str(tmp_path / "none")
    needed = {
        name.upper(): "postgresql://x:x@127.0.0.1:9/x" for name in NEEDED["gateway"] if name.endswith("database_url")
    }
    status, output = run("serve", "gateway", PRIVACY_FILE=file, INTERNAL_PORT="0", COOKIE_SECRET=SECRET, **needed)
    assert status == 2
    assert f"PRIVACY_FILE {file}: No such file or directory" in output


def test_the_doctor_says_in_its_own_words_what_is_away() -> None:
    away = {"AMQP_URL": "amqp://x:x@127.0.0.1:9/", "DATABASE_URL": "postgresql://x:x@127.0.0.1:9/x"}
    outside = dict.fromkeys(("OPENAI_BASE_URL", "AVINODE_BASE_URL"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "deploy.cli", "doctor"]
    done = subprocess.run(command, env=os.environ | away | outside, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "BAD  broker: away\n     cannot connect with AMQP_URL" in done.stdout


def test_a_service_carries_nothing_of_the_operators_commands() -> None:
    look = "import sys, deploy.cli, services.logger.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()
    assert "services.logger.store" in loaded
    assert {"jwt", "alembic", "deploy.commands.dead", "deploy.doctor", "services.gateway"}.isdisjoint(loaded)


@pytest.mark.parametrize("fails", [False, True])
def test_a_service_is_imported_without_collecting(fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"imported_{fails}"
    (tmp_path / name).with_suffix(".py").write_text(f"import gc\nCOLLECTS = gc.isenabled()\nassert not {fails}\n")
    monkeypatch.syspath_prepend(tmp_path)
    if fails:
        with pytest.raises(AssertionError):
            import_uncollected(name)
    else:
        assert not import_uncollected(name).COLLECTS
    assert gc.isenabled()


def test_the_commands_for_dead_letters_are_listed_and_explain_themselves() -> None:
    assert "dead " in run("--help")[1]
    status, output = run("dead", "replay", "--help")
    assert (status, "Usage: tripthread dead replay" in output) == (0, True)
    assert run("dead", "bury")[0] == 2


def test_a_role_or_service_that_does_not_exist_is_refused() -> None:
    assert run("token", "--user", "ann", "--role", "root")[0] == 2
    assert run("serve", "mailer")[0] == 2
