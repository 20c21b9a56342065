"""The settings and their list are one, and production runs on nothing that everybody knows."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.settings import NEEDED, Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
STRONG = "a-secret-that-only-this-test-knows-0123456789"


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]  # fields by name


def test_the_example_lists_every_variable_once_with_its_default() -> None:
    listed = re.findall(r"^([A-Z_0-9]+)=", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(name.upper() for name in Settings.model_fields)
    assert Settings(_env_file=EXAMPLE) == settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        settings().log_level = "DEBUG"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("part", NEEDED)
def test_a_part_names_everything_that_it_lacks(part: str) -> None:
    urls = {name: "" for name in NEEDED[part] if name.endswith("url")}
    with pytest.raises(ValueError, match="set ") as lacking:
        settings(**urls).checked_for(part)
    assert all(name.upper() in str(lacking.value) for name in urls)


def test_production_refuses_the_development_secrets() -> None:
    urls = {name: "postgresql://x" for name in NEEDED["gateway"] if name.endswith("url")}
    with pytest.raises(ValueError, match="JWT_SECRET") as refused:
        settings(environment="production", **urls).checked_for("gateway")
    assert "COOKIE_SECRET" in str(refused.value)
    assert "OPENAI_API_KEY" in str(refused.value)
    secrets = {name: STRONG for name in NEEDED["gateway"] if name.endswith(("secret", "key", "password"))}
    assert settings(environment="production", **urls, **secrets).checked_for("gateway")


def test_a_short_secret_is_refused_everywhere() -> None:
    urls = {name: "postgresql://x" for name in NEEDED["gateway"] if name.endswith("url")}
    with pytest.raises(ValueError, match="JWT_SECRET"):
        settings(jwt_secret="short", **urls).checked_for("gateway")


def test_a_secret_is_not_shown() -> None:
    assert STRONG not in repr(settings(jwt_secret=STRONG))


def test_visitors_are_for_development_unless_said_otherwise() -> None:
    assert settings().visitors_allowed
    assert not settings(environment="production").visitors_allowed
    assert settings(environment="production", allow_visitors=True).visitors_allowed
