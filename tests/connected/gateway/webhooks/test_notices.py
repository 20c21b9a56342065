"""A notice on a real broker: it is in its queue once it is answered, and refused where it can't be."""

import time

import aio_pika
import orjson
import pytest

from shared.events import WebhookReceived, decode
from shared.settings import Settings
from shared.topology import WORKFLOW_DELIVERIES
from tests.connected.brokers import NOBODY
from tests.connected.gateway.stage import Stage, open_stage

PATH = "/api/webhooks/avinode/trip-chat"
BODY = b'{"id":"asellermsg-1","href":"http://sim/api/tripmsgs/asellermsg-1","type":"tripmsgs","tripId":"SIM7K2"}'
REQUEST_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def deliver(stage: Stage, body: bytes = BODY) -> int:
    credentials = (stage.settings.avinode_webhook_user, stage.settings.avinode_webhook_password.get_secret_value())
    headers = {"Content-Type": "application/json", "X-Request-Id": REQUEST_ID, "traceparent": TRACEPARENT}
    answer = await stage.http.post(PATH, content=body, auth=credentials, headers=headers)
    assert answer.status_code != 200 or answer.content == b""
    return answer.status_code


@pytest.mark.parametrize("body", [BODY, b"", b"\x00\xffnot json"])
async def test_what_is_answered_200_is_in_the_queue_byte_by_byte(settings: Settings, body: bytes) -> None:
    async with open_stage(settings) as stage:
        assert await deliver(stage, body) == 200
    async with await aio_pika.connect(settings.amqp_url) as connection:
        channel = await connection.channel()
        message = await (await channel.get_queue(WORKFLOW_DELIVERIES.name)).get()
        await message.ack()
    event = decode(message.type, message.body)
    assert isinstance(event, WebhookReceived)
    assert (event.payload, event.event_name, str(event.correlation_id)) == (body, "trip-chat", REQUEST_ID)
    assert message.message_id == str(event.event_id)
    assert message.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
    assert "authorization" not in orjson.loads(message.body)["headers"]
    assert str(message.headers["traceparent"]).split("-")[1] == TRACEPARENT.split("-")[1]


@pytest.mark.alone
async def test_without_a_broker_a_notice_is_refused_so_that_it_comes_again(settings: Settings) -> None:
    async with open_stage(settings.model_copy(update={"amqp_url": NOBODY})) as stage:
        began = time.monotonic()
        assert await deliver(stage) == 503
        assert time.monotonic() - began < 1
