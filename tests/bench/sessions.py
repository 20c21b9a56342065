"""Lists of sessions, pages of messages, searches, and everybody's: with many messages stored, and with a few."""

import argparse
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

import asyncpg

from shared.search_words import OWNER_KEY_LENGTH, vector_of
from shared.settings import Settings
from tests.bench.measuring.budgets import SESSION_READS, SMOOTH
from tests.bench.running.servers import private_servers
from tests.connected.gateway.stage import Stage, open_stage
from tests.servers import looking, run_sql
from tests.settings import with_database

FEW_MESSAGES = 10_000
REQUESTS = 15  # of one case in one round, on each side
LONG = 50  # the long session has one of so many messages: of a million 20,000, which are 10,000 turns
SESSION = 10  # messages of every other session

# Users: `few` has one session of ten messages, `some` a tenth of all sessions, `most` the others.
# A message has the word that all have, one of a thousand, one of its own, and seven more; `rare` is in one of `few` and
# in one of the oldest of `most`.
FILLING = """
    SET session_replication_role = replica;
    ALTER TABLE chat.sessions SET (autovacuum_enabled = off);
    ALTER TABLE chat.messages SET (autovacuum_enabled = off);
    ALTER TABLE chat.search SET (autovacuum_enabled = off);
    ALTER TABLE chat.session_marks SET (autovacuum_enabled = off);
    ALTER TABLE tagging.session_tags SET (autovacuum_enabled = off);
    DROP INDEX chat.search_by_terms;
    CREATE TEMPORARY TABLE made AS
    SELECT n, CASE WHEN n = 0 THEN 'few' WHEN n % 10 = 0 THEN 'some' ELSE 'most' END AS user_id,
        CASE n WHEN 1 THEN 'long' ELSE 's' || n END AS session_id, now() - n * interval '1 minute' AS at,
        CASE WHEN n = {sessions} - 1 OR n = 0 THEN 'rare' ELSE 'usual' END AS which
    FROM generate_series(0, {sessions}) AS n;
    INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, last_message_at, message_count,
        helper, project_id, model, folder, labels, pinned, archived, title, title_source)
    SELECT user_id, session_id, at, at, at, {session}, which, which, which, which, ARRAY[which], n = {sessions} - 2,
        n = {sessions} - 3, 'common title ' || n, 'message'
    FROM made;
    INSERT INTO chat.session_marks (user_id, session_id, kind, value, archived)
    SELECT user_id, session_id, kind, value, archived
    FROM chat.sessions CROSS JOIN LATERAL (VALUES ('folder', folder), ('helper', helper), ('project_id', project_id),
        ('model', model), ('label', labels[1])) AS mark (kind, value);
    INSERT INTO tagging.models
    VALUES (gen_random_uuid(), 'openai', 'm', 'a1b2c3', true, now(), now(), gen_random_uuid());
    INSERT INTO tagging.session_tags (user_id, session_id, model_id, number, session_tag, event_id)
    SELECT user_id, session_id, model_id, n + 1, 'tag_' || n, gen_random_uuid() FROM made, tagging.models;
    INSERT INTO chat.messages (user_id, session_id, message_id, role, content, model, event_id, created_at, stored_at)
    SELECT user_id, session_id, 'm' || n || '-' || lpad(k::text, 6, '0'), 'user',
        'common w' || (n * 7919 + k) % 1000 || ' own' || n || 'x' || k || ' a light jet from one airport'
            || CASE WHEN which = 'rare' AND k = 1 THEN ' rare' ELSE ' usual' END,
        'm', gen_random_uuid(), at + k * interval '1 second', at + k * interval '1 second'
    FROM made, generate_series(1, CASE session_id WHEN 'long' THEN {long} ELSE {session} END) AS k;
    INSERT INTO chat.search (user_id, session_id, message_id, version, since, terms)
    SELECT user_id, session_id, message_id, event_id, created_at, (
        SELECT string_agg(format('%L:%s', key || word, place), ' ')
        FROM string_to_table(content, ' ') WITH ORDINALITY AS each (word, place))::tsvector
    FROM chat.messages, LATERAL (SELECT left(encode(tripthread.user_hash(user_id), 'hex'), {key_length}) AS key) AS own;
    INSERT INTO chat.search (user_id, session_id, version, since, terms)
    SELECT user_id, session_id, md5(title)::uuid, created_at, (
        SELECT string_agg(format('%L:%s', key || word, place), ' ')
        FROM string_to_table(title, ' ') WITH ORDINALITY AS each (word, place))::tsvector
    FROM chat.sessions, LATERAL (SELECT left(encode(tripthread.user_hash(user_id), 'hex'), {key_length}) AS key) AS own;
    CREATE INDEX search_by_terms ON chat.search USING gin (terms) WITH (fastupdate = on, gin_pending_list_limit = 256);
    SELECT brin_summarize_new_values('chat.sessions_by_change');
"""

LIST = "/api/chat/sessions"
CASES: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "list": ("most", LIST, {}),
    "list, user of a tenth": ("some", LIST, {}),
    "list, user of one session": ("few", LIST, {}),
    **{
        f"list, rarest {name}": ("most", LIST, {name: value})
        for name, value in {
            "helper": "rare", "project_id": "rare", "model": "rare", "folder": "rare", "label": "rare",
            "pinned": "true", "archived": "true",
        }.items()
    },
    "tag": ("most", LIST, {"tag": "tag_77"}),
    "newest messages, long session": ("most", f"{LIST}/long/messages", {"limit": 50}),
    "search, rarest word": ("most", LIST, {"q": "rare"}),
    "search, commonest word": ("most", LIST, {"q": "common"}),
    "search, commonest letter": ("most", LIST, {"q": "c"}),
    "search, two words": ("most", LIST, {"q": "rare common"}),
    "search, rarest word of ten messages": ("few", LIST, {"q": "rare"}),
    "search, commonest word of ten messages": ("few", LIST, {"q": "common"}),
    "search, commonest letter of ten messages": ("few", LIST, {"q": "c"}),
    "search, commonest word with the rarest helper": ("most", LIST, {"q": "common", "helper": "rare"}),
    # One of a thousand messages has it: what is found grows by all that there is, and so is no budget's.
    "search, one of a thousand": ("most", LIST, {"q": "w77 usual"}),
}  # fmt: skip
# Of an administrator's, who reads everybody's: by whose list, and what is asked for.
ALL_SESSIONS, ALL_MESSAGES = "/api/admin/sessions", "/api/admin/messages"
OF_ALL: Mapping[str, tuple[str, dict[str, Any]]] = {
    "everybody's sessions": (ALL_SESSIONS, {}),
    "everybody's sessions, rarest model": (ALL_SESSIONS, {"model": "rare"}),
    "everybody's sessions, tag": (ALL_SESSIONS, {"tag": "tag_77"}),
    "everybody's sessions, commonest word": (ALL_SESSIONS, {"q": "common"}),
    "everybody's sessions, rarest word": (ALL_SESSIONS, {"q": "rare"}),
    "everybody's sessions, one user": (ALL_SESSIONS, {"user": "most"}),
    "everybody's sessions, one user's rarest word": (ALL_SESSIONS, {"user": "most", "q": "rare"}),
    "everybody's messages": (ALL_MESSAGES, {}),
    "everybody's messages, role": (ALL_MESSAGES, {"role": "user"}),
    "everybody's messages, tag": (ALL_MESSAGES, {"tag": "tag_77"}),
    "everybody's messages, commonest word": (ALL_MESSAGES, {"q": "common"}),
    "everybody's messages, rarest word": (ALL_MESSAGES, {"q": "rare"}),
    "everybody's messages, one user": (ALL_MESSAGES, {"user": "some"}),
    "everybody's messages, one user's rarest word": (ALL_MESSAGES, {"user": "most", "q": "rare"}),
    "everybody's messages, one session": (ALL_MESSAGES, {"user": "most", "session_id": "long"}),
    "users": ("/api/admin/users", {}),
    "users, one of them": ("/api/admin/users", {"user": "some"}),
}
GROWING = "search, one of a thousand"


@dataclass(frozen=True)
class Side:
    """A gateway in this process, on a database of so many messages."""

    settings: Settings
    stage: Stage

    async def p50_ms(self, user: str, role: str, path: str, query: dict[str, Any]) -> float:
        times = []
        for _ in range(REQUESTS):
            began = time.perf_counter()
            answer = await self.stage.http.get(path, params=query, headers=self.stage.as_user(user, role))
            times.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, answer.text
            shown = answer.json()
            assert shown[path.rpartition("/")[2]] or shown["has_more"], (path, query)
        return median(times)


async def run(options: argparse.Namespace) -> None:
    """Print a line for each case: with statistics of empty tables, and with fresh ones."""
    with private_servers() as settings:
        async with AsyncExitStack() as opened:
            sides = []
            for messages in (options.stored, FEW_MESSAGES):
                own = await _filled(settings, messages)
                sides.append(Side(own, await opened.enter_async_context(open_stage(own))))
            for statistics in ("stale", "fresh"):
                if statistics == "fresh":
                    for side in sides:
                        await run_sql(side.settings.database_url, "ANALYZE")
                await _measure(*sides, rounds=options.rounds, statistics=statistics, messages=options.stored)


async def _measure(many: Side, few: Side, *, rounds: int, statistics: str, messages: int) -> None:
    cases = {name: (user, "user", path, query) for name, (user, path, query) in CASES.items()}
    cases |= {name: ("root", "admin", path, query) for name, (path, query) in OF_ALL.items()}
    for name, case in cases.items():
        ours, theirs = [], []
        for _ in range(rounds + 1):
            ours.append(await many.p50_ms(*case))
            theirs.append(await few.p50_ms(*case))
        budget = SMOOTH if name == GROWING else SESSION_READS
        budget.report(ours[1:], theirs[1:], case=name, statistics=statistics, messages=[messages, FEW_MESSAGES])


async def _filled(settings: Settings, messages: int) -> Settings:
    """Make a database with so many messages, indexed as the logger does."""
    name = f"stored_{messages}"
    template = settings.database_url.rsplit("/", 1)[1]
    async with looking(with_database(settings.database_url, "template1")) as server:
        await server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    own = on_database(settings, name)
    async with looking(own.database_url) as owner:
        sessions = (messages - messages // LONG) // SESSION
        await owner.execute(
            FILLING.format(sessions=sessions, session=SESSION, long=messages // LONG, key_length=OWNER_KEY_LENGTH),
            timeout=1800,
        )
        await _check(owner)
    return own


def on_database(settings: Settings, database: str) -> Settings:
    names = [name for name in type(settings).model_fields if name.endswith("database_url")]
    return settings.model_copy(update={name: with_database(getattr(settings, name), database) for name in names})


async def _check(owner: asyncpg.Connection) -> None:
    """Compare one of the rows with what the logger would have written."""
    content = await owner.fetchval("SELECT content FROM chat.messages WHERE message_id = 'm0-000001'")
    same = await owner.fetchval(
        "SELECT terms = $1::text::tsvector FROM chat.search WHERE message_id = 'm0-000001'", vector_of("few", content)
    )
    assert same, "the logger indexes otherwise"
