"""What OpenAPI says of the API is true: every route, with good requests and bad ones (schemathesis)."""

import re
from base64 import b64encode
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from pydantic import SecretStr
from schemathesis import CheckFunction
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
)

from services.gateway.models.answers import Tag
from shared.ids import new_id
from shared.settings import Settings
from tests.pure.gateway.samples import facts, stored
from tests.service.gateway.fakes import World
from tests.tokens import token_for

WORLD = World(
    settings=Settings(
        _env_file=None,
        environment="test",
        allow_visitors=False,
        allowed_hosts="testserver",
        stored_wait_s=0.06,
        jwt_secret=SecretStr("a-secret-of-at-least-thirty-two-bytes"),
    ),
    sessions=[facts("s1", stored=stored())],
    tag_of_new=Tag(session_tag="t", counter=1, experiment_name=None, model_id=new_id(), model_name="m"),
)
TOKEN = token_for(WORLD.settings, "u1", role="admin")
schema = schemathesis.openapi.from_asgi("/openapi.json", WORLD.api())


OPAQUE = {"cursor", "before", "after", "from", "to", "shared"}  # the last one goes with no filter


BEYOND_SCHEMAS = {
    ("GET", "/api/auth/login"),  # of a link that we have made, with the next
    ("POST", "/api/auth/login"),
    ("POST", "/api/chat/sessions/{session_id}/fork"),  # of one that another example has begun, and said nothing in
    ("DELETE", "/api/chat/sessions"),  # which never means all, so it needs an id
    ("POST", "/api/analytics/traces"),  # times, pairs of fields, and lists in which all are bad
    ("POST", "/v1/traces"),
    ("POST", "/v1/chat/completions"),  # messages and items of the kinds that are taken
    ("POST", "/v1/responses"),
}
# What a query may not be just anything for.
PARTICULAR = (
    ("/api/analytics/models", "paired"),  # of exactly two
    ("/api/analytics/traces", "session_id"),  # an administrator must say whose it is, here and below
    ("/api/admin/messages", "session_id"),
    ("/api/admin", "q"),  # which has a word
    ("/api/admin/users", "refused"),  # alone
)
PATTERNS = {path: re.sub(r"\{\w+\}", "[^/]+", path) for path in WORLD.api().openapi()["paths"]}


def _is_anothers_too(path: str) -> bool:
    """Tell whether by other methods this is the path of something with an id: one may be called so."""
    return any(re.fullmatch(pattern, path) for other, pattern in PATTERNS.items() if other != path)


@schema.parametrize()
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_route_answers_as_documented(case: "schemathesis.Case[Any]") -> None:
    excluded: list[CheckFunction] = [positive_data_acceptance] if _is_beyond_schemas(case) else []
    if _is_anothers_too(case.path):
        excluded.append(allow_header_conformance)
    if (case.method, case.path) == ("DELETE", "/api/chat/sessions"):  # a query is text: a number there is a list of one
        excluded.append(negative_data_rejection)
    case.call_and_validate(headers={"Authorization": _authorization(case.path)}, excluded_checks=excluded)


def _is_beyond_schemas(case: "schemathesis.Case[Any]") -> bool:
    """Tell whether only we can say that this is good: cursors, NULs in free JSON, chats, times to come, shares."""
    if case.path == "/api/chat" or any(
        name in repr(case.body) for name in ("segments", "template_id", "expires_", "users", "quote_id")
    ):
        return True
    if (case.method, case.path) in BEYOND_SCHEMAS:
        return True
    if any(case.path.startswith(path) and name in (case.query or {}) for path, name in PARTICULAR):
        return True
    if any(name.lower() == "if-match" for name in case.headers or ()):
        return True
    return bool(OPAQUE & set(case.query or {})) or "\\x00" in repr(case.body)


def _authorization(path: str) -> str:
    if not path.startswith("/api/webhooks"):
        return f"Bearer {TOKEN}"
    password = WORLD.settings.avinode_webhook_password.get_secret_value()
    return "Basic " + b64encode(f"{WORLD.settings.avinode_webhook_user}:{password}".encode()).decode()
