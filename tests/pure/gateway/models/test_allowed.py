"""Which models callers may ask for."""

import pytest

from services.gateway.account.identity import Caller
from services.gateway.models.allowed import AllowedModels
from shared.errors import Invalid
from shared.settings import Settings

USER = Caller("ann", "visitor_1", "user", None, ("ann", "visitor_1"))
VISITOR = Caller("visitor_1", "visitor_1", "user", None, ("visitor_1",))


def allowed(environment: str = "production", **values: str) -> AllowedModels:
    values = {"environment": environment, "default_model": "usual", **values}
    settings = Settings(_env_file=None, **values)  # type: ignore[arg-type]  # fields by name
    return AllowedModels(settings, {"usual", "listed"}.__contains__)


def may_have(models: AllowedModels, wanted: str, caller: Caller = USER) -> bool:
    try:
        return models.chosen(wanted, caller) == wanted
    except Invalid:
        return False


@pytest.mark.parametrize("caller", [USER, VISITOR])
def test_development_takes_any_and_production_what_it_is_configured_with(caller: Caller) -> None:
    assert may_have(allowed("development"), "anything", caller)
    assert may_have(allowed(), "listed", caller)
    assert not may_have(allowed(), "anything", caller)


@pytest.mark.parametrize("environment", ["development", "production"])
def test_a_list_of_ones_own_holds_everywhere_beside_the_default(environment: str) -> None:
    models = allowed(environment, allowed_models="small, large")
    assert may_have(models, "large")
    assert models.chosen(None, USER) == "usual"
    assert not may_have(models, "listed")


@pytest.mark.parametrize("environment", ["development", "production"])
def test_visitors_have_what_is_theirs_of_what_users_have(environment: str) -> None:
    models = allowed(environment, allowed_models="small,large", visitor_models="small,huge")
    assert may_have(models, "small", VISITOR)
    assert not may_have(models, "large", VISITOR)
    assert not may_have(models, "huge", VISITOR)
    assert may_have(models, "large")
    assert models.chosen(None, VISITOR) == "small"


def test_visitors_have_the_default_where_it_is_theirs() -> None:
    assert allowed(visitor_models="listed,usual").chosen(None, VISITOR) == "usual"
