"""Recount what is kept beside the rows that it follows from: counters, counts, previews, places; and find orphans.

Everything is read in one snapshot, in which each service's commits are whole, and of what has not been touched for a
while: what is still on its way from one service to another is no drift. So nothing is looked at either of users whose
erasure is under way. The server does the work; only what it finds travels, a few rows at a time.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from shared.database import Connection

SETTLED_S = 120.0
LONGEST_S = 1800.0  # that one check may take
FETCHED = 500  # findings at a time


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be; no word of what users said."""

    kind: str
    user_id: str | None  # none: of a trip that is nobody's
    subject: str  # a session, turn, trip or model
    found: str
    expected: str


async def findings(db: Connection, settled_s: float = SETTLED_S) -> AsyncGenerator[Finding]:
    """Verify everything, by a connection that sees all rows.

    Args:
        db: Of the administrators' login, outside of any transaction.
        settled_s: In seconds; what changed later than that before now is left to the next time.
    """
    async with db.transaction(isolation="repeatable_read", readonly=True):
        # This takes as long as it takes, and whoever mends between two findings takes their time, too.
        await db.execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
        for kind, query in CHECKS.items():
            async for row in db.cursor(query, settled_s, prefetch=FETCHED, timeout=LONGEST_S):
                yield Finding(kind, row["user_id"], row["subject"], row["found"], row["expected"])


_SETTLED = "now() - make_interval(secs => $1)"  # `now()` is the snapshot's
# Each row by its key: statistics may say anything, and no check may sort what is large.
_SAID = """
    FROM chat.sessions s
    CROSS JOIN LATERAL (SELECT count(*) AS messages, max(created_at) AS newest_at FROM chat.messages own
        WHERE own.user_id = s.user_id AND own.session_id = s.session_id) said
    WHERE s.deleted_at IS NULL AND s.updated_at < SETTLED
        AND NOT EXISTS (SELECT FROM chat.erased_users e
            WHERE e.done_at IS NULL AND e.user_hash = tripthread.user_hash(s.user_id))
"""
_COUNTED = """
    FROM (
        SELECT user_id, model_id, max(number) AS greatest, count(number) AS numbers, max(tagged_at) AS tagged_at
        FROM tagging.session_tags WHERE number IS NOT NULL GROUP BY user_id, model_id
    ) given FULL JOIN tagging.counters c USING (user_id, model_id)
    WHERE NOT EXISTS (SELECT FROM tagging.erased_users e
        WHERE e.done_at IS NULL AND e.user_hash = tripthread.user_hash(coalesce(given.user_id, c.user_id)))
"""

_QUERIES = {
    "message_count": """
        SELECT s.user_id, s.session_id AS subject, s.message_count::text AS found, said.messages::text AS expected
        SAID AND s.message_count <> said.messages
    """,
    # Of two messages at one place either may be the newest.
    "preview": """
        SELECT s.user_id, s.session_id AS subject, 'another text' AS found, 'the newest message' AS expected
        SAID AND CASE WHEN said.messages = 0 THEN s.last_message IS NOT NULL
            ELSE NOT EXISTS (SELECT FROM chat.messages m
                WHERE m.user_id = s.user_id AND m.session_id = s.session_id AND m.created_at = said.newest_at
                    AND left(m.content, 200) = s.last_message) END
    """,
    "place": """
        SELECT s.user_id, s.session_id AS subject,
            coalesce(s.last_message_at::text, 'no message') || ', active ' || s.last_activity_at AS found,
            coalesce(said.newest_at::text, 'no message') AS expected
        SAID AND (s.last_message_at IS DISTINCT FROM said.newest_at OR s.last_activity_at < said.newest_at)
    """,
    # One that somebody opened, or set something of, may be empty.
    "session_without_messages": """
        SELECT s.user_id, s.session_id AS subject, 'nothing' AS found, 'a message, or somebody who began it' AS expected
        SAID AND said.messages = 0 AND s.field_stamps = '{}' AND s.forked_from IS NULL AND s.ended_at IS NULL
    """,
    "turn_without_answer": """
        SELECT t.user_id, t.turn_id::text AS subject, t.state AS found, 'an answer in chat.messages' AS expected
        FROM gateway.turns t
        WHERE t.state NOT IN ('running', 'posted') AND t.answered_at < SETTLED
            AND NOT EXISTS (SELECT FROM chat.messages m WHERE m.user_id = t.user_id AND m.session_id = t.session_id
                AND m.turn_id = t.turn_id AND m.role = 'assistant')
            AND NOT EXISTS (SELECT FROM gateway.deletions d
                WHERE d.user_id = t.user_id AND d.session_id = t.session_id)
            AND NOT EXISTS (SELECT FROM gateway.erasures e
                WHERE e.user_hash = tripthread.user_hash(t.user_id) AND e.erased_at >= t.asked_at)
    """,
    # A sweep takes ties first, and then the trips that were nobody else's.
    "trip_without_sessions": """
        SELECT NULL::text AS user_id, t.trip_id::text AS subject, 'no session' AS found, 'one at least' AS expected
        FROM workflow.trips t
        WHERE t.updated_at < SETTLED
            AND NOT EXISTS (SELECT FROM workflow.trip_sessions o WHERE o.trip_id = t.trip_id)
            AND NOT EXISTS (SELECT FROM workflow.deleted_sessions WHERE swept_at IS NULL)
            AND NOT EXISTS (SELECT FROM workflow.erased_users WHERE done_at IS NULL)
    """,
    # Only where the model was tracked for certain: what was asked long enough after the last word on it, and of a name
    # that is one model's alone. In a fork nobody has spoken yet.
    "tag_missing": """
        SELECT s.user_id, s.session_id AS subject, 'no tag' AS found, 'one' AS expected
        SAID AND s.forked_from IS NULL AND said.messages > 0
            AND NOT EXISTS (SELECT FROM tagging.session_tags g
                WHERE g.user_id = s.user_id AND g.session_id = s.session_id)
            AND EXISTS (SELECT FROM chat.messages m JOIN tagging.models x ON x.name = m.model AND x.tracked
                WHERE m.user_id = s.user_id AND m.session_id = s.session_id AND m.role = 'user'
                    AND m.stored_at < SETTLED
                    AND m.created_at > greatest(x.registered_at, x.stamped_at) + make_interval(secs => $1)
                    AND NOT EXISTS (SELECT FROM tagging.models y WHERE y.name = x.name AND y.model_id <> x.model_id))
    """,
    "tag_spelling": """
        SELECT g.user_id, g.session_id AS subject, coalesce(g.session_tag, 'none') AS found, spelled.tag AS expected
        FROM tagging.session_tags g JOIN tagging.models m USING (model_id)
        CROSS JOIN LATERAL (SELECT 'chat_model_' || m.short_id || '_'
            || lpad(g.number::text, greatest(3, length(g.number::text)), '0') AS tag) spelled
        WHERE g.deleted_at IS NULL AND g.number IS NOT NULL AND g.tagged_at < SETTLED
            AND g.session_tag IS DISTINCT FROM spelled.tag
    """,
    "tag_gap": """
        SELECT user_id, model_id::text AS subject, numbers || ' numbers' AS found, '1 to ' || greatest AS expected
        COUNTED AND tagged_at < SETTLED AND numbers <> greatest
    """,
    "counter_behind": """
        SELECT user_id, model_id::text AS subject, coalesce(last_number, 0)::text AS found, greatest::text AS expected
        COUNTED AND tagged_at < SETTLED AND coalesce(last_number, 0) < greatest
    """,
    "counter_ahead": """
        SELECT user_id, model_id::text AS subject, last_number::text AS found, coalesce(greatest, 0)::text AS expected
        COUNTED AND coalesce(tagged_at < SETTLED, true) AND last_number > coalesce(greatest, 0)
    """,
}


def _written_out(query: str) -> str:
    """Put what several queries have in common in the place of its name."""
    for name, text in (("SAID", _SAID), ("COUNTED", _COUNTED), ("SETTLED", _SETTLED)):
        query = query.replace(name, text)
    return query


CHECKS = {kind: _written_out(query) for kind, query in _QUERIES.items()}
