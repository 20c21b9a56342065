"""Avinode's notices over HTTP: anything authenticated is kept, and answered 200."""

from base64 import b64encode
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from shared.events import WebhookReceived
from tests.service.gateway.fakes import World

PATH = "/api/webhooks/avinode"
NOTICE = {"id": "arfq-900000101", "href": "http://sim/api/rfqs/arfq-900000101", "type": "rfqs", "tripId": "SIM7K2"}


@pytest.fixture
def world() -> World:
    return World()


async def post(world: World, path: str = PATH, **request: Any) -> httpx2.Response:
    credentials = ("avinode", world.settings.avinode_webhook_password.get_secret_value())
    async with world.client() as client:
        return await client.post(path, **{"auth": credentials, **request})


def received(world: World) -> WebhookReceived:
    (event,) = world.published
    assert isinstance(event, WebhookReceived)
    return event


async def test_a_notice_is_kept_as_it_came_and_answered_with_nothing(world: World) -> None:
    answer = await post(world, json=NOTICE)
    assert (answer.status_code, answer.content) == (200, b"")
    event = received(world)
    assert event.source == "avinode"
    assert event.event_name is None
    assert b'"arfq-900000101"' in event.payload


async def test_the_path_may_name_what_happened(world: World) -> None:
    assert (await post(world, f"{PATH}/chat-from-seller", json=NOTICE)).status_code == 200
    assert received(world).event_name == "chat-from-seller"


@pytest.mark.parametrize("body", [b"", b"not json", b"\x00\xff\xfe", b"[" * 20_000, b"null", b'{"id": 1}'])
async def test_a_body_that_nobody_can_read_is_kept_too(world: World, body: bytes) -> None:
    assert (await post(world, content=body, headers={"Content-Type": "application/json"})).status_code == 200
    assert received(world).payload == body
    assert WebhookReceived.model_validate_json(received(world).body()).payload == body


async def test_the_headers_that_matter_are_kept_and_credentials_are_not(world: World) -> None:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Avinode",
        "X-Avinode-EventType": "TripRequest",
        "X-Avinode-ApiToken": "secret",
        "X-Avinode-Anything": "secret",
        "X-Other": "noise",
        "Cookie": "visitor=x",
    }
    await post(world, json=NOTICE, headers=headers)
    kept = received(world).headers
    assert kept["x-avinode-eventtype"] == "TripRequest"
    assert kept["user-agent"] == "Avinode"
    assert kept.keys() <= {"content-type", "user-agent", "x-avinode-eventtype"}


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        basic("avinode", "wrong"),
        basic("wrong", "development-only-secret-of-32-bytes!"),
        basic("", ""),
        "Bearer " + basic("avinode", "development-only-secret-of-32-bytes!").removeprefix("Basic "),
        "Basic " + b64encode(b"\xff\xfe").decode(),
    ],
)
async def test_who_is_not_avinode_is_asked_for_credentials(world: World, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await post(world, json=NOTICE, headers=headers, auth=None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert answer.json()["detail"].startswith("The webhook's user or password is wrong" if authorization else "Send ")
    assert world.published == []


async def test_of_two_credentials_nobody_chooses(world: World) -> None:
    password = world.settings.avinode_webhook_password.get_secret_value()
    good = ("Authorization", "Basic " + b64encode(f"avinode:{password}".encode()).decode())
    for headers in ([good, good], [good, ("Authorization", "Basic eDp5")], [("Authorization", "Bearer x"), good]):
        answer = await post(world, json=NOTICE, headers=headers, auth=None)
        assert answer.status_code == 401
    assert world.published == []


@pytest.mark.parametrize(("password", "status"), [("n" * 20, 200), ("o" * 20, 200), ("", 401), ("n" * 21, 401)])
async def test_two_passwords_count_while_one_replaces_the_other(password: str, status: int) -> None:
    passwords = {"avinode_webhook_password": "n" * 20, "avinode_webhook_previous_password": "o" * 20}
    secrets = {name: SecretStr(each) for name, each in passwords.items()}
    world = World(settings=World().settings.model_copy(update=secrets))
    assert (await post(world, json=NOTICE, auth=("avinode", password))).status_code == status


async def test_without_a_previous_password_an_empty_one_does_not_count(world: World) -> None:
    assert (await post(world, json=NOTICE, auth=("avinode", ""))).status_code == 401


@pytest.mark.parametrize("form", ["Basic  {}", "Basic {} ", " basic {}", "BASIC   {}  "])
async def test_blanks_around_credentials_do_not_count(world: World, form: str) -> None:
    token = basic("avinode", "development-only-secret-of-32-bytes!").removeprefix("Basic ")
    answer = await post(world, json=NOTICE, headers={"Authorization": form.format(token)}, auth=None)
    assert answer.status_code == 200
    assert len(world.published) == 1


async def test_without_a_broker_avinode_is_asked_to_come_again(world: World) -> None:
    world.broker_away = True
    answer = await post(world, json=NOTICE)
    assert (answer.status_code, answer.json()["code"]) == (503, "broker_away")
    assert "retry-after" in answer.headers


async def test_two_deliveries_of_one_notice_are_two_deliveries(world: World) -> None:
    await post(world, json=NOTICE)
    await post(world, json=NOTICE)
    first, second = world.published
    assert isinstance(first, WebhookReceived)
    assert isinstance(second, WebhookReceived)
    assert first.delivery_id != second.delivery_id
