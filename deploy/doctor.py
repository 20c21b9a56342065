"""`tripthread doctor`: what is wrong with a running stack, one line a check, each with what to do about it."""

import os
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import aiohttp
import asyncpg
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity
from alembic.config import Config
from alembic.script import ScriptDirectory
from prometheus_client.parser import text_string_to_metric_families

from deploy.migrate import MIGRATIONS, is_known
from deploy.supervisor.disk import little_disk
from deploy.supervisor.layout import PROJECT
from services.gateway.model.catalog import UpstreamSpec, read_catalog
from services.gateway.model.listing import list_models
from services.gateway.model.models_file import ENVIRONMENT, InvalidModelsFile
from shared import topology
from shared.connection import describe
from shared.database import DATABASE_ERRORS, lacking
from shared.declaring import Declaring
from shared.errors import ModelAway
from shared.settings import NEEDED, Settings
from shared.urls import malformed

TIMEOUT_S = 5.0
OPEN_CIRCUIT = "tripthread_model_circuit_open"
# The schema that each login of the database writes; the others read.
WRITTEN_BY = {
    "gateway_database_url": "gateway",
    "reader_database_url": None,
    "admin_database_url": None,
    "logger_database_url": "chat",
    "tagger_database_url": "tagging",
    "workflow_database_url": "workflow",
}


@dataclass(frozen=True)
class Finding:
    """What one check found; `trouble` is None where all is well."""

    subject: str
    detail: str
    trouble: str | None = None


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Run every check, the deeper ones only where what they stand on is well."""
    for finding in check_settings(settings):
        yield finding
    for finding in check_disk(PROJECT.run):
        yield finding
    async for finding in check_database(settings):
        yield finding
    async for finding in check_broker(settings):
        yield finding
    async for finding in check_gateways(os.environ):
        yield finding
    async for finding in check_circuits(os.environ):
        yield finding
    async for finding in check_outside(settings):
        yield finding


def check_settings(settings: Settings) -> list[Finding]:
    findings = []
    for part in NEEDED:
        try:
            settings.checked_for(part)
        except ValueError as error:
            findings.append(Finding(f"settings of {part}", "incomplete", str(error)))
        else:
            findings.append(Finding(f"settings of {part}", "complete"))
    return findings


def check_disk(directory: Path) -> list[Finding]:
    """Look at the room for what `./run` keeps; in a container there is nothing of that, and nothing is said."""
    if not directory.exists():
        return []
    free = shutil.disk_usage(directory).free
    return [Finding("disk", f"{free / 1e9:.1f} GB free", little_disk(directory) or None)]


async def check_database(settings: Settings) -> AsyncIterator[Finding]:
    """Look at the owner's login, the schema's revision, every role, and what waits in the tables."""
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=TIMEOUT_S)
    except (*DATABASE_ERRORS, ValueError) as error:
        yield Finding("database", "away", f"cannot log in with DATABASE_URL: {error}")
        return
    try:
        yield Finding("database", f"PostgreSQL {connection.get_server_version().major}")
        revision = await _revision(connection)
        yield revision
        yield await _releases(connection)
        if revision.trouble is None:
            yield await _dead_letters(connection)
            yield await _abandoned_turns(connection)
            yield await _untold_turns(connection)
            yield await _stuck_deliveries(connection)
            yield await _refused_credentials(connection)
    finally:
        await connection.close()
    for name, schema in WRITTEN_BY.items():
        yield await _login(name, getattr(settings, name), schema)


async def _revision(connection: asyncpg.Connection) -> Finding:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    head = ScriptDirectory.from_config(config).get_current_head()
    exists = await connection.fetchval("SELECT to_regclass('tripthread.revision') IS NOT NULL")
    current = await connection.fetchval("SELECT version_num FROM tripthread.revision") if exists else None
    trouble = None if current == head else f"it should be at {head}: run `tripthread migrate`"
    if current is not None and not is_known(current):
        trouble = f"this version of Tripthread ends at {head}: a later one has migrated the database, so run that one"
    return Finding("schema", f"at {current or 'nothing'}", trouble)


async def _releases(connection: asyncpg.Connection) -> Finding:
    # Each process signs its connections with what it knows; one that has done nothing for five minutes has none.
    rows = await connection.fetch(
        r"""
        SELECT DISTINCT parts[1] AS instance, parts[2] AS knowledge
        FROM pg_stat_activity, regexp_match(application_name, '^(.*) ([0-9a-f]{8})$') AS parts
        WHERE datname = current_database() AND parts IS NOT NULL ORDER BY instance
        """
    )
    releases: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        releases[row["knowledge"]].append(row["instance"])
    apart = "; others than ".join(", ".join(instances) for instances in releases.values())
    trouble = f"{apart} know: finish the upgrade, consumers before gateways" if len(releases) > 1 else None
    return Finding("events that processes know", f"{len(rows)} processes, {len(releases)} releases", trouble)


async def _dead_letters(connection: asyncpg.Connection) -> Finding:
    row = await connection.fetchrow(
        "SELECT count(*) AS count, min(received_at) AS oldest FROM chat.dead_letters WHERE state = 'parked'"
    )
    count = row["count"] if row else 0
    trouble = (
        f"the oldest is from {row['oldest']:%Y-%m-%d %H:%M}: see `tripthread dead list`" if row and count else None
    )
    return Finding("dead letters", f"{count} parked", trouble)


async def _abandoned_turns(connection: asyncpg.Connection) -> Finding:
    count = await connection.fetchval(
        "SELECT count(*) FROM gateway.turns WHERE state = 'running' AND lease_until < clock_timestamp()"
    )
    trouble = (
        "their gateway died; each is ended as interrupted within a minute, by a gateway that lives" if count else None
    )
    return Finding("turns past their lease", str(count), trouble)


async def _untold_turns(connection: asyncpg.Connection) -> Finding:
    # A gateway that died between a confirm and its mark has told everybody: only what is not stored was not told.
    count = await connection.fetchval(
        """
        SELECT count(*) FROM gateway.turns AS turn
        WHERE (NOT question_published OR (answer IS NOT NULL AND NOT answer_published))
            AND answered_at < clock_timestamp() - interval '1 minute'
            AND NOT EXISTS (
                SELECT FROM chat.messages AS message
                WHERE (message.user_id, message.session_id) = (turn.user_id, turn.session_id)
                    AND message.turn_id = turn.turn_id AND message.created_at = turn.answered_at
            )
        """
    )
    trouble = (
        "the broker has not confirmed their events: callers see them, the other services do not" if count else None
    )
    return Finding("answers not told", str(count), trouble)


async def _stuck_deliveries(connection: asyncpg.Connection) -> Finding:
    count = await connection.fetchval(
        """
        SELECT count(*) FROM workflow.deliveries
        WHERE state = 'due' AND due_at < clock_timestamp() - interval '5 minutes'
        """
    )
    trouble = "they are long due: is the workflow running, and does Avinode answer?" if count else None
    return Finding("webhook deliveries overdue", str(count), trouble)


async def _refused_credentials(connection: asyncpg.Connection) -> Finding:
    refusal = await connection.fetchval(
        "SELECT refusal FROM workflow.avinode_status WHERE held_until > clock_timestamp()"
    )
    trouble = f"{refusal} See AVINODE_API_TOKEN, AVINODE_AUTH_TOKEN" if refusal else None
    return Finding("Avinode's login", "refused" if refusal else "not refused", trouble)


async def _login(name: str, url: str, writes: str | None) -> Finding:
    role = name.removesuffix("_database_url")
    try:
        connection = await asyncpg.connect(url, timeout=TIMEOUT_S)
        lacks = await lacking(connection, writes)
        await connection.close()
    except (*DATABASE_ERRORS, ValueError) as error:
        return Finding(
            f"login of {role}", "refused", f"{name.upper()}: {error}; `tripthread migrate` sets its password"
        )
    return Finding(f"login of {role}", "works" if lacks is None else "is of no use", lacks)


async def check_broker(settings: Settings) -> AsyncIterator[Finding]:
    """Look at each queue: is it there, does anybody consume it, how much waits?"""
    if wrong := malformed("amqp_url", settings.amqp_url):
        yield Finding("broker", "away", wrong)
        return
    try:
        connection = await aio_pika.connect(settings.amqp_url, timeout=TIMEOUT_S)
    except (AMQPError, OSError, TimeoutError) as error:
        yield Finding("broker", "away", f"cannot connect with AMQP_URL: {error}")
        return
    async with connection:
        yield Finding("broker", "connected")
        for queue in topology.QUEUES:
            yield await _queue(connection, queue)
    for service in topology.LOGINS:
        yield await _broker_login(settings, service)


async def _broker_login(settings: Settings, service: str) -> Finding:
    name, subject = f"{service}_amqp_url", f"broker's login of {service}"
    url: str = getattr(settings, name)
    if not url:
        trouble = f"set {name.upper()}, see `tripthread logins`" if settings.environment == "production" else None
        return Finding(subject, "none of its own: it may do whatever AMQP_URL may", trouble)
    try:
        connection = await aio_pika.connect(url, timeout=TIMEOUT_S)
        await connection.close()
    except (AMQPError, OSError, ValueError) as error:
        trouble = f"{name.upper()}: {error}; `tripthread migrate` sets its password, or see `tripthread logins`"
        return Finding(subject, "refused", trouble)
    return Finding(subject, "works")


async def _queue(connection: aio_pika.abc.AbstractConnection, queue: topology.Queue) -> Finding:
    name = queue.name
    channel = await connection.channel()
    try:
        declared = await channel.declare_queue(name, passive=True)
    except ChannelNotFoundEntity:
        return Finding(f"queue {name}", "missing", "is a gateway running? Otherwise `tripthread migrate` makes it")
    await channel.close()
    try:
        await Declaring().declare_queue(connection, queue)
    except AMQPError as error:
        return Finding(f"queue {name}", "of another shape", f"{describe(error)}; delete it when it is empty")
    result = declared.declaration_result
    waiting, consumers = result.message_count or 0, result.consumer_count or 0
    trouble = None if consumers else f"nobody consumes it: is the {queue.reader} running?"
    return Finding(f"queue {name}", f"{waiting} waiting, {consumers} consumers", trouble)


async def check_gateways(environment: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Ask each gateway that `.run/env` names whether it is ready."""
    urls = [value for name, value in environment.items() if name.startswith("TRIPTHREAD_URL")]
    async with _http() as http:
        for url in urls:
            try:
                async with http.get(f"{url}/readyz") as response:
                    body = await response.json()
                    wrong = [*body["away"], *body["degraded"]]
                    trouble = f"away: {', '.join(wrong)}; `/readyz` on its internal address says why" if wrong else None
                    yield Finding(f"gateway {url}", f"answers {response.status}", trouble)
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
                yield Finding(f"gateway {url}", "away", str(error) or type(error).__name__)
        for name in sorted(name for name in environment if name.startswith("INTERNAL_URL_")):
            yield await _process(http, name.removeprefix("INTERNAL_URL_"), environment[name])


async def _process(http: aiohttp.ClientSession, name: str, url: str) -> Finding:
    """Ask a process of a native stack, which says why it is not ready."""
    try:
        async with http.get(f"{url}/readyz") as response:
            body = await response.json()
            wrong = {**body["faults"], **body["degraded"]}
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        return Finding(f"process {name}", "away", str(error) or type(error).__name__)
    trouble = "; ".join(f"{subject}: {why}" for subject, why in wrong.items())
    return Finding(f"process {name}", body["status"], trouble or None)


async def check_circuits(environment: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Ask each gateway whose internal address is known which upstreams it leaves alone."""
    urls = [value for name, value in environment.items() if name.startswith("TRIPTHREAD_INTERNAL_URL")]
    async with _http() as http:
        for url in urls:
            try:
                async with http.get(f"{url}/metrics") as response:
                    left_alone = open_circuits(await response.text())
            except (aiohttp.ClientError, TimeoutError) as error:
                yield Finding(f"metrics {url}", "away", str(error) or type(error).__name__)
                continue
            trouble = f"they failed several times in a row: {', '.join(left_alone)}; see the gateway's log"
            yield Finding(f"upstreams of {url}", f"{len(left_alone)} left alone", trouble if left_alone else None)


def open_circuits(metrics: str) -> list[str]:
    """Return the names of the upstreams whose circuit is open, by a gateway's metrics."""
    families = text_string_to_metric_families(metrics)
    samples = (sample for family in families for sample in family.samples)
    return [each.labels["upstream"] for each in samples if each.name == OPEN_CIRCUIT and each.value]


async def check_outside(settings: Settings) -> AsyncIterator[Finding]:
    """Ask the outside systems for a sign of life; whether they do what they should, only using them tells."""
    try:
        upstreams = read_catalog(settings).upstreams
    except InvalidModelsFile as error:
        yield Finding("models", "not as they are configured", str(error))
        upstreams = ()
    for upstream in upstreams:
        yield await _models_service(upstream)
    yield await _avinode(settings.avinode_base_url)


async def _models_service(upstream: UpstreamSpec) -> Finding:
    """Ask for the models as a gateway does at its start."""
    name = "" if upstream.name == ENVIRONMENT else f" {upstream.name}"
    subject, url = f"model's service{name}", upstream.base_url
    try:
        models = await list_models(upstream)
    except ModelAway as error:
        return Finding(subject, f"{url} is of no use", f"{error.detail}; see {upstream.see}")
    said = "answers, without a list of models" if models is None else f"lists {len(models)} models"
    return Finding(subject, f"{url} {said}")


async def _avinode(url: str) -> Finding:
    subject, see = "Avinode", "see AVINODE_BASE_URL"
    try:
        async with _http() as http, http.get(url, allow_redirects=False) as response:
            return Finding(subject, f"{url} answers {response.status}", see if response.status >= 500 else None)
    except (aiohttp.ClientError, TimeoutError) as error:
        return Finding(subject, f"{url} is away", f"{error or type(error).__name__}; {see}")


@asynccontextmanager
async def _http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as http:
        yield http
