"""The doctor finds what is wrong, and nothing where nothing is."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from deploy.doctor import examine
from deploy.doctor.database import check_address
from deploy.doctor.finding import Finding
from deploy.migrate import downgrade
from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from services.gateway.turns.stored.finishes import Finish
from services.gateway.turns.stored.outbox import Outbox, Told
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Answer, Turn
from shared.database import open_pool
from shared.settings import Settings
from tests.connected.brokers import raw_channel
from tests.processes import running
from tests.pure.gateway.samples import claim
from tests.servers import empty_broker


async def troubles(settings: Settings) -> dict[str, str]:
    findings: list[Finding] = [finding async for finding in examine(settings)]
    return {finding.subject: finding.trouble for finding in findings if finding.trouble is not None}


async def test_a_running_stack_has_nothing_wrong(settings: Settings, tmp_path: Path) -> None:
    target = "http://127.0.0.1:9/api/webhooks/avinode"
    async with serving(SandboxSettings(llm_port=0, avinode_port=0, avinode_webhook_target=target)) as sandbox:
        urls = {"openai_base_url": f"{sandbox.model}/v1", "avinode_base_url": f"{sandbox.avinode}/api"}
        mine = settings.model_copy(update=urls)
        async with running(mine, tmp_path, "logger", "tagger", "workflow"):
            assert await troubles(mine) == {}
            one_less = mine.model_copy(update={"avinode_webhook_user": "somebody"})
            assert "TripRequestMine" in (await troubles(one_less))["Avinode's webhooks"]


async def test_releases_that_know_other_events_are_named(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, "logger", "tagger"):
        assert "events that processes know" not in await troubles(settings)
        name = {"application_name": "tagger_2 0123abcd"}  # as a tagger of another release signs
        older = await asyncpg.connect(settings.tagger_database_url, server_settings=name)
        found = (await troubles(settings))["events that processes know"]
        await older.close()
        assert found.count("others than") == 1
        assert {
            name.strip() for part in found.split(" know:")[0].split("; others than") for name in part.split(",")
        } == {
            "logger",
            "tagger",
            "tagger_2",
        }
        assert "consumers before gateways" in found


async def test_outside_systems_that_are_away_are_named(settings: Settings) -> None:
    away = {"openai_base_url": "http://127.0.0.1:9/v1", "avinode_base_url": "http://127.0.0.1:9/api"}
    found = await troubles(settings.model_copy(update=away))
    assert "OPENAI_BASE_URL" in found["model's service"]
    assert "AVINODE_BASE_URL" in found["Avinode"]


async def test_queues_that_nobody_consumes_are_named_with_their_service(settings: Settings, tmp_path: Path) -> None:
    async with raw_channel(settings) as channel:
        await channel.queue_delete("logger.chat")
    assert "is a gateway running" in (await troubles(settings))["queue logger.chat"]
    await empty_broker(settings.amqp_url)
    async with running(settings, tmp_path, "tagger"):
        found = await troubles(settings)
    assert "is the logger running" in found["queue logger.chat"]
    assert "is the logger running" in found["queue dead"]
    assert "queue tagger.sessions" not in found


async def test_an_answer_counts_as_untold_until_the_broker_is_known_to_have_it(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    async with open_pool(settings.gateway_database_url, "test") as turns:
        store = TurnStore(turns)
        claimed = await store.claim(claim())
        assert isinstance(claimed, Turn)
        ended = await store.finish(Finish(claimed, Answer("hi", [], "complete")))
        assert ended is not None
        assert "messages not told" not in await troubles(settings), "it has just ended"
        long_ago = datetime.now(UTC) - timedelta(minutes=2)
        await owner.execute("UPDATE gateway.turns SET asked_at = $1, answered_at = $1", long_ago)
        assert "the broker has not confirmed" in (await troubles(settings))["messages not told"]
        await Outbox(turns, turns).mark([Told.of(ended)], set())
        assert "messages not told" not in await troubles(settings)


async def test_a_schema_that_is_behind_is_said_to_need_migrating(settings: Settings) -> None:
    await asyncio.to_thread(downgrade, settings, "0003_tagging")
    assert "tripthread migrate" in (await troubles(settings))["schema"]


async def test_servers_and_logins_that_refuse_are_named(settings: Settings) -> None:
    wrong = settings.model_copy(
        update={
            "amqp_url": "amqp://nobody:x@127.0.0.1:9/",
            "tagger_database_url": settings.tagger_database_url.replace("pw_tagger", "wrong"),
        }
    )
    found = await troubles(wrong)
    assert "AMQP_URL" in found["broker"]
    login = settings.model_copy(update={"tagger_amqp_url": settings.amqp_url.replace(":", ":wrong", 2)})
    assert "TAGGER_AMQP_URL" in (await troubles(login))["broker's login of tagger"]
    assert "TAGGER_DATABASE_URL" in found["login of tagger"]
    away = settings.model_copy(update={"database_url": "postgresql://x@127.0.0.1:9/x"})
    assert "DATABASE_URL" in (await troubles(away))["database"]


async def test_an_address_at_which_other_hosts_find_only_themselves_is_named(settings: Settings) -> None:
    subject = "where other gateways find this one"
    assert subject not in await troubles(settings)
    production = settings.model_copy(update={"environment": "production"})
    assert "INTERNAL_URL" in (await troubles(production))[subject]
    assert subject not in await troubles(production.model_copy(update={"internal_url": "http://127.0.0.1:9080"}))
    assert subject not in await troubles(production.model_copy(update={"internal_host": "10.0.0.1"}))
    assert check_address(settings, hosts=1).trouble is None
    assert check_address(settings, hosts=2).trouble
    assert check_address(settings.model_copy(update={"internal_host": "10.0.0.1"}), hosts=2).trouble is None


async def test_what_waits_for_somebody_is_counted(settings: Settings, owner: asyncpg.Connection) -> None:
    await owner.execute(
        """
        INSERT INTO chat.dead_letters (dead_letter_id, queue, dedupe_key, body, reason, error)
        VALUES (gen_random_uuid(), 'logger.chat', 'x', '', 'undecodable', 'x')
        """
    )
    await owner.execute(
        """
        INSERT INTO workflow.deliveries (delivery_id, source, payload, received_at, due_at, event_id)
        VALUES (gen_random_uuid(), 'avinode', '', now(), now() - interval '1 hour', gen_random_uuid())
        """
    )
    await owner.execute(
        """
        INSERT INTO workflow.deliveries (delivery_id, source, payload, state, error, received_at, event_id)
        VALUES (gen_random_uuid(), 'avinode', '', 'unreadable', 'not JSON', now(), gen_random_uuid())
        """
    )
    await owner.execute(
        """
        INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until, correlation_id,
            model, provider, question, asked_at)
        VALUES (gen_random_uuid(), 'ann', 's1', '', 'gone', 'running', now() - interval '1 hour', gen_random_uuid(),
            'm', 'p', '{}', now())
        """
    )
    found = await troubles(settings)
    waiting = ("dead letters", "webhook deliveries overdue", "webhook deliveries unreadable", "turns past their lease")
    assert set(waiting) <= found.keys()
