"""What a frontend is told before anybody has signed in, and the page on privacy."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from services.gateway.privacy.notice import InvalidPrivacyFile
from shared.ids import model_id
from shared.settings import Settings
from tests.service.gateway.fakes import World


def world(**values: Any) -> World:
    usual = {"environment": "test", "allowed_hosts": "gateway.test", "stored_wait_s": 0.2}
    return World(settings=Settings(_env_file=None, **{**usual, **values}))


async def told(**values: Any) -> dict[str, Any]:
    async with world(**values).client() as client:
        answer = await client.get("/api/config")
    assert answer.status_code == 200, answer.text
    config: dict[str, Any] = answer.json()
    return config


async def page(**values: Any) -> str:
    async with world(**values).client() as client:
        answer = await client.get("/privacy")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return answer.text


async def test_a_frontend_is_told_who_may_call_and_how_much() -> None:
    config = await told(turns_per_day=7, max_message_characters=100, sessions_in_all=3)
    assert set(config) == {"visitors", "identity_provider", "limits", "privacy", "default_model", "models"}
    assert config["limits"] == {
        "turns_per_minute": 300,
        "turns_per_day": 7,
        "tokens_per_day": None,
        "sessions_per_day": None,
        "sessions_in_all": 3,
        "turns_at_once": 200,
        "calls_per_minute": 1200,
        "messages_per_minute": 600,
        "message_characters": 100,
        "body_bytes": 1_000_000,
    }
    assert config["identity_provider"] is None


async def test_it_is_the_same_for_everybody_and_makes_nobody_a_visitor() -> None:
    here = world()
    async with here.client() as nobody, here.client("u1") as user:
        answers = [await client.get("/api/config") for client in (nobody, user)]
        wrong = await nobody.get("/api/config", headers={"Authorization": "Bearer nonsense"})
    assert answers[0].json() == answers[1].json() == wrong.json()
    assert {answer.headers["cache-control"] for answer in answers} == {"public, max-age=60"}
    assert [answer.headers.get("set-cookie") for answer in answers] == [None, None]


@pytest.mark.parametrize(
    ("values", "allowed", "trips"),
    [
        ({"allow_visitors": False, "visitor_trips": True}, False, False),
        ({"allow_visitors": True}, True, False),
        ({"allow_visitors": True, "visitor_trips": True}, True, True),
        ({"environment": "development", "openai_api_key": "sk-real"}, False, False),
    ],
)
async def test_visitor_mode_is_as_the_gateway_takes_it(values: dict[str, Any], allowed: bool, trips: bool) -> None:
    visitors = (await told(**values))["visitors"]
    assert (visitors["allowed"], visitors["trips"]) == (allowed, trips)


async def test_visitors_have_their_own_limits_or_those_of_users() -> None:
    own = await told(visitor_turns_per_day=2, turns_per_day=9, tokens_per_day=50, visitor_turns_per_minute=11)
    assert own["visitors"]["limits"] == {
        "turns_per_minute": 11,
        "turns_per_day": 2,
        "tokens_per_day": 50,
        "sessions_per_day": None,
    }


async def test_models_are_those_that_may_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(
        '[[upstreams]]\nname = "local"\nbase_url = "http://127.0.0.1:9/v1"\nprovider = "own"\nmodels = ['
        '{name = "large", aliases = ["best"]}, {name = "small"}, {name = "secret"}]\n'
    )
    names = {"allowed_models": "large", "visitor_models": "small", "default_model": "small"}
    config = await told(models_file=str(file), **names)
    assert config["models"] == [
        {
            "id": str(model_id("own", "large")),
            "name": "large",
            "provider": "own",
            "aliases": ["best"],
            "visitors": False,
        },
        {"id": str(model_id("own", "small")), "name": "small", "provider": "own", "aliases": [], "visitors": True},
    ]
    assert config["default_model"] == "small"
    assert config["visitors"]["default_model"] == "small"
    assert "which is of: own." in config["privacy"]["text"]


async def test_visitors_who_may_not_have_the_default_model_are_told_which_answers_them() -> None:
    config = await told(default_model="large", visitor_models="small")
    assert (config["default_model"], config["visitors"]["default_model"]) == ("large", "small")


async def test_the_button_of_an_identity_provider_is_where_there_is_one() -> None:
    values = {"login_url": "https://login.example.com/", "login_name": "Example", "jwt_issuer": "https://issuer.test"}
    assert (await told(**values))["identity_provider"] == {
        "name": "Example",
        "login_url": "https://login.example.com/",
        "issuer": "https://issuer.test",
    }
    keys = await told(jwt_jwks_url="https://issuer.test/keys")
    assert keys["identity_provider"] == {"name": None, "login_url": None, "issuer": None}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//login.test", "login", "data:text/html,x"])
def test_a_button_leads_to_a_page_and_nowhere_else(url: str) -> None:
    with pytest.raises(ValueError, match="must be a URL of a page"):
        Settings(_env_file=None, login_url=url)


async def test_nothing_of_it_is_secret() -> None:
    secrets = {
        "jwt_secret": "planted-secret-1-of-thirty-two-bytes",
        "cookie_secret": "planted-secret-2-of-thirty-two-bytes",
        "openai_api_key": "planted-secret-3",
        "openai_base_url": "http://planted-secret-4.internal/v1",
        "database_url": "postgresql://planted-secret-5@h/d",
        "system_prompt": "planted-secret-6",
    }
    config = await told(**secrets)
    assert "planted-secret" not in str(config)
    assert "planted-secret" not in await page(**secrets)


@pytest.mark.parametrize(
    ("values", "says", "says_not"),
    [
        ({}, "Conversations are stored", "the program that sent it"),
        ({"keep_user_agents": True}, "never the whole address and the program that sent it", ""),
        ({"keep_addresses": False}, "Neither addresses nor the names", "never the whole address"),
        ({"keep_addresses": False, "keep_user_agents": True}, "Also kept is the program", "whole address"),
        ({"admins_read_bodies": False}, "but no texts", "each time is recorded"),
        ({}, "each time is recorded", "but no texts"),
        ({"title_model": "small"}, "a model of theirs that gives the conversation its title", ""),
        ({}, "goes to the model that answers you", "its title"),
        ({}, "until you delete them; nothing of them is deleted only because it is old", "days"),
    ],
)
async def test_the_text_says_what_the_settings_make_true(values: dict[str, Any], says: str, says_not: str) -> None:
    text = (await told(**values))["privacy"]["text"]
    assert says in text
    assert not says_not or says_not not in text


@pytest.mark.parametrize("setting", [name for name in Settings.model_fields if name.endswith("_kept_days")])
async def test_the_text_says_how_long_all_is_kept_that_goes_by_itself(setting: str) -> None:
    assert " 77 days" in (await told(**{setting: 77}))["privacy"]["text"]


async def test_an_operators_own_text_stands_in_both_places_and_is_only_text(tmp_path: Path) -> None:
    file = tmp_path / "privacy.txt"
    file.write_text("# Ours & only\nWe keep <b>all</b>.\n\n\n  Ask: <script>alert(1)</script>\nus@example.com\n")
    config = await told(privacy_file=str(file))
    assert config["privacy"] == {"url": "/privacy", "text": file.read_text().strip()}
    shown = await page(privacy_file=str(file))
    read = _Tags()
    read.feed(shown)
    assert read.tags.isdisjoint({"script", "b"})
    assert "<h2>Ours &amp; only</h2>\n<p>We keep &lt;b&gt;all&lt;/b&gt;.</p>" in shown
    assert "<p>Ask: &lt;script&gt;alert(1)&lt;/script&gt;<br>us@example.com</p>" in shown


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, _attrs: Any) -> None:
        self.tags.add(tag)


async def test_the_page_may_load_and_run_nothing() -> None:
    async with world().client() as client:
        answer = await client.get("/privacy")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "Conversations are stored" in answer.text


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe", b"a\0b", b"x" * 100_001])
def test_a_text_that_cannot_be_shown_is_refused_by_name_at_the_start(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "privacy.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidPrivacyFile, match=f"PRIVACY_FILE {file}: "):
        world(privacy_file=str(file)).api()
