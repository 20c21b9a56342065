"""Notices of other senders: signed as Standard Webhooks has it, kept once for each id, and published."""

import time
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from shared.events import WebhookReceived
from shared.settings import Settings
from tests.service.gateway.fakes import World

# The example that the libraries of Standard Webhooks are tested with; and one without its padding.
SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + b64encode(b"o" * 32).decode().rstrip("=")
MESSAGE_ID, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
PATH = "/api/webhooks/billing"


@pytest.fixture
def world() -> World:
    return World(
        settings=Settings(
            _env_file=None,
            environment="test",
            allowed_hosts="gateway.test",
            webhook_senders=SecretStr(f"billing={SECRET}, billing={OTHER},mail={OTHER}"),
        )
    )


def signed(
    body: bytes = BODY, *, secret: str = SECRET, message_id: str = MESSAGE_ID, age_s: float = 0
) -> dict[str, str]:
    at = int(time.time() - age_s)
    signature = Webhook(secret).sign(message_id, datetime.fromtimestamp(at, UTC), body.decode())
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": signature}


async def post(world: World, headers: Mapping[str, str], body: bytes = BODY, path: str = PATH) -> int:
    async with world.client() as client:
        return (await client.post(path, content=body, headers=headers)).status_code


def raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}


def test_the_library_signs_as_the_specification_says() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert Webhook(SECRET).sign(MESSAGE_ID, at, BODY.decode()) == signature


async def test_what_is_signed_is_kept_as_it_came(world: World) -> None:
    async with world.client() as client:
        answer = await client.post(PATH, content=BODY, headers=signed())
    assert (answer.status_code, answer.content) == (200, b"")
    (event,) = world.published
    assert isinstance(event, WebhookReceived)
    assert (event.source, event.payload, event.headers["webhook-id"]) == ("billing", BODY, MESSAGE_ID)
    assert "webhook-signature" not in event.headers


async def test_an_id_that_is_seen_again_is_the_same_delivery(world: World) -> None:
    assert [await post(world, signed()), await post(world, signed(age_s=30))] == [200, 200]
    assert await post(world, signed(message_id="msg_other")) == 200
    assert await post(world, signed(secret=OTHER), path="/api/webhooks/mail") == 200
    events = [event for event in world.published if isinstance(event, WebhookReceived)]
    first, again, other, elsewhere = ((event.delivery_id, event.event_id) for event in events)
    assert first == again
    assert len({first, other, elsewhere}) == 3


@pytest.mark.parametrize("secret", [SECRET, OTHER])
async def test_two_secrets_count_while_one_replaces_the_other(world: World, secret: str) -> None:
    assert await post(world, signed(secret=secret)) == 200


async def test_of_several_signatures_one_must_fit(world: World) -> None:
    headers = signed()
    wrong = signed(b"other")["webhook-signature"]
    both = f"{wrong} v1a,whatever {headers['webhook-signature']}"
    assert await post(world, {**headers, "webhook-signature": both}) == 200


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_each_header_is_needed(world: World, missing: str) -> None:
    assert await post(world, {name: value for name, value in signed().items() if name != missing}) == 401
    assert await post(world, signed() | {missing: ""}) == 401


@pytest.mark.parametrize("age_s", [301, 86_400, -302])
async def test_what_is_too_old_or_from_the_future_is_refused(world: World, age_s: float) -> None:
    assert await post(world, signed(age_s=age_s)) == 401


@pytest.mark.parametrize(
    "signature",
    [
        "v1",
        "v1,",
        ",",
        " ",
        "v1,!!!",
        "v1,a",
        "v1,YQ==",
        "v1,YQ==,YQ==",
        "v2,YQ==",
        "v1, v1,",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,\xff",
        "x" * 5000,
    ],
)
async def test_a_malformed_signature_is_refused(world: World, signature: str) -> None:
    headers = raw(signed()) | {b"webhook-signature": signature.encode("latin-1")}
    async with world.client() as client:
        answer = await client.post(PATH, content=BODY, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert world.published == []


@pytest.mark.parametrize("timestamp", ["now", "nan", "inf", "-1", "1e400", "0x10", "\uff19" * 10, " "])
async def test_a_malformed_time_is_refused(world: World, timestamp: str) -> None:
    headers = raw(signed()) | {b"webhook-timestamp": timestamp.encode()}
    async with world.client() as client:
        assert (await client.post(PATH, content=BODY, headers=headers)).status_code == 401


@pytest.mark.parametrize("changed", [b"", b'{"test": 2432232315}', BODY + b" ", b"\xff\xfe"])
async def test_another_body_than_the_signed_one_is_refused(world: World, changed: bytes) -> None:
    assert await post(world, signed(), changed) == 401


async def test_another_senders_secret_or_id_does_not_count(world: World) -> None:
    assert await post(world, signed(), path="/api/webhooks/mail") == 401
    assert await post(world, signed() | {"webhook-id": "msg_other"}) == 401
    assert world.published == []


async def test_who_is_not_configured_is_not_there(world: World) -> None:
    assert await post(world, signed(), path="/api/webhooks/nobody") == 404


async def test_without_a_broker_a_sender_is_asked_to_come_again(world: World) -> None:
    world.broker_away = True
    assert await post(world, signed()) == 503
