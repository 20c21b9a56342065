"""A broker that confirms late keeps its connection; one that says nothing at all loses it."""

import asyncio

import pytest

from shared import topology
from shared.errors import BrokerAway
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.between import Between
from tests.connected.brokers import answered, waiting
from tests.waiting import PATIENCE_S, until_true

QUEUE = topology.LOGGER_CHAT


@pytest.mark.alone
async def test_late_confirms_are_waited_for_on_the_same_connection(settings: Settings) -> None:
    between = Between(settings.amqp_url)
    async with between.listening() as url:
        slow = settings.model_copy(update={"amqp_url": url, "publish_timeout_s": 2.0, "publish_deadline_s": PATIENCE_S})
        async with Publisher(slow, "test") as publisher:
            between.confirms.clear()
            publishing = [asyncio.create_task(publisher.publish(answered(number))) for number in range(20)]
            await until_true(lambda: between.answers >= 4)  # twice as long as the broker may say nothing
            assert not any(task.done() for task in publishing)
            assert publisher.away is None

            between.confirms.set()  # with the next answer
            await asyncio.gather(*publishing)

    assert between.connections == 1
    assert await waiting(settings, QUEUE) == 20  # each once


@pytest.mark.alone
async def test_a_connection_that_confirms_none_of_very_many_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.publishing.confirms.MOST_UNCONFIRMED", 3)
    between = Between(settings.amqp_url)
    async with (
        between.listening() as url,
        Publisher(settings.model_copy(update={"amqp_url": url}), "test") as publisher,
    ):
        between.confirms.clear()
        for number in range(3):
            with pytest.raises(BrokerAway):
                await publisher.publish(answered(number), deadline_s=0.1)
        assert between.connections == 1

        between.confirms.set()
        await publisher.publish(answered(3), deadline_s=PATIENCE_S)

    assert between.connections == 2


@pytest.mark.alone
async def test_a_connection_that_says_nothing_is_given_up_for_another(settings: Settings) -> None:
    between = Between(settings.amqp_url)
    async with between.listening() as url:
        silent = settings.model_copy(update={"amqp_url": url, "publish_timeout_s": 0.5})
        async with Publisher(silent, "test") as publisher:
            between.anything.clear()
            with pytest.raises(BrokerAway, match=r"nothing else in 0.5 s|timed out|TimeoutError"):
                await publisher.publish(answered(1), deadline_s=1.5)
            assert publisher.away is not None

            between.anything.set()
            await publisher.publish(answered(2), deadline_s=PATIENCE_S)

    assert between.connections > 1
