"""Sessions in which much was said: one that is stored, `told`, one that is not, `untold`, and a hundred of one turn."""

import asyncpg

TURNS = 100
WORDS = 80_000  # of an answer, each of them five bytes

FILL = """
    INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until, correlation_id,
        model, provider, question, asked_at, question_published, answer, answered_at, answer_published)
    SELECT gen_random_uuid(), $4, session_id, '', 'gone', 'complete', now(), gen_random_uuid(), 'm', 'p',
        jsonb_build_object('message_id', 'm' || number, 'content', 'hello', 'is_known', false, 'parts', '[]'::jsonb),
        now() + (number - 200) * interval '1 second', true,
        jsonb_build_object('content', said, 'parts',
            jsonb_build_array(jsonb_build_object('type', 'text', 'text', said)), 'status', 'complete'),
        now() + (number - 199.5) * interval '1 second', true
    FROM generate_series(1, $1) number, repeat('word ', $2) said, unnest($3::text[]) session_id
"""


async def say_much(owner: asyncpg.Connection, user: str) -> None:
    """Fill the tables as the gateway and the logger would have."""
    await owner.execute(FILL, TURNS, WORDS, ["told", "untold"], user)
    await owner.execute(FILL, 1, WORDS, [f"s{number}" for number in range(100)], user)
    await owner.execute(
        """
        INSERT INTO chat.sessions (user_id, session_id, last_activity_at, last_message_at, created_at)
        VALUES ($1, 'told', now(), now(), now())
        """,
        user,
    )
    await owner.execute(
        """
        INSERT INTO chat.messages (user_id, session_id, message_id, role, content, parts, event_id, created_at)
        SELECT user_id, session_id, gen_random_uuid()::text, 'assistant', answer ->> 'content', answer -> 'parts',
            gen_random_uuid(), answered_at
        FROM gateway.turns WHERE session_id = 'told'
        """
    )
