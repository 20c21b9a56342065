"""What tests of the tagger share: events of users and models, and the promise about numbers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import asyncpg
from hypothesis import strategies as st

from services.tagger.counter import CounterKey, SessionKey
from shared.events import MessagePosted, ModelChanged, ModelRegistered, SessionDeleted, TagBatchRequested, UserErased
from shared.ids import model_id
from shared.settings import Settings

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
MODEL = "small"

T = TypeVar("T")


def in_groups(draw: st.DrawFn, events: Sequence[T]) -> list[list[T]]:
    """Bring events into any order, and cut them into groups as a queue may have them."""
    order = draw(st.permutations(events))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=6)) | {len(order)})
    return [list(order[start:end]) for start, end in zip([0, *cuts], cuts, strict=False)]


def spoke(session: str = "s1", *, user: str = "ada", at: int = 0, **fields: object) -> MessagePosted:
    """Make the event of a user's message, `at` seconds after the beginning."""
    defaults: dict[str, object] = {
        "user_id": user,
        "session_id": session,
        "message_id": f"m{at}",
        "content": "hello",
        "role": "user",
        "provider": "acme",
        "model": MODEL,
        "created_at": BEGAN + timedelta(seconds=at),
    }
    return MessagePosted.model_validate(defaults | fields)


def registered(
    name: str = MODEL, *, tracked: bool = True, at: int = 0, provider: str = "acme", only_if_new: bool = False
) -> ModelRegistered:
    """Make the event of a registration, `at` seconds after the beginning."""
    return ModelRegistered(
        name=name,
        provider=provider,
        tracked=tracked,
        only_if_new=only_if_new,
        occurred_at=BEGAN + timedelta(seconds=at),
    )


def changed(name: str = MODEL, *, at: int = 0, provider: str = "acme", **said: object) -> ModelChanged:
    """Make the event of what an administrator set of a model, `at` seconds after the beginning."""
    fields: dict[str, object] = {"name": name, "provider": provider, "occurred_at": BEGAN + timedelta(seconds=at)}
    return ModelChanged.model_validate({**fields, **said, "changed": tuple(said)})


def batch(
    number: int = 1, *, user: str = "ada", count: int = 3, at: int = 0, model: str = MODEL, **fields: object
) -> TagBatchRequested:
    """Make the event of a batch, `at` seconds after the beginning; one number of one user names the same sessions."""
    about = {"user_id": user, "batch_id": UUID(int=number), "accepted_at": BEGAN + timedelta(seconds=at)}
    return TagBatchRequested.model_validate({**about, "count": count, "name": model, "provider": "acme", **fields})


def deleted(session: str = "s1", *, user: str = "ada", at: int = 0) -> SessionDeleted:
    """Make the event of a session's deletion, `at` seconds after the beginning."""
    return SessionDeleted(user_id=user, session_id=session, accepted_at=BEGAN + timedelta(seconds=at))


def erased(user: str = "ada", *, at: int = 0) -> UserErased:
    """Make the event of a user's erasure, `at` seconds after the beginning."""
    return UserErased(user_id=user, erased_at=BEGAN + timedelta(seconds=at))


async def read_numbers(owner: asyncpg.Connection) -> dict[CounterKey, list[int]]:
    """Return the numbers that each user's sessions have with each model, in order."""
    rows = await owner.fetch(
        """
        SELECT user_id, model_id, array_agg(number ORDER BY number NULLS FIRST) AS numbers
        FROM tagging.session_tags GROUP BY user_id, model_id
        """
    )
    return {(row["user_id"], row["model_id"]): row["numbers"] for row in rows}


async def read_counters(owner: asyncpg.Connection) -> dict[CounterKey, int]:
    """Return the last number that each counter has given."""
    rows = await owner.fetch("SELECT user_id, model_id, last_number FROM tagging.counters")
    return {(row["user_id"], row["model_id"]): row["last_number"] for row in rows}


async def read_tags(owner: asyncpg.Connection) -> dict[SessionKey, str]:
    """Return every session's tag."""
    rows = await owner.fetch("SELECT user_id, session_id, session_tag FROM tagging.session_tags")
    return {(row["user_id"], row["session_id"]): row["session_tag"] for row in rows}


async def assert_gapless(owner: asyncpg.Connection) -> None:
    """Check that each counter has given 1, 2, 3 and so on, each once, and knows where it is."""
    numbers = await read_numbers(owner)
    counters = await read_counters(owner)
    assert numbers == {key: list(range(1, last + 1)) for key, last in counters.items()}
    tags = [(user, tag) for (user, _), tag in (await read_tags(owner)).items()]
    assert len(set(tags)) == len(tags)


@asynccontextmanager
async def holding_counters(settings: Settings, *users: str) -> AsyncIterator[None]:
    """Hold these users' counters, so that whoever tags a session of theirs stops in the middle of its transaction."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute(
                """
                INSERT INTO tagging.counters AS held (user_id, model_id, last_number)
                SELECT user_id, $2, 0 FROM unnest($1::text[]) AS user_id
                ON CONFLICT (user_id, model_id) DO UPDATE SET last_number = held.last_number
                """,
                users,
                model_id("acme", MODEL),
            )
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def holding_session(settings: Settings, user: str, session: str) -> AsyncIterator[None]:
    """Let whoever tags this session wait in the middle of its group, until the block is left."""
    connection = await asyncpg.connect(settings.database_url)
    held = connection.transaction()
    try:
        await held.start()
        await connection.execute(
            "INSERT INTO tagging.session_tags (user_id, session_id, event_id) VALUES ($1, $2, gen_random_uuid())",
            user,
            session,
        )
        yield
        await held.rollback()
    finally:
        await connection.close()
